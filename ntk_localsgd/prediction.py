"""Local (S)GD in the kernel regime: where the Gram matrix stays put, residuals follow a linear recursion.

With Θ fixed, P_c = I − ηΘ_cc and M_c = η Σ_{k<τ} P_c^k, a round maps r to B r, B = I − (η_g/K) Θ·blockdiag(M_c). Every
function takes the Gram matrix of a network at its weights or the infinite one.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.config import LocalSGD
from ntk_localsgd.scalars import whole_number

__all__ = [
    "Contraction",
    "Laziness",
    "accumulated",
    "contraction",
    "laziness",
    "local_gd",
    "local_sgd_mean",
    "local_sgd_second_moment",
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
        η, τ, R and η_g; full batches, and all clients take part.

    Returns
    -------
    [R + 1, n] float64

    Raises
    ------
    InputError
        If the shapes do not fit or ``config`` has a batch size or participants.

    References
    ----------
    ``docs/theory.md`` §4, [D].
    """
    if config.batch_size is not None:
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
    η ≤ 1/max_c λ_max(Θ_cc), λ(S) lies in (0, K] whenever Θ ≻ 0, so that B contracts for every τ if η_g = 1.

    References
    ----------
    ``docs/theory.md`` §4, [D].
    """
    theta, parts = _symmetric(gram, clients), clients.indices
    spectra = [scipy.linalg.eigh(theta[np.ix_(s, s)]) for s in parts]
    steps = _mean_steps(clients, config)
    taken = config.steps_of(clients)
    weights = [accumulated(values, *each) for (values, _), *each in zip(spectra, steps, taken, strict=True)]
    if max(np.abs(w).max() for w in weights) > _LARGEST:  # local steps that diverge beyond every number
        return Contraction(np.inf, np.inf, np.inf)
    operator = round_operator(theta, clients, config)
    size = np.abs(operator).max()  # squares of what diverges may overflow
    scaled = operator / size
    two_norm = float(size * np.sqrt(max(scipy.linalg.eigvalsh(scaled.T @ scaled)[-1], 0)))
    if min(w.min() for w in weights) <= 0:  # η ≥ 2/λ_max(Θ_cc) and τ even: local steps diverge, M defines no norm
        return Contraction(np.inf, two_norm, float(np.abs(scipy.linalg.eigvals(operator)).max()))
    roots = np.zeros_like(theta)
    for (_, vectors), weight, part in zip(spectra, weights, parts, strict=True):
        roots[np.ix_(part, part)] = vectors * np.sqrt(weight) @ vectors.T
    eigenvalues = scipy.linalg.eigvalsh(roots @ theta @ roots)
    rate = float(np.abs(1 - config.server_step_size / clients.num_clients * eigenvalues[[0, -1]]).max())
    return Contraction(rate, two_norm, rate)


def round_weights(gram: Any, clients: Clients, config: LocalSGD) -> Float[ndarray, "n n"]:
    """M = blockdiag(M_c), M_c = η Σ_{k<τ_c} (I − ηΘ_cc)^k, from eigendecompositions of the blocks.

    No block is inverted. Arguments as in `round_operator`.
    """
    theta = _symmetric(gram, clients)
    weights = np.zeros_like(theta)
    for part, eta, taken in zip(clients.indices, _mean_steps(clients, config), config.steps_of(clients), strict=True):
        values, vectors = scipy.linalg.eigh(theta[np.ix_(part, part)])
        block = accumulated(values, float(eta), taken)
        if np.abs(block).max() > _LARGEST:
            raise InputError(
                f"step_size is {config.step_size:g}, with which {taken} local steps leave float64's range:"
                f" needs to be below 2/λ_max of every client, {2 / values[-1]:.3g} here."
            )
        weights[np.ix_(part, part)] = vectors * block @ vectors.T
    return weights


def round_operator(gram: Any, clients: Clients, config: LocalSGD) -> Float[ndarray, "n n"]:
    """B = I − (η_g/K) Θ M, the map of the residual over one round; of its mean where batches or participants are drawn.

    Parameters
    ----------
    gram, clients
        As in `local_gd`.
    config
        η, τ and η_g; with a batch size b client c behaves on average as with the step size η·b/n_c. The number of
        rounds has no meaning here.
    """
    theta = _symmetric(gram, clients)
    weights = round_weights(theta, clients, config)
    product = np.empty_like(theta)
    for part in clients.indices:  # M is block diagonal
        product[:, part] = theta[:, part] @ weights[np.ix_(part, part)]
    return np.eye(len(theta)) - config.server_step_size / clients.num_clients * product


def local_sgd_mean(gram: Any, clients: Clients, residual: Any, config: LocalSGD) -> Float[ndarray, "rounds+1 n"]:
    """Expected residuals E r(t) of minibatch Local SGD with fixed Θ, exactly.

    A batch of b out of n_c samples is met with E[P_B] = (b/n_c)·I, independently of all before: client c behaves on
    average as with the step size η·b/n_c. Who takes part changes no mean: (η_g/q)·(q/K) = η_g/K. Arguments
    as in `local_sgd_second_moment`. Infinite once it has diverged.
    """
    start, operator = _vector(residual, clients), round_operator(gram, clients, config)
    if (config.num_rounds + 1) * len(start) > _MOST:
        needs = f"needs to be below {_MOST // len(start):,} for {len(start)} samples"
        raise InputError(f"num_rounds is {config.num_rounds:,}, {needs}: residuals of all rounds are kept.")
    residuals = np.full((int(config.num_rounds) + 1, len(start)), np.inf)
    residuals[0] = start
    for t in range(config.num_rounds):
        residuals[t + 1] = operator @ residuals[t]
        if not np.abs(residuals[t + 1]).max() <= _LARGEST:  # diverged: infinite from here on
            residuals[t + 1] = np.inf
            break
    return residuals


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
        η, τ, R, η_g, q and b, at most the size of the smallest client; without b, all samples of every client.

    Returns
    -------
    [R + 1] float64

    Raises
    ------
    InputError
        If the shapes do not fit or a batch is larger than a client.

    References
    ----------
    ``docs/theory.md`` §4, [D].
    """
    theta, start = _symmetric(gram, clients), _vector(residual, clients)
    means = round_weights(theta, clients, config)
    # Samples in the order of clients, so that a client's block is a slice and no round gathers or scatters.
    order = np.concatenate(clients.indices)
    theta, means, start = theta[np.ix_(order, order)], means[np.ix_(order, order)], start[order]
    steps = config.steps_of(clients)
    blocks = [slice(end - size, end) for end, size in zip(np.cumsum(clients.sizes), clients.sizes, strict=True)]
    num_clients, taking_part = clients.num_clients, config.participants_of(clients)
    scale, share = config.server_step_size / num_clients, num_clients / taking_part
    # E 1{c ∈ Q}1{c' ∈ Q} over the (q/K)² of the mean round: K/q for a client, and for a pair this more than 1.
    pair = share * (taking_part - 1) / (num_clients - 1) - 1 if share > 1 else 0.0
    mean_round = np.eye(len(theta)) - scale * theta @ means
    moment, spread = np.outer(start, start), np.empty_like(theta)
    norms = np.full(int(config.num_rounds) + 1, np.inf)
    norms[0] = np.trace(moment)
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(config.num_rounds):
            # The mean round, (I − s ΘĀ) S (I − s ĀΘ), holds the product of means for every pair of clients; a client's
            # accumulated weights with themselves have the second moment Q_c, which adds s² Θ (Q_c − Ā S_cc Ā) Θ.
            for s, taken in zip(blocks, steps, strict=True):
                local = share * _local_second_moment(theta[s, s], moment[s, s], config, taken)
                spread[:, s] = theta[:, s] @ (
                    scale**2 * (local - (1 + pair) * means[s, s] @ moment[s, s] @ means[s, s])
                )
            apart = scale**2 * pair * theta @ means @ moment @ means if pair else 0.0
            moment = mean_round @ moment @ mean_round.T + (spread + apart) @ theta
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
    theta, path = _symmetric(gram, clients), local_sgd_mean(gram, clients, residual, config)
    if not np.isfinite(path).all():
        return Laziness(np.inf, np.inf, 0.5)
    weights = round_weights(theta, clients, config)
    gained = config.server_step_size / clients.num_clients * np.cumsum(path[:-1], axis=0) @ weights
    squared = float(np.einsum("ti,ti->t", gained @ theta, gained).max(initial=0))
    largest = float(scipy.linalg.eigvalsh(theta)[-1])
    norm = float(np.linalg.norm(gained, axis=1).max(initial=0))
    shift = math.sqrt(squared / width * min(1, 4 * largest / len(theta)))
    return Laziness(math.sqrt(squared), 2 * math.sqrt(largest / width) * norm, math.erf(shift / math.sqrt(2)) / 2)


