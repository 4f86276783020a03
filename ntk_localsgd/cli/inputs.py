"""What commands on the user's own data read and refuse: data, clients, a network, its Gram matrix, a step size."""

import dataclasses
import math
import pathlib
from typing import Literal, NamedTuple

import jax
import numpy as np
import scipy.linalg
import tyro
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import clients, datasets, kernels
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError, rounded_down
from ntk_localsgd.networks import TwoLayerReLU

__all__ = ["Gram", "ProblemOptions", "StepSize", "checked_gram", "checked_step_size", "read_network", "read_split"]

# Neurons of a network that nothing else decides.
_WIDTH = 4096

# An eigenvalue that equals 1/η but for rounding does not exceed it: n roundings of 1e-16 each, n up to thousands.
_ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProblemOptions:
    """Options that commands on the user's own data share; a command is a subclass."""

    data: tyro.conf.Positional[pathlib.Path]
    """A .npz (inputs, targets, optionally client) or .csv file (columns target and optionally client, the others are
    inputs)."""
    local_steps: int
    """Local steps τ of every client in a round."""
    step_size: float | None = None
    """Step size η; left out: 0.9 of the largest one that the theory allows."""
    clients: int | None = None
    """Number of clients K to split the data into; left out: the data's own client of each row."""
    scheme: Literal["iid", "by_label", "dirichlet"] = "iid"
    """How to split."""
    classes_per_client: int = 2
    """Classes that a client sees (by_label)."""
    concentration: float = 1.0
    """Small: clients of few classes and unequal sizes (dirichlet)."""
    weights: pathlib.Path | None = None
    """A network of your own to start from (.npz with weights [m d] and signs [m])."""
    width: int | None = None
    """Neurons m of a random network to start from; left out: 4096."""
    seed: int = 0
    """Decides the split and the random network."""


class Gram(NamedTuple):
    """Θ(W) in float64, and a rigorous enclosure of its smallest eigenvalue."""

    matrix: Float[ndarray, "n n"]
    smallest: kernels.Enclosure


class StepSize(NamedTuple):
    """η, and the largest one for which the theory proves convergence, 1/max_c λ_max(Θ_cc)."""

    value: float
    allowed: float


def read_split(options: ProblemOptions) -> tuple[Dataset, Clients]:
    """The data and who holds it: split by the scheme into K clients, or by the file's own column.

    Raises
    ------
    InputError
        If the file cannot be read, has several targets a row, names no clients where none are asked for, or the
        number of clients does not fit.
    """
    dataset, column = datasets.load(options.data)
    if dataset.targets.ndim != 1:
        raise InputError(f"targets of {options.data} have shape {dataset.targets.shape}, need one number a row.")
    if options.clients is None:
        if column is None:
            raise InputError(f"{options.data} does not say which client holds a row: --clients is needed.")
        return dataset, clients.from_assignment(column)
    key, number = jax.random.fold_in(_key(options.seed), 0), options.clients
    if options.scheme == "by_label":
        per_client = options.classes_per_client
        return dataset, clients.by_label(key, dataset, number, classes_per_client=per_client)
    if options.scheme == "dirichlet":
        return dataset, clients.dirichlet(key, dataset, number, concentration=options.concentration)
    return dataset, clients.iid(key, dataset, number)


def read_network(options: ProblemOptions, dataset: Dataset) -> TwoLayerReLU:
    """The network to start from, in float64: the user's own weights, or random ones of the width and seed.

    Raises
    ------
    InputError
        If the file cannot be read, its inputs are not the data's, or both weights and a width are given.
    """
    if options.weights is None:
        width = _WIDTH if options.width is None else options.width
        key = jax.random.fold_in(_key(options.seed), 1)
        return TwoLayerReLU.init(key, width=width, input_dim=dataset.input_dim, dtype=np.float64)
    if options.width is not None:
        raise InputError(f"width is {options.width}, but weights {options.weights} have one: leave one of them out.")
    net = TwoLayerReLU.load(options.weights)
    if net.input_dim != dataset.input_dim:
        raise InputError(f"weights take {net.input_dim} inputs, but {options.data} has {dataset.input_dim}.")
    return TwoLayerReLU.from_arrays(np.asarray(net.weights, np.float64), np.asarray(net.signs))


def checked_gram(net: TwoLayerReLU, dataset: Dataset) -> Gram:
    """Θ(W), refused where it cannot be told from a singular matrix.

    Raises
    ------
    InputError
        Names the two rows that are nearly parallel, if a pair alone explains it; otherwise asks for a wider network.
    """
    matrix = np.asarray(kernels.empirical_gram(net, dataset.inputs), np.float64)
    smallest = kernels.smallest_eigenvalue(matrix, error=kernels.empirical_gram_error(net, dataset.inputs))
    if smallest.lower > 0:
        return Gram(matrix, smallest)
    about = f"Gram matrix at m = {net.width} is singular as far as float64 can tell"
    if dataset.num_samples == 1:
        raise InputError(f"{about}: no neuron is active on the one row.")
    pair = min(dataset.closest_pair, dataset.most_opposite_pair)
    i, j = pair.rows
    sign = 1 if pair is dataset.closest_pair else -1
    # λ_min is at most the quotient vᵀΘv/vᵀv of v = e_i − sign·e_j; the pair explains what no enclosure can exclude,
    # unless no neuron is active on one of the two.
    quotient = (matrix[i, i] + matrix[j, j] - 2 * sign * matrix[i, j]) / 2
    if min(matrix[i, i], matrix[j, j]) > 0 and quotient <= 2 * (smallest.upper - smallest.lower):
        raise InputError(
            f"{about}: inputs rows {i} and {j} are nearly parallel (distance {pair.distance:.3g}), one of them must go."
        )
    raise InputError(f"{about}, although no two rows are nearly parallel: a wider network is needed.")


def checked_step_size(gram: Float[ndarray, "n n"], split: Clients, step_size: float | None) -> StepSize:
    """η, refused above 1/max_c λ_max(Θ_cc); None gives 0.9 of that.

    Raises
    ------
    InputError
        Says which client it is that limits the step size, what happens there, and the largest η allowed.
    """
    largest = [float(scipy.linalg.eigvalsh(gram[np.ix_(s, s)])[-1]) for s in split.indices]
    client = int(np.argmax(largest))
    allowed = 1 / largest[client]
    if step_size is None:
        return StepSize(0.9 * allowed, allowed)
    if not (math.isfinite(step_size) and step_size > 0):
        raise InputError(f"step_size is {step_size}, needs to be positive and finite.")
    if step_size > allowed * (1 + _ROUNDING):
        trouble = "its local steps diverge" if step_size >= 2 * allowed else "no convergence is proved"
        raise InputError(
            f"step_size is {step_size:g}, above 1/λ_max of client {client} (counted from 0), where {trouble}: needs "
            f"to be at most {rounded_down(allowed)}."
        )
    return StepSize(step_size, allowed)


def _key(seed: int) -> jax.Array:
    if seed < 0:
        raise InputError(f"seed is {seed}, needs to be at least 0.")
    return jax.random.key(seed)
