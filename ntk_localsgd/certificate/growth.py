"""What a round's own perturbation adds to the contraction β, entry by entry before norms are taken."""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.certificate.model import LocalChain, RoundModel, split_norms
from ntk_localsgd.certificate.rounding import spectral_norm
from ntk_localsgd.rounding import SLACK

__all__ = ["EntrywiseGrowth"]

# More local steps than this are left to norms: a step costs several products of n×n matrices.
_MOST_STEPS = 64


class EntrywiseGrowth:
    """growth = (η/K) min{Σ_k min[(α_k + ω_k)a_k, ‖F_k‖a_k, ‖F_k|P^kD⁻¹|‖ + (α_k + ω_k)b_k], ‖Σ_k F_k(|P^kD⁻¹| + R_k)‖}.

    F_k = |D|E + |DΘS_k|E_in with E's blocks of clients E_in, α_k = min(‖D‖‖E‖, ‖|D|E‖), ω_k = min(‖DΘS_k‖max_c‖E_cc‖,
    ‖|DΘS_k|E_in‖), b_k the bent part of a_k, and R_{k+1} = |P|R_k + ηE_in(|P^kD⁻¹| + R_k), R_0 = 0.
    """

    def __init__(self, model: RoundModel) -> None:
        self.model, n, tau = model, len(model.gram), model.problem.local_steps
        self._starts: list[Float[ndarray, "n n"]] = []
        self._ends: list[Float[ndarray, "n n"]] = []
        power, after, total = model.inverse_root, np.zeros((n, n)), np.eye(n)
        for _ in range(tau if tau <= _MOST_STEPS else 0):
            self._starts.append(np.abs(power))
            self._ends.insert(0, np.abs(model.root @ model.gram @ after))
            after, total = after + model.problem.step_size * total, total @ model.local_map
            power = model.local_map @ power
        # |Z| has at most √n times the norm of Z, here a matrix of rounding errors.
        self.start_pad = 2 * (model.pad + model.root_gap) * model.inverse_norm * math.sqrt(n)
        self._end_pad = 3 * model.pad * model.norm * model.problem.clients.num_clients * tau * math.sqrt(n)

    def __call__(
        self, changes: Float[ndarray, "n n"], chain: LocalChain, within: Float[ndarray, "n n"] | None = None
    ) -> float:
        """The bound for |Θ̃ − Θ| ≤ ``changes``; infinite where there are too many local steps.

        ``within``: ≥ |Θ̃ − Θ| of what moves the local residuals (and ``chain``), where ``changes`` is a part of it.
        """
        if not self._starts:
            return math.inf
        model = self.model
        error, client_error = split_norms(changes, model.problem)
        inside, eta = np.where(model.problem.same_client, changes, 0.0), model.problem.step_size
        outer = np.abs(model.root) @ changes
        alpha = min(model.norm * error, spectral_norm(outer))
        links, pads, together = 0.0, 0.0, np.zeros_like(changes)
        reached = self.responses(changes if within is None else within)
        parts = zip(self._ends, self._starts, reached, model.end_norms, chain.steps, chain.bent, strict=True)
        for end, start, felt, end_norm, steps, bend in parts:
            later = end @ inside
            omega = min(end_norm * client_error, spectral_norm(later) + self._end_pad * client_error)
            both, either = outer + later, alpha + omega
            whole, straight = spectral_norm(both), spectral_norm(both @ start)
            pad = self._end_pad * client_error * max(steps, float(np.linalg.norm(felt)))
            pad += (either + whole) * self.start_pad
            links += min(either * steps, whole * steps + pad, straight + pad + either * bend)
            together += both @ felt
            pads += pad
        return eta / model.problem.clients.num_clients * min(links, spectral_norm(together) + pads) * SLACK

    def responses(self, changes: Float[ndarray, "n n"]) -> list[Float[ndarray, "n n"]]:
        """By local step W_k = |P^kD⁻¹| + R_k: |r^k| ≤ W_k|De| to what errors of norm ``start_pad`` let one say."""
        model, bent, reached = self.model, np.zeros_like(changes), []
        inside, local_map = np.where(model.problem.same_client, changes, 0.0), np.abs(model.local_map) + model.pad
        for start in self._starts:
            reached.append(start + bent)
            bent = local_map @ bent + model.problem.step_size * inside @ (reached[-1] + self.start_pad)
        return reached
