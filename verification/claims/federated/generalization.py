"""Generalization of networks that federated training leads to: F3."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.statistics import mean_interval
from verification.context import Context
from verification.engine import Results
from verification.jobs.generalization import Generalization
from verification.judging import DELTA, at_most, stays_bounded
from verification.papers import HUANG
from verification.registry import claim

__all__: list[str] = []

# By how much shuffled labels must be worse: beyond what one shuffle differs from another by.
_CLEARLY = 0.9


def _jobs(context: Context) -> tuple[Generalization, Generalization]:
    """Infinitely wide networks for all sizes, and networks that are trained for some."""
    sizes = context.preset.federated
    seeds = context.seeds("F3", sizes.draws)
    trained = Generalization(sizes.trained_samples, seeds, sizes.trained_width, sizes.trained_rounds)
    return Generalization(sizes.test_samples, seeds), trained


@claim(
    "F3",
    "a 1-Lipschitz loss in [0, 1] of the trained network is at most √(2 yᵀ(H^∞)⁻¹y/n) + O(√(log(n/(λ0 δ))/n)) in the "
    "mean, with probability ≥ 1 − δ: it tells labels that can be learned from those that cannot",
    letter="R",
    source=BOUNDS["F3"].source,
    paper=HUANG,
    needs=_jobs,
)
def generalization(context: Context, results: Results) -> Iterator[Evidence]:
    """Bound and test loss of true labels over those of shuffled ones, and how yᵀ(H^∞)⁻¹y/n grows with n."""
    wide, trained = (results[job] for job in _jobs(context))
    yield _order(wide, "bound, √(2 yᵀ(H^∞)⁻¹y/n)", np.sqrt(wide.form), _bounds(wide))
    yield _order(wide, "test loss, infinitely wide", wide.loss, _losses(wide))
    job = _jobs(context)[1]
    yield _order(
        trained, f"test loss, m = {job.width}, {job.rounds} rounds of Local GD", trained.loss, _losses(trained)
    )
    columns = {name: (wide.form.sel(labels=name) / wide.n).values for name in ("true", "shuffled")}
    yield stays_bounded(
        {"data": "digits, even or odd", "quantity": "yᵀ(H^∞)⁻¹y/n"},
        Condition("inputs distinct, λ0 > 0", bool((wide.smallest > 0).all())),
        "yᵀ(H^∞)⁻¹y/n of true labels",
        "n",
        list(wide.n.values),
        columns["true"],
        np.ones(wide.sizes["n"]),
        control=columns["shuffled"],
        control_setting="labels shuffled",
    )


def _order(table: xr.Dataset, name: str, values: xr.DataArray, words: str) -> Evidence:
    """The worst mean ratio over n, true over shuffled; in the control the labels are shuffled in both places."""
    true, shuffled, anew = (values.sel(labels=labels).values for labels in table.labels.values)
    ratios = [mean_interval(column) for column in (true / shuffled).T]
    worst = max(ratios, key=lambda ratio: ratio.upper)
    return at_most(
        {"data": "digits, even or odd", "n": ", ".join(map(str, table.n.values)), "quantity": f"{name}, true/shuffled"},
        Condition("1-Lipschitz loss min(1, |f − y|); the width asked for is not known", False),
        f"true labels are better at every n. True, shuffled: {words}",
        worst,
        _CLEARLY,
        control=float((anew / shuffled).mean()),
        control_setting="shuffled in both places",
    )


def _bounds(table: xr.Dataset) -> str:
    """Means at every n, with the term O(·) at constant 1; above 1 they say nothing of a loss in [0, 1]."""
    pairs = []
    for n in table.n.values:
        smallest = float(table.smallest.sel(n=n).values.min())
        numbers = {"n": int(n), "lambda0": smallest, "delta": DELTA}
        forms = [float(table.form.sel(n=n, labels=labels).mean()) for labels in table.labels.values[:2]]
        pairs.append("{:.2f}, {:.2f}".format(*(BOUNDS["F3"].evaluate(form=form, **numbers) for form in forms)))
    return "; ".join(pairs) + " (above 1: vacuous), with the O(·) at constant 1"


def _losses(table: xr.Dataset) -> str:
    means = table.loss.mean("seed")
    return "; ".join(f"{float(row[0]):.2f}, {float(row[1]):.2f}" for row in means.values)
