"""Local (S)GD in the kernel regime: where the Gram matrix stays put, residuals follow a linear recursion.

With Θ fixed, P_c = I − ηΘ_cc and M_c = η Σ_{k<τ} P_c^k, a round maps r to B r, B = I − (η_g/K) Θ·blockdiag(M_c). Every
function takes the Gram matrix of a network at its weights or the infinite one. Client weights multiply M_c by K p_c;
client momentum, FedProx and means over samples make M_c another function of Θ_cc; all functions serve them, but for
what they say. Weight decay, Adam and shuffled epochs have no such recursion and are refused.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.config import PLAIN, LocalSGD
from ntk_localsgd.responses import (
    ROUND,
    ROUNDS,
    Averaging,
    Responses,
    accumulated,
    by_output,
    local_second_moment,
    refuse_unpredicted,
    server_decay,
)
from ntk_localsgd.scalars import whole_number

__all__ = [
    "Contraction",
    "Laziness",
    "accumulated",
    "by_output",
    "contraction",
    "laziness",
    "local_gd",
    "local_sgd_mean",
    "local_sgd_second_moment",
    "residuals_and_weights",
    "round_operator",
    "round_weights",
]

# Residuals up to here have squares, and sums of squares, within float64.
_LARGEST = 1e140

# Numbers that the residuals of all rounds may take: 8 GiB.
_MOST = 2**30


class Contraction(NamedTuple):
    """How fast a round contracts the residual.

    ``norm`` is ‖B‖ in the M-norm ‖v‖_M = ‖M^{1/2}v‖ (infinite where M is not positive definite), ``operator_norm`` is
    ‖B‖₂, which may exceed 1 although the recursion converges, ``asymptotic_rate`` the spectral radius of B.
    """

    norm: float
    operator_norm: float
    asymptotic_rate: float


class Laziness(NamedTuple):
    """How far a run leaves its start in the kernel regime; where that is much, the kernel regime is not plausible.

    ``movement`` is the largest ‖W(t) − W(0)‖_F, ``neuron_movement`` bounds max_r ‖w_r(t) − w_r(0)‖, ``flips`` the
    expected share of activation patterns that change; all at round ends, to leading order in m^{-1/2}.
    """

    movement: float
    neuron_movement: float
    flips: float


def local_gd(gram: Any, clients: Clients, residual: Any, config: LocalSGD) -> Float[ndarray, "rounds+1 n"]:
    """Residuals r(t) = B^t r(0) of full-batch Local GD, t = 0 … R.

    K = 1 is gradient descent, (I − ηΘ)^{τt} r(0); τ = 1 is synchronous gradient descent; τ → ∞ is damped block Jacobi.
    The loss is ½ ‖r(t)‖².

    Parameters
    ----------
    gram
        Θ, symmetric [n n], samples ordered as in the data set.
    clients
        Who holds which sample.
    residual
        r(0) = f − y, [n].
    config
        η, τ, R and η_g, by the round if there are step factors, and momentum of the server; full batches, and all
        clients take part.

    Returns
    -------
    [R + 1, n] float64

    Raises
    ------
    InputError
        If the shapes do not fit or ``config`` has batches, participants, or what is no linear recursion.

    References
    ----------
    ``docs/theory.md`` §4, [D].
    """
    if config.batches_of(clients) != clients.sizes:
        raise InputError(f"config has batch_size {config.batch_size}, but local_gd is about full batches: needs None.")
    if config.participants is not None:
        raise InputError(
            f"config has participants {config.participants}, but local_gd is about runs that no chance decides: needs "
            f"None, or local_sgd_mean."
        )
    return local_sgd_mean(gram, clients, residual, config)


def contraction(gram: Any, clients: Clients, config: LocalSGD) -> Contraction:
    """M-norm, 2-norm and spectral radius of the round operator B; arguments as in `round_operator`.

    In the M-norm B is symmetric: with S = M^{1/2}ΘM^{1/2} its eigenvalues are 1 − (η_g/K)·λ(S). For
    η ≤ 1/max_c λ_max(Θ_cc), λ(S) lies in (0, K] whenever Θ ≻ 0, so that B contracts for every τ if η_g = 1. Client
    weights stand in M. With momentum β of the server, norms are infinite, and the rate is the largest modulus of the
    roots of z² − (λ(B) + β) z + β.

    References
    ----------
    ``docs/theory.md`` §4, [D].
    """
    theta, parts, beta = _symmetric(gram, clients), clients.indices, server_decay(config)
    refuse_unpredicted(config, clients, (*ROUND, "server"), "contraction")
    found, share = Responses.of(theta, clients, config), Averaging.of(clients, config).mean
    weights = [own * each for own, each in zip(share, found.gained(), strict=True)]
    if max(np.abs(w).max() for w in weights) > _LARGEST:  # local steps that diverge beyond every number
        return Contraction(np.inf, np.inf, np.inf)
    operator = round_operator(theta, clients, dataclasses.replace(config, server=None))
    size = np.abs(operator).max()  # squares of what diverges may overflow
    scaled = operator / size
    two_norm = float(size * np.sqrt(max(scipy.linalg.eigvalsh(scaled.T @ scaled)[-1], 0)))
    if min(w.min() for w in weights) <= 0:  # η ≥ 2/λ_max(Θ_cc) and τ even: local steps diverge, M defines no norm
        rate = _with_momentum(scipy.linalg.eigvals(operator), beta)
        return Contraction(np.inf, np.inf if beta else two_norm, rate)
    roots = np.zeros_like(theta)
    for (_, vectors), weight, part in zip(found.spectra, weights, parts, strict=True):
        roots[np.ix_(part, part)] = vectors * np.sqrt(weight) @ vectors.T
    eigenvalues = scipy.linalg.eigvalsh(roots @ theta @ roots)
    if beta:
        rate = _with_momentum(1 - config.server_step_size / clients.num_clients * eigenvalues, beta)
        return Contraction(np.inf, np.inf, rate)
    rate = float(np.abs(1 - config.server_step_size / clients.num_clients * eigenvalues[[0, -1]]).max())
    return Contraction(rate, two_norm, rate)


def _with_momentum(eigenvalues: ndarray, beta: float) -> float:
    """Spectral radius of r ← r + m, m ← βm + (B − I)r: of [[b, β], [b − 1, β]] for every eigenvalue b of B."""
    trace = eigenvalues.astype(complex) + beta
    root = np.sqrt(trace**2 - 4 * beta)
    return float(np.maximum(np.abs(trace + root), np.abs(trace - root)).max() / 2)


def round_weights(gram: Any, clients: Clients, config: LocalSGD) -> Float[ndarray, "n n"]:
    """M = blockdiag(M_c), M_c = η Σ_{k<τ_c} (I − ηΘ_cc)^k, from eigendecompositions of the blocks.

    No block is inverted. Arguments as in `round_operator`; client weights are not in M.
    """
    theta = _symmetric(gram, clients)
    refuse_unpredicted(config, clients, ROUND, "round_weights")
    return _assembled(clients, _blocks(Responses.of(theta, clients, config), config))


def _blocks(found: Responses, config: LocalSGD, factor: float = 1.0) -> list[ndarray]:
    """M_c of every client, where they are numbers."""
    blocks = []
    for gained, (values, vectors), own in zip(found.gained(factor), found.spectra, found.steps, strict=True):
        if not np.abs(gained).max() <= _LARGEST:
            raise InputError(
                f"step_size is {config.step_size:g}, with which {own.number} local steps leave float64's range:"
                f" needs to be below 2/λ_max of every client, {2 / (own.gain * values[-1]):.3g} here."
            )
        blocks.append(vectors * gained @ vectors.T)
    return blocks


def _assembled(clients: Clients, blocks: list[ndarray]) -> Float[ndarray, "n n"]:
    """blockdiag of the clients' blocks, in the order of samples."""
    matrix = np.zeros((clients.num_samples,) * 2)
    for part, block in zip(clients.indices, blocks, strict=True):
        matrix[np.ix_(part, part)] = block
    return matrix


