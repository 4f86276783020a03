"""What a client's local steps, and the average over clients, do to samples' weights where the Gram matrix stays put."""

import dataclasses
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels import as_matrix
from ntk_localsgd.local_sgd.config import PLAIN, LocalSGD
from ntk_localsgd.local_sgd.server import Momentum

__all__ = [
    "ROUND",
    "ROUNDS",
    "Averaging",
    "ClientSteps",
    "Responses",
    "accumulated",
    "by_output",
    "local_second_moment",
    "refuse_unpredicted",
    "server_decay",
]

#: Settings whose round is a linear map of the residual, by a function of each client's block.
ROUND = (*PLAIN, "client_weights", "batches", "reduction", "client_momentum", "proximal")

#: Settings of a sequence of such rounds.
ROUNDS = (*ROUND, "step_factors", "server")

# Sets of participants, of unequal weights, that are gone through one by one.
_MOST_SETS = 100_000


def refuse_unpredicted(config: LocalSGD, clients: Clients, covered: tuple[str, ...], what: str) -> None:
    """Refuse what no linear recursion of the residual describes.

    Parameters
    ----------
    covered
        Names of settings: `ROUND`, `ROUNDS` or fewer.
    what
        Whose they are, as the subject of a sentence.

    Raises
    ------
    InputError
        For a setting that is not among them; for Adam, and for epochs of more than one batch.
    """
    config.refuse_beyond(covered, what)
    if not isinstance(config.server, Momentum | None):
        raise InputError(f"server is {config.server}, but {what} is linear in the weights: needs Momentum or None.")
    if config.batches == "epochs" and config.batches_of(clients) != clients.sizes:
        raise InputError(f"batches is 'epochs', but {what} is about batches drawn independently: needs 'independent'.")


def server_decay(config: LocalSGD) -> float:
    """β of the server's momentum, 0 without one."""
    return config.server.decay if isinstance(config.server, Momentum) else 0.0


@dataclasses.dataclass(frozen=True)
class ClientSteps:
    """τ steps of one client in the mean over batches: v ← βv + g r − μa, a ← a + ηv, r ← r(t) − Θ_cc a.

    ``share`` is p₁ = b/n_c, the probability of a sample to be in a batch; g is p₁, or p₁/b if losses are means.
    """

    step_size: float
    share: float
    gain: float
    number: int
    momentum: float
    proximal: float

    @classmethod
    def of(cls, clients: Clients, config: LocalSGD) -> list["ClientSteps"]:
        """Those of every client."""
        held = zip(clients.sizes, config.batches_of(clients), config.steps_of(clients), strict=True)
        found = []
        for size, batch, steps in held:
            gain = 1 / size if config.reduction == "mean" else batch / size
            found.append(cls(config.step_size, batch / size, gain, steps, config.client_momentum, config.proximal))
        return found

    def gained(self, eigenvalues: Float[ndarray, " n"], factor: float = 1.0) -> Float[ndarray, " n"]:
        """a/r(t) after all steps, for every eigenvalue λ of Θ_cc, with the step size times ``factor``.

        Without momentum g η Σ_{k<τ} (1 − η(gλ + μ))^k.
        """
        eta = factor * self.step_size
        if not self.momentum:
            if not self.proximal:
                return accumulated(eigenvalues, eta * self.gain, self.number)
            return self.gain * accumulated(self.gain * eigenvalues + self.proximal, eta, self.number)
        weights, velocity = np.zeros_like(eigenvalues), np.zeros_like(eigenvalues)
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(self.number):
                pushed = self.gain * (1 - eigenvalues * weights) - self.proximal * weights
                velocity = self.momentum * velocity + pushed
                weights = weights + eta * velocity
        return np.where(np.isfinite(weights), weights, np.inf)


@dataclasses.dataclass(frozen=True)
class Responses:
    """Eigendecompositions of the clients' blocks of Θ, from which M_c follows for every step size."""

    clients: Clients
    steps: list[ClientSteps]
    spectra: list[tuple[Float[ndarray, " n_c"], Float[ndarray, "n_c n_c"]]]

    @classmethod
    def of(cls, theta: Float[ndarray, "n n"], clients: Clients, config: LocalSGD) -> "Responses":
        """One decomposition a client."""
        spectra = [scipy.linalg.eigh(theta[np.ix_(part, part)]) for part in clients.indices]
        return cls(clients, ClientSteps.of(clients, config), spectra)

    def gained(self, factor: float = 1.0) -> list[Float[ndarray, " n_c"]]:
        """Eigenvalues of M_c, client by client."""
        return [own.gained(values, factor) for own, (values, _) in zip(self.steps, self.spectra, strict=True)]


