"""The certificate: certified against observed rates along training, and widths against the number of samples (C8)."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.data_sets import problems
from figures.figure import Figure
from figures.style import colours, draw_seeds, label_decades, legend_below, new_figure, whole_rounds
from ntk_localsgd.rounding import UNIT
from verification.claims.certificate import widths
from verification.context import Context
from verification.engine import Results
from verification.jobs.curves import CertifiedCurve
from verification.jobs.training import Training
from verification.papers import OWN
from verification.store import Job

__all__ = ["FIGURE"]

_CLIENTS, _STEPS = 4, 5

# Samples, width, rounds, rounds between attempts, seeds.
_SIZES = {"smoke": (6, 512, 20, 10, 2), "quick": (8, 2**12, 140, 20, 2), "full": (16, 2**14, 600, 20, 4)}

# Samples of the sweep over widths, more than the claim's: a line takes more than two points.
_SAMPLES = {"smoke": (2, 4), "quick": (2, 3, 4, 6, 8), "full": (2, 4, 8, 16, 32)}

# Line, marker, and name in the store.
_WIDTHS = {
    "theorem C1": (":", "s", "asked"),
    "certificate": ("-", "o", "certified"),
    "measured": ("--", "D", "measured"),
}


def _needs(context: Context) -> list[Job]:
    return [*_curves(context), *widths.needs(_more_samples(context))]


def _more_samples(context: Context) -> Context:
    sizes = dataclasses.replace(context.preset.certificates, samples=_SAMPLES[context.preset.name])
    return dataclasses.replace(context, preset=dataclasses.replace(context.preset, certificates=sizes))


def _curves(context: Context) -> list[CertifiedCurve]:
    samples, width, rounds, every, seeds = _SIZES[context.preset.name]
    drawn = context.seeds("figure certificate", seeds)
    jobs = []
    for problem in problems(context, samples):
        step = 0.5 / problem.largest_client_eigenvalue(_CLIENTS)
        training = Training(problem.source, _CLIENTS, width, step, _STEPS, rounds, drawn, dtype="float64")
        jobs.append(CertifiedCurve(training, every))
    return jobs


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a data set, seed, round and rate, and one a number of samples and kind of width."""
    rows: list[dict[str, Any]] = []
    for job in _curves(context):
        run, rounds = results[job], job.training.num_rounds
        for k, seed in enumerate(job.training.seeds):
            about = {"data": job.training.data.label, "seed": seed}
            norms = run.residual_norm[k].values
            # Where the certificate says that a run has arrived, and a little before, quotients are of rounding.
            noise = 32 * UNIT * job.training.width**0.5 * job.training.data.num_samples
            norms = norms[: int(np.argmax(norms <= noise)) or None]
            observed = norms[1:] / norms[:-1]
            rows += [about | {"quantity": "observed", "x": t + 0.5, "value": rate} for t, rate in enumerate(observed)]
            certified = np.where(run.certified[k] == 1, run.certified_rate[k], np.nan)
            rows += [
                about | {"quantity": "certified", "x": float(t), "value": rate}
                for t, rate in zip(run.attempt.values, certified, strict=True)
                if run.certified[k].sel(attempt=t) >= 0
            ]
            rows.append(about | {"quantity": "kernel", "x": float(rounds), "value": float(run.kernel_rate[k])})
    rows += [{"data": "sphere", "quantity": q, "x": n, "value": v} for q, n, v in _widths(context, results)]
    return pd.DataFrame(rows)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Left: rates by round; a cross where a seed is not certified. Right: widths by number of samples."""
    figure = new_figure(7.2, 3.3)
    left, right = figure.subplots(1, 2)
    shown = colours(table[table.seed.notna()])
    for kind, colour in shown.items():
        _rates(left, table[(table.data == kind) & table.seed.notna()], colour)
    left.axhline(1, color="0.4", linewidth=0.8)
    left.set(xlabel="round $t$", ylabel="contraction of $\\|r\\|$ per round")
    whole_rounds(left)
    lines: dict[str, tuple[Any, str]] = {
        "certified from $t$ on": ("-", "o"),
        "not certified": ("", "x"),
        "observed": ("-", ""),
        "kernel regime, at the end": (":", ""),
    }
    handles = [Line2D([], [], color="0.3", linestyle=s, marker=m, markersize=4, label=n) for n, (s, m) in lines.items()]
    handles += [Line2D([], [], color=colour, linewidth=4, label=kind) for kind, colour in shown.items()]
    legend_below(left, handles=handles, ncols=2)
    _draw_widths(right, table[table.seed.isna()])
    return figure


def _caption(context: Context, table: pd.DataFrame) -> str:
    samples, width, _, every, seeds = _SIZES[context.preset.name]
    return (
        f"The convergence certificate. Left: n = {samples} samples (digits 3 against 8; the sphere in 32 dimensions), "
        f"m = {width}, K = {_CLIENTS} clients split by label, τ = {_STEPS} local steps, η = 0.5/max_c λ_max(H^∞_cc); "
        f"every {every} rounds, the rate ρ that is proved for all rounds to come, ‖r(t + s)‖ ≤ C ρ^s ‖r(t)‖, beside "
        f"the observed ‖r(t + 1)‖/‖r(t)‖ and the spectral radius of the round operator of the last network's Gram "
        f"matrix; means of {seeds} seeds, bands their range, until only rounding is left; a cross where "
        f"not all seeds are certified. Right: the width that theorem C1 asks for at δ = 0.05 (gradient descent), that "
        f"the certificate needs at initialization on all seeds, and at which all runs converge; sphere "
        f"in 4n dimensions. Claims C8, C8-widths."
    )


def _rates(axes: Axes, table: pd.DataFrame, colour: object) -> None:
    by_seed = {name: part.pivot(index="seed", columns="x", values="value") for name, part in table.groupby("quantity")}
    observed, certified = by_seed["observed"], by_seed["certified"]
    draw_seeds(axes, observed.columns.to_numpy(), observed.to_numpy(), color=colour, linewidth=1)
    axes.axhline(by_seed["kernel"].to_numpy().mean(), color=colour, linestyle=":", linewidth=1.2)
    whole = certified.dropna(axis="columns")
    draw_seeds(axes, whole.columns.to_numpy(), whole.to_numpy(), color=colour, marker="o", markersize=4, linewidth=1)
    tried = table[table.quantity == "certified"]  # seeds that have arrived are asked no longer
    lacking = tried.x[tried.value.isna()].unique()
    axes.plot(lacking, np.ones(len(lacking)), "x", color=colour, markersize=5)


def _draw_widths(axes: Axes, table: pd.DataFrame) -> None:
    for (name, (line, marker, _)), colour in zip(_WIDTHS.items(), ("0.3", "0.0", "0.5"), strict=True):
        part = table[table.quantity == name].sort_values("x")
        axes.plot(part.x, part.value, marker + line, color=colour, markersize=5, label=name)
    samples = sorted(table.x.unique())
    axes.set_xscale("log")
    axes.set_xticks(samples, [f"{n:g}" for n in samples])
    axes.minorticks_off()
    axes.set(xlim=(samples[0] / 1.3, samples[-1] * 1.3), xlabel="samples $n$", ylabel="width $m$")
    label_decades(axes)
    legend_below(axes, ncols=1, title="width by")


def _widths(context: Context, results: Results) -> Iterator[tuple[str, float, float]]:
    """Kind of width, number of samples and width, the largest over seeds."""
    table = widths.table(_more_samples(context), results)
    for name, (_, _, quantity) in _WIDTHS.items():
        largest = table[quantity].max([dim for dim in table[quantity].dims if dim != "n"])
        yield from ((name, float(n), float(width)) for n, width in zip(table.n.values, largest.values, strict=True))


_SHOWS = (
    "Left: crosses where nothing is proved yet, dots at the proved rate. Right: what a proof needs lies between what "
    "runs need and what theorem C1 asks for."
)

FIGURE = Figure(OWN.name, ("C8", "C8-widths"), _needs, _data, _draw, _caption, _SHOWS)