def round_operator(gram: Any, clients: Clients, config: LocalSGD) -> Float[ndarray, "n n"]:
    """B = I − (η_g/K) Θ M, the map of the residual over one round; of its mean where batches or participants are drawn.

    Parameters
    ----------
    gram, clients
        As in `local_gd`.
    config
        η, τ and η_g; with a batch size b client c behaves on average as with the step size η·b/n_c. The number of
        rounds has no meaning here. With client weights M_c is multiplied by K p_c.
    """
    theta = _symmetric(gram, clients)
    weights, share = round_weights(theta, clients, config), Averaging.of(clients, config).mean
    product = np.empty_like(theta)
    for part, own in zip(clients.indices, share, strict=True):  # M is block diagonal
        product[:, part] = own * theta[:, part] @ weights[np.ix_(part, part)]
    return np.eye(len(theta)) - config.server_step_size / clients.num_clients * product


def local_sgd_mean(gram: Any, clients: Clients, residual: Any, config: LocalSGD) -> Float[ndarray, "rounds+1 n"]:
    """Expected residuals E r(t) of minibatch Local SGD with fixed Θ, exactly.

    A batch of b out of n_c samples is met with E[P_B] = (b/n_c)·I, independently of all before: client c behaves on
    average as with the step size η·b/n_c. Who takes part changes no mean: (η_g/q)·(q/K) = η_g/K. Arguments
    as in `local_gd`, and batches and participants besides. Infinite once it has diverged.
    """
    return residuals_and_weights(gram, clients, residual, config)[0]


