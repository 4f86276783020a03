"""The plan before the spend: what is there, and estimates from like jobs, from operations, from the class."""

import dataclasses

import numpy as np
import pytest

from ntk_localsgd.results import plain
from tests.verification.light import Walk
from verification import commands as command
from verification import registry
from verification.data import Source
from verification.engine import compute
from verification.engine.plan import operations, plan, show
from verification.jobs.training import Training
from verification.store import Store

TRAINING = Training(Source("sphere", 6, 0, input_dim=5), 2, 7, 0.1, local_steps=3, num_rounds=4, seeds=(1, 2))


def test_operations_are_those_of_the_gradients():
    # Products of the first layer, 6 × 5 by 5 × 7: forward and backward, an addition and a multiplication an entry.
    assert operations(plain(TRAINING)) == (2 + 2) * 6 * 5 * 7 * 3 * 4 * 2
    deep = dataclasses.replace(TRAINING, depth=3)
    assert operations(plain(deep)) == (4 * 6 * 5 * 7 + 2 * (2 + 4) * 6 * 7 * 7) * 3 * 4 * 2
    assert operations(plain(dataclasses.replace(TRAINING, batch_size=2))) == 4 * 4 * 5 * 7 * 3 * 4 * 2
    assert operations({"class": "a.B", "values": {"run": plain(TRAINING), "n": 3}}) == operations(plain(TRAINING))
    assert operations(plain(Walk(1))) == 0


def test_what_is_stored_is_counted_and_the_rest_is_estimated_from_like_jobs(tmp_path):
    store = Store(tmp_path, home=("tests",))
    results = compute([Walk(seed, 10, milliseconds=20) for seed in range(3)], store)
    taken = [results[job].attrs["cost"]["seconds"] for job in results.computed]
    (part,) = plan([Walk(seed, 10, milliseconds=20) for seed in range(7)], store)
    assert (part.kind, part.number, part.stored, part.unknown, part.basis) == ("Walk", 7, 3, 0, "like jobs")
    assert part.seconds == pytest.approx(4 * np.mean(taken))
    assert part.memory >= 1e7
    (other,) = plan([Walk(9, 11)], store)
    assert other.basis == "its class"
    assert other.seconds == pytest.approx(np.mean(taken))


def test_trainings_are_estimated_by_operations_and_what_nobody_has_seen_is_unknown(tmp_path, capsys):
    store = Store(tmp_path)
    first, unknown = plan([TRAINING, dataclasses.replace(TRAINING, width=14), Walk(1)], store)
    assert first.basis == "operations at a product's rate"
    assert 0 < first.seconds < 1e-3
    assert (unknown.unknown, unknown.seconds, unknown.memory) == (1, 0, None)
    took = compute([TRAINING], store)[TRAINING].attrs["cost"]["seconds"]
    (part,) = plan([TRAINING, dataclasses.replace(TRAINING, width=70)], store)
    assert part.basis == "operations"
    assert part.seconds == pytest.approx(10 * took)
    show([first, unknown], 2)
    shown = capsys.readouterr().out
    assert "3 jobs, 0 of them stored" in shown
    assert "and 1 of which nothing is known" in shown


def test_a_dry_run_computes_nothing(tmp_path, capsys):
    registry.discover()
    argv = ["run", "K2", "--preset", "smoke", "--out", str(tmp_path), "--dry-run"]
    for more in ([], ["--workers", "2"]):
        assert command.main([*argv, *more]) == 0
        assert "jobs, 0 of them stored" in capsys.readouterr().out.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []
