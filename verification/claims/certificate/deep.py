"""Deep certificates held against what the runs do, and random initializations that they prove: C8-deep, C9."""

from collections.abc import Iterator

import numpy as np

from ntk_localsgd.evidence import Condition, Evidence
from verification.claims.certificate.soundness import ENOUGH, OVERSTATED, held
from verification.context import Context
from verification.data import Source
from verification.engine import Results
from verification.jobs.deep_cases import RandomDeepCertificates
from verification.jobs.lazy_certificates import LazyCertificates
from verification.judging import with_probability
from verification.papers import OWN
from verification.registry import claim

# Clients, of data sorted by label, and local steps.
_CLIENTS, _STEPS = 4, 5

# The control: targets this many times as large as the data's, and step sizes in units of 1/λ_max.
_LARGE, _LONG = 10.0, 4.0


def _random_runs(context: Context) -> list[RandomDeepCertificates]:
    runs, seed = context.preset.certificates.deep_runs, context.seed
    return [RandomDeepCertificates(runs, seed), RandomDeepCertificates(runs, seed, OVERSTATED, ENOUGH)]


@claim(
    "C8-deep",
    "a deep network certified ⇒ ‖r(t)‖ ≤ constant · rate^t · ‖r(0)‖, ‖W − W(0)‖_F ≤ radius and no sign changes outside "
    "the named triples, for all t",
    letter="D",
    source="docs/theory.md §5.5",
    paper=OWN,
    needs=_random_runs,
)
def deep_soundness(context: Context, results: Results) -> Iterator[Evidence]:
    """Random runs of one to four trained layers and one or two outputs, often with neurons at their kinks."""
    own, overstated = (results[job] for job in _random_runs(context))
    yield held("random runs, deep networks", "path", own, overstated)


def _settings(context: Context) -> Iterator[tuple[LazyCertificates, list[LazyCertificates]]]:
    """Networks with a lazy scale, and the controls: targets scaled up, and a step size that no theorem speaks of."""
    sizes = context.preset.certificates
    seeds = context.seeds("C9", sizes.deep_seeds)
    for n, width, depth, scale in sizes.deep:
        source = Source("digits", n, context.seed)
        own = LazyCertificates(source, _CLIENTS, _STEPS, width, depth, scale, seeds)
        few = seeds[: sizes.deep_controls]
        large = LazyCertificates(source, _CLIENTS, _STEPS, width, depth, 1 / _LARGE, few)
        yield own, [large, LazyCertificates(source, _CLIENTS, _STEPS, width, depth, scale, few, _LONG)]


def _all_settings(context: Context) -> Iterator[LazyCertificates]:
    for own, controls in _settings(context):
        yield own
        yield from controls


@claim(
    "C9",
    "deep ReLU network at random initialization, lazy scale κ, K clients by label, τ > 1 local steps ⇒ Local "
    "GD converges to zero loss at a linear rate, with probability ≥ 1 − δ over the initialization",
    letter="D",
    source="docs/theory.md §5.5",
    paper=OWN,
    needs=_all_settings,
)
def lazy_start(context: Context, results: Results) -> Iterator[Evidence]:
    """Every seed is decided by a proof, the probability over seeds by Clopper–Pearson."""
    for own, controls in _settings(context):
        problem, found = own.data.load(), results[own]
        split, labels = problem.split(own.num_clients, "label"), np.asarray(problem.dataset.targets)
        mixed = sum(len(np.unique(labels[part])) > 1 for part in split.indices)
        # What was asked for first, two classes cut into equal parts do not always allow.
        first = "" if not mixed else " (first asked: none, which these classes cut into equal parts do not allow)"
        setting = {"data": "digits", "n": own.data.num_samples, "K": own.num_clients, "τ": own.local_steps}
        certified, rates = int(found.certified.sum()), found.rate.values
        yield with_probability(
            setting | {"m": own.width, "L": own.depth, "κ": own.scale},
            Condition(
                f"clients by label: {mixed} of {split.num_clients} with more than one class, at most one{first}; "
                f"η = {own.share:g}/max_c λ_max(Θ_cc)",
                mixed <= 1 < own.local_steps,
            ),
            f"a rate below 1 is proved ({certified} of {len(rates)} seeds: {rates.min():.4f} … {rates.max():.4f})",
            rates,
            np.nextafter(1.0, 0.0),
            control=np.concatenate([results[job].rate.values for job in controls]),
            control_setting=f"targets {_LARGE:g} times as large in place of 1/κ; η = {_LONG:g}/max_c λ_max(Θ_cc)",
        )