class Averaging(NamedTuple):
    """Weights w_c(Q) of the average over the participants Q, 0 for others, in the mean over Q.

    ``mean``: K E w_c, 1 where all clients are alike; ``product``: K² E w_c w_c'.
    """

    mean: Float[ndarray, " K"]
    product: Float[ndarray, "K K"]

    @classmethod
    def of(cls, clients: Clients, config: LocalSGD) -> "Averaging":
        """From the settings.

        Raises
        ------
        InputError
            If clients of unequal weights take part in more sets than can be gone through.
        """
        number, weights = clients.num_clients, np.array(config.weights_of(clients))
        taking_part = config.participants_of(clients)
        if taking_part == number:
            return cls(weights, np.outer(weights, weights))
        if config.client_weights == "uniform":
            # E 1{c ∈ Q}1{c' ∈ Q} over (q/K)²: K/q for a client, and for a pair this much.
            share = number / taking_part
            pair = share * (taking_part - 1) / (number - 1)
            return cls(weights, np.where(np.eye(number, dtype=bool), share, pair))
        if math.comb(number, taking_part) > _MOST_SETS:
            raise InputError(
                f"participants is {taking_part} of {number} clients of unequal weights, whose mean is taken over all "
                f"sets of them: needs at most {_MOST_SETS:,} sets."
            )
        sets = np.array(list(itertools.combinations(range(number), taking_part)))
        chosen = np.zeros((len(sets), number))
        np.put_along_axis(chosen, sets, weights[sets], axis=1)
        shares = number * chosen / chosen.sum(axis=1, keepdims=True)
        return cls(shares.mean(axis=0), shares.T @ shares / len(sets))


def by_output(gram: Any, clients: Clients, residual: Any) -> tuple[ndarray, Clients, ndarray]:
    """Several outputs as samples of their own: what every function here takes for full batches and sums.

    Parameters
    ----------
    gram
        Θ of o outputs, [n n o o], as `kernels.empirical_gram` gives it.
    clients
        Who holds which sample.
    residual
        f − y, [n o].

    Returns
    -------
    Θ as a matrix (n·o)², the clients of its rows, and the residual as a vector. Losses are half its squares; batches of
    b samples are not b of these rows.

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    theta, rows = real_array("gram", gram, ndim=4), real_array("residual", residual, ndim=2)
    n, outputs = rows.shape
    if theta.shape != (n, n, outputs, outputs) or clients.num_samples != n:
        raise InputError(f"gram {theta.shape}, residual {rows.shape} and {clients.num_samples} samples do not fit.")
    own = tuple((part[:, None] * outputs + np.arange(outputs)).ravel() for part in clients.indices)
    return as_matrix(theta), Clients(own), rows.ravel()


def accumulated(eigenvalues: Float[ndarray, " n"], step_size: float, local_steps: int) -> Float[ndarray, " n"]:
    """η Σ_{k<τ} (1 − ηλ)^k for every eigenvalue λ, without cancellation at small λ and without dividing by it."""
    x = step_size * eigenvalues
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # Below 1, (1 − (1 − x)^τ)/x through logarithms; from 1 on nothing cancels in the same quotient.
        small = -np.expm1(local_steps * np.log1p(-np.where(x < 1, x, 0))) / np.where(x == 0, 1, x)
        large = (1 - (1 - x) ** local_steps) / np.where(x == 0, 1, x)
    return step_size * np.where(x == 0, local_steps, np.where(x < 1, small, large))


def local_second_moment(
    theta: Float[ndarray, "n_c n_c"], moment: Float[ndarray, "n_c n_c"], steps: ClientSteps, batch: int, factor: float
) -> Float[ndarray, "n_c n_c"]:
    """Q = E[a aᵀ] of a client's accumulated weights a = η Σ_k P_B r^k over its local steps, from S = E[r rᵀ]."""
    n = len(theta)
    eta = factor * steps.step_size * (steps.gain / steps.share)
    p1 = batch / n
    p2 = batch * (batch - 1) / (n * (n - 1)) if n > 1 else p1
    second, cross, total = moment, np.zeros_like(moment), np.zeros_like(moment)
    for _ in range(steps.number):
        drawn = eta**2 * (p2 * second + (p1 - p2) * np.diag(np.diag(second)))
        mean, noise = eta * p1 * (theta @ second), drawn @ theta
        total = total + eta * p1 * (cross + cross.T) + drawn
        cross = cross - eta * p1 * (cross @ theta) + eta * p1 * second - noise
        second = second - mean - mean.T + theta @ noise
    return total
