"""Certified runs held against what they do: C8, and one long run of a very wide network: C8-run."""

from collections.abc import Iterator

import xarray as xr

from ntk_localsgd.certificate import Method
from ntk_localsgd.evidence import Condition, Control, Evidence
from verification.context import Context
from verification.engine import Results
from verification.jobs.certificates import ROUNDING, RandomCertificates
from verification.jobs.certified_run import CertifiedRun
from verification.judging import at_most
from verification.papers import OWN
from verification.registry import claim

_METHODS: tuple[Method, ...] = ("ball", "path")

# What the control divides rate and radius by, and for how many runs.
OVERSTATED, ENOUGH = 10.0, 3


def _random_runs(context: Context, method: Method) -> tuple[RandomCertificates, RandomCertificates]:
    """Certified runs, and the first of them with overstated certificates."""
    runs, seed = context.preset.certificates.runs, context.seed
    return RandomCertificates(method, runs, seed), RandomCertificates(method, runs, seed, OVERSTATED, ENOUGH)


def _all_random_runs(context: Context) -> Iterator[RandomCertificates]:
    for method in _METHODS:
        yield from _random_runs(context, method)


@claim(
    "C8",
    "certified ⇒ ‖r(t)‖ ≤ constant · rate^t · ‖r(0)‖, max_r ‖w_r − w_r(0)‖ ≤ radius and no sign changes outside the "
    "named pairs, for all t",
    letter="D",
    source="docs/theory.md §5",
    paper=OWN,
    needs=_all_random_runs,
)
def soundness(context: Context, results: Results) -> Iterator[Evidence]:
    """Random runs by both methods; in the control every single run must fail, which no judge asks of it."""
    for method in _METHODS:
        tally, overstated = (results[job] for job in _random_runs(context, method))
        yield held(f"random runs, {method} method", method, tally, overstated)


def held(case: str, method: str, tally: xr.Dataset, overstated: xr.Dataset) -> Evidence:
    """Certified runs against what they did; the control is the tally of overstated certificates."""
    certified, failed = int(tally.certified), int(tally.failed)
    text = (
        f"rate ≤ {float(tally.rate):.4g}, movement ≤ {float(tally.movement):.3g} of what is certified; no sign astray"
    )
    return Evidence(
        {"case": case},
        Condition(f"certified by the {method} method: {certified} of {int(tally.runs)} runs", certified > 0),
        Condition(text, failed == 0),
        "≤",
        float(tally.worst),
        1.0,
        Control(
            f"rate and radius divided by {OVERSTATED:g}: {int(overstated.failed)} of {int(overstated.certified)} "
            "runs fail",
            bool(overstated.failed == overstated.certified > 0),
            float(overstated.worst),
        ),
        tolerance=ROUNDING,
        trials=certified,
        failures=failed,
    )


def _long_run(context: Context) -> CertifiedRun:
    samples, input_dim, width = context.preset.certificates.run
    return CertifiedRun(samples, input_dim, width, num_clients=4, local_steps=5, num_rounds=30, seed=context.seed)


def _long_runs(context: Context) -> list[CertifiedRun]:
    return [_long_run(context)]


@claim(
    "C8-run",
    "certified at a random initialization ⇒ the network that is then trained keeps the certified rate, movement and "
    "patterns",
    letter="D",
    source="docs/theory.md §5",
    paper=OWN,
    needs=_long_runs,
)
def certified_run(context: Context, results: Results) -> Iterator[Evidence]:
    """Shares of what is certified; the control overstates all three."""
    job = _long_run(context)
    run = results[job]
    own, broken = run.share.values
    certified = bool(run.certified)
    parts = ", ".join(f"{name} {share:.3g}" for name, share in zip(run.name.values, own, strict=True))
    setting = {"data": "sphere", "n": job.num_samples, "d": job.input_dim, "K": job.num_clients}
    yield at_most(
        setting | {"τ": job.local_steps, "m": job.width},
        Condition(f"certified at initialization: {run.attrs['proof']}", certified),
        f"over {job.num_rounds} rounds, shares of what is certified ≤ 1: {parts}",
        own.max(),
        1.0,
        also=True if certified else None,
        control=broken.min(),
        control_setting="exponent of decay half as large again, a third of the radius, every third pair named",
    )
