"""What commands on the user's own data read and refuse: data, and who holds them."""

import dataclasses
import os
import pathlib
from typing import Literal, NamedTuple

import jax
import numpy as np
import tyro
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import clients, datasets
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.randomness import generator
from ntk_localsgd.scalars import positive_number, whole_number

__all__ = [
    "ActivationName",
    "DataOptions",
    "Problem",
    "ProblemOptions",
    "purpose_key",
    "read_data",
    "read_problem",
    "require_memory",
    "scaling_note",
    "uneven_columns",
]

# Quotient of the columns' standard deviations from which standardised columns are proposed.
_UNEVEN = 10.0

ActivationName = Literal["relu", "leaky_relu", "tanh", "softplus", "gelu"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How a file of the user's own is read."""

    data: tyro.conf.Positional[pathlib.Path]
    """A .npz, .csv or .parquet file: inputs, targets, and maybe who holds them."""
    target: str = "target"
    """Column of a table with the targets; species=setosa: that is +1, all else -1."""
    client: str = "client"
    """Column of a table with the clients."""
    drop: tuple[str, ...] = ()
    """Columns of a table to leave out."""
    drop_incomplete: bool = False
    """Leave out rows of a table with missing entries."""
    standardise: bool = False
    """Give input columns mean 0 and deviation 1, before scaling."""
    standardise_targets: bool = False
    """Give the targets mean 0 and deviation 1."""
    merge_duplicates: bool = False
    """Rows that repeat each other become one, targets their mean."""


def read_data(options: DataOptions) -> tuple[Dataset, ndarray | None, list[str]]:
    """The data set, the client of each row if the file has one, and what the user should know of the reading."""
    own = {field.name: getattr(options, field.name) for field in dataclasses.fields(DataOptions)}
    try:
        dataset, column = datasets.load(own.pop("data"), **own)
    except InputError as error:
        said = str(error)
        about = said.startswith("client ") or f"no column {options.client!r}" in said
        if about and options.client.isdecimal() and isinstance(options, ProblemOptions):
            raise InputError(f"{said.rstrip('.')}; the number of clients is --clients.") from error
        raise
    return dataset, column, list(dataset.notes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProblemOptions(DataOptions):
    """Options that commands on the user's own data share; a command is a subclass."""

    local_steps: int
    """Local steps τ of every client in a round."""
    step_size: float | None = None
    """η; left out: 0.9 of the largest that the theory allows."""
    clients: int | None = None
    """K, to split the data into; left out: the data's own."""
    scheme: Literal["iid", "by_label", "dirichlet"] | None = None
    """How to split; left out: iid."""
    classes_per_client: int | None = None
    """Classes that a client sees (by_label); left out: 2."""
    concentration: float | None = None
    """Small: clients of few classes and unequal sizes (dirichlet); left out: 1."""
    min_samples: int | None = None
    """Samples of a client at least (dirichlet); left out: 1."""
    assignment: pathlib.Path | None = None
    """File with the client of each row, one a line."""
    weights: pathlib.Path | None = None
    """A network to start from: .npz with weights [m d], signs [m], or as saved."""
    width: int | None = None
    """Neurons m of a random network; left out: 4096, with depth 256 a layer."""
    depth: int | None = None
    """Trained layers L of a deep network; left out: two layers, one trained."""
    activation: ActivationName | None = None
    """Of a random network; left out: relu."""
    coupled: bool = False
    """Neurons of two layers in pairs of opposite signs: the network starts at 0."""
    scale: float | None = None
    """Lazy scale κ: train κ(g(W) − g(W(0))), with steps for this function."""
    rows: Literal["scaled", "given"] | None = None
    """Rows of norm 1, or as given; left out: given if weights are, else scaled."""
    seed: int = 0
    """Decides the split and the random network."""


class Problem(NamedTuple):
    """The data with rows of norm 1, who holds them, norms to put back if any, and what the user should know of it.

    ``held_out``: rows that nobody holds, for evaluation; ``names``: what the clients are called, by a file or by their
    numbers from 0.
    """

    dataset: Dataset
    clients: Clients
    scales: Float[ndarray, " n"] | None
    notes: list[str]
    held_out: Dataset | None = None
    names: tuple[str, ...] = ()


def read_problem(options: ProblemOptions, *, hold_out: float | None = None) -> Problem:
    """The data and who holds it: split by the scheme into K clients, or by the file's own column.

    ``hold_out``: the share of rows, drawn by the seed, that no client gets.

    Raises
    ------
    InputError
        If the file cannot be read, has several targets a row, names no clients where none are asked for, the number of
        clients does not fit, or an option has no use.
    """
    dataset, column, read = read_data(options)
    if dataset.targets.ndim != 1:
        raise InputError(f"targets of {options.data} have shape {dataset.targets.shape}, need one number a row.")
    _refuse_unused(options)
    held: Dataset | None = None
    held_by = column if options.clients is None else None
    if options.assignment is not None:
        held_by = _assigned(options.assignment, dataset.num_samples)
    if hold_out is not None:
        rows, others = _held_out(options, dataset.num_samples, hold_out)
        read.append(f"{len(others)} rows are held out, drawn by the seed")
        held_by = None if held_by is None else held_by[rows]
        dataset, held = dataset.rows(rows), dataset.rows(others)
    split, notes = _split(options, dataset, column, held_by)
    names = range(split.num_clients) if held_by is None else np.unique(held_by)
    given = options.rows == "given" or (options.rows is None and options.weights is not None)
    changed = scaling_note(dataset)
    notes = [*read, *notes, *changed * (not given)]
    norms = dataset.norms if given and changed else None
    return Problem(dataset, split, norms, notes, held, tuple(map(str, names)))


def _held_out(options: ProblemOptions, number: int, share: float) -> tuple[ndarray, ndarray]:
    """Rows to train on and rows to keep, each in the file's order."""
    kept = round(positive_number("hold_out", share) * number)
    if not 0 < kept < number:
        raise InputError(
            f"hold_out is {share:g}, needs to be a share of the {number} rows that leaves some and keeps some."
        )
    order = generator(purpose_key(options.seed, 3)).permutation(number)
    return np.sort(order[kept:]), np.sort(order[:kept])


def scaling_note(dataset: Dataset) -> list[str]:
    """What scaling the rows has changed; nothing if they had norm 1."""
    norms = np.ones(1) if dataset.norms is None else dataset.norms
    if np.abs(norms - 1).max() < 1e-6:  # data that were written with seven digits
        return []
    return [f"rows scaled to norm 1, yours were {norms.min():.4g} … {norms.max():.4g}"]


def uneven_columns(options: DataOptions, dataset: Dataset) -> str:
    """What to do where a few large columns make all rows of norm 1 alike, which standardised ones would not."""
    spread = np.std(dataset.inputs, axis=0)
    spread = spread[spread > 0]
    uneven = len(spread) > 0 and spread.max() >= _UNEVEN * spread.min()
    return " (columns differ in size: try --standardise)" if uneven and not options.standardise else ""


def require_memory(what: str, numbers: float) -> None:
    """Refuse what needs more float64 ``numbers`` than this machine has memory for, before it is killed."""
    needed, there = 8 * numbers / 2**30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if needed > there:
        raise InputError(f"{what} needs {needed:.4g} GiB of memory, this machine has {there:.4g}.")


def _refuse_unused(options: ProblemOptions) -> None:
    """Options of a split that does not take place, or of another scheme."""
    owners = {"classes_per_client": "by_label", "concentration": "dirichlet", "min_samples": "dirichlet"}
    if options.assignment is not None and options.clients is not None:
        raise InputError(f"assignment is {options.assignment}, but --clients splits anew: leave one of them out.")
    for name in ("scheme", *owners):
        value = getattr(options, name)
        if value is not None and options.clients is None:
            raise InputError(f"{name} is {value}, but without --clients the file's own client of each row decides.")
        if value is not None and name in owners and options.scheme != owners[name]:
            raise InputError(f"{name} is {value}, which only --scheme {owners[name]} uses.")


def _split(
    options: ProblemOptions, dataset: Dataset, column: ndarray | None, held_by: ndarray | None
) -> tuple[Clients, list[str]]:
    """Who holds which row, by the file's own ``column`` or what else says so, and what is to be said about it."""
    if held_by is not None:
        return clients.from_assignment(held_by), []
    if options.clients is None:
        raise InputError(f"{options.data} does not say which client holds a row: --clients or --assignment is needed.")
    notes = [f"split anew into {options.clients} clients, the file's own are not used"] * (column is not None)
    key, number = purpose_key(options.seed, 0), options.clients
    if options.scheme in (None, "iid"):
        return clients.iid(key, dataset, number), notes
    if dataset.labels is None:
        classes = len(np.unique(clients.class_of_each_row(dataset)))
        notes.append(f"split by targets in the labels' stead: {classes} classes")
    if options.scheme == "by_label":
        per_client = 2 if options.classes_per_client is None else options.classes_per_client
        return clients.by_label(key, dataset, number, classes_per_client=per_client), notes
    concentration = 1.0 if options.concentration is None else options.concentration
    least = 1 if options.min_samples is None else options.min_samples
    return clients.dirichlet(key, dataset, number, concentration=concentration, min_samples=least), notes


def _assigned(path: pathlib.Path, rows: int) -> ndarray:
    """The name of each row's client, from a file of one a line."""
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): a text file with one client a line is needed.") from error
    if len(names) != rows:
        raise InputError(f"{path} names {len(names)} clients, needs one for each of the {rows} rows.")
    return np.array(names)


def purpose_key(seed: int, purpose: int) -> jax.Array:
    """Key of the split (0), the random network (1), the batches (2) or the rows held out (3)."""
    return jax.random.fold_in(jax.random.key(whole_number("seed", seed, least=0, most=2**63 - 1)), purpose)
