"""Depth without end: tails against their bounds, and the activation domains of a plane, drawn as regions (X2, X4)."""

from typing import Literal

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D

from figures.figure import Figure
from figures.style import legend_below, new_figure
from verification.claims.depth_limit.convergence import LAWS, tails
from verification.claims.depth_limit.paper import XU_ZHANG
from verification.context import Context
from verification.engine import Results
from verification.jobs.activation_domains import DomainMap
from verification.jobs.deep_limit import DepthTails, Law
from verification.store import Job

__all__ = ["FIGURE"]

# Neurons and layers whose domains are drawn, by preset.
_DRAWN = {"smoke": (4, (1, 2, 3)), "quick": (8, (1, 2, 4)), "full": (12, (1, 2, 5))}
_INPUT_DIM = 8
_COLOURS = ("C0", "C1", "C2", "C3")
_LINES: dict[str, Literal["-", "--", ":"]] = {"distance": "-", "from_output": "--", "from_start": ":"}


def _tails(context: Context) -> list[DepthTails]:
    """Weights along the identity and in random directions, law by law."""
    return [job for law in LAWS for job in tails(context, law) if job.moves == "weights"]


def _map(context: Context) -> DomainMap:
    width, depths = _DRAWN[context.preset.name]
    return DomainMap(width, depths, _INPUT_DIM, context.seeds("figure of domains", 1)[0])


def _needs(context: Context) -> list[Job]:
    return [*_tails(context), _map(context)]


def _data(context: Context, results: Results) -> pd.DataFrame:
    """Tails: one row a law, direction, depth and curve, medians over seeds; domains: one row a corner."""
    tables = []
    for job in _tails(context):
        found = results[job].median("seed")
        for curve in _LINES:
            about = {"panel": job.direction, "law": str(job.law), "curve": curve}
            tables.append(pd.DataFrame(about | {"x": found.n.values, "y": found[curve].values}))
    corners = results[_map(context)]
    columns = {
        "x": corners.s.values,
        "y": corners.t.values,
        "cell": corners.cell.values,
        "active": corners.active.values,
    }
    tables.append(pd.DataFrame({"panel": "domains", "depth": corners.depth.values} | columns))
    return pd.concat(tables, ignore_index=True)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Two panels of tails above three of domains."""
    figure = new_figure(7.2, 5.6)
    halves = figure.add_gridspec(2, 1, height_ratios=[1.15, 1])
    above, below = (figure.add_subfigure(halves[k, 0]) for k in (0, 1))
    left, right = above.subplots(1, 2, sharey=True)
    for axes, direction, title in (
        (left, "identity", "$W_l=(1+\\delta_l)I$"),
        (right, "random", "$W_l=I+\\delta_l\\,uv^\\top$"),
    ):
        _curves(axes, table[table.panel == direction])
        axes.set_title(title, fontsize="medium")
    left.set_ylabel(r"$\|N_L(x)-N_n(x)\|$")
    laws = [Line2D([], [], color=c, label=_label(law)) for c, law in zip(_COLOURS, LAWS, strict=True)]
    legend_below(left, handles=laws, ncols=2)
    names = {"distance": "measured", "from_output": "bound from $N_n$", "from_start": "bound X2"}
    kinds = [Line2D([], [], color="0.3", linestyle=style, label=names[curve]) for curve, style in _LINES.items()]
    legend_below(right, handles=kinds, ncols=3)
    domains = table[table.panel == "domains"]
    depths = sorted(domains.depth.unique())
    for axes, depth in zip(below.subplots(1, len(depths), sharex=True, sharey=True), depths, strict=True):
        _regions(axes, domains[domains.depth == depth], int(depth))
    return figure


def _label(law: Law) -> str:
    return rf"$\delta_l=l^{{-{law.rate:g}}}$" if law.kind == "power" else rf"$\delta_l={law.rate:g}^l$"


def _curves(axes: Axes, table: pd.DataFrame) -> None:
    for colour, law in zip(_COLOURS, LAWS, strict=True):
        for curve, style in _LINES.items():
            part = table[(table.law == str(law)) & (table.curve == curve)]
            # Rounding of outputs of size 1 to 100 begins there, and near L the tail to L says nothing of the limit.
            seen = part[(part.y > 1e-11) & (part.x <= table.x.max() / 4)]
            axes.plot(seen.x, seen.y, style, color=colour, linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="depth $n$", ylim=(1e-11, 1e5))


def _regions(axes: Axes, table: pd.DataFrame, depth: int) -> None:
    polygons, active = [], []
    for _, corners in table.groupby("cell"):
        polygons.append(corners[["x", "y"]].to_numpy())
        active.append(corners.active.iloc[0])
    drawn = PolyCollection(polygons, array=np.array(active), cmap="viridis", edgecolor="white", linewidth=0.3)
    axes.add_collection(drawn)
    layers = "layer" if depth == 1 else "layers"
    axes.set_title(f"{depth} {layers}: {len(polygons)} domains", fontsize="medium")
    axes.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=(-3, 0, 3), yticks=(-3, 0, 3))
    axes.grid(visible=False)


def _caption(context: Context, table: pd.DataFrame) -> str:
    sizes, job = context.preset.depth_limit, _map(context)
    return (
        "Deep ReLU networks whose depth grows. Above: how far the output at depth n is from that at L = "
        f"{sizes.depth}, for weights that approach the identity by a law ‖W_l − I‖ = δ_l, along I itself and in random "
        f"directions of rank one (m = {sizes.width}, medians of {sizes.seeds} seeds, n ≤ L/4), beside both bounds of "
        "X2; along I the tail is its bound from the output. Below: the activation domains of one random network (m = "
        f"{job.width}, d = {job.input_dim}) in a plane through input space, solved for exactly, coloured by the number "
        "of active neurons in the last layer. Claims X2, X4."
    )


_SHOWS = "Tails fall as the bound (dotted) says, never above it; every layer cuts the plane into more domains."

FIGURE = Figure(XU_ZHANG.name, ("X2", "X4"), _needs, _data, _draw, _caption, _SHOWS)
