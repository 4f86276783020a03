"""Activation domains on lines and in planes: X4."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from verification.claims.depth_limit.paper import XU_ZHANG
from verification.context import Context
from verification.engine import Results
from verification.jobs.activation_domains import DomainCounts
from verification.judging import at_most, equal
from verification.registry import claim
from verification.store import Job

__all__: list[str] = []

_INPUT_DIM = 8


def _random(context: Context, where: Literal["line", "plane"]) -> DomainCounts:
    sizes = context.preset.depth_limit
    seeds = context.seeds(f"X4 {where}", sizes.domain_seeds)
    return DomainCounts("random", where, *(sizes.line if where == "line" else sizes.plane), _INPUT_DIM, seeds)


def _tent(context: Context) -> DomainCounts:
    return DomainCounts("tent", "line", 2, context.preset.depth_limit.line[1], 1, context.seeds("X4 tent", 1))


def _identity(context: Context) -> DomainCounts:
    seeds = context.seeds("X4 identity", context.preset.depth_limit.domain_seeds)
    return DomainCounts("identity", "line", _INPUT_DIM, context.preset.depth_limit.line[1], _INPUT_DIM, seeds)


def _line_needs(context: Context) -> Iterator[Job]:
    yield from (_random(context, "line"), _tent(context))


def _plane_needs(context: Context) -> Iterator[Job]:
    yield _random(context, "plane")


def _tent_needs(context: Context) -> Iterator[Job]:
    yield from (_tent(context), _identity(context))


def _counted(job: DomainCounts, results: Results) -> tuple[np.ndarray, str]:
    """[seed, layer], and the medians in words."""
    counts = results[job].domains.values
    return counts, ", ".join(f"{value:g}" for value in np.median(counts, axis=0))


_EXACT = Condition("domains are solved for in whole numbers, none is sampled", True)


@claim(
    "X4-line",
    "a line meets at most (m + 1)^L activation domains of L layers of m neurons",
    letter="D",
    source=BOUNDS["X4-line"].source,
    paper=XU_ZHANG,
    needs=_line_needs,
)
def on_lines(context: Context, results: Results) -> Iterator[Evidence]:
    """Random networks, every number of layers; the control lets layers add domains instead of multiplying them."""
    job, tent = _random(context, "line"), _tent(context)
    counts, shown = _counted(job, results)
    layers = np.arange(1, job.depth + 1)
    bounds = np.array([BOUNDS["X4-line"].evaluate(m=job.width, L=layer) for layer in layers.tolist()])
    doubled = results[tent].domains.values
    yield at_most(
        {"case": "random networks", "d": job.input_dim, "m": job.width, "L": f"1 … {job.depth}"},
        _EXACT,
        f"largest number of domains over (m + 1)^L ≤ 1; medians by layer {shown}",
        counts / bounds,
        1.0,
        control=float((doubled / (1 + tent.width * layers)).max()),
        control_setting="the bound 1 + mL, against tent maps",
    )


@claim(
    "X4-plane",
    "a plane meets at most (1 + m + m(m − 1)/2)^L activation domains of L layers of m neurons",
    letter="D",
    source=BOUNDS["X4-plane"].source,
    paper=XU_ZHANG,
    needs=_plane_needs,
)
def in_planes(context: Context, results: Results) -> Iterator[Evidence]:
    """Random networks in a square; the control's bound is that of a line."""
    job = _random(context, "plane")
    counts, shown = _counted(job, results)
    bounds, line = (
        np.array([BOUNDS[name].evaluate(m=job.width, L=layer) for layer in range(1, job.depth + 1)])
        for name in ("X4-plane", "X4-line")
    )
    yield at_most(
        {"case": "random networks", "d": job.input_dim, "m": job.width, "L": f"1 … {job.depth}"},
        _EXACT,
        f"largest number of domains over (1 + m + m(m − 1)/2)^L ≤ 1; medians by layer {shown}",
        counts / bounds,
        1.0,
        control=float((counts / line).max()),
        control_setting="the bound of a line, (m + 1)^L",
    )


@claim(
    "X4-tent",
    "tent maps of L layers have 2^L activation domains on [0, 1]",
    letter="D",
    source="docs/theory.md, X4",
    paper=XU_ZHANG,
    needs=_tent_needs,
)
def tent_maps(context: Context, results: Results) -> Iterator[Evidence]:
    """A count known in closed form, found exactly; the control's layers are the identity, which adds no domain."""
    job = _tent(context)
    counts, identity = (int(results[j].domains.values[:, -1].max()) for j in (job, _identity(context)))
    yield equal(
        {"case": "σ(u), σ(u − ½) of u = 2σ(u') − 4σ(u' − ½)", "m": 2, "L": job.depth},
        _EXACT,
        f"domains = 2^L, which is {counts / BOUNDS['X4-line'].evaluate(m=2, L=job.depth):.2g} of the bound 3^L",
        counts,
        2**job.depth,
        control=identity,
        control_setting="W_l = I, b_l = 0 between inputs > 0",
    )
