"""Widths that a theorem asks for, a certificate needs and a run gets by with: C8-widths."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.statistics import slope
from verification.context import Context
from verification.data import Source
from verification.engine import Results
from verification.jobs.certified_widths import CertifiedWidths
from verification.judging import DELTA, at_most, in_words
from verification.papers import OWN
from verification.registry import claim

__all__ = ["needs", "table"]

_CLIENTS, _STEPS = 4, 5


def needs(context: Context) -> list[CertifiedWidths]:
    """One job a number of samples, on the sphere in 4n dimensions."""
    sizes = context.preset.certificates
    return [
        CertifiedWidths(
            Source("sphere", n, context.seed, input_dim=4 * n),
            min(_CLIENTS, n),
            _STEPS,
            seed=context.seed,
            number=sizes.seeds,
            delta=DELTA,
        )
        for n in sizes.samples
    ]


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
    """Smallest powers of √2 at which seeds are certified, or converge; the control has targets 30 times larger."""
    for job in needs(context):
        one, n = results[job], job.data.num_samples
        measured, needed, asked = (int(one.measured.max()), int(one.certified.max()), float(one.asked))
        together, spoiled = int(one.together.sum()), int(one.spoiled.sum())
        yield at_most(
            {"data": "sphere", "n": n, "d": 4 * n, "K": job.num_clients, "τ": job.local_steps},
            Condition(f"all seeds certified at m = {needed} ({together} of {job.number} are)", together == job.number),
            f"measured threshold {measured} ≤ {needed} ≤ {asked:.2g}, which C1 asks for at δ = {job.delta}",
            needed,
            asked,
            also=measured <= needed,
            control=spoiled,
            control_setting="targets 30 times as large at the same width: seeds still certified",
            control_also=spoiled > 0,
            trials=job.number,
        )
    if len(context.preset.certificates.samples) > 2:
        yield exponents(table(context, results))


def exponents(widths: xr.Dataset) -> Evidence:
    """Theorem, certificate, measurement: how their widths grow in n; in the control C1's own widths are judged."""
    # From n = 4 on: with fewer samples C1 does not speak, and its number is that of n = 4.
    wide = widths.sel(n=slice(4, None))
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
        Condition("only the data set changes", True),
        f"the certificate's width grows by a smaller power of n than C1's. {words}",
        certified.estimate,
        np.nextafter(asked.estimate, 0),  # smaller, not equal
        control=asked.estimate,
        control_setting="C1's widths in the certificate's place",
        interval=(certified.lower, certified.upper),
        trials=wide.sizes["seed"],
    )
