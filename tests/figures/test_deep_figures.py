"""Figures of deep networks, drawn from results of the right shape that cost nothing."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from figures import depth, key_property
from verification.context import Context
from verification.jobs.deep_perturbation import CHOICES, Effect, Perturbation
from verification.jobs.deep_start import DeepStart
from verification.jobs.key_property import GAPS, AcrossKink
from verification.presets import PRESETS

_SMOKE = PRESETS["smoke"]
CONTEXT = Context(
    dataclasses.replace(
        _SMOKE, deep=dataclasses.replace(_SMOKE.deep, kinds=("digits", "planted")), kinds=("digits", "sphere")
    ),
    0,
)


class _Drawn:
    """Positive random numbers in place of every result, and what was asked for."""

    def __init__(self):
        self.asked = set()

    def __getitem__(self, job):
        self.asked.add(job)
        draw = lambda *dims: (dims, np.random.default_rng(0).uniform(1, 2, [sizes[d] for d in dims]))  # noqa: E731
        sizes = {"seed": len(getattr(job, "seeds", ())), "gap": len(GAPS), "choice": len(CHOICES), "multiple": 2}
        sizes |= {"layer": (getattr(job, "depth", 0) or 0) + 1, "round": 5, "local_step": 3, "client": 4}
        if isinstance(job, DeepStart):
            names = {"least_norm": ("seed", "layer"), "largest_norm": ("seed", "layer"), "smallest": ("seed",)}
            names |= {"largest": ("seed",), "error": ("multiple", "seed")}
        elif isinstance(job, Perturbation):
            names = dict.fromkeys(Effect._fields, ("seed", "choice"))
        elif isinstance(job, AcrossKink):
            names = dict.fromkeys(("gradients", "distances", "losses"), ("gap",))
        else:
            by_step = ("gradient_difference", "jacobian_difference", "distance_to_average", "average_loss")
            names = dict.fromkeys(by_step, ("seed", "round", "local_step", "client"))
            names |= {"layer_spectral_movement": ("seed", "round", "layer")}
        coordinates = {"choice": list(CHOICES), "multiple": [1, 2], "layer": range(sizes["layer"])}
        dims = {d for of in names.values() for d in of}
        known = {name: list(values) for name, values in coordinates.items() if name in dims}
        return xr.Dataset({name: draw(*of) for name, of in names.items()}, known)


@pytest.mark.parametrize("module", [depth, key_property])
def test_a_figure_reads_exactly_what_it_needs_and_draws_every_claim(module):
    results = _Drawn()
    table = module.FIGURE.data(CONTEXT, results)
    assert results.asked == set(module.FIGURE.needs(CONTEXT))
    assert set(table.data) == {"digits", "sphere"}
    picture = module.FIGURE.draw(CONTEXT, table)
    assert all(np.isfinite(line.get_ydata()).all() for axes in picture.axes for line in axes.lines)
    assert "Claims" in module.FIGURE.caption(CONTEXT, table)


def test_constants_of_the_depth_figure_are_measured_over_bound():
    results = _Drawn()
    table = depth.FIGURE.data(CONTEXT, results)
    assert set(table.claim) == {"D1", "D2-upper", "D2-lower", "D3", "D4", "D5"}
    rows = table[(table.claim == "D4") & (table.over == "L") & (table.how == "random") & (table.data == "digits")]
    job = next(job for job in results.asked if isinstance(job, Perturbation) and job.depth == 3 and job.width == 64)
    bound = job.radius * 3**2.5 * np.log(64) ** 0.5
    expected = results[job].moved.sel(choice="random") / bound
    np.testing.assert_allclose(rows[rows.value == 3].constant, expected, rtol=1e-12)
