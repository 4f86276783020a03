"""Certify a network, or a random initialization by its key, and stop training as soon as it can be certified."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
from jaxtyping import Array
from numpy import ndarray
from rich.console import Console
from rich.progress import track

from ntk_localsgd.certificate.deep.certifier import DeepCertifier, is_deep
from ntk_localsgd.certificate.outcome import Certificate, Method, Obstacle, no_proof
from ntk_localsgd.certificate.schedule import Schedule, refuse_unproved
from ntk_localsgd.certificate.two_layer.certifier import Certifier, first_layer
from ntk_localsgd.certificate.two_layer.forecast import Forecast
from ntk_localsgd.certificate.two_layer.steps import PROVED, Steps
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.config import Checkpoint, LocalSGD
from ntk_localsgd.networks import NEURONS_PER_BLOCK, DeepReLU, Network, TwoLayerReLU
from ntk_localsgd.networks.stack import structure
from ntk_localsgd.scalars import positive_number, whole_number
from ntk_localsgd.threads import threads_for

__all__ = ["UntilCertified", "certify", "certify_at_init", "forecast", "until_certified"]

# Step sizes within this range keep M^{1/2} and its inverse, products of both and their squares within float64's.
_STEPS = (1e-30, 1e30)


def certify(
    net: Network,
    dataset: Dataset,
    clients: Clients,
    config: LocalSGD,
    *,
    method: Method = "auto",
    estimate: bool = True,
    delta: float = 0.05,
    steps: Steps = PROVED,
    seconds: float = math.inf,
) -> Certificate:
    """Prove, if possible, that Local SGD from this very network converges to zero loss.

    If certified: ‖r(t)‖₂ ≤ constant·rate^t·‖r(0)‖₂ for all rounds t from here on, and no neuron of any client moves by
    more than ``radius``. Arguments for every run: "dominance", for samples that push themselves more than each other,
    whatever batches, participants and numbers of local steps come in which order; "frozen", in every order too, where
    no pattern may change at all; "energy", with probability ≥ 1 − delta over what is drawn, for data of every kind.
    For full batches of all clients: "ball", one radius for all neurons, and "path", which follows the predicted path
    and asks pair by pair which patterns may switch. "auto" tries dominance first, then frozen and energy where
    something is drawn, else ball and path. Deep networks have a path argument of their own, and no other.

    Parameters
    ----------
    net
        A `TwoLayerReLU` or `DeepReLU` at any iterate; its weights are all that matters, whatever trained it.
    dataset, clients
        The data (for two layers one target a row) and who holds it.
    config
        The run to come. The certificate speaks of all rounds from here on, whatever ``num_rounds`` is.
    method
        "auto", "dominance", "frozen", "energy", "ball" or "path".
    estimate
        If it does not certify, spend time on the residual and width that roughly would.
    delta
        Where batches or participants are drawn, the rate is proved with probability ≥ 1 − delta.
    steps
        The lemmas of the path method for two layers; a test may leave one out.
    seconds
        The path method for two layers is not begun if it is estimated to be still at work after so many.

    Returns
    -------
    Certificate

    Raises
    ------
    InputError
        If shapes do not fit, η exceeds what the theorems speak of (the largest allowed one is named), or the Gram
        matrix is singular as far as float64 can tell (the most nearly parallel rows are named if they explain it); for
        networks traced by `jax.jit`, and for weights or residuals beyond 1e±100, whose squares under- or overflow.

    References
    ----------
    ``docs/theory.md`` §5; §5.5 for deep networks, §5.6 to §5.8 for what is drawn, [D].
    """
    _check(dataset, clients, config, method, delta)
    stack = structure(net)
    if stack is not None and stack.input_dim != dataset.input_dim:
        raise InputError(f"net takes {stack.input_dim} inputs, but the dataset has {dataset.input_dim}.")
    if stack is not None and (two_layers := first_layer(stack)) is not None:
        certifier = Certifier(lambda: iter([two_layers]), dataset, clients, config, steps, seconds)
        return certifier.run(method, estimate=estimate, delta=delta)
    if stack is not None and is_deep(stack):
        if method not in ("auto", "path"):
            raise InputError(f"method is {method!r}, but deep networks are certified along the path: use auto or path.")
        if not Schedule.of(clients, config).plain:
            raise InputError(
                "net is deep, and its certificate needs full batches, all clients, as many local steps each and a "
                "server step size of 1."
            )
        with threads_for(dataset.num_samples, least=0):
            return DeepCertifier(stack, dataset, clients, config).run(estimate=estimate)
    raise InputError(
        f"net is a {type(net).__name__}, but the certificate is for two layers as TwoLayerReLU has them (ReLU, one "
        f"output, signs of ±1 and the factor m^(-1/2)), and for deep ones as DeepReLU has them (ReLU, no residual "
        f"connections, no factor)."
    )


def forecast(net: Network, dataset: Dataset, clients: Clients, config: LocalSGD) -> Forecast | None:
    """In seconds, a lazy scale κ at which this network of two layers is proved to converge by one radius.

    f = κ(g(W) − g(W(0))) for the network g and the targets y of ``dataset``: residuals are y/κ, and what a radius R
    needs falls like 1/κ, while what neurons within R of a kink do to Θ stays. κ = 1.5·min R_need(R)/R.

    Parameters
    ----------
    net, dataset, clients, config
        As in `certify`; the step size is g's.

    Returns
    -------
    Forecast or None
        None for deep networks, and where batches or participants are drawn.

    Raises
    ------
    InputError
        As `certify`.

    References
    ----------
    ``docs/theory.md`` §5.1, [D].
    """
    _check(dataset, clients, config, "auto", 0.05)
    stack = structure(net)
    two_layers = None if stack is None else first_layer(stack)
    if two_layers is None:
        return None
    return Certifier(lambda: iter([two_layers]), dataset, clients, config).forecast()


def certify_at_init(
    key: Array,
    dataset: Dataset,
    clients: Clients,
    config: LocalSGD,
    *,
    width: int,
    depth: int | None = None,
    method: Method = "auto",
    dtype: Any = None,
    estimate: bool = True,
    delta: float = 0.05,
    progress: bool = False,
) -> Certificate:
    """`certify` of ``TwoLayerReLU.init(key, width=width, …)``, without ever holding that network.

    Neurons are drawn block by block, twice: for the Gram matrix and the residual, then for the neurons near a kink,
    which alone are kept. A third pass is needed only where errors outgrow the prediction by half. Memory: the kept
    neurons, a share of all that falls as m^{-1/2}. With a ``depth`` it is ``DeepReLU.init(key, width=width,
    depth=depth, …)``, which is held.

    Parameters
    ----------
    key, width, depth, dtype
        As for `TwoLayerReLU.init` or, with a depth, `DeepReLU.init`.
    progress
        Show a progress bar for each pass.
    dataset, clients, config, method, estimate, delta
        As in `certify`.

    Returns
    -------
    Certificate

    Raises
    ------
    InputError
        As `certify`, and for a width below 1.
    """
    _check(dataset, clients, config, method, delta)
    width = whole_number("width", width)
    if depth is not None:
        outputs = 1 if dataset.targets.ndim == 1 else dataset.targets.shape[1]
        sizes = {"width": width, "depth": depth, "input_dim": dataset.input_dim, "output_dim": outputs}
        deep_net = DeepReLU.init(key, dtype=dtype, **sizes)
        return certify(deep_net, dataset, clients, config, method=method, estimate=estimate, delta=delta)
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

    return Certifier(neurons, dataset, clients, config).run(method, estimate=estimate, delta=delta)


@dataclasses.dataclass
class UntilCertified:
    """The stop callable that `until_certified` makes; ``certificate`` is the last one computed."""

    every: int = 10
    method: Method = "auto"
    delta: float = 0.05
    certificate: Certificate | None = None

    def __call__(self, checkpoint: Checkpoint) -> bool:
        """Whether the run is certified from here on."""
        here, data, split = checkpoint.network, checkpoint.dataset, checkpoint.clients
        try:
            self.certificate = certify(
                here, data, split, checkpoint.config, method=self.method, estimate=False, delta=self.delta
            )
        except InputError as error:
            # What is wrong from the start stays wrong; later, a Gram matrix may leave the theorem's range and return.
            if checkpoint.round == 0:
                raise
            end = no_proof(self.method, Obstacle.UNSUITABLE, str(error))
            width = len(here.trained[0])
            self.certificate = Certificate.of(end, residual_norm=np.nan, width=width, rounding_floor=np.nan)
        return self.certificate.certified


def until_certified(every: int = 10, *, method: Method = "auto", delta: float = 0.05) -> UntilCertified:
    """A ``stop`` for `local_sgd.run`: train until the rest of the run is proved to converge.

    Parameters
    ----------
    every
        Try at round 0 and after every this many rounds.
    method, delta
        As in `certify`.

    Returns
    -------
    UntilCertified
        Its ``certificate`` is the proof when the run has stopped, and the last obstacle when it has not.

    Raises
    ------
    InputError
        For ``every`` below 1; when called, as `certify`.
    """
    return UntilCertified(whole_number("every", every), method, delta)


def _check(dataset: Dataset, clients: Clients, config: LocalSGD, method: str, delta: float) -> None:
    refuse_unproved(config)
    if clients.num_samples != dataset.num_samples:
        raise InputError(f"clients hold {clients.num_samples} samples, but the dataset has {dataset.num_samples}.")
    if not _STEPS[0] <= config.step_size <= _STEPS[1]:
        raise InputError(f"step_size is {config.step_size:g}, the certificate needs it between 1e-30 and 1e+30.")
    if config.server_step_size > 1:
        raise InputError(f"server_step_size is {config.server_step_size}, but the certificate needs at most 1.")
    if not 0 < positive_number("delta", delta) < 1:
        raise InputError(f"delta is {delta}, needs to lie between 0 and 1.")
    if method not in get_args(Method):
        raise InputError(f"method is {method!r}, needs to be one out of {', '.join(get_args(Method))}.")
