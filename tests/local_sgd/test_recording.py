"""What is recorded, how it is summed, and when a loss counts as diverged."""

import types

import numpy as np
import pytest

from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.observables import Observable, select
from ntk_localsgd.local_sgd.recording import Record

NO_GRAMS = types.SimpleNamespace(values={}, rounds=[], start=0)


def test_sums_over_rounds_do_not_stop_where_float32_does():
    record = Record(select(("path_length",)), {"loss": np.float32(1), "path_length": np.float32(2**24)}, NO_GRAMS)
    record.append({name: np.ones(5, np.float32) for name in ("loss", "path_length")})
    # 2^24 + 1 is no float32 number.
    np.testing.assert_array_equal(record.labelled({}).path_length, 2**24 + np.arange(6))


@pytest.mark.parametrize(
    ("start", "losses", "diverged"),
    [
        (1.0, [2.0, 1e6, 1.1e6, 3.0], [2]),
        (1.0, [np.nan, 1.0, np.inf], [0, 2]),
        (1e303, [1e303, np.inf], [1]),  # a million times the start is no number
        (0.0, [0.0], []),
    ],
)
def test_a_loss_that_is_not_finite_or_a_million_times_its_start_has_diverged(start, losses, diverged):
    record = Record(select(()), {"loss": np.float64(start)}, NO_GRAMS)
    np.testing.assert_array_equal(record.diverges(np.array(losses)), diverged)


def test_values_that_do_not_fit_their_dimensions_get_one_sentence():
    pair = Observable("pair", "round", ("round", "client"), "1", "two numbers", len)
    first = {"loss": np.float64(1), "client_loss": np.ones(3)}
    for wrong, said in ((np.ones(2), r"'pair' has shape \(1, 2\)"), (np.float64(1), r"'pair' has shape \(1,\)")):
        with pytest.raises(InputError, match=said):
            Record(select(("client_loss", pair)), first | {"pair": wrong}, NO_GRAMS)