def residuals_and_weights(
    gram: Any, clients: Clients, residual: Any, config: LocalSGD
) -> tuple[Float[ndarray, "rounds+1 n"], Float[ndarray, "rounds+1 n"]]:
    """E r(t), and the weights a(t) that samples have gained, with which W(t) = W(0) − Jᵀ a(t), r(t) = r(0) − Θ a(t).

    Arguments, and `InputError`, as of `local_sgd_mean`.
    """
    theta, start, beta = _symmetric(gram, clients), _vector(residual, clients), server_decay(config)
    refuse_unpredicted(config, clients, ROUNDS, "prediction")
    if (config.num_rounds + 1) * len(start) > _MOST:
        needs = f"needs to be below {_MOST // len(start):,} for {len(start)} samples"
        raise InputError(f"num_rounds is {config.num_rounds:,}, {needs}: residuals of all rounds are kept.")
    pushes = _pushes(theta, clients, config)
    residuals = np.full((int(config.num_rounds) + 1, len(start)), np.inf)
    gained, moving = np.zeros_like(residuals), np.zeros_like(start)
    residuals[0] = start
    for t in range(config.num_rounds):
        moving = beta * moving + pushes(t, residuals[t])
        gained[t + 1] = gained[t] + moving
        residuals[t + 1] = residuals[t] - theta @ moving
        if not np.abs(residuals[t + 1]).max() <= _LARGEST:  # diverged: infinite from here on
            residuals[t + 1] = np.inf
            break
    return residuals, gained


