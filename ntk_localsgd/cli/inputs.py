"""What commands on the user's own data read and refuse: data, clients, a network, its Gram matrix, a step size."""

import dataclasses
import os
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
from ntk_localsgd.scalars import positive_number, whole_number

__all__ = [
    "Gram",
    "Problem",
    "ProblemOptions",
    "StepSize",
    "checked_gram",
    "checked_step_size",
    "described",
    "read_network",
    "read_problem",
    "require_memory",
    "scaling_note",
]

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
    scheme: Literal["iid", "by_label", "dirichlet"] | None = None
    """With clients: how to split; left out: iid."""
    classes_per_client: int | None = None
    """Classes that a client sees (by_label); left out: 2."""
    concentration: float | None = None
    """Small: clients of few classes and unequal sizes (dirichlet); left out: 1."""
    weights: pathlib.Path | None = None
    """A network of your own to start from (.npz with weights [m d] and signs [m])."""
    width: int | None = None
    """Neurons m of a random network to start from; left out: 4096."""
    rows: Literal["scaled", "given"] | None = None
    """Train on rows scaled to norm 1, or as the file has them; left out: as given if weights are, scaled otherwise."""
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


class Problem(NamedTuple):
    """The data with rows of norm 1, who holds them, norms to put back if any, and what the user should know of it."""

    dataset: Dataset
    clients: Clients
    scales: Float[ndarray, " n"] | None
    notes: list[str]


def read_problem(options: ProblemOptions) -> Problem:
    """The data and who holds it: split by the scheme into K clients, or by the file's own column.

    Raises
    ------
    InputError
        If the file cannot be read, has several targets a row, names no clients where none are asked for, the number of
        clients does not fit, or an option has no use.
    """
    dataset, column = datasets.load(options.data)
    if dataset.targets.ndim != 1:
        raise InputError(f"targets of {options.data} have shape {dataset.targets.shape}, need one number a row.")
    _refuse_unused(options)
    split, notes = _split(options, dataset, column)
    given = options.rows == "given" or (options.rows is None and options.weights is not None)
    changed = scaling_note(dataset)
    return Problem(dataset, split, dataset.norms if given and changed else None, notes + changed * (not given))


def described(options: ProblemOptions, dataset: Dataset, split: Clients, net: TwoLayerReLU) -> dict[str, object]:
    """What files of results say of data, clients and network."""
    return {
        "data": {"name": dataset.name, "num_samples": dataset.num_samples, "input_dim": dataset.input_dim},
        "client_sizes": list(split.sizes),
        "width": net.width,
        "weights": None if options.weights is None else options.weights.name,
        "seed": options.seed,
    }


def scaling_note(dataset: Dataset) -> list[str]:
    """What scaling the rows has changed; nothing if they had norm 1."""
    norms = np.ones(1) if dataset.norms is None else dataset.norms
    if np.abs(norms - 1).max() < 1e-6:  # data that were written with seven digits
        return []
    return [f"rows scaled to norm 1, yours were {norms.min():.4g} … {norms.max():.4g}"]


def require_memory(what: str, numbers: float) -> None:
    """Refuse what needs more float64 ``numbers`` than this machine has memory for, before it is killed."""
    needed, there = 8 * numbers / 2**30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if needed > there:
        raise InputError(f"{what} needs {needed:.4g} GiB of memory, this machine has {there:.4g}.")


def _refuse_unused(options: ProblemOptions) -> None:
    """Options of a split that does not take place, or of another scheme."""
    owners = {"classes_per_client": "by_label", "concentration": "dirichlet"}
    for name in ("scheme", *owners):
        value = getattr(options, name)
        if value is not None and options.clients is None:
            raise InputError(f"{name} is {value}, but without --clients the file's own client of each row decides.")
        if value is not None and name in owners and options.scheme != owners[name]:
            raise InputError(f"{name} is {value}, which only --scheme {owners[name]} uses.")


def _split(options: ProblemOptions, dataset: Dataset, column: ndarray | None) -> tuple[Clients, list[str]]:
    """Who holds which row, and what is to be said about it."""
    if options.clients is None:
        if column is None:
            raise InputError(f"{options.data} does not say which client holds a row: --clients is needed.")
        return clients.from_assignment(column), []
    notes = [f"split anew into {options.clients} clients, the file's own are not used"] * (column is not None)
    key, number = jax.random.fold_in(_key(options.seed), 0), options.clients
    if options.scheme in (None, "iid"):
        return clients.iid(key, dataset, number), notes
    if dataset.labels is None:
        classes = len(np.unique(clients.class_of_each_row(dataset)))
        notes.append(f"split by targets in the labels' stead: {classes} classes")
    if options.scheme == "by_label":
        per_client = 2 if options.classes_per_client is None else options.classes_per_client
        return clients.by_label(key, dataset, number, classes_per_client=per_client), notes
    concentration = 1.0 if options.concentration is None else options.concentration
    return clients.dirichlet(key, dataset, number, concentration=concentration), notes


