"""A round of Local GD with frozen patterns, and rigorous bounds on what changing patterns add to it."""

import dataclasses
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from ntk_localsgd import kernels
from ntk_localsgd.certificate.rounding import largest_eigenvalue, spectral_norm
from ntk_localsgd.certificate.schedule import refuse_unproved
from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd.config import LocalSGD
from ntk_localsgd.rounding import SLACK, UNIT

__all__ = ["LocalChain", "Problem", "RoundModel", "Rounds", "Unsuitable", "split_norms"]


class Unsuitable(Exception):
    """The frozen-pattern round contracts in no norm: Gram matrix singular, or step size above 1/λ_max of a client."""


@dataclasses.dataclass(frozen=True)
class Rounds:
    """What a round is: who holds what, η and τ."""

    clients: Clients
    owner: Int[ndarray, " n"]  # the client of every sample
    same_client: Bool[ndarray, "n n"]
    step_size: float
    local_steps: int

    @classmethod
    def of(cls, clients: Clients, config: LocalSGD) -> "Rounds":
        """From the split and the settings; `InputError` for those that no proof speaks of."""
        refuse_unproved(config)
        owner = np.empty(clients.num_samples, np.int64)
        for c, part in enumerate(clients.indices):
            owner[part] = c
        return cls(clients, owner, owner[:, None] == owner, float(config.step_size), config.most_steps)


@dataclasses.dataclass(frozen=True)
class Problem(Rounds):
    """What stays the same along a run of two layers: inner products and their error beside the rounds."""

    inner: Float[ndarray, "n n"]  # fl(X Xᵀ)
    inner_error: float  # entrywise
    spectral: float  # χ ≥ ‖X‖₂
    client_spectral: Float[ndarray, " K"]  # χ_c ≥ ‖X_c‖₂

    @classmethod
    def from_inputs(cls, inputs: Float[ndarray, "n d"], clients: Clients, config: LocalSGD) -> "Problem":
        """The inner products with their error: d + 2 roundings, relative to the norms of the rows."""
        inner = inputs @ inputs.T
        inner = (inner + inner.T) / 2
        largest = float(np.square(inputs).sum(axis=1).max())
        parts = [spectral_norm(inputs[part]) for part in clients.indices]
        error = (inputs.shape[1] + 4) * UNIT * largest * SLACK
        held, spectral = Rounds.of(clients, config), spectral_norm(inputs)
        rounds = (held.clients, held.owner, held.same_client, held.step_size, held.local_steps)
        return cls(*rounds, inner, error, spectral, np.array(parts))


class LocalChain(NamedTuple):
    """How an error e of the round's start, measured by ‖De‖, acts on the local steps and on the round.

    ``steps[k]``: ‖the response of r^k to e‖₂ ≤ steps[k]·‖De‖; ``bent[k]``: the same for the part that the frozen
    patterns do not explain. ``growth``: what the round's own perturbation adds to β.
    """

    steps: Float[ndarray, " tau"]
    bent: Float[ndarray, " tau"]
    growth: float


