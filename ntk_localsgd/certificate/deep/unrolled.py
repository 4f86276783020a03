"""A round as a linear map of the residual at its start and of all that changes of the kernel add on the way."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.certificate.deep.free import FreeTriples
from ntk_localsgd.certificate.model import RoundModel

__all__ = ["UnrolledRound", "unrolled_round"]


class UnrolledRound(NamedTuple):
    """Maps of (r, y', u, w), S = n + τp + (τ−1)n + n numbers: a round's start, and its inputs in the order of time.

    y'_{q,k} steers the gradient of free triple q at local step k, u_k is added to local step k (to all but the last,
    which nobody sees), w to the averaged step:

        r^{k+1} = P r^k − η(t_inᵀy'_k + u_k),   r(t+1) = r(t) − [ηΘ Σr^k + ηtᵀΣy'_k + w]/K.

    Attributes
    ----------
    residuals
        r^k.
    local, averaged
        t_in·r^k + G_in y'_k, which the slopes of local secants multiply, and ηΣ(t·r^k + Gy'_k): of the averaged one.
    end
        r(t+1).
    """

    residuals: Float[ndarray, "tau n S"]
    local: Float[ndarray, "tau-1 p S"]
    averaged: Float[ndarray, "p S"]
    end: Float[ndarray, "n S"]

    @property
    def outputs(self) -> Float[ndarray, "o S"]:
        """Residuals, then local and averaged arguments, one row each."""
        size = self.end.shape[1]
        return np.concatenate([self.residuals.reshape(-1, size), self.local.reshape(-1, size), self.averaged])


def unrolled_round(model: RoundModel, free: FreeTriples | None, *, majorant: bool = False) -> UnrolledRound:
    """The round with Θ and free triples as stored; ``majorant``: with absolute values throughout.

    The majorant times γ_{(τ+4)(n+2p+8)} bounds what rounding does to every entry: each of τ steps, and the two that
    follow, are sums of fewer than n + 2p + 8 products.
    """
    problem, n = model.problem, len(model.gram)
    eta, tau, num_clients = problem.step_size, problem.local_steps, problem.clients.num_clients
    sample = np.zeros(0, np.int64) if free is None else free.sample
    p, own = len(sample), problem.owner[sample]
    effects = np.zeros((0, n)) if free is None else free.effects
    products = np.zeros((0, 0)) if free is None else free.products
    parts = (model.local_map, model.gram, effects, products)
    local_map, gram, effects, products = (np.abs(x) for x in parts) if majorant else parts
    if majorant:  # 1 − ηΘ_ii is off by 2u however small it is: no more than the rounding of ¼ in ten sums
        local_map = np.maximum(local_map, np.eye(n) / 4)
    inside = np.where(own[:, None] == problem.owner, effects, 0.0)
    inside_products = np.where(own[:, None] == own, products, 0.0)
    sign, steered, kicked = 1.0 if majorant else -1.0, n + tau * p, n + tau * p + (tau - 1) * n
    given, size = np.eye(kicked + n), kicked + n
    steering, kicks = given[n:steered].reshape(tau, p, size), given[steered:kicked].reshape(tau - 1, n, size)
    r, summed, pushed = given[:n], np.zeros((n, size)), np.zeros((p, size))
    residuals, local = np.empty((tau, n, size)), np.empty((tau - 1, p, size))
    for k in range(tau):
        residuals[k], summed, pushed = r, summed + r, pushed + steering[k]
        if k + 1 < tau:
            local[k] = inside @ r + inside_products @ steering[k]
            r = local_map @ r + sign * eta * (inside.T @ steering[k] + kicks[k])
    change = eta * (gram @ summed + effects.T @ pushed) + given[kicked:]
    end = given[:n] + sign * change / num_clients
    return UnrolledRound(residuals, local, eta * (effects @ summed + products @ pushed), end)
