"""The spectrum: λ_min along training, eigenvalues at start and end, distance from H^∞ against width (S6, K4)."""

import dataclasses

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.data_sets import problems
from figures.figure import Figure
from figures.style import (
    DATA_COLOURS,
    colours,
    draw_seeds,
    label_decades,
    legend_below,
    new_figure,
    power,
    whole_rounds,
)
from ntk_localsgd.bounds import BOUNDS
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.curves import InitialGrams, Spectrum
from verification.jobs.training import Training
from verification.judging import DELTA
from verification.papers import CLASSICAL
from verification.store import Job

__all__ = ["FIGURE", "bounds"]

_CLIENTS, _STEPS = 4, 5

# Samples, width, rounds, rounds between Gram matrices, seeds; widths and seeds at initialization.
_SIZES = {
    "smoke": (8, 2**8, 4, 2, 2, (2**6, 2**8), 4),
    "quick": (16, 2**9, 100, 10, 6, (2**6, 2**8, 2**10, 2**12, 2**14), 20),
    "full": (64, 2**12, 400, 20, 12, (2**6, 2**8, 2**10, 2**12, 2**14, 2**16), 100),
}


def _needs(context: Context) -> list[Job]:
    jobs: list[Job] = []
    for problem in _problems(context):
        jobs += [_spectrum(context, problem), *_initial(context, problem)]
    return jobs


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a data set, seed and value: λ_min by round, eigenvalues by their number, distances by width."""
    rows = []
    for problem in _problems(context):
        job = _spectrum(context, problem)
        run = results[job]
        for k, seed in enumerate(job.training.seeds):
            about = {"data": problem.source.label, "seed": seed}
            rows += [
                about | {"quantity": "smallest eigenvalue", "x": t, "value": value}
                for t, value in zip(
                    run.gram_round.values, run.smallest_eigenvalue.sel(bound="lower")[k].values, strict=True
                )
            ]
            for when in ("start", "end"):
                rows += [
                    about | {"quantity": f"eigenvalues, {when}", "x": i, "value": value}
                    for i, value in enumerate(run.eigenvalues.sel(when=when)[k].values)
                ]
        for at in _initial(context, problem):
            for quantity in ("distance", "drop"):
                about = {"data": problem.source.label, "quantity": quantity, "x": at.training.width}
                seeds, values = at.training.seeds, results[at][quantity].values
                rows += [about | {"seed": seed, "value": value} for seed, value in zip(seeds, values, strict=True)]
    return pd.DataFrame(rows)


def bounds(problem: Problem, widths: np.ndarray) -> dict[str, np.ndarray]:
    """Bounds at each width with probability ≥ 1 − δ: ‖H(0) − H^∞‖_F by Hoeffding, λ0 − λ_min(H(0)) by Chernoff.

    Hoeffding bounds every entry, which is n times as much for the norm. Chernoff's tail at the share ε of λ0 falls like
    exp(−ε² m), so that the width for ε = ¼, which K4b asks for, gives ε at every width.
    """
    asked = BOUNDS["K4b"].smallest_width(
        n=problem.num_samples, delta=DELTA, lambda0=problem.lambda0.lower, spectral=problem.spectral_norm
    )
    entries = [BOUNDS["K4a"].evaluate(n=problem.num_samples, m=m, delta=DELTA) for m in widths]
    return {
        "distance": problem.num_samples * np.array(entries),
        "drop": problem.lambda0.upper / 4 * np.sqrt(asked / widths),
    }


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Three panels, both data sets in each."""
    figure = new_figure(7.2, 3.6)
    left, middle, right = figure.subplots(1, 3)
    for problem in _problems(context):
        part, colour = table[table.data == problem.source.label], DATA_COLOURS[problem.source.label]
        _smallest(left, part, problem, colour)
        _distances(right, part, problem, colour)
    _histograms(middle, table, _problems(context))
    left.set(ylim=(0, None), xlabel="round $t$", ylabel=r"$\lambda_{\min}(H(t))\,/\,\lambda_0$")
    left.axhline(1, color="0.4", linestyle="--", linewidth=1)
    left.axhline(0.5, color="0.4", linestyle=":", linewidth=1)
    whole_rounds(left)
    middle.set(xscale="log", xlabel=r"eigenvalue of $H$", ylabel="eigenvalues a bin")
    widths = sorted(table[table.quantity == "distance"].x.unique())
    right.set(xscale="log", xlabel="width $m$", ylabel="distance from the limit")
    right.set_xticks(widths, [power(m) for m in widths])
    right.minorticks_off()
    label_decades(right)
    _legends(table, left, middle, right)
    return figure


def _caption(context: Context, table: pd.DataFrame) -> str:
    samples, width, rounds, _, seeds, _, initial_seeds = _SIZES[context.preset.name]
    return (
        f"The spectrum of the Gram matrix, n = {samples} samples (digits 3 against 8; the sphere in 32 dimensions). "
        f"Left: certified lower bound of λ_min(H(t)) over λ0 under Local GD, m = {width}, K = {_CLIENTS} clients split "
        f"by label, τ = {_STEPS}, η = 0.5/max_c λ_max(H^∞_cc); means of {seeds} seeds, bands their range. Middle: all "
        f"eigenvalues of the same networks at the start and after {rounds} rounds, as a mean over seeds; ticks: those "
        f"of H^∞. Right: ‖H(0) − H^∞‖_F under the bound by Hoeffding's inequality (n times that of an entry), and "
        f"λ0 − λ_min(H(0)) under that by the matrix Chernoff inequality, both at δ = {DELTA}; 95th percentiles of "
        f"{initial_seeds} seeds with bootstrap intervals. Claims S6, K4a, K4b."
    )