def read_network(options: ProblemOptions, dataset: Dataset) -> TwoLayerReLU:
    """The network to start from, in float64: the user's own weights, or random ones of the width and seed.

    Raises
    ------
    InputError
        If the file cannot be read, its inputs are not the data's, or both weights and a width are given.
    """
    if options.weights is None:
        width = _WIDTH if options.width is None else options.width
        # The weights once more while their blocks are joined, and once in the Gram matrix's factor.
        require_memory(f"a network of {width} neurons and {dataset.input_dim} inputs", 3.0 * width * dataset.input_dim)
        key = jax.random.fold_in(_key(options.seed), 1)
        return TwoLayerReLU.init(key, width=width, input_dim=dataset.input_dim, dtype=np.float64)
    if options.width is not None:
        raise InputError(f"width is {options.width}, but weights {options.weights} have one: leave one of them out.")
    net = TwoLayerReLU.load(options.weights)
    if net.input_dim != dataset.input_dim:
        raise InputError(f"weights take {net.input_dim} inputs, but {options.data} has {dataset.input_dim}.")
    return TwoLayerReLU.from_arrays(np.asarray(net.weights, np.float64), np.asarray(net.signs))


def checked_gram(net: TwoLayerReLU, dataset: Dataset, scales: Float[ndarray, " n"] | None = None) -> Gram:
    """Θ(W), of rows of norms ``scales`` if given, refused where it cannot be told from a singular matrix.

    σ is positively homogeneous, so that Θ of the rows s_i x_i is s_i s_j Θ_ij.

    Raises
    ------
    InputError
        Names the two rows that are nearly parallel, if a pair alone explains it; otherwise asks for a wider network.
    """
    n, s = dataset.num_samples, np.ones(dataset.num_samples) if scales is None else scales
    require_memory(f"the Gram matrix of {n} rows", 6.0 * n**2)
    unit = np.asarray(kernels.empirical_gram(net, dataset.inputs), np.float64)
    matrix, error = unit * np.outer(s, s), kernels.empirical_gram_error(net, dataset.inputs)
    if scales is not None:
        # Norms of d numbers are off by (d + 8)u each, and two products by u each.
        rounding = (2 * dataset.input_dim + 24) * np.finfo(np.float64).eps * float(np.linalg.norm(unit))
        error = float(s.max() ** 2 * (error + rounding))
    smallest = kernels.smallest_eigenvalue(matrix, error=error)
    if smallest.lower > 0:
        return Gram(matrix, smallest)
    about = f"Gram matrix at m = {net.width} is singular as far as float64 can tell"
    if n == 1:
        raise InputError(f"{about}: no neuron is active on the one row.")
    pair = min(dataset.closest_pair, dataset.most_opposite_pair)
    i, j = pair.rows
    sign = 1 if pair is dataset.closest_pair else -1
    # λ_min is at most the quotient vᵀΘv/vᵀv of v = e_i/s_i − sign·e_j/s_j; the pair explains what no enclosure can
    # exclude, unless no neuron is active on one of the two.
    quotient = (unit[i, i] + unit[j, j] - 2 * sign * unit[i, j]) / (s[i] ** -2 + s[j] ** -2)
    if min(unit[i, i], unit[j, j]) > 0 and quotient <= 2 * (smallest.upper - smallest.lower):
        raise InputError(
            f"{about}: inputs rows {i + 1} and {j + 1} (counted from 1) are nearly parallel (distance "
            f"{pair.distance:.3g}), one of them must go."
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
    step_size = positive_number("step_size", step_size)
    if step_size > allowed * (1 + _ROUNDING):
        trouble = "its local steps diverge" if step_size >= 2 * allowed else "no convergence is proved"
        raise InputError(
            f"step_size is {step_size:g}, above 1/λ_max of client {client} (counted from 0), where {trouble}: needs "
            f"to be at most {rounded_down(allowed)}."
        )
    return StepSize(step_size, allowed)


def _key(seed: int) -> jax.Array:
    return jax.random.key(whole_number("seed", seed, least=0, most=2**63 - 1))
