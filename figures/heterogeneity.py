"""Heterogeneity: loss after a number of rounds and rate against the Dirichlet concentration (C7)."""

from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.data_sets import problems
from figures.figure import Figure
from figures.style import colours, draw_seeds, label_decades, legend_below, new_figure
from verification.context import Context
from verification.engine import Results
from verification.jobs.curves import Curve
from verification.jobs.training import Training
from verification.papers import OWN

__all__ = ["FIGURE"]

_CLIENTS, _STEPS = 4, 10

# Samples, width, rounds, seeds, concentrations.
_SIZES = {
    "smoke": (8, 2**6, 4, 2, (0.1, 10.0)),
    "quick": (16, 2**9, 40, 8, (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)),
    "full": (64, 2**12, 200, 24, (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)),
}

# The left panel's round, if there are so many; and the share of its start at which float32 keeps a loss from falling.
_SHOWN, _FLOOR = 50, 1e-10

# Quantities of the left panel and of the right: line and marker.
_LOSSES: dict[str, tuple[Any, str]] = {"loss": ("-", "o"), "predicted loss": (":", "none")}
_RATES: dict[str, tuple[Any, str]] = {"rate": ("-", "o"), "predicted rate": (":", "none"), "kernel rate": ("--", "D")}
_NAMES = {
    "loss": "trained",
    "predicted loss": "predicted",
    "rate": "trained",
    "predicted rate": "predicted",
    "kernel rate": "as $t\\to\\infty$",
}


def _needs(context: Context) -> list[Curve]:
    """By concentration, and last the iid split."""
    samples, width, rounds, seeds, concentrations = _SIZES[context.preset.name]
    drawn, jobs = context.seeds("figure heterogeneity", seeds), []
    for problem in problems(context, samples):
        # One step size for all splits: half of what is stable for the largest client there can be.
        step_size = 0.5 / float(np.linalg.eigvalsh(problem.gram)[-1])
        training = Training(problem.source, _CLIENTS, width, step_size, _STEPS, rounds, drawn)
        jobs += [Curve(training, "dirichlet", concentration) for concentration in concentrations]
        jobs.append(Curve(training, "iid"))
    return jobs


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a data set, concentration (infinite: iid), seed and quantity.

    ``loss`` is L(R)/L(0), R = 50 or all rounds; ``rate`` the mean contraction of the residual's norm per round over the
    second half of the rounds until the trained loss meets its rounding; both also as predicted from the network's own
    Gram matrix. ``kernel rate`` is the spectral radius of the round operator of that Gram matrix, which rates tend to
    in the kernel regime.
    """
    rows = []
    for job in _needs(context):
        run, training = results[job], job.training
        numbers = {"kernel rate": run.kernel_rate.values}
        trained, shown = run.loss.values, min(training.num_rounds, _SHOWN)
        # Losses fall for good: as many rounds as are above the floor come first.
        above = np.isfinite(trained) & (trained > _FLOOR * trained[:, :1])
        end = np.maximum(above.sum(axis=1) - 1, 1)
        for prefix in ("", "predicted "):
            losses = run[f"{prefix}loss".replace(" ", "_")].values
            last, half = (np.take_along_axis(losses, k[:, None], axis=1)[:, 0] for k in (end, end // 2))
            numbers[f"{prefix}loss"] = losses[:, shown] / losses[:, 0]
            numbers[f"{prefix}rate"] = (last / half) ** (1 / (2 * (end - end // 2)))
        data = training.data.label
        concentration = np.inf if job.scheme == "iid" else job.concentration
        rows += [
            {"data": data, "concentration": concentration, "seed": seed, "quantity": name, "value": value}
            for name, values in numbers.items()
            for seed, value in zip(training.seeds, values, strict=True)
        ]
    return pd.DataFrame(rows)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Left: loss after some rounds; right: 1 − rate. The rightmost points are the iid split's."""
    table = table.copy()
    # A logarithmic axis has no infinity: iid stands beyond the largest concentration, with a label of its own.
    concentrations = sorted(table.concentration.unique())
    beyond = concentrations[-2] * 5
    table["x"] = table.concentration.replace(np.inf, beyond)
    rates = table.quantity.str.endswith("rate")
    table.loc[rates, "value"] = 1 - table.value[rates]
    figure = new_figure(7.2, 3.6)
    left, right = figure.subplots(1, 2)
    for kind, colour in colours(table).items():
        for axes, quantities in ((left, _LOSSES), (right, _RATES)):
            _curves(axes, table[table.data == kind], quantities, colour)
    rounds = min(_SIZES[context.preset.name][2], _SHOWN)
    for axes, label in ((left, f"$L(R)/L(0)$ after $R={rounds}$ rounds"), (right, r"$1-\rho$ per round")):
        axes.set(xscale="log", xlabel=r"Dirichlet concentration $\alpha$", ylabel=label)
        axes.set_xticks([*concentrations[:-1], beyond], [*(f"{c:g}" for c in concentrations[:-1]), "iid"])
        axes.minorticks_off()
        label_decades(axes)
    legend_below(left, handles=_handles(table, _LOSSES), ncols=2)
    legend_below(right, handles=_handles(table, _RATES), ncols=2)
    return figure