def accumulated(eigenvalues: Float[ndarray, " n"], step_size: float, local_steps: int) -> Float[ndarray, " n"]:
    """η Σ_{k<τ} (1 − ηλ)^k for every eigenvalue λ, without cancellation at small λ and without dividing by it."""
    x = step_size * eigenvalues
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # Below 1, (1 − (1 − x)^τ)/x through logarithms; from 1 on nothing cancels in the same quotient.
        small = -np.expm1(local_steps * np.log1p(-np.where(x < 1, x, 0))) / np.where(x == 0, 1, x)
        large = (1 - (1 - x) ** local_steps) / np.where(x == 0, 1, x)
    return step_size * np.where(x == 0, local_steps, np.where(x < 1, small, large))


def _local_second_moment(
    theta: Float[ndarray, "n_c n_c"], moment: Float[ndarray, "n_c n_c"], config: LocalSGD, local_steps: int
) -> Float[ndarray, "n_c n_c"]:
    """Q = E[a aᵀ] of a client's accumulated weights a = η Σ_k P_B r^k over its local steps, from S = E[r rᵀ]."""
    n, eta = len(theta), config.step_size
    b = n if config.batch_size is None else config.batch_size
    p1 = b / n
    p2 = b * (b - 1) / (n * (n - 1)) if n > 1 else p1
    second, cross, total = moment, np.zeros_like(moment), np.zeros_like(moment)
    for _ in range(local_steps):
        batch = eta**2 * (p2 * second + (p1 - p2) * np.diag(np.diag(second)))
        mean, noise = eta * p1 * (theta @ second), batch @ theta
        total = total + eta * p1 * (cross + cross.T) + batch
        cross = cross - eta * p1 * (cross @ theta) + eta * p1 * second - noise
        second = second - mean - mean.T + theta @ noise
    return total


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


def _mean_steps(clients: Clients, config: LocalSGD) -> Float[ndarray, " K"]:
    """η·b/n_c of every client; η where no batches are drawn."""
    if config.batch_size is None:
        return np.full(clients.num_clients, config.step_size)
    if config.batch_size > min(clients.sizes):
        raise InputError(
            f"batch_size is {config.batch_size}, needs to be at most {min(clients.sizes)}, the smallest client."
        )
    return config.step_size * (config.batch_size / np.array(clients.sizes, float))
