"""Widths that a theorem asks for, a certificate needs and a run gets by with: C8-widths."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import xarray as xr

from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.statistics import slope
from verification.context import Context
from verification.data import Source
from verification.engine import Results
from verification.jobs.certified_widths import CertifiedWidths, Widths
from verification.judging import DELTA, at_most, in_words
from verification.papers import OWN
from verification.registry import claim

__all__ = ["needs", "on_spheres", "table"]

_CLIENTS, _STEPS = 4, 5

# Of an exponent of widths that do not change, logarithms and their products leave some 1e-15.
_ROUNDING = 1e-12

_Widths = TypeVar("_Widths", bound=Widths)


def needs(context: Context) -> list[CertifiedWidths]:
    """Widths for every number of samples."""
    return on_spheres(context, CertifiedWidths, context.preset.certificates.samples)


def on_spheres(context: Context, kind: type[_Widths], samples: Sequence[int]) -> list[_Widths]:
    """One job a number of samples, on the sphere in 4n dimensions."""
    sources = [Source("sphere", n, context.seed, input_dim=4 * n) for n in samples]
    number = context.preset.certificates.seeds
    return [kind(data, min(_CLIENTS, data.num_samples), _STEPS, context.seed, number, DELTA) for data in sources]


def table(context: Context, results: Results) -> xr.Dataset:
    """Widths at which runs converge and are certified [n seed], and that C1 asks for [n]."""
    jobs = needs(context)
    return xr.concat([results[job] for job in jobs], xr.Variable("n", [job.data.num_samples for job in jobs]))


@claim(
    "C8-widths",
    "the width at which Local GD is certified from initialization lies between what runs need and what theorems ask",
    letter="D",
    source="docs/theory.md §5.4",
    paper=OWN,
    needs=needs,
)
def widths(context: Context, results: Results) -> Iterator[Evidence]:
    """Smallest powers of √2 at which seeds are certified, or converge; the control has targets 30 times as large."""
    for job in needs(context):
        one, n = results[job], job.data.num_samples
        measured, needed, asked = (int(one.measured.values.max()), int(one.certified.values.max()), float(one.asked))
        together, spoiled = int(one.together.sum()), float(one.spoiled.min())
        found = f"{spoiled:g}" if np.isfinite(spoiled) else f"none up to {4 * needed}"
        yield at_most(
            {"data": "sphere", "n": n, "d": 4 * n, "K": job.num_clients, "τ": job.local_steps},
            Condition(
                f"C1's n > 3, all seeds certified at m = {needed} ({together} of {job.number} are)",
                n > 3 and together == job.number,
            ),
            f"measured threshold {measured} ≤ {needed} ≤ {asked:.2g}, which C1 asks for at δ = {job.delta}",
            needed,
            asked,
            also=measured <= needed,
            control=spoiled,
            control_setting=f"targets 30 times as large: width certified, {found}",
            trials=job.number,
        )
    jobs = [job for job in needs(context) if job.data.num_samples > 3]  # with fewer, C1 does not speak
    if len(jobs) > 1:
        yield exponents(jobs, table(context, results).sel(n=[job.data.num_samples for job in jobs]))


def exponents(jobs: Sequence[CertifiedWidths], wide: xr.Dataset) -> Evidence:
    """Theorem, certificate, measurement: how their widths grow in n; the control's C1 is told the smallest n."""
    alike = {dataclasses.replace(job, data=jobs[0].data) for job in jobs}
    columns = {
        name: wide[name].broadcast_like(wide.certified).transpose("seed", "n").values
        for name in ("measured", "certified", "asked")
    }
    powers = {name: slope(wide.n.values, values) for name, values in columns.items()}
    names = {"theorem C1": "asked", "certificate": "certified", "measured": "measured"}
    words = "; ".join(f"{name}: n to the {in_words(powers[column])}" for name, column in names.items())
    certified, asked = powers["certified"], powers["asked"]
    return at_most(
        {"data": "sphere in 4n dimensions", "over": f"n = {wide.n.values[0]} … {wide.n.values[-1]}"},
        Condition("of the certified runs only the data set changes", len(alike) == 1),
        f"the certificate's width grows by a smaller power of n than C1's. {words}",
        certified,
        asked.estimate - _ROUNDING,  # smaller, not equal
        control=certified,
        control_setting=f"C1's width at n = {wide.n.values[0]} for every data set: its power of n is 0",
        control_bound=_ROUNDING,
    )
