"""Certify a network, or a random initialization by its key, and stop training as soon as it can be certified."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Array, Float
from numpy import ndarray
from rich.console import Console
from rich.progress import track

from ntk_localsgd import kernels
from ntk_localsgd.arrays import real_array
from ntk_localsgd.certificate.ball import certify_ball, least_radius
from ntk_localsgd.certificate.model import Problem, RoundModel, Unsuitable
from ntk_localsgd.certificate.neurons import LARGEST, SMALLEST, NearKinks, Neurons, near_kinks, survey
from ntk_localsgd.certificate.outcome import Certificate, Conclusion, Obstacle, no_proof
from ntk_localsgd.certificate.path import certify_path, predicted_reach
from ntk_localsgd.certificate.rounding import largest_eigenvalue
from ntk_localsgd.certificate.steps import PROVED, Steps
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError, rounded_down
from ntk_localsgd.local_sgd.config import Checkpoint, LocalSGD
from ntk_localsgd.networks import NEURONS_PER_BLOCK, Network, TwoLayerReLU
from ntk_localsgd.networks.activations import RELU
from ntk_localsgd.networks.stack import structure
from ntk_localsgd.rounding import UNIT
from ntk_localsgd.scalars import whole_number

__all__ = ["Method", "UntilCertified", "certify", "certify_at_init", "until_certified"]

Method = Literal["auto", "ball", "path"]

# How far beyond the predicted movement neurons are kept: the first that suffices. A retry costs one more pass.
_MARGINS = (1.5, 4.0, 16.0)

# A ball is looked for up to this many times the radius that frozen patterns need: one that needs more has lost three
# quarters of the contraction, and the path method does better.
_BALL_REACH = 4

# Wider networks are not tried by the ball method unless asked: its radius keeps several times as many neurons.
_WIDE = 2**18

# Step sizes within this range keep M^{1/2} and its inverse, products of both and their squares within float64's.
_STEPS = (1e-30, 1e30)

# Smaller residuals that are tried to say roughly how far a run is from its certificate.
_SHARES = tuple(4.0**-k for k in range(1, 7))


def certify(
    net: Network,
    dataset: Dataset,
    clients: Clients,
    config: LocalSGD,
    *,
    method: Method = "auto",
    estimate: bool = True,
    steps: Steps = PROVED,
) -> Certificate:
    """Prove, if possible, that full-batch Local GD from this very network converges to zero loss.

    If certified: ‖r(t)‖₂ ≤ constant·rate^t·‖r(0)‖₂ for all rounds t from here on, and no neuron of any client moves by
    more than ``radius``. Two arguments are available: "ball", one radius for all neurons, and "path", which follows the
    predicted path and asks pair by pair which patterns may switch; "auto" tries the cheap one first.

    Parameters
    ----------
    net
        A `TwoLayerReLU` at any iterate; its weights and signs are all that matters, whatever trained it.
    dataset, clients
        The data (one target a row) and who holds it.
    config
        The run to come: η ≤ 1/max_c λ_max(Θ_cc), τ, full batches and the server's plain average. The certificate
        speaks of all rounds from here on, whatever ``num_rounds`` is.
    method
        "auto", "ball" or "path".
    estimate
        If it does not certify, spend time on the residual and width that roughly would.
    steps
        The lemmas of the path method; a test may leave one out.

    Returns
    -------
    Certificate

    Raises
    ------
    InputError
        If shapes do not fit, η exceeds 1/λ_max of a client (the largest allowed one is named), or the Gram matrix is
        singular as far as float64 can tell (the most nearly parallel rows are named if they explain it); for networks
        traced by `jax.jit`, and for weights or residuals beyond 1e±100, whose squares under- or overflow.

    References
    ----------
    ``docs/theory.md`` §5, [D].
    """
    _check(dataset, clients, config, method)
    weights, signs = _first_layer(net)
    if weights.shape[1] != dataset.input_dim:
        raise InputError(f"net takes {weights.shape[1]} inputs, but the dataset has {dataset.input_dim}.")
    certifier = _Certifier(lambda: iter([(weights, signs)]), dataset, clients, config, steps)
    return certifier.run(method, estimate=estimate)


def certify_at_init(
    key: Array,
    dataset: Dataset,
    clients: Clients,
    config: LocalSGD,
    *,
    width: int,
    method: Method = "auto",
    dtype: Any = None,
    estimate: bool = True,
    progress: bool = False,
) -> Certificate:
    """`certify` of ``TwoLayerReLU.init(key, width=width, …)``, without ever holding that network.

    Neurons are drawn block by block, twice: for the Gram matrix and the residual, then for the neurons near a kink,
    which alone are kept. A third pass is needed only where errors outgrow the prediction by half. Memory: the kept
    neurons, a share of all that falls as m^{-1/2}.

    Parameters
    ----------
    key, width, dtype
        As for `TwoLayerReLU.init`.
    progress
        Show a progress bar for each pass.
    dataset, clients, config, method, estimate
        As in `certify`.

    Returns
    -------
    Certificate

    Raises
    ------
    InputError
        As `certify`, and for a width below 1.
    """
    _check(dataset, clients, config, method)
    width = whole_number("width", width)
    dtype = TwoLayerReLU.init(key, width=1, input_dim=dataset.input_dim, dtype=dtype).weights.dtype
    num_blocks, names = -(-width // NEURONS_PER_BLOCK), iter(("Gram matrix", "neurons near a kink"))

    def neurons() -> Iterator[tuple[ndarray, ndarray]]:
        name = next(names, "more neurons near a kink")
        numbers = range(num_blocks)
        shown = track(numbers, description=name, console=Console(stderr=True)) if progress else numbers
        for block in shown:
            size = min(NEURONS_PER_BLOCK, width - block * NEURONS_PER_BLOCK)
            weights, signs = TwoLayerReLU.draw_block(key, block, size, dataset.input_dim, dtype)
            yield np.asarray(weights), np.asarray(signs)

    return _Certifier(neurons, dataset, clients, config).run(method, estimate=estimate)


@dataclasses.dataclass
class UntilCertified:
    """The stop callable that `until_certified` makes; ``certificate`` is the last one computed."""

    every: int = 10
    method: Method = "auto"
    certificate: Certificate | None = None

    def __call__(self, checkpoint: Checkpoint) -> bool:
        """Whether the run is certified from here on."""
        here, data, split = checkpoint.network, checkpoint.dataset, checkpoint.clients
        try:
            self.certificate = certify(here, data, split, checkpoint.config, method=self.method, estimate=False)
        except InputError as error:
            # What is wrong from the start stays wrong; later, a Gram matrix may leave the theorem's range and return.
            if checkpoint.round == 0:
                raise
            end = no_proof(self.method, Obstacle.UNSUITABLE, str(error))
            width = len(here.trained[0])
            self.certificate = Certificate.of(end, residual_norm=np.nan, width=width, rounding_floor=np.nan)
        return self.certificate.certified


def until_certified(every: int = 10, *, method: Method = "auto") -> UntilCertified:
    """A ``stop`` for `local_sgd.run`: train until the rest of the run is proved to converge.

    Parameters
    ----------
    every
        Try at round 0 and after every this many rounds.
    method
        As in `certify`.

    Returns
    -------
    UntilCertified
        Its ``certificate`` is the proof when the run has stopped, and the last obstacle when it has not.

    Raises
    ------
    InputError
        For ``every`` below 1; when called, as `certify`, and for minibatches or a server step other than 1.
    """
    return UntilCertified(whole_number("every", every), method)


class _Certifier:
    """The passes over the neurons and the order of the methods."""

    def __init__(
        self, neurons: Neurons, dataset: Dataset, clients: Clients, config: LocalSGD, steps: Steps = PROVED
    ) -> None:
        self.neurons, self.dataset, self.steps = neurons, dataset, steps
        self.inputs = np.asarray(dataset.inputs, np.float64)
        self.problem = Problem.of(self.inputs, clients, config)
        self.survey = survey(neurons, self.inputs, np.asarray(dataset.targets, np.float64))

    def run(self, method: Method, *, estimate: bool) -> Certificate:
        """Ball, then path, as far as the method asks; fills in what concerns the reference network."""
        gram = self.problem.inner * (self.survey.counts / self.survey.width)
        try:
            model = RoundModel(gram, self.problem)
        except Unsuitable as error:
            raise InputError(self._refusal(gram, str(error))) from error
        norm, width = self.survey.norm, self.survey.width
        if self.survey.least_norm > 0:
            self._check_range(norm)
            try:
                end = self._conclude(method, model, estimate=estimate)
            except Unsuitable as error:
                end = no_proof(method, Obstacle.UNSUITABLE, str(error))
        else:
            end = no_proof(method, Obstacle.ARRIVED, "the residual is rounding noise: the run has arrived")
        # An output adds m terms of size about ½/√m, off by less than √m·u, once a step and once where it is measured;
        # n outputs, and room for a few steps whose errors have not yet been contracted away.
        floor = 8 * UNIT * float(np.sqrt(width)) * len(self.inputs)
        return Certificate.of(end, residual_norm=norm, width=width, rounding_floor=floor)

    def _conclude(self, method: Method, model: RoundModel, *, estimate: bool) -> Conclusion:
        if method == "ball" or (method == "auto" and self.survey.width <= _WIDE):
            least = least_radius(self.problem, self.survey, model)
            ball = self._ball(self._near(_BALL_REACH * least * np.sqrt(np.diagonal(self.problem.inner))), model)
            if ball.certified or method == "ball":
                return ball
        reach = predicted_reach(self.problem, self.survey, model)
        for margin in _MARGINS:
            near = self._near(margin * reach)
            path = certify_path(self.problem, self.survey, near, model, steps=self.steps)
            if path.obstacle is not Obstacle.BEYOND_KEPT:
                break
        else:
            text = f"errors outgrow the prediction: neurons may move {_MARGINS[-1]:g} times as far as predicted"
            path = path._replace(explanation=text)
        if path.certified or not estimate:
            return path
        return path._replace(residual_share=self._share(near, model))

    def _near(self, threshold: Float[ndarray, " n"]) -> NearKinks:
        return near_kinks(self.neurons, self.inputs, threshold)

    def _ball(self, near: NearKinks, model: RoundModel) -> Conclusion:
        """The better of both norms."""
        results = [certify_ball(self.problem, self.survey, near, model)]
        results.append(
            certify_ball(self.problem, self.survey, near, RoundModel(model.gram, self.problem, euclidean=True))
        )
        return min(results, key=lambda result: (not result.certified, result.rate, -result.residual_share))

    def _share(self, near: NearKinks, model: RoundModel) -> float:
        """The largest power of ¼ of the residual with which these weights would be certified; 0 if none was."""
        for share in _SHARES:
            smaller = self.survey._replace(
                residual=self.survey.residual * share, residual_error=self.survey.residual_error * share
            )
            if certify_path(self.problem, smaller, near, model, steps=self.steps).certified:
                return share
        return 0.0

    def _check_range(self, norm: float) -> None:
        """Beyond this range squares and products under- or overflow."""
        if not SMALLEST <= norm <= LARGEST:
            raise InputError(
                f"residual has the norm {norm:.3g}, the certificate needs it between {SMALLEST:g} and {LARGEST:g}: "
                f"multiply weights and targets by one number, by which all movement is multiplied then."
            )

    def _refusal(self, gram: Float[ndarray, "n n"], reason: str) -> str:
        """One sentence for what the theorem cannot speak of."""
        parts = self.problem.clients.indices
        largest = [largest_eigenvalue(gram[np.ix_(part, part)]) for part in parts]
        allowed = (1 - 1e-8) / max(largest)
        if self.problem.step_size > allowed:
            worst = int(np.argmax(largest))
            return (
                f"step_size is {self.problem.step_size:.6g}, but the theorem asks for at most 1/λ_max of every "
                f"client: at most {rounded_down(allowed)}, by client {worst + 1} (counted from 1)."
            )
        if len(self.inputs) < 2:
            return f"{reason}: the network is off on the only sample."
        off = np.flatnonzero(np.diagonal(self.survey.counts) == 0)
        if off.size:
            return f"the Gram matrix is singular: no neuron is active on row {off[0] + 1} (counted from 1)."
        smallest = kernels.smallest_eigenvalue(gram)
        for pair, sign in ((self.dataset.closest_pair, 1), (self.dataset.most_opposite_pair, -1)):
            i, j = pair.rows
            # λ_min is at most vᵀΘv/vᵀv for v = e_i − sign·e_j; the pair explains what no enclosure can exclude.
            if (gram[i, i] + gram[j, j] - 2 * sign * gram[i, j]) / 2 <= 2 * (smallest.upper - smallest.lower):
                return (
                    f"{reason}: rows {i + 1} and {j + 1} (counted from 1) are the most nearly parallel, "
                    f"{pair.distance:.3g} apart."
                )
        return (
            f"{reason}, although no two rows are nearly parallel: its neurons have too few patterns left, a wider "
            f"network or smaller targets are needed."
        )


def _first_layer(net: Network) -> tuple[ndarray, Float[ndarray, " m"]]:
    """W and a of f = m^{-1/2} Σ_r a_r σ(w_r·x), σ the ReLU and a_r = ±1: what a proof speaks of and nothing else."""
    stack = structure(net)
    if stack is not None and len(stack.hidden_weights) == 1 and stack.output_weights.ndim == 1:
        signs = real_array("net's signs", stack.output_weights, ndim=1)  # a traced network is refused here
        plain = stack.input_weights is None and stack.divided and not stack.residual and stack.activation == RELU
        if plain and (np.abs(signs) == 1).all():
            return np.asarray(stack.hidden_weights[0]), signs
    raise InputError(
        f"net is a {type(net).__name__}, but the certificate is for two layers as TwoLayerReLU has them: ReLU, one "
        f"output, signs of ±1 and the factor m^(-1/2)."
    )


def _check(dataset: Dataset, clients: Clients, config: LocalSGD, method: str) -> None:
    if dataset.targets.ndim != 1:
        raise InputError(
            f"dataset has {dataset.targets.shape[1]} targets a row, but the certificate is for one output."
        )
    if clients.num_samples != dataset.num_samples:
        raise InputError(f"clients hold {clients.num_samples} samples, but the dataset has {dataset.num_samples}.")
    if not _STEPS[0] <= config.step_size <= _STEPS[1]:
        raise InputError(f"step_size is {config.step_size:g}, the certificate needs it between 1e-30 and 1e+30.")
    if config.batch_size is not None:
        raise InputError(f"batch_size is {config.batch_size}, but the certificate is for full-batch steps: use None.")
    if config.server_step_size != 1:
        raise InputError(f"server_step_size is {config.server_step_size}, but the certificate needs 1: the average.")
    if method not in get_args(Method):
        raise InputError(f"method is {method!r}, needs to be one out of {', '.join(get_args(Method))}.")
