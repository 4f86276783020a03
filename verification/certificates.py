"""Certified runs held against what they do: C8."""

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np

from ntk_localsgd import certificate, datasets
from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.networks import TwoLayerReLU
from verification.certified_cases import random_case
from verification.claims import claim
from verification.context import Context
from verification.reference_run import Case, follow

__all__ = ["Tally", "certify"]

_ROUNDS = 25

# A certificate bounds exact arithmetic; a float64 run differs from it by rounding errors far below this share.
_ROUNDING = 1e-9


@dataclasses.dataclass
class Tally:
    """What certified runs did, each number relative to what was certified: at most 1, and no pair astray."""

    runs: int = 0
    certified: int = 0
    failed: int = 0
    rate: float = 0.0
    movement: float = 0.0
    astray: int = 0

    @property
    def worst(self) -> float:
        """The largest of both ratios."""
        return max(self.rate, self.movement)

    def add(self, case: Case, proof: certificate.Certificate) -> None:
        """Follow a run and compare: residual norms above the rounding floor, movement, and every pattern's sign."""
        self.runs += 1
        if not proof.certified:
            return
        seen = follow(case, _ROUNDS)
        norms, rounds = seen.residual_norms, np.arange(_ROUNDS + 1)
        bound = np.maximum(proof.constant * proof.rate**rounds * norms[0], np.finfo(float).tiny)
        above = norms > max(proof.rounding_floor, _ROUNDING * norms[0])
        # A measured residual is off by up to the floor, whatever its size.
        norms = np.maximum(norms - proof.rounding_floor, 0)
        broken = norms > bound * (1 + _ROUNDING)
        later = above & (rounds > 0)
        # The t-th root: how much faster the certified rate is than needed, per round.
        rate = float(((norms / bound)[later] ** (1 / rounds[later])).max(initial=0.0))
        movement = seen.movement / max(proof.radius, np.finfo(float).tiny)
        may = np.zeros_like(seen.switched)
        may[proof.switching[:, 1], proof.switching[:, 0]] = True
        astray = int((seen.switched & ~may).sum())
        self.certified += 1
        self.failed += bool(broken.any() or movement > 1 + _ROUNDING or astray)
        self.rate, self.movement = max(self.rate, rate), max(self.movement, movement)
        self.astray += astray


def certify(case: Case, method: certificate.Method) -> certificate.Certificate | None:
    """The certificate of a case; None where the theorem does not apply."""
    data = datasets.from_arrays(case.inputs, case.targets)
    net = TwoLayerReLU.from_arrays(case.weights, case.signs)
    with contextlib.suppress(InputError):
        return certificate.certify(net, data, case.clients, case.config, method=method, estimate=False)
    return None


@claim(
    "C8",
    "certified ⇒ ‖r(t)‖ ≤ constant · rate^t · ‖r(0)‖, max_r ‖w_r − w_r(0)‖ ≤ radius and no sign changes outside the "
    "named pairs, for all t",
    letter="D",
    source="docs/theory.md §5",
)
def soundness(context: Context) -> Iterator[Evidence]:
    """Random runs by both methods; the control divides rate and radius by ten, for three runs of each method."""
    rng = context.rng("C8")
    tallies: dict[certificate.Method, Tally] = {"ball": Tally(), "path": Tally()}
    overstated: dict[certificate.Method, Tally] = {"ball": Tally(), "path": Tally()}
    for _ in range(context.preset.certificate_runs):
        case = random_case(rng)
        for method, tally in tallies.items():
            proof = certify(case, method)
            if proof is None:
                continue
            tally.add(case, proof)
            if proof.certified and overstated[method].certified < 3:
                overstated[method].add(case, _divided(proof))
    for method, tally in tallies.items():
        premise = Condition(
            f"certified by the {method} method: {tally.certified} of {tally.runs} runs", tally.certified > 0
        )
        text = f"rate ≤ {tally.rate:.4g}, movement ≤ {tally.movement:.3g} of what is certified; no sign astray"
        control = overstated[method]
        yield Evidence(
            "C8", f"random runs, {method} method", premise, Condition(text, tally.failed == 0), tally.worst, 1.0,
            Control("rate and radius divided by ten", control.failed == control.certified > 0,
                    control.worst),
            trials=tally.certified, failures=tally.failed,
        )  # fmt: skip


def _divided(proof: certificate.Certificate) -> certificate.Certificate:
    return dataclasses.replace(proof, rate=proof.rate / 10, radius=proof.radius / 10)