def _caption(context: Context, table: pd.DataFrame) -> str:
    samples, width, rounds, seeds, _ = _SIZES[context.preset.name]
    return (
        f"Heterogeneous clients: n = {samples} samples (digits 3 against 8; the sphere in 32 dimensions) dealt out to "
        f"K = {_CLIENTS} clients by a Dirichlet distribution over each class, the smaller its concentration the fewer "
        f"classes a client sees and the less equal the clients' sizes, and at random (iid); m = {width}, τ = {_STEPS} "
        f"local steps, η = 0.5/λ_max(H^∞). Left: loss after {min(rounds, _SHOWN)} rounds, as a share of its start. "
        f"Right: 1 − ρ, ρ the residual's mean contraction a round in the second half of {rounds} rounds, or of those "
        f"until the loss has fallen to {_FLOOR:g} of its start, near float32's rounding; dashed: ρ the spectral radius "
        f"of the round operator of Θ(W(0)), which the rate tends to in the kernel regime after more rounds than these. "
        f"Predicted from Θ(W(0)), rates over the same rounds. "
        f"Means of {seeds} seeds of split and network, bands their range. Claim C7."
    )


def _curves(axes: Axes, table: pd.DataFrame, quantities: dict[str, tuple[Any, str]], colour: object) -> None:
    for quantity, (line, marker) in quantities.items():
        values = table[table.quantity == quantity].pivot(index="seed", columns="x", values="value")
        x, fill = values.columns.to_numpy(), "full" if marker == "o" else "none"
        options: dict[str, Any] = {"color": colour, "linestyle": line, "marker": marker, "fillstyle": fill}
        if marker == "o":
            draw_seeds(axes, x, values.to_numpy(), markersize=4, linewidth=1.2, **options)
        else:
            axes.plot(x, values.to_numpy().mean(axis=0), markersize=4, linewidth=1.2, **options)


def _handles(table: pd.DataFrame, quantities: dict[str, tuple[Any, str]]) -> list[Line2D]:
    lines = [
        Line2D(
            [],
            [],
            color="0.3",
            linestyle=line,
            marker=marker,
            markersize=4,
            label=_NAMES[quantity],
            fillstyle="full" if marker == "o" else "none",
        )
        for quantity, (line, marker) in quantities.items()
    ]
    return lines + [Line2D([], [], color=colour, linewidth=4, label=kind) for kind, colour in colours(table).items()]


_SHOWS = "Unequal clients cost little, as the kernel predicts (dotted)."

FIGURE = Figure(OWN.name, ("C7",), _needs, _data, _draw, _caption, _SHOWS)
