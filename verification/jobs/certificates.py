"""Certificates held against what the certified runs do."""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd import certificate, datasets, seeds
from ntk_localsgd.certificate.two_layer.steps import PROVED, Steps
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import TwoLayerReLU
from verification.jobs.certified_cases import random_case
from verification.jobs.reference import Case, follow
from verification.jobs.training import gram_of

__all__ = ["ROUNDING", "RandomCertificates", "Tally", "certify", "largest_step"]

_ROUNDS = 25

#: A certificate bounds exact arithmetic; a float64 run differs from it by rounding errors far below this share.
ROUNDING = 1e-9


class Followed(Protocol):
    """What a run that is held against its certificate shows; the last index of ``switched`` is the sample."""

    @property
    def residual_norms(self) -> Float[ndarray, "R+1"]: ...
    @property
    def movement(self) -> float: ...
    @property
    def switched(self) -> Bool[ndarray, "..."]: ...


@dataclasses.dataclass
class Tally:
    """What certified runs did, each number relative to what was certified: at most 1, and no pair astray."""

    runs: int = 0
    certified: int = 0
    failed: int = 0
    rate: float = 0.0
    movement: float = 0.0
    astray: int = 0

    def add(self, case: Any, proof: certificate.Certificate, run: Callable[[Any, int], "Followed"] = follow) -> None:
        """Follow a run and compare: residual norms above the rounding floor, movement, and every pattern's sign."""
        self.runs += 1
        if not proof.certified:
            return
        seen = run(case, _ROUNDS)
        norms, rounds = seen.residual_norms, np.arange(_ROUNDS + 1)
        bound = np.maximum(proof.constant * proof.rate**rounds * norms[0], np.finfo(float).tiny)
        above = norms > max(proof.rounding_floor, ROUNDING * norms[0])
        # A measured residual is off by up to the floor, whatever its size.
        norms = np.maximum(norms - proof.rounding_floor, 0)
        broken = norms > bound * (1 + ROUNDING)
        later = above & (rounds > 0)
        # The t-th root: how much faster the certified rate is than needed, per round.
        rate = float(((norms / bound)[later] ** (1 / rounds[later])).max(initial=0.0))
        movement = seen.movement / max(proof.radius, np.finfo(float).tiny)
        may = np.zeros_like(seen.switched)
        may[tuple(proof.switching.T[::-1])] = True
        astray = int((seen.switched & ~may).sum())
        self.certified += 1
        self.failed += bool(broken.any() or movement > 1 + ROUNDING or astray)
        self.rate, self.movement = max(self.rate, rate), max(self.movement, movement)
        self.astray += astray

    def dataset(self) -> xr.Dataset:
        """Its numbers, and the larger of both ratios as ``worst``."""
        return xr.Dataset(dataclasses.asdict(self) | {"worst": max(self.rate, self.movement)})


def certify(case: Case, method: certificate.Method, steps: Steps = PROVED) -> certificate.Certificate | None:
    """The certificate of a case by these steps; None where the theorem does not apply."""
    data = datasets.from_arrays(case.inputs, case.targets)
    net = TwoLayerReLU.from_arrays(case.weights, case.signs)
    with contextlib.suppress(InputError):
        return certificate.certify(net, data, case.clients, case.config, method=method, estimate=False, steps=steps)
    return None


@dataclasses.dataclass(frozen=True)
class RandomCertificates:
    """Random cases that are certified where they can be, and followed.

    ``overstated`` divides the certified rate and radius: a control. Counting stops at ``enough`` certified runs.
    """

    method: certificate.Method
    runs: int
    seed: int
    overstated: float = 1.0
    enough: int | None = None

    def compute(self) -> xr.Dataset:
        """The tally, as scalars."""
        generator, tally = seeds.generator(self.seed, "C8"), Tally()
        for _ in range(self.runs):
            case = random_case(generator)
            proof = certify(case, self.method)
            if proof is None:
                continue
            rate, radius = proof.rate / self.overstated, proof.radius / self.overstated
            tally.add(case, dataclasses.replace(proof, rate=rate, radius=radius))
            if tally.certified == self.enough:
                break
        return tally.dataset()


def largest_step(net: TwoLayerReLU, dataset: Dataset, clients: Clients) -> float:
    """1/max_c λ_max(Θ_cc); infinite where no neuron is active on any sample."""
    gram = gram_of(net, dataset)
    largest = max(float(np.linalg.eigvalsh(gram[np.ix_(part, part)])[-1]) for part in clients.indices)
    return 1 / largest if largest > 0 else math.inf
