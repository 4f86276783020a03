"""E1 … E4 fed with planted numbers."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import rows


def _changes(shift):
    def numbers(job, place):
        below = np.linspace(0.2, 0.8, 20)
        formula = below * np.log(job.slope)
        half = 0.05 * abs(np.log(job.slope))
        columns = {
            "formula": formula,
            "estimate": formula,
            "lower": formula - half + shift * half,
            "upper": formula + half + shift * half,
            "integrated": formula + shift * 1e-6 / 2,
            "below": below,
        }
        return xr.Dataset({name: ("distribution", values) for name, values in columns.items()})

    return numbers


@pytest.mark.parametrize(
    ("shift", "estimated", "integrated"),
    [(0.5, "verified", "verified"), (1.5, "refuted", "verified"), (2.5, "refuted", "refuted")],
)
def test_a_formula_outside_its_interval_is_refuted(shift, estimated, integrated):
    found = rows("E1", _changes(shift))
    assert [str(row.verdict) for row in found] == 3 * [estimated, integrated]
    assert all(row.control.broke for row in found)


def test_volumes_of_vectors_are_held_against_all_units():
    def numbers(bias):
        def of(job, place):
            below = np.full(job.dim, 0.5)
            exact = below.sum() * np.log(job.slope)
            wiggle = 0.01 * (-1.0) ** np.arange(400)
            return xr.Dataset({"log_volume": ("sample", exact * (1 + bias) + wiggle), "below": ("unit", below)})

        return of

    assert {row.verdict for row in rows("E1-vectors", numbers(0.0))} == {Verdict.VERIFIED}
    assert {row.verdict for row in rows("E1-vectors", numbers(0.1))} == {Verdict.REFUTED}


def _trained(*, entropy_falls=True, relu=0.9, leaky=0.8, follows=True):
    """Entropies that rise with α or not, accuracies of ReLU and the others, profiles that follow the loss or not."""

    def numbers(job, place):
        shape = (len(job.seeds), 5, job.depth + 1)
        rounds = np.arange(5.0)
        level = job.slope if entropy_falls else -job.slope
        order = rounds if follows else rounds[[0, 3, 1, 4, 2]]
        order = order if job.target_scale else -order
        entropy = level + 1e-3 * np.broadcast_to(order[:, None], shape)
        final = (relu if job.slope == 0 else leaky) * (1 + 0.01 * np.arange(shape[0]))[:, None] / 1.03
        test = np.where(rounds > 0, final + (0.001 * place * np.arange(shape[0]))[:, None], 0.1)
        return xr.Dataset(
            {
                "entropy": (("seed", "round", "layer"), entropy),
                "narrowing_entropy": (("seed", "round", "layer"), -entropy),
                "below": (("seed", "round", "layer"), np.full(shape, 0.5)),
                "loss": (("seed", "round"), np.broadcast_to(10 - rounds, shape[:2])),
                "test": (("seed", "round"), test),
            },
            {"round": 2 * np.arange(5)},
        )

    return numbers


def test_entropies_that_rise_with_the_slope_represent_what_is_lost_and_others_do_not():
    assert {row.verdict for row in rows("E2", _trained())} == {Verdict.VERIFIED}
    assert {row.verdict for row in rows("E2", _trained(entropy_falls=False))} == {Verdict.REFUTED}


def test_relu_is_judged_where_parameters_suffice():
    # Only the widest shape has as many weights as numbers to fit: elsewhere what is seen is observed, or silent.
    for numbers, inside, outside in (
        (_trained(), Verdict.VERIFIED, Verdict.OBSERVED),
        (_trained(relu=0.5), Verdict.REFUTED, Verdict.SILENT),
    ):
        found = rows("E3", numbers)
        assert {row.premise.holds for row in found} == {True, False}
        assert all(row.premise.holds == (row.setting["m"] == 128) for row in found)
        assert all(row.verdict is (inside if row.premise.holds else outside) for row in found)


def test_more_parameters_are_told_from_fewer():
    def numbers(job, place):
        return _trained(relu=0.9 if job.width > 100 else 0.6)(job, place)

    found = rows("E3-parameters", numbers)
    assert {row.verdict for row in found} == {Verdict.VERIFIED}
    assert all(row.control.broke and row.control.measured != -row.measured for row in found)
    assert {
        row.verdict for row in rows("E3-parameters", lambda j, p: _trained(relu=0.6 if j.width > 100 else 0.9)(j, p))
    } == {Verdict.REFUTED}


def test_profiles_that_follow_the_loss_are_told_from_those_that_do_not():
    assert {row.verdict for row in rows("E4", _trained())} == {Verdict.VERIFIED}
    assert Verdict.VERIFIED not in {row.verdict for row in rows("E4", _trained(follows=False))}
