"""The same run in the conventions of other libraries: sums or means, plain or weighted averages, and their options."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd.config import PLAIN, LocalSGD, epoch_steps
from ntk_localsgd.local_sgd.server import Adam, Momentum

__all__ = ["Convention", "Options", "conventions", "options"]

#: Settings that another loss or average leaves as they are; a penalty on weights would have to be scaled with the loss.
COVERED = (*PLAIN, "client_weights", "batches", "reduction", "step_factors", "client_momentum", "server")

# Losses by name: how many times ½ Σ (f − y)², and whether divided by the number of samples.
_LOSSES = {
    "½ Σ (f − y)²": (1.0, "sum"),
    "Σ (f − y)²: PyTorch MSELoss('sum')": (2.0, "sum"),
    "½ mean (f − y)²: Optax l2_loss.mean()": (1.0, "mean"),
    "mean (f − y)²: PyTorch MSELoss, Keras MSE": (2.0, "mean"),
}

_PLAIN, _WEIGHTED, _OWN = "plain average", "weights n_c/n (FedAvg)", "own weights"


class Convention(NamedTuple):
    """A library's convention and the step size there that moves weights as η does here, by client.

    ``exact``: for every number of local steps; otherwise for τ = 1 alone.
    """

    loss: str
    average: str
    step_sizes: Float[ndarray, " K"]
    exact: bool


class Options(NamedTuple):
    """What a library has to be told, or why it cannot do the same."""

    library: str
    options: str


def conventions(clients: Clients, config: LocalSGD) -> list[Convention]:
    """Step sizes of other conventions that move weights as ``config`` does, its own first.

    A loss that is q times this one on client c asks for η/q; an average with weights p'_c in place of p_c moves by
    p'_c/p_c times as much (both add up to 1). Where a factor differs from client to client, one step size for all
    clients does not do; where it is an average that differs, equality holds for one local step.

    Parameters
    ----------
    clients
        Their sizes n_c.
    config
        η, the batch size b (means are over b samples then, and not over n_c), the loss's reduction, and the weights of
        the average.

    Raises
    ------
    InputError
        For a penalty on weights, which would have to be scaled with the loss.

    References
    ----------
    ``docs/theory.md`` §4.
    """
    config.refuse_beyond(COVERED, "the table of conventions")
    counted = np.array(config.batches_of(clients), np.float64)
    sizes = np.array(clients.sizes, np.float64)
    own = np.array(config.weights_of(clients)) / clients.num_clients
    averages = {_PLAIN: np.full(len(sizes), 1 / len(sizes)), _WEIGHTED: sizes / sizes.sum()}
    here = {"uniform": _PLAIN, "samples": _WEIGHTED}.get(str(config.client_weights), _OWN)
    averages = {here: own} | averages
    reductions = {"sum": np.ones_like(sizes), "mean": counted}
    # The last batch of an order is shorter where b does not divide n_c, and its mean is over fewer.
    even = config.batches == "independent" or not (sizes % counted).any()
    once = config.most_steps == 1 and config.participants is None
    listed = []
    for average, weights in averages.items():
        for loss, (factor, reduction) in _LOSSES.items():
            # Means go with weights n_c/n, and sums with none: these pairs are what libraries have.
            if average != here and (average == _WEIGHTED) != (reduction == "mean"):
                continue
            alike = bool(np.allclose(weights, own, rtol=1e-12))
            steps = config.step_size / factor * reductions[reduction] / reductions[config.reduction] * own / weights
            exact = (alike or once) and (even or reduction == config.reduction)
            listed.append(Convention(loss, average, steps, exact))
    first = next(
        k for k, (factor, reduction) in enumerate(_LOSSES.values()) if (factor, reduction) == (1.0, config.reduction)
    )
    mine = listed.pop(first)
    return [mine._replace(loss=f"{mine.loss.partition(':')[0]}, as here"), *listed]


def options(clients: Clients, config: LocalSGD) -> list[Options]:
    """What a loop in PyTorch, Flower and FedJAX have to be told to run what ``config`` does, one client's loss its own.

    Parameters
    ----------
    clients, config
        As of `conventions`.

    Raises
    ------
    InputError
        For a penalty on weights, and for participants that are drawn.
    """
    config.refuse_beyond([name for name in COVERED if name != "participants"], "the table of options")
    momentum = f", momentum={config.client_momentum:g}" if config.client_momentum else ""
    schedule = "" if config.step_factors is None else " times step_factors[t] in round t"
    loop = (
        f"MSELoss(reduction='{config.reduction}'), SGD(lr={config.step_size / 2:.6g}{momentum}){schedule}, "
        f"{_batches(clients, config)}"
    )
    weights = {"uniform": "1/K", "samples": "n_c/n"}.get(str(config.client_weights), "your own")
    return [
        Options("PyTorch loop", f"{loop}; then {_server(config, f'the average of weights by {weights}')}"),
        Options("Flower", _flower(config)),
        Options("FedJAX", _fedjax(clients, config, momentum)),
    ]


def _batches(clients: Clients, config: LocalSGD) -> str:
    """Full batches, batches that are drawn anew, or a loader's, by epochs where all clients have as many whole ones."""
    size, steps = config.batch_size, config.steps_of(clients)
    number = str(steps[0]) if len(set(steps)) == 1 else f"{', '.join(map(str, steps))} (client by client)"
    if size is None:
        return f"{number} full-batch steps"
    if config.batches != "epochs":
        return f"{number} steps of {size} samples drawn anew (randperm(n_c)[:{size}])"
    epochs = _epochs(clients, config, size)
    return f"DataLoader(batch_size={size}, shuffle=True), " + (f"{epochs} epochs" if epochs else f"{number} steps")