class RoundModel:
    """One round with the patterns frozen: r ↦ B r, B = I − ΘM/K, and the norm ‖v‖ = ‖Dv‖₂ in which it contracts.

    Θ is a stored matrix and exact by definition; how far it is from a network's Gram matrix belongs to E, the entrywise
    bound on the changes of Θ. D is any matrix, near M^{1/2} (or the identity), and J any matrix near D^{-1}.

    Attributes
    ----------
    contraction
        ≥ ‖D B D^{-1}‖₂.
    norm, inverse_norm
        ≥ ‖D‖₂ and ‖D^{-1}‖₂.
    row_reach
        Per sample, ≥ η Σ_k ‖(P^k D^{-1})_i‖₂: what an error of the start can add to |weight of i| over a client's local
        steps, in absolute value.
    end_norms
        ≥ ‖D Θ η Σ_{l ≤ τ−2−k} P^l‖₂ by k, what a change of the k-th local step does to the round.
    local_factor
        f with M^{(k)} = η Σ_{l<k} P^l ≼ f·D² for every k ≤ τ.
    root_gap
        Twice a bound on ‖1 − JD‖₂.
    pad
        ζ: every product with P^k, M/(ητ), D or J computed here is off by at most ζ times the norms of its factors.
    """

    def __init__(self, gram: Float[ndarray, "n n"], problem: Rounds, *, euclidean: bool = False) -> None:
        n, tau, eta = len(gram), problem.local_steps, problem.step_size
        self.gram, self.problem = gram, problem
        self.pad = 16 * n * n * tau * UNIT
        self._require_contraction()
        self.local_map = np.where(problem.same_client, np.eye(n) - eta * gram, 0.0)
        self.weights = self._accumulate(tau)  # M
        roots = (np.eye(n), np.eye(n)) if euclidean else self._roots()
        self.root: Float[ndarray, "n n"] = roots[0]
        self.inverse_root: Float[ndarray, "n n"] = roots[1]
        self.norm, self.inverse_norm, self.root_gap = self._norms()
        self.operator = np.eye(n) - gram @ self.weights / problem.clients.num_clients
        # B itself is known up to ‖Θ‖ητζ/K ≤ τζ and its own product's ζ, because η‖Θ‖ ≤ Σ_c ηλ_max(Θ_cc) ≤ K.
        self.operator_error = (2 + tau) * self.pad
        similar = self.root @ self.operator @ self.inverse_root
        # B's own error, the products' and J's distance from D^{-1}, each between D and D^{-1}.
        gaps = self.operator_error + (self.pad + self.root_gap) * max(
            1.0, spectral_norm(self.operator) + self.operator_error
        )
        self.contraction = spectral_norm(similar) + 2 * self.norm * self.inverse_norm * gaps
        self._start_norms, self.end_norms = self._chain_norms()
        self.row_reach = self._row_reach()
        scaled = self.inverse_root @ self.weights @ self.inverse_root
        # ‖M‖ ≤ ητ; M^{(k)} ≼ M because every P^l is positive semidefinite.
        self.local_factor = spectral_norm(scaled) + 4 * (self.pad + self.root_gap) * eta * tau * self.inverse_norm**2

    def _require_contraction(self) -> None:
        eta = self.problem.step_size
        for c, part in enumerate(self.problem.clients.indices):
            largest = largest_eigenvalue(self.gram[np.ix_(part, part)])
            if eta * largest * SLACK > 1:
                raise Unsuitable(
                    f"step size {eta:.6g} exceeds 1/λ_max = {1 / largest:.6g} of client {c + 1} (counted from 1)"
                )
        if not kernels.smallest_eigenvalue(self.gram).lower > 0:
            raise Unsuitable("the Gram matrix is singular as far as float64 can tell")

    def _accumulate(self, steps: int) -> Float[ndarray, "n n"]:
        """η Σ_{k<steps} P^k."""
        power, total = np.eye(len(self.gram)), np.zeros_like(self.gram)
        for _ in range(steps):
            total += power
            power = power @ self.local_map
        return self.problem.step_size * (total + total.T) / 2

    def _roots(self) -> tuple[Float[ndarray, "n n"], Float[ndarray, "n n"]]:
        """D ≈ M^{1/2} and J ≈ D^{-1}, client by client."""
        root = np.zeros_like(self.gram)
        inverse = root.copy()
        for part in self.problem.clients.indices:
            block = np.ix_(part, part)
            values, vectors = scipy.linalg.eigh(self.weights[block])
            values = np.sqrt(np.maximum(values, self.problem.step_size / 2))  # M ≽ η·1: P^0 is the identity
            root[block] = vectors * values @ vectors.T
            inverse[block] = vectors / values @ vectors.T
        return (root + root.T) / 2, (inverse + inverse.T) / 2

    def _norms(self) -> tuple[float, float, float]:
        root, inverse = spectral_norm(self.root), spectral_norm(self.inverse_root)
        gap = spectral_norm(np.eye(len(self.gram)) - self.inverse_root @ self.root) + self.pad * root * inverse
        if gap >= 0.5:
            raise Unsuitable("the weights M of a round cannot be inverted in float64")
        return root, inverse / (1 - gap) * SLACK, 2 * gap

    def _chain_norms(self) -> tuple[Float[ndarray, " tau"], Float[ndarray, " tau"]]:
        """‖P^k D^{-1}‖₂ and ‖D Θ η Σ_{l ≤ τ−2−k} P^l‖₂ for every k, computed at powers of two.

        Both are monotone: ‖P‖ ≤ 1 and everything in a client's block commutes.
        """
        tau = self.problem.local_steps
        checked = sorted({0, *(2**p for p in range(tau.bit_length()) if 2**p < tau)})
        starts, ends, power, after = {}, {0: 0.0}, np.eye(len(self.gram)), 0
        slack = self.pad + self.root_gap
        for k in checked:
            power, after = power @ np.linalg.matrix_power(self.local_map, k - after), k
            starts[k] = spectral_norm(power @ self.inverse_root) + 2 * slack * self.inverse_norm
        for terms in sorted({*checked, tau - 1} - {0}):
            size = self.norm * self.problem.clients.num_clients * tau
            ends[terms] = spectral_norm(self.root @ self.gram @ self._accumulate(terms)) + 3 * self.pad * size
        start = np.array([starts[max(p for p in starts if p <= k)] for k in range(tau)])
        return start, np.array([ends[min(p for p in ends if p >= tau - 1 - k)] for k in range(tau)])

    def _row_reach(self) -> Float[ndarray, " n"]:
        power, total = self.inverse_root, np.zeros(len(self.gram))
        for _ in range(self.problem.local_steps):
            total += np.linalg.norm(power, axis=1) + 2 * (self.pad + self.root_gap) * self.inverse_norm
            power = self.local_map @ power
        return self.problem.step_size * total * SLACK

    def chain(self, error_norm: float, client_error_norm: float) -> LocalChain:
        """Bounds for |Θ̃ − Θ| ≤ E with ‖E‖₂ ≤ ``error_norm`` and max_c ‖E_cc‖₂ ≤ ``client_error_norm``.

        a_k = ‖P^k D^{-1}‖ + η‖E_cc‖ Σ_{i<k} a_i and growth = (η/K) Σ_k (‖D‖‖E‖ + ‖DΘη Σ_{l ≤ τ−2−k} P^l‖ ‖E_cc‖) a_k.
        """
        eta, before, steps, extra = self.problem.step_size, 0.0, [], []
        for start in self._start_norms:
            extra.append(eta * client_error_norm * before * SLACK)
            steps.append(start + extra[-1])
            before += steps[-1]
        a = np.array(steps) * SLACK
        each = self.norm * error_norm + self.end_norms * client_error_norm
        return LocalChain(a, np.array(extra) * SLACK, float(eta / self.problem.clients.num_clients * each @ a) * SLACK)

    def length(self, residual: Float[ndarray, " n"], error: Float[ndarray, " n"] | float = 0.0) -> float:
        """≥ ‖Dv‖₂ for every v within ``error`` (entrywise) of ``residual``."""
        scale = float(np.linalg.norm(residual))
        spread = np.abs(self.root) @ np.broadcast_to(error, residual.shape)
        return (
            float(np.linalg.norm(self.root @ residual)) + float(np.linalg.norm(spread)) + self.pad * self.norm * scale
        ) * SLACK


def split_norms(matrix: Float[ndarray, "n n"], problem: Rounds) -> tuple[float, float]:
    """‖E‖₂ and max_c ‖E_cc‖₂."""
    blocks = [spectral_norm(matrix[np.ix_(part, part)]) for part in problem.clients.indices]
    return spectral_norm(matrix), max(blocks)