def _problems(context: Context) -> list[Problem]:
    return problems(context, _SIZES[context.preset.name][0])


def _spectrum(context: Context, problem: Problem) -> Spectrum:
    _, width, rounds, every, seeds, _, _ = _SIZES[context.preset.name]
    step, drawn = 0.5 / problem.largest_client_eigenvalue(_CLIENTS), context.seeds("figure spectrum", seeds)
    training = Training(problem.source, _CLIENTS, width, step, _STEPS, rounds, drawn)
    return Spectrum(dataclasses.replace(training, observe=("smallest_eigenvalue",), gram_every=every))


def _initial(context: Context, problem: Problem) -> list[InitialGrams]:
    *_, widths, number = _SIZES[context.preset.name]
    drawn = context.seeds("figure spectrum, start", number)
    return [InitialGrams(Training(problem.source, 1, width, 1.0, 1, 0, drawn)) for width in widths]


def _by_seed(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    return table[table.quantity == quantity].pivot(index="seed", columns="x", values="value")


def _smallest(axes: Axes, table: pd.DataFrame, problem: Problem, colour: object) -> None:
    values = _by_seed(table, "smallest eigenvalue")
    draw_seeds(axes, values.columns.to_numpy(), values.to_numpy() / problem.lambda0.upper, color=colour, linewidth=1.2)


def _histograms(axes: Axes, table: pd.DataFrame, shown: list[Problem]) -> None:
    everything = table[table.quantity.str.startswith("eigenvalues")].value
    edges = np.geomspace(everything[everything > 0].min() * 0.999, everything.max() * 1.001, 17)
    for row, problem in enumerate(shown):
        part, colour = table[table.data == problem.source.label], DATA_COLOURS[problem.source.label]
        for when, fill in (("start", True), ("end", False)):
            values = _by_seed(part, f"eigenvalues, {when}").to_numpy()
            heights = np.histogram(values, edges)[0] / len(values)
            axes.stairs(heights, edges, color=colour, fill=fill, alpha=0.3 if fill else 1, linewidth=1.2)
        limit = np.linalg.eigvalsh(problem.gram)
        axes.plot(
            limit,
            np.full(len(limit), 0.97 - 0.05 * row),
            "|",
            color=colour,
            markersize=5,
            transform=axes.get_xaxis_transform(),
        )
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])


def _distances(axes: Axes, table: pd.DataFrame, problem: Problem, colour: object) -> None:
    for quantity, style, fill in (("distance", "-", "full"), ("drop", "--", "none")):
        values = _by_seed(table, quantity)
        widths = values.columns.to_numpy(float)
        middle, (low, high) = _percentile(values.to_numpy())
        axes.plot(widths, middle, "D" if fill == "none" else "o", color=colour, markersize=4, fillstyle=fill)
        axes.fill_between(widths, low, high, color=colour, alpha=0.2, linewidth=0)
        # Hoeffding's bound knows n alone, so that both data sets share its line.
        shown = "0.4" if quantity == "distance" else colour
        axes.plot(widths, bounds(problem, widths)[quantity], style, color=shown, linewidth=1)


def _percentile(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The percentile over seeds that a bound at δ speaks of, [widths], with 95% bootstrap intervals [2 widths]."""
    drawn = np.random.default_rng(0).integers(0, len(values), (1000, len(values)))
    again = np.percentile(values[drawn], 100 * (1 - DELTA), axis=1)
    return np.percentile(values, 100 * (1 - DELTA), axis=0), np.percentile(again, [2.5, 97.5], axis=0)


def _legends(table: pd.DataFrame, left: Axes, middle: Axes, right: Axes) -> None:
    data_lines = [Line2D([], [], color=colour, linewidth=4, label=kind) for kind, colour in colours(table).items()]
    guides = [
        Line2D([], [], color="0.4", linestyle="--", label=r"$\lambda_0$"),
        Line2D([], [], color="0.4", linestyle=":", label=r"$\lambda_0/2$"),
    ]
    legend_below(left, handles=[*data_lines, *guides])
    spectra = [
        Line2D([], [], color="0.3", linewidth=6, alpha=0.3, label="start"),
        Line2D([], [], color="0.3", linewidth=1.2, label="end"),
        Line2D([], [], color="0.3", linestyle="none", marker="|", label=r"$H^\infty$"),
    ]
    legend_below(middle, handles=spectra)
    distances = [
        Line2D([], [], color="0.3", linestyle="none", marker="o", markersize=4, label=r"$\|H(0)-H^\infty\|_F$"),
        Line2D([], [], color="0.4", label="Hoeffding"),
        Line2D(
            [],
            [],
            color="0.3",
            linestyle="none",
            marker="D",
            markersize=4,
            fillstyle="none",
            label=r"$\lambda_0-\lambda_{\min}(H(0))$",
        ),
        Line2D([], [], color="0.3", linestyle="--", label="matrix Chernoff"),
    ]
    legend_below(right, handles=distances)


_SHOWS = "λ_min stays above λ0/2 along training; distances from the limit stay under their bounds."

FIGURE = Figure(CLASSICAL.name, ("S6", "K4a", "K4b"), _needs, _data, _draw, _caption, _SHOWS)