def _epochs(clients: Clients, config: LocalSGD, size: int) -> int | None:
    """The whole number of epochs of batches of this size that every client's steps are; None if there is none."""
    pairs = zip(config.steps_of(clients), epoch_steps(clients, size), strict=True)
    parts = {divmod(own, one) for own, one in pairs}
    epochs, left = parts.pop()
    return None if parts or left else epochs


def _server(config: LocalSGD, average: str) -> str:
    """What the server does with the average."""
    if config.server is not None:
        return f"{average}, whose movement {config.server} takes for −gradient at η_g = {config.server_step_size:g}"
    return average if config.server_step_size == 1 else f"{average}, {config.server_step_size:g} times its movement"


def _flower(config: LocalSGD) -> str:
    reported = {"uniform": "1", "samples": "n_c"}.get(str(config.client_weights), "your weight")
    if isinstance(config.server, Adam):
        return "none: its FedAdam corrects round t by 1 − β^(t + 1)"
    decay = config.server.decay if isinstance(config.server, Momentum) else 0.0
    strategy = "FedAvg"
    numbers = ""
    if decay or config.server_step_size != 1:
        strategy = "FedAvgM"
        numbers = f", server_learning_rate={config.server_step_size:g}, server_momentum={decay:g}"
    return (
        f"{strategy}(weighted_by_key='num-examples'{numbers}), every client reporting {reported} as num-examples after "
        "the PyTorch loop's steps"
    )


def _fedjax(clients: Clients, config: LocalSGD, momentum: str) -> str:
    if config.batch_size is not None and config.batches != "epochs":
        return "none: its clients walk through epochs"
    if config.client_weights != "samples" and not (config.client_weights == "uniform" and len(set(clients.sizes)) == 1):
        return "none: it always weighs clients by n_c"
    size = max(clients.sizes) if config.batch_size is None else config.batch_size
    if any(each % size for each in clients.sizes):
        return "none: it fills the last batch of an epoch from the next one"
    epochs, steps = _epochs(clients, config, size), set(config.steps_of(clients))
    if epochs is None and len(steps) > 1:
        return "none: its clients take equally many steps or epochs"
    length = f"num_epochs={epochs}" if epochs else f"num_epochs=None, num_steps={steps.pop()}"
    server = f"sgd({config.server_step_size:g})"
    if isinstance(config.server, Momentum):
        server = f"sgd({config.server_step_size:g}, momentum={config.server.decay:g})"
    if isinstance(config.server, Adam):
        rule = config.server
        numbers = f"{rule.decay:g}, {rule.square_decay:g}, {rule.epsilon:g}"
        server = f"adam({config.server_step_size:g}, {numbers})"
        if not rule.corrected:
            return "none: its Adam corrects its means"
    return (
        f"federated_averaging(grad of ½ {config.reduction} (f − y)², sgd({config.step_size:.6g}{momentum}), {server}, "
        f"ShuffleRepeatBatchHParams(batch_size={size}, {length}))"
    )
