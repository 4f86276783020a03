"""The figure of narrow networks: means, and what its title says, from planted losses and proofs."""

import numpy as np
import pytest
import xarray as xr

from figures import narrow
from verification.context import Context
from verification.jobs.interpolants import Interpolants
from verification.presets import PRESETS

CONTEXT = Context(PRESETS["quick"], 0)


def _table(*, proved):
    """Projected steps are clearly lower at the widths below n, where the last proof is missing."""
    results = {}
    for job in narrow.FIGURE.needs(CONTEXT):
        number = len(job.seeds)
        if isinstance(job, Interpolants):
            results[job] = xr.Dataset({"certified": ("seed", np.arange(number) < (number if proved else number - 1))})
            continue
        lower = 0.5 if job.method == "projected" and job.width < job.samples else 1.0
        results[job] = xr.Dataset({"loss": ("seed", lower * 0.1 * np.exp(0.01 * (-1.0) ** np.arange(number)))})
    return narrow.FIGURE.data(CONTEXT, results)


def test_title_says_at_which_widths_projected_steps_are_lower():
    figure = narrow.FIGURE.picture(CONTEXT, _table(proved=True))
    assert figure.get_suptitle() == "Projected steps end clearly below SGD at m/n = 0.25, 0.5"


@pytest.mark.parametrize("proved", [True, False])
def test_points_are_filled_where_every_fit_that_was_tried_is_proved(proved):
    table = _table(proved=proved)
    assert set(table[table.share < 0.5].tried) == {0}
    figure = narrow.FIGURE.draw(CONTEXT, table)
    points = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1 and line.get_marker() != ""]
    filled = {round(float(point.get_xdata()[0]), 1): point.get_markerfacecolor() != "white" for point in points}
    assert filled[round(0.25 * 2**0.04, 1)] is False
    assert all(filled[share] is proved for share in (1.0, 4.1))
    losses = {name: part.loss.iloc[0] for (name, share), part in table.groupby(["method", "share"]) if share == 0.25}
    assert losses["projected"] == pytest.approx(losses["sgd"] / 2)
    assert [text.get_text() for text in figure.axes[0].texts] == [f"{3 + proved}/4"] * 3
