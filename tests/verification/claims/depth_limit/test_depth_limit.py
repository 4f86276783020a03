"""X1 … X5 fed with planted numbers: what verifies, what refutes, what is silent."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import CONTEXT, rows


@pytest.mark.parametrize(
    ("gap", "verdict"), [(0.5, Verdict.VERIFIED), (1.5, Verdict.REFUTED), (np.nan, Verdict.REFUTED)]
)
def test_a_product_form_is_refuted_by_one_network(gap, verdict):
    def numbers(job, place):
        gaps = np.zeros(job.networks)
        gaps[3] = gap if not job.whole else 0
        columns = {"gap": gaps, "elsewhere": gaps + 5, "on_kinks": np.ones(job.networks, int)}
        return xr.Dataset({name: ("network", values) for name, values in columns.items()})

    assert rows("X1", numbers)[0].verdict is verdict
    assert rows("X1-kinks", numbers)[0].verdict is Verdict.VERIFIED


def _tails(over, diverging):
    def numbers(job, place):
        shape = (len(job.seeds), len(job.shown))
        grid = {name: (("seed", "n"), np.ones(shape)) for name in ("from_start", "from_output")}
        distance = np.full(shape, diverging if not np.isfinite(job.law.rest(5)) else 0.5)
        worst = {f"over_{name}": ("seed", np.full(shape[0], over)) for name in grid}
        return xr.Dataset(
            grid | worst | {"distance": (("seed", "n"), distance), "rounding": ("seed", np.zeros(shape[0]))}
        )

    return numbers


@pytest.mark.parametrize("claim", ["X2", "X2-output"])
def test_tails_above_their_bound_refute_and_controls_that_converge_decide_nothing(claim):
    assert {row.verdict for row in rows(claim, _tails(0.9, 7.0))} == {Verdict.VERIFIED}
    assert {row.verdict for row in rows(claim, _tails(1.1, 7.0))} == {Verdict.REFUTED}
    assert {row.verdict for row in rows(claim, _tails(0.9, 0.5))} == {Verdict.INCONCLUSIVE}


def _outputs(deviation, spread=0.5):
    def numbers(job, place):
        shape = (len(job.seeds), len(job.shown))
        falls = 2.0 ** -np.arange(shape[1])
        kinds = {
            "convergent": (deviation * falls, falls, spread, 1.0),
            "constant": (np.ones(shape[1]), falls, 0.0, 1.0),
            "corner": (np.ones(shape[1]), 0 * falls, 0.3, 0.0),
        }
        names = ("deviation", "increments", "spread", "least")
        columns = zip(names, kinds[job.kind], strict=True)
        return xr.Dataset({k: (("seed", "n"), np.broadcast_to(v, shape)) for k, v in columns}, {"n": job.shown})

    return numbers


def test_weights_are_bounded_by_increments_over_the_spread():
    assert rows("X3", _outputs(1.9))[0].verdict is Verdict.VERIFIED
    assert rows("X3", _outputs(2.1))[0].verdict is Verdict.REFUTED
    assert rows("X3", _outputs(1.9, spread=1e-9))[0].verdict is Verdict.OBSERVED


def test_counterexamples_lack_a_hypothesis_each_and_are_silent():
    found = rows("X3-limit", _outputs(1.0))
    assert [row.verdict for row in found] == [Verdict.VERIFIED, Verdict.SILENT, Verdict.SILENT]
    assert all(row.control.broke for row in found)


def test_counts_are_held_against_products_over_layers():
    def numbers(job, place):
        layers = np.arange(1, job.depth + 1)
        own = {"random": (job.width + 1) ** np.minimum(layers, 2), "tent": 2**layers, "identity": 0 * layers + 1}
        return xr.Dataset({"domains": (("seed", "layer"), np.tile(own[job.kind], (len(job.seeds), 1)))})

    assert [rows(claim, numbers)[0].verdict for claim in ("X4-line", "X4-tent")] == 2 * [Verdict.VERIFIED]
    assert rows("X4-plane", numbers)[0].verdict is Verdict.INCONCLUSIVE  # its control, a line's bound, does not break
    assert rows("X4-line", lambda job, place: numbers(job, place) * (2 if job.kind == "random" else 1))[0].failures == 4


def _starts(power):
    def numbers(job, place):
        wiggle = 1 + 0.01 * np.arange(len(job.seeds))
        own = job.depth**power if job.kind == "near identity" else job.depth ** {"he": -2.0, "skip": 2.0}[job.kind]
        return xr.Dataset({name: ("seed", own * wiggle) for name in ("growth", "angles", "smallest")})

    return numbers


@pytest.mark.parametrize(("claim", "power"), [("X5-norm", 0.3), ("X5-angle", -0.3), ("X5-gram", -0.7)])
def test_what_grows_or_sinks_with_the_depth_refutes_where_the_premise_holds(claim, power):
    assert [row.verdict for row in rows(claim, _starts(0.0))] == 2 * [Verdict.VERIFIED] + [Verdict.OBSERVED]
    assert [row.verdict for row in rows(claim, _starts(power))] == 2 * [Verdict.REFUTED] + [Verdict.SILENT]
    assert CONTEXT.preset.depth_limit.start_depths == (30, 100, 300, 1000)
