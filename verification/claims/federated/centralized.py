"""Federated against centralized training with as many steps, in the kernel regime: C10."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.statistics import slope
from verification.context import Context
from verification.data import Source, Split
from verification.engine import Results
from verification.jobs.centralized import Centralized
from verification.jobs.kernel_ratios import CentralizedRatio
from verification.jobs.training import Training
from verification.judging import as_exponent, at_least, at_most
from verification.papers import OWN
from verification.registry import claim
from verification.store import Job

__all__: list[str] = []

_CLIENTS, _STEPS, _ROUNDS = 4, 5, 5

# η in units of 1/max_c λ_max(Θ_cc). Exponents come from those that are small enough for first order to rule: at 0.9 the
# difference is not small.
_SHARES = tuple(0.9 / 4**k for k in range(6))
_SMALL = slice(2, None)

# Losses within this share of each other count as equal, and exponents may differ by this.
_EQUAL, _SPARE = 0.01, 0.1

_SPLITS: tuple[Split, ...] = ("iid", "label")


class _Setting(NamedTuple):
    """One data set and split: kernel runs of several draws, their controls, and trained networks by width."""

    kind: str
    split: Split
    own: list[Centralized]
    controls: list[Centralized]
    trained: list[tuple[Training, Training]]
    slow: tuple[Training, Training]


def _settings(context: Context) -> list[_Setting]:
    sizes = context.preset
    draws, seeds = range(3), context.seeds("C10", 3)
    found = []
    for kind in sizes.kinds[:2]:
        for split in _SPLITS:
            sources = [Source(kind, sizes.sweep_samples, context.seed + draw) for draw in draws]  # type: ignore[arg-type]
            own = [Centralized(source, _CLIENTS, split, _STEPS, _SHARES, _ROUNDS) for source in sources]
            controls = [Centralized(s, _CLIENTS, split, _STEPS, _SHARES, _ROUNDS, float(_CLIENTS)) for s in sources]
            widths = [sizes.control_widths[0], sizes.control_widths[-1]]
            trained = [_pair(sources[0], split, width, _SHARES[0], seeds) for width in widths]
            found.append(
                _Setting(kind, split, own, controls, trained, _pair(sources[0], split, widths[0], _SHARES[-1], seeds))
            )
    return found


def _pair(source: Source, split: Split, width: int, share: float, seeds: tuple[int, ...]) -> tuple[Training, Training]:
    """Networks trained by Local GD, and the same ones by one client that holds everything, in steps of η/K."""
    problem = source.load()
    parts = problem.split(_CLIENTS, split).indices
    step = share / max(float(np.linalg.eigvalsh(problem.gram[np.ix_(part, part)])[-1]) for part in parts)
    rounds = round(_ROUNDS * _SHARES[0] / share)
    local = Training(source, _CLIENTS, width, step, _STEPS, rounds, seeds, dtype="float64", split=split)
    return local, Training(source, 1, width, step / _CLIENTS, _STEPS, rounds, seeds, dtype="float64", split="iid")


def _jobs(context: Context) -> Iterator[Job]:
    for setting in _settings(context):
        yield from (*setting.own, *setting.controls)
        for pair in (*setting.trained, setting.slow):
            yield from pair


@claim(
    "C10",
    "η ≤ 1/max_c λ_max(Θ_cc) ⇒ R rounds of τ local steps differ from Rτ central steps of η/K by at most "
    "η²τ(τ − 1)Λ/(2√(μ_M μ_N)) in ‖·‖_*, for every R: equal only as ητΛ → 0, at every width",
    letter="D",
    source="docs/theory.md §4",
    paper=OWN,
    needs=_jobs,
    attack={
        f"K = {k}, n_c = {n}, τ = {tau}, R ≤ {rounds}": CentralizedRatio(k, n, tau, rounds)
        for k, n, tau, rounds in ((2, 1, 2, 4), (2, 2, 4, 8), (3, 2, 3, 6))
    },
)
def centralized(context: Context, results: Results) -> Iterator[Evidence]:
    """The bound, the exponent of η at one time ηRτ, and losses of trained networks at a large step size."""
    for setting in _settings(context):
        own, controls = ([results[job] for job in jobs] for jobs in (setting.own, setting.controls))
        about = {"data": setting.own[0].data.label, "n": setting.own[0].data.num_samples, "K": _CLIENTS}
        about |= {"τ": _STEPS, "split": setting.split}
        least = min(job.data.load().lambda0.lower for job in setting.own)
        premise = Condition(f"η ≤ 1/max_c λ_max(Θ_cc), Θ = H^∞ ≻ 0 (λ0 ≥ {least:.3g})", max(_SHARES) <= 1 and least > 0)
        shares = [np.concatenate([one.difference / one.bound for one in each]) for each in (own, controls)]
        yield at_most(
            about | {"η Λ": f"{min(_SHARES):.1g} … {max(_SHARES):g}"},
            premise,
            "largest difference over rounds, over its bound; 3 data sets",
            shares[0],
            1.0,
            control=float(shares[1].max()),
            control_setting="central steps of η in place of η/K",
        )
        powers = [
            slope(_SHARES[_SMALL], np.array([one.difference.values[_SMALL] for one in each]))
            for each in (own, controls)
        ]
        yield as_exponent(
            about | {"over": f"η Λ = {_SHARES[-1]:.1g} … {_SHARES[_SMALL][0]:.2g} at one ηRτ"},
            premise,
            "the difference in η",
            powers[0],
            1.0,
            _SPARE,
            control=powers[1],
            control_setting="central steps of η in place of η/K: a difference that stays",
            trials=len(own),
        )
        ratios = [_ratios(results, pair) for pair in setting.trained]
        slow = _ratios(results, setting.slow)
        by_width = ", ".join(
            f"m = {pair[0].width}: {each.min():.3g} … {each.max():.3g}"
            for pair, each in zip(setting.trained, ratios, strict=True)
        )
        kernel = float(own[0].loss_ratio.values[0])
        yield at_least(
            about | {"η Λ": _SHARES[0], "R": _ROUNDS},
            Condition(
                "trained networks, one start and one time ηRτ", all(p[0].seeds == p[1].seeds for p in setting.trained)
            ),
            f"Local GD's loss over gradient descent's is beyond 1 by more than {_EQUAL:.0%} ({by_width}; "
            f"kernel: {kernel:.3g})",
            np.concatenate(ratios),
            1 + _EQUAL,
            control=float(slow.max()),
            control_setting=f"η Λ = {_SHARES[-1]:.1g}, {setting.slow[0].num_rounds} rounds: the losses agree (0.004, "
            "chosen first, left 1–3% between them)",
        )


def _ratios(results: Results, pair: tuple[Training, Training]) -> np.ndarray:
    """Losses at the end, Local GD's over gradient descent's, by seed."""
    local, central = (results[job].loss.values[:, -1] for job in pair)
    return np.asarray(local / central)
