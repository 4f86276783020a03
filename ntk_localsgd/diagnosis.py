"""What the kernel regime says about one's own setting: stable steps, what local steps gain, clients, decisive samples.

Every function takes the Gram matrix Θ of a network at its weights, or the infinite one, as those of `prediction` do.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float, Int
from numpy import ndarray

from ntk_localsgd import prediction
from ntk_localsgd.arrays import real_array
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.config import PLAIN, LocalSGD
from ntk_localsgd.responses import Averaging, ClientSteps, Responses, refuse_unpredicted

__all__ = [
    "DecisiveSamples",
    "Heterogeneity",
    "centralized",
    "decisive_samples",
    "gain_per_local_step",
    "heterogeneity",
    "largest_stable_step",
    "rounds_per_tenth",
]

# Eigenvalues of B are known to about n²u, and those of a kernel of Θ are 1.
_ROUNDING = 1e-9

# Steps of the search for the first step size that is not stable, and relative accuracy of where it is.
_STEP, _ACCURACY = 1.05, 1e-6

# Eigenvalues of M beyond which local steps diverge, and their products may leave float64's range.
_LARGEST = 1e140


class Heterogeneity(NamedTuple):
    """How different clients are, to the kernel.

    ``overlap`` is λ_max(Θ)/max_c λ_max(Θ_cc), from 1 (clients that do not move each other's outputs) to K (clients that
    are alike); ``dissimilarity`` is K Σ_c ‖∇L_c‖²/‖Σ_c ∇L_c‖² at the start, 1 for equal gradients and infinite for
    gradients that cancel; by client: ``largest`` λ_max(Θ_cc), ``gradients`` ‖∇L_c‖ and ``alignment``, the cosine of
    ∇L_c with the sum of all.
    """

    overlap: float
    dissimilarity: float
    largest: Float[ndarray, " K"]
    gradients: Float[ndarray, " K"]
    alignment: Float[ndarray, " K"]


class DecisiveSamples(NamedTuple):
    """Rows in the order of their shares v_i² in the eigenvector v of λ_min(Θ); shares add up to 1."""

    rows: Int[ndarray, " n"]
    shares: Float[ndarray, " n"]


def largest_stable_step(gram: Any, clients: Clients, config: LocalSGD) -> float:
    """sup of the step sizes up to which no smaller one has rounds that let residuals grow for ever, ρ(B) ≤ 1.

    For η_g = 1 it is at least 2/max_c λ_max(Θ_cc), by the contraction theorem, and for τ = 1 it is 2K/λ_max(Θ). A
    singular Θ has one too: what is in its kernel stays.

    Parameters
    ----------
    gram, clients
        As in `prediction.local_gd`.
    config
        τ, η_g and a batch size, with which the mean over batches is meant; its step size has no meaning here.

    Returns
    -------
    η, to a relative 10⁻⁶; a window of step sizes narrower than 5% may be missed.

    Raises
    ------
    InputError
        As `prediction.contraction`; if the server step size is so large that already 1/max_c λ_max(Θ_cc) is unstable.

    References
    ----------
    ``docs/theory.md`` §4, [D].
    """
    theta = real_array("gram", gram, ndim=2)
    refuse_unpredicted(config, clients, (*PLAIN, "client_weights", "reduction"), "largest_stable_step")
    largest = [float(scipy.linalg.eigvalsh(theta[np.ix_(part, part)])[-1]) for part in clients.indices]
    # In the mean over batches, client c behaves as with the step η·b/n_c, and as with η/n_c where losses are means.
    shares = [own.gain for own in ClientSteps.of(clients, config)]
    stable = 1 / max(share * value for share, value in zip(shares, largest, strict=True))
    if not _contracts(theta, clients, config, stable):
        raise InputError(
            f"server_step_size is {config.server_step_size:g}, with which residuals grow at the step size {stable:.3g}:"
            " at most 1 is stable."
        )
    search = _StableSteps.of((theta + theta.T) / 2, clients, config)
    beyond = stable
    while search.contains(beyond):
        stable, beyond = beyond, beyond * _STEP
    while beyond > stable * (1 + _ACCURACY):
        middle = (stable + beyond) / 2
        stable, beyond = (middle, beyond) if search.contains(middle) else (stable, middle)
    return stable


@dataclasses.dataclass(frozen=True, eq=False)
class _StableSteps:
    """The step sizes with ρ(B) ≤ 1, for many of them: blocks of Θ are decomposed once, Θ_cc = V_c diag(λ_c) V_cᵀ.

    ``rotated`` is VᵀΘV, V = blockdiag(V_c), with rows client by client.
    """

    theta: Float[ndarray, "n n"]
    clients: Clients
    config: LocalSGD
    found: Responses
    share: Float[ndarray, " K"]
    rotated: Float[ndarray, "n n"]

    @classmethod
    def of(cls, theta: Float[ndarray, "n n"], clients: Clients, config: LocalSGD) -> "_StableSteps":
        found = Responses.of(theta, clients, config)
        turned = np.concatenate(
            [theta[:, part] @ own for part, (_, own) in zip(clients.indices, found.spectra, strict=True)], axis=1
        )
        rotated = np.concatenate(
            [own.T @ turned[part] for part, (_, own) in zip(clients.indices, found.spectra, strict=True)]
        )
        return cls(theta, clients, config, found, Averaging.of(clients, config).mean, rotated)

    def contains(self, step_size: float) -> bool:
        """As `_contracts`, but where M ≻ 0 from eigenvalues of M^{1/2}ΘM^{1/2} alone: B's are 1 − (η_g/K) times these.

        M = V diag(w) Vᵀ, so that they are those of diag(w)^{1/2} VᵀΘV diag(w)^{1/2}.
        """
        steps = ClientSteps.of(self.clients, dataclasses.replace(self.config, step_size=step_size))
        gained = dataclasses.replace(self.found, steps=steps).gained()
        weights = np.concatenate([own * each for own, each in zip(self.share, gained, strict=True)])
        if not (weights.min() > 0 and weights.max() <= _LARGEST):
            return _contracts(self.theta, self.clients, self.config, step_size)
        root = np.sqrt(weights)
        eigenvalues = scipy.linalg.eigvalsh(root[:, None] * self.rotated * root)
        of_round = 1 - self.config.server_step_size / self.clients.num_clients * eigenvalues[[0, -1]]
        return bool(np.abs(of_round).max() <= 1 + _ROUNDING)


def _contracts(theta: Float[ndarray, "n n"], clients: Clients, config: LocalSGD, step_size: float) -> bool:
    """Whether ρ(B) ≤ 1, to rounding."""
    return (
        prediction.contraction(theta, clients, dataclasses.replace(config, step_size=step_size)).asymptotic_rate
        <= 1 + _ROUNDING
    )


def gain_per_local_step(gram: Any, clients: Clients, config: LocalSGD) -> float:
    """log ρ(B_τ)/(τ log ρ(B_1)): what a local step is worth, in rounds of one step each; at the end of the run.

    1 means that τ local steps do the work of τ rounds, 1/τ that all but the first are for nothing. Arguments as in
    `prediction.contraction`; not a number where a single step does not contract.
    """
    own = _steps(config)
    rates = [
        prediction.contraction(gram, clients, dataclasses.replace(config, local_steps=steps)).asymptotic_rate
        for steps in (own, 1)
    ]
    if not 0 < rates[1] < 1 or not rates[0] > 0:
        return math.nan
    return math.log(rates[0]) / (own * math.log(rates[1]))


def _steps(config: LocalSGD) -> int:
    if not isinstance(config.local_steps, int):
        raise InputError(f"local_steps are {config.local_steps}, need to be one number for all clients here.")
    return config.local_steps


def rounds_per_tenth(rate: float) -> float:
    """Rounds in which a loss that falls by rate² a round falls to a tenth; infinite for rates from 1 on."""
    if rate <= 0:
        return 1.0
    return math.log(10) / (-2 * math.log(rate)) if rate < 1 else math.inf


def centralized(gram: Any, clients: Clients, residual: Any, config: LocalSGD) -> Float[ndarray, "rounds+1 n"]:
    """Residuals of gradient descent on all samples by rounds of as many steps, (I − ΘD)^{τt} r(0).

    D has η η_g p_c/g_c for the samples of client c, p_c its weight in the average (1/K if they are uniform) and g_c = 1
    or n_c, where losses are means: with this step a round of τ = 1 is the same as of Local GD, so that the quotient of
    both losses is what local steps change; it tends to 1 as ητ max_c λ_max(Θ_cc) → 0. Arguments as in
    `prediction.local_gd`; client weights and means are covered besides the plain settings.

    References
    ----------
    ``docs/theory.md`` §4, C10, [D].
    """
    _steps(config)
    config.refuse_beyond((*PLAIN, "client_weights", "reduction"), "centralized")
    sizes = np.array(clients.sizes) if config.reduction == "mean" else np.ones(clients.num_clients)
    each = np.array(config.weights_of(clients)) / sizes * config.server_step_size / clients.num_clients
    # Samples of a weight √w have Θ scaled by it from both sides: one step size serves all of them.
    scale = np.empty(clients.num_samples)
    for part, weight in zip(clients.indices, np.sqrt(each), strict=True):
        scale[part] = weight
    theta, r = real_array("gram", gram, ndim=2), real_array("residual", residual, ndim=1)
    everyone = Clients((np.arange(clients.num_samples),))
    own = dataclasses.replace(config, server_step_size=1.0, client_weights="uniform", reduction="sum")
    return prediction.local_gd(scale[:, None] * theta * scale, everyone, scale * r, own) / scale


def heterogeneity(gram: Any, clients: Clients, residual: Any) -> Heterogeneity:
    """Overlap of clients and their gradients at the start, from Θ's blocks: ⟨∇L_c, ∇L_c'⟩ = r_cᵀ Θ_cc' r_c'.

    Parameters
    ----------
    gram, clients, residual
        As in `prediction.local_gd`.
    """
    theta, r = real_array("gram", gram, ndim=2), real_array("residual", residual, ndim=(1, 2)).ravel()
    if theta.shape != (clients.num_samples,) * 2 or r.shape != theta.shape[:1]:
        raise InputError(f"gram {theta.shape} and residual {r.shape} do not fit {clients.num_samples} samples.")
    largest = np.array([scipy.linalg.eigvalsh(theta[np.ix_(part, part)])[-1] for part in clients.indices])
    own = [float(r[part] @ theta[np.ix_(part, part)] @ r[part]) for part in clients.indices]
    gradients = np.sqrt(np.maximum(own, 0))
    with_all = np.array([float(r[part] @ theta[part] @ r) for part in clients.indices])
    total = math.sqrt(max(float(with_all.sum()), 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        dissimilarity = np.float64(clients.num_clients * np.square(gradients).sum()) / total**2
        alignment = np.clip(with_all / (gradients * total), -1, 1)
    overlap = float(scipy.linalg.eigvalsh(theta)[-1] / largest.max())
    return Heterogeneity(overlap, float(dissimilarity), largest, gradients, alignment)


def decisive_samples(gram: Any) -> DecisiveSamples:
    """The samples that λ_min is due to: a change δ of Θ_ii changes it by v_i²δ to first order, v its eigenvector."""
    theta = real_array("gram", gram, ndim=2)
    _, vectors = scipy.linalg.eigh(theta, subset_by_index=[0, 0])
    shares = np.square(vectors[:, 0])
    order = np.argsort(-shares, kind="stable")
    return DecisiveSamples(order, shares[order])