def _pushes(
    theta: Float[ndarray, "n n"], clients: Clients, config: LocalSGD
) -> Callable[[int, Float[ndarray, " n"]], Float[ndarray, " n"]]:
    """(η_g/K) Ω M(t) r of a round t and its residual, Ω the clients' weights."""
    found, share = Responses.of(theta, clients, config), Averaging.of(clients, config).mean
    scale = config.server_step_size / clients.num_clients
    by_factor: dict[float, list[ndarray]] = {}

    def push(t: int, r: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
        factor = 1.0 if config.step_factors is None else config.step_factors[t]
        if factor not in by_factor:
            by_factor.clear()  # factors come in runs, if they come again
            by_factor[factor] = _blocks(found, config, factor)
        moved = np.empty_like(r)
        for part, block, own in zip(clients.indices, by_factor[factor], share, strict=True):
            moved[part] = scale * own * (block @ r[part])
        return moved

    return push


def local_sgd_second_moment(gram: Any, clients: Clients, residual: Any, config: LocalSGD) -> Float[ndarray, "rounds+1"]:
    """Expected squared norms E ‖r(t)‖² of minibatch Local SGD with fixed Θ, exactly; half of it is the expected loss.

    Every step draws a fresh uniform batch of b samples without replacement and uses the batch sum, so that
    E[P_B S P_B] = p₂ S + (p₁ − p₂) diag S with p₁ = b/n_c, p₂ = b(b−1)/(n_c(n_c−1)). The full second moment E r rᵀ is
    propagated; clients are independent given the start of the round. q of K clients that take part have a pair among
    them with probability q(q−1)/(K(K−1)). b = n_c and q = K is the square of `local_gd`.

    Parameters
    ----------
    gram, clients, residual
        As in `local_gd`.
    config
        η, τ, R, η_g, q and b (n_c where a client has fewer), client weights, means and step factors; without b, all
        samples of every client. No momentum and no FedProx.

    Returns
    -------
    [R + 1] float64

    Raises
    ------
    InputError
        If the shapes do not fit, or for settings that this recursion does not follow.

    References
    ----------
    ``docs/theory.md`` §4, [D].
    """
    theta, start = _symmetric(gram, clients), _vector(residual, clients)
    covered = (*PLAIN, "client_weights", "batches", "reduction", "step_factors")
    refuse_unpredicted(config, clients, covered, "the second moment")
    # Samples in the order of clients, so that a client's block is a slice and no round gathers or scatters.
    order = np.concatenate(clients.indices)
    theta, start = theta[np.ix_(order, order)], start[order]
    blocks = [slice(end - size, end) for end, size in zip(np.cumsum(clients.sizes), clients.sizes, strict=True)]
    in_order = Clients(tuple(np.arange(block.start, block.stop) for block in blocks))
    found, batches = Responses.of(theta, in_order, config), config.batches_of(clients)
    share, product = Averaging.of(clients, config)
    scale, apart = config.server_step_size / clients.num_clients, product - np.outer(share, share)
    owner = np.repeat(np.arange(clients.num_clients), clients.sizes)
    pairs = apart[np.ix_(owner, owner)] if apart.any() else None
    moment, spread, last = np.outer(start, start), np.empty_like(theta), None
    norms = np.full(int(config.num_rounds) + 1, np.inf)
    norms[0] = np.trace(moment)
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(config.num_rounds):
            factor = 1.0 if config.step_factors is None else config.step_factors[t]
            if factor != last:
                means, last = _assembled(in_order, _blocks(found, config, factor)), factor
                mean_round = np.eye(len(theta)) - scale * theta @ (share[owner, None] * means)
            # The mean round, (I − s ΘΩĀ) S (I − s ĀΩΘ), holds the product of means for every pair of clients; a
            # client's weights with themselves have the second moment Q_c, which adds s² Θ ω (Q_c − Ā S_cc Ā) Θ, and
            # where participants are drawn, weights w of two clients are not independent.
            for c, s in enumerate(blocks):
                local = local_second_moment(theta[s, s], moment[s, s], found.steps[c], batches[c], factor)
                own = product[c, c] * (local - means[s, s] @ moment[s, s] @ means[s, s])
                spread[:, s] = theta[:, s] @ (scale**2 * own)
            drawn = 0.0 if pairs is None else scale**2 * theta @ (pairs * (means @ moment @ means))
            moment = mean_round @ moment @ mean_round.T + (spread + drawn) @ theta
            moment = (moment + moment.T) / 2
            if not np.trace(moment) <= _LARGEST**2:  # diverged: infinite from here on
                break
            norms[t + 1] = np.trace(moment)
    return norms


def laziness(gram: Any, clients: Clients, residual: Any, config: LocalSGD, *, width: int) -> Laziness:
    """Movement and pattern changes that the kernel regime itself predicts for a two-layer network of ``width`` neurons.

    With a(t) = (η_g/K) Σ_{s<t} M r(s), ‖W(t) − W(0)‖_F² = aᵀΘa; a neuron moves by at most 2 λ_max(Θ)^{1/2} ‖a‖/√m. The
    share of flips is estimated by ½ erf(δ/√2), δ² = (aᵀΘa/m) min(1, 4 λ_max(Θ)/n), as if a neuron's movement did not
    depend on where it is: an overestimate on digits and on the sphere, and 2.3 times too small for two rows of opposite
    targets at an angle of 0.1. Rows of unit norm and weights N(0, I) are assumed; with minibatches it is about the mean
    run.

    Parameters
    ----------
    gram, clients, residual, config
        As in `local_sgd_mean`.
    width
        m.

    Returns
    -------
    Laziness

    Raises
    ------
    InputError
        As `local_sgd_mean`, and for a width below 1.

    References
    ----------
    ``docs/theory.md`` §4, [D].
    """
    width = whole_number("width", width)
    theta, (path, gained) = _symmetric(gram, clients), residuals_and_weights(gram, clients, residual, config)
    if not np.isfinite(path).all():
        return Laziness(np.inf, np.inf, 0.5)
    squared = float(np.einsum("ti,ti->t", gained @ theta, gained).max(initial=0))
    largest = float(scipy.linalg.eigvalsh(theta)[-1])
    norm = float(np.linalg.norm(gained, axis=1).max(initial=0))
    shift = math.sqrt(squared / width * min(1, 4 * largest / len(theta)))
    return Laziness(math.sqrt(squared), 2 * math.sqrt(largest / width) * norm, math.erf(shift / math.sqrt(2)) / 2)


def _symmetric(gram: Any, clients: Clients) -> Float[ndarray, "n n"]:
    theta, n = real_array("gram", gram, ndim=2), clients.num_samples
    if theta.shape != (n, n):
        raise InputError(f"gram has shape {theta.shape}, but the clients hold {n} samples.")
    if np.abs(theta).max() > _LARGEST:
        raise InputError(f"gram holds {np.abs(theta).max():.3g}, needs to be at most {_LARGEST:g}.")
    gap = np.abs(theta - theta.T).max()
    if gap > 1e-4 * np.abs(theta).max():
        raise InputError(f"gram differs from its transpose by {gap:.3g}, needs to be symmetric.")
    return (theta + theta.T) / 2


def _vector(residual: Any, clients: Clients) -> Float[ndarray, " n"]:
    vector = real_array("residual", residual, ndim=(1, 2))
    if vector.shape not in ((clients.num_samples,), (clients.num_samples, 1)):
        raise InputError(f"residual has shape {vector.shape}, needs one number for each of {clients.num_samples}.")
    if np.abs(vector).max() > _LARGEST:
        raise InputError(
            f"residual holds {np.abs(vector).max():.3g}, needs to be at most {_LARGEST:g}: use smaller targets."
        )
    return vector.ravel()
