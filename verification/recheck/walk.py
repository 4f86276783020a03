"""Follow a run with exact numbers, hold every model against what is claimed, and prove the rest."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import flint
from flint import arb, arb_mat

from verification.recheck.balls import NotShown, above, length, norm, shown, times
from verification.recheck.rounds import Rounds
from verification.recheck.stated import Stated

__all__ = ["Verdict", "Walk", "recheck"]

# Bits of a ball's middle; weights of samples are whole multiples of 2^-_GRID, so that their sums are exact.
_BITS, _GRID = 384, 280

# Radii that are tried for the rest of the run, in units of what frozen patterns need.
_RADII = (1.001, 1.02, 1.1, 1.3, 2.0, 4.0)

# A claim that is a rounded number itself may miss by this share.
_ROUNDED = arb("1e-9")


class Verdict(NamedTuple):
    """Whether all that is claimed was found true, and in a sentence how, or what stands against it."""

    confirmed: bool
    text: str


def recheck(stated: Stated, most_rounds: int = 4000, watch: Callable[[int, float, str], None] | None = None) -> Verdict:
    """Follow the run, holding every model against what is claimed, until the rest of it is proved.

    Parameters
    ----------
    stated
        The certificate.
    most_rounds
        Rounds that are followed at most.
    watch
        Called with the round, the share of it that is done, and what is being done.
    """
    before, flint.ctx.prec = flint.ctx.prec, _BITS
    try:
        walk, next_try = Walk(stated, watch), 0
        for t in range(most_rounds + 1):
            walk.hold(t)
            if t >= next_try:
                walk.watch(t, 0.0, f"a proof of all rounds from {t} on")
                missing = walk.rest(t)
                if missing is None:
                    return Verdict(
                        True, f"confirmed: {t} round{'' if t == 1 else 's'} followed, the rest proved from there"
                    )
                next_try = max(t + 1, int(1.3 * t))
            if t < most_rounds:
                walk.round(t)
        return Verdict(False, f"not confirmed within {most_rounds} rounds: {missing}")
    except NotShown as error:
        return Verdict(False, str(error))
    finally:
        flint.ctx.prec = before


class _Model(NamedTuple):
    """Some samples at one model: pre-activations, residuals, which neurons are on (bits from the left)."""

    patterns: list[int]
    residuals: list[arb]


def _unwatched(number: int, share: float, what: str) -> None:
    """Nobody looks."""


class Walk:
    """A run with exact weights W̃ beside the true one W, ‖W − W̃‖_F ≤ ``gap``; W̃ = W(0) − Σ_i (gains of i) x_i/√m."""

    def __init__(self, stated: Stated, watch: Callable[[int, float, str], None] | None = None) -> None:
        self.watch = _unwatched if watch is None else watch
        self.stated, self.width, self.samples = stated, len(stated.signs), stated.inputs.nrows()
        self.inner = stated.inputs * stated.inputs.transpose()
        self.sizes = [self.inner[i, i].sqrt() for i in range(self.samples)]
        self.start = stated.inputs * stated.weights.transpose()
        self.scale, self.gap = arb(1) / arb(self.width).sqrt(), arb(0)
        self.count = len(stated.clients)
        # K times the averaged model's gains, times the neurons' signs.
        self.gains = arb_mat(self.samples, self.width)
        self.moved = arb(0)  # ≥ the square of what any neuron of W̃ has moved by
        self.first: list[int] | None = None

    def _model(self, rows: list[int], z: arb_mat, gap: arb, where: str) -> _Model:
        """Patterns that W and W̃ share, and W̃'s residuals."""
        patterns, residuals = [], []
        for k, j in enumerate(rows):
            far, bits, total = gap * self.sizes[j], [], arb(0)
            for r, sign in enumerate(self.stated.signs):
                value = z[k, r]
                if value > far or (gap == 0 and value == 0):  # exactly on its kink, W̃ being W: on by convention
                    bits.append("1")
                    total += sign * value
                elif value < -far:
                    bits.append("0")
                else:
                    raise NotShown(f"not confirmed: {where}, neuron {r} is too near its kink on sample {j} to tell")
            patterns.append(int("".join(bits), 2))
            residuals.append(total * self.scale - self.stated.targets[j])
        if self.first is not None:
            for k, j in enumerate(rows):
                for r in self._neurons(patterns[k] ^ self.first[j]):
                    if (j, r) not in self.stated.switching:
                        raise NotShown(f"refuted: {where}, neuron {r} has changed its side on sample {j}, unnamed")
        return _Model(patterns, residuals)

    def _neurons(self, bits: int) -> Iterator[int]:
        while bits:
            top = bits.bit_length()
            yield self.width - top
            bits ^= 1 << (top - 1)

    def hold(self, t: int) -> None:
        """The averaged model against the claims."""
        rows = list(range(self.samples))
        self.pushes = self.inner * self.gains * (self.scale / self.count)
        self.z = self.start - self.pushes
        self.here = self._model(rows, self.z, self.gap, f"round {t}")
        if self.first is None:
            self.first = self.here.patterns
        off = self.gap * sum((self.inner[i, i] for i in rows), arb(0)).sqrt()
        size = length(self.here.residuals)
        if t == 0:
            self.norm, claimed = size, self.stated.residual_norm
            if not abs(size - claimed) <= _ROUNDED * size:
                raise NotShown(f"refuted: ‖r(0)‖ is {shown(size)}, not {shown(claimed)}")
        if not size + off <= self._allowed(t):
            if size - off > self._allowed(t):
                raise NotShown(f"refuted: ‖r({t})‖ is {shown(size)}, above what is claimed")
            raise NotShown(f"not confirmed: ‖r({t})‖, {shown(size)}, is known to {shown(off)} only")
        # a·G a/(m K²) of every neuron's gains a.
        scaled = self.scale / self.count
        self.squares = [
            sum((self.gains[i, r] * self.pushes[i, r] for i in rows), arb(0)) * scaled for r in range(self.width)
        ]
        self._hold_movement(self.squares, self.gap, f"round {t}")

    def _allowed(self, t: int) -> arb:
        return self.stated.constant * self.stated.rate**t * self.norm

    def _hold_movement(self, squares: list[arb], gap: arb, where: str) -> None:
        limit = (self.stated.radius - gap) ** 2 if self.stated.radius > gap else arb(0)
        for r, square in enumerate(squares):
            if not square <= limit and not (square == 0 and gap == 0):
                raise NotShown(f"refuted: {where}, neuron {r} has moved by {shown(abs(square).sqrt())}")
            # Upper ends are exact numbers: of two balls that overlap neither is known to be the larger one.
            if above(square) > self.moved:
                self.moved = above(square)

    def round(self, t: int) -> None:
        """All clients' local steps and the average."""
        total, gaps = arb_mat(self.samples, self.width), arb(0)
        for c, part in enumerate(self.stated.clients):
            self.watch(t, c / self.count, f"round {t}, client {c}")
            own, gap = self._local(part, f"round {t}, client {c}")
            for k, i in enumerate(part):
                for r in range(self.width):
                    total[i, r] = own[k, r]
            gaps += gap
        self.gains += total
        self.gap = above(gaps / self.count)

    def _local(self, part: list[int], where: str) -> tuple[arb_mat, arb]:
        """A client's gains over its local steps, and how far its true model may be from the exact one."""
        inner = arb_mat([[self.inner[i, j] for j in part] for i in part])
        z0 = arb_mat([[self.z[i, r] for r in range(self.width)] for i in part])
        model = _Model([self.here.patterns[i] for i in part], [self.here.residuals[i] for i in part])
        own, gap = arb_mat(len(part), self.width), self.gap
        for k in range(self.stated.local_steps):
            gap *= self._expansion(part, model.patterns)
            steps, on = [], []
            for i, pattern, residual in zip(part, model.patterns, model.residuals, strict=True):
                wanted = self.stated.step_size * residual
                step = arb((wanted * arb(2) ** _GRID).mid().floor().unique_fmpz()) * arb(2) ** -_GRID
                # ‖(wanted − step) g_i‖_F ≤ |wanted − step|‖x_i‖.
                gap += abs(wanted - step) * self.sizes[i]
                steps.append(step)
                on.append(
                    [s if b == "1" else 0 for b, s in zip(f"{pattern:0{self.width}b}", self.stated.signs, strict=True)]
                )
            diagonal = arb_mat(len(part), len(part))
            for i, step in enumerate(steps):
                diagonal[i, i] = step
            own, gap = own + diagonal * arb_mat(on), above(gap)
            push = inner * own * self.scale
            model = self._model(part, z0 - push, gap, f"{where}, local step {k + 1}")
            squares = [
                self.squares[r]
                + sum((own[i, r] * (2 * self.pushes[j, r] + push[i, r]) for i, j in enumerate(part)), arb(0))
                * self.scale
                for r in range(self.width)
            ]
            self._hold_movement(squares, gap, where)
        return own, gap

    def _expansion(self, part: list[int], patterns: list[int]) -> arb:
        """≥ ‖1 − ηJᵀJ‖₂ of a local step: 1 where η times the largest row sum of |Θ_cc| is at most 2."""
        largest = arb(1)  # and upper ends from here on: which of two balls is the larger one need not be known
        for i, left in zip(part, patterns, strict=True):
            row = [abs(self.inner[i, j]) * (left & right).bit_count() for j, right in zip(part, patterns, strict=True)]
            factor = above(self.stated.step_size * sum(row, arb(0)) / self.width - 1)
            largest = largest if factor <= largest else factor
        return largest

    def rest(self, t: int) -> str | None:
        """None if one radius for all neurons proves all later rounds to be as claimed; else what is missing."""
        stated, n, on = self.stated, self.samples, self.here.patterns
        gram = arb_mat(
            [[self.inner[i, j] * (on[i] & on[j]).bit_count() / self.width for j in range(n)] for i in range(n)]
        )
        missing: str | None = ""
        for euclidean in (False, True):
            rounds = Rounds.of(stated, gram, euclidean=euclidean)
            if rounds is None:
                return "the Gram matrix is not shown to be positive, or the step size to be below 1/λ_max"
            missing = self._rest_in(rounds, t)
            if missing is None:
                return None
        return missing

    def _rest_in(self, rounds: Rounds, t: int) -> str | None:
        """As `rest`, in the norm of these rounds."""
        stated, n = self.stated, self.samples
        off = self.gap * sum((self.inner[i, i] for i in range(n)), arb(0)).sqrt()
        size = length(times(rounds.root, self.here.residuals)) + rounds.root_norm * off
        spectral = norm(self.inner).sqrt()
        least = rounds.radius(arb_mat(n, n), size * self.scale, spectral)
        if least is None:
            return "a round is not shown to contract"
        missing = ""
        for factor in _RADII:
            radius = above(self.gap + least[1] * arb(factor))
            unsure = self._within(radius)
            changes = self._changes(unsure)
            needed = rounds.radius(changes, size * self.scale, spectral)
            if needed is None or not self.gap + needed[1] <= radius:
                missing = "the neurons' radius does not close"
                continue
            rate = needed[0]
            if not rate <= stated.rate:
                missing = f"the rate is proved to be at most {shown(rate)}, and not the one claimed"
                continue
            if not rounds.inverse_norm * size <= self._allowed(t):
                missing = "the constant is not shown to suffice"
                continue
            if not self.moved.sqrt() + self.gap + radius <= stated.radius:
                missing = "the radius is not shown to suffice"
                continue
            unnamed = [
                (j, r) for j, bits in enumerate(unsure) for r in self._neurons(bits) if (j, r) not in stated.switching
            ]
            if unnamed:
                missing = f"the pair {unnamed[0]} (sample, neuron) may change its side, and is not named"
                continue
            return None
        return missing

    def _within(self, radius: arb) -> list[int]:
        """By sample, the neurons whose sign may change while none moves by more than the radius."""
        return [
            int("".join("0" if abs(self.z[j, r]) > radius * size else "1" for r in range(self.width)), 2)
            for j, size in enumerate(self.sizes)
        ]

    def _changes(self, unsure: list[int]) -> arb_mat:
        """E: |G_ij| max(#possibly on both − #on both, #on both − #certainly on both)/m."""
        on, n = self.here.patterns, self.samples
        changes = arb_mat(n, n)
        for i in range(n):
            for j in range(n):
                both = (on[i] & on[j]).bit_count()
                most = ((on[i] | unsure[i]) & (on[j] | unsure[j])).bit_count()
                least = (on[i] & ~unsure[i] & on[j] & ~unsure[j]).bit_count()
                changes[i, j] = abs(self.inner[i, j]) * max(most - both, both - least) / self.width
        return changes
