"""Certificates of runs that draw batches and participants, held against runs in hostile orders and by chance."""

import dataclasses
import math
from functools import partial

import jax
import numpy as np
import xarray as xr

from ntk_localsgd import certificate, seeds
from verification.jobs.certificates import ROUNDING, certify
from verification.jobs.certified_cases import drawn_case, drawn_sphere_case
from verification.jobs.certified_widths import LARGE, Widths, smallest
from verification.jobs.reference import CHOICES, Case, Choice, Order, follow

__all__ = ["DrawnCertificates", "OrderWidths"]

_ROUNDS = 25

# Cases that are tried for each one that is to be certified.
_TRIES = 8

# Widths are looked for up to here.
_WIDEST = 2**17


@dataclasses.dataclass(frozen=True)
class DrawnCertificates:
    """Random cases certified by dominance, or by energy, and followed: each number relative to what is certified.

    ``overstated`` divides constant and radius, and multiplies the decay's exponent: a control.
    """

    method: certificate.Method
    runs: int
    seed: int
    overstated: float = 1.0

    def compute(self) -> xr.Dataset:
        """By certified run: ``residual``, by chance, ``movement`` and ``astray``, in every order; ``tried`` cases.

        Orders other than chance are followed where the certificate speaks of all: by dominance.
        """
        rng = seeds.generator(self.seed, f"drawn certificates, {self.method}")
        rows: list[tuple[float, float, int]] = []
        tried = 0
        while len(rows) < self.runs and tried < _TRIES * self.runs:
            tried += 1
            case = drawn_sphere_case(rng) if self.method == "energy" or tried % 2 else drawn_case(rng)
            proof = certify(case, self.method)
            if proof is not None and proof.certified:
                rows.append(self._followed(case, proof, rng))
        residual, movement, astray = np.array(rows, np.float64).reshape(-1, 3).T
        columns = {"residual": residual, "movement": movement, "astray": astray}
        return xr.Dataset({name: ("run", values) for name, values in columns.items()} | {"tried": tried})

    def _followed(
        self, case: Case, proof: certificate.Certificate, rng: np.random.Generator
    ) -> tuple[float, float, int]:
        choices: tuple[Choice, ...] = CHOICES if self.method == "dominance" else ("drawn",)
        named = np.zeros((len(case.signs), len(case.inputs)), bool)
        named[proof.switching[:, 1], proof.switching[:, 0]] = True
        decay = proof.rate ** (self.overstated * np.arange(_ROUNDS + 1))
        residual, movement, astray = 0.0, 0.0, 0
        for choice in choices:
            seen = follow(case, _ROUNDS, Order(choice, rng))
            movement = max(movement, seen.movement / proof.radius * self.overstated)
            astray += int((seen.switched & ~named).sum())
            if choice == "drawn":
                bound = np.maximum(proof.constant / self.overstated * decay * seen.residual_norms[0], 1e-300)
                norms = np.maximum(seen.residual_norms - proof.rounding_floor, 0)
                residual = float((norms / bound).max()) / (1 + ROUNDING)
        return residual, movement / (1 + ROUNDING), astray


@dataclasses.dataclass(frozen=True)
class OrderWidths(Widths):
    """The smallest width at which networks are certified at initialization, whatever the order of single samples."""

    def compute(self) -> xr.Dataset:
        """Widths for ``single`` samples and ``full`` batches [seed], infinite if none is found, what C1 asks for.

        ``spoiled`` [seed]: the width for single samples with targets 30 times as large, infinite if up to 4 times the
        largest width none is certified.
        """
        keys = self.keys("certified for every order")
        single, full = (
            [smallest(partial(self._certified, each, size), 2, _WIDEST) for each in keys] for size in (1, None)
        )
        widest = max(single)
        # Where some seed is certified at no width there is no premise, and nothing to spoil.
        start = int(widest) if widest < math.inf else _WIDEST
        spoiled = [smallest(partial(self._certified, each, 1, scale=LARGE), start, 4 * start) for each in keys]
        return self.table(single=single, full=full, spoiled=spoiled)

    def _certified(self, key: jax.Array, batch_size: int | None, width: int, scale: float = 1) -> bool:
        return self.certified(key, width, "dominance", batch_size, scale)
