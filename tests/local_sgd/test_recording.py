"""What is recorded and how it is summed."""

import types

import numpy as np

from ntk_localsgd.local_sgd.recording import Record


def test_sums_over_rounds_do_not_stop_where_float32_does():
    record = Record(
        {"loss": np.float32(1), "path_length": np.float32(2**24)}, {}, types.SimpleNamespace(values={}, rounds=[])
    )
    record.append({name: np.ones(5, np.float32) for name in ("loss", "path_length")})
    # 2^24 + 1 is no float32 number.
    np.testing.assert_array_equal(record.labelled({}).path_length, 2**24 + np.arange(6))
