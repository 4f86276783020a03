"""Local (S)GD, also called FedAvg: rounds of local steps on every client, then averaging."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.sharding import Mesh
from jaxtyping import Array
from rich.progress import track

from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import Network
from ntk_localsgd.placement import everywhere, spread
from ntk_localsgd.recording import GramRecorder, Record
from ntk_localsgd.rounds import Plan, at_start, chunk_of_rounds
from ntk_localsgd.trajectory import ClientData, Observable, select

__all__ = ["Checkpoint", "LocalSGD", "Run", "run"]

# Rounds in one compiled chunk when nothing else asks for a shorter one.
_LONGEST_CHUNK = 1000


@dataclasses.dataclass(frozen=True)
class LocalSGD:
    """Settings of Local (S)GD.

    Round t: every client starts from W(t) and takes τ steps W ← W − η ∇L_c(W; B); then
    W(t+1) = W(t) + (η_g/K) Σ_c (W_{c,τ} − W(t)). Losses are sums over samples, L_c = ½ Σ_{i∈S_c} (f − y_i)², and a
    batch gradient is the sum over the batch, without a factor n_c/b.

    Parameters
    ----------
    step_size
        η > 0.
    local_steps
        τ ≥ 1.
    num_rounds
        R ≥ 0.
    batch_size
        b: every step draws a fresh uniform batch of b samples without replacement. None: all samples of the client.
    server_step_size
        η_g > 0.

    Raises
    ------
    InputError
        For a value outside these ranges.
    """

    step_size: float
    local_steps: int
    num_rounds: int
    batch_size: int | None = None
    server_step_size: float = 1.0

    def __post_init__(self) -> None:
        for name in ("step_size", "server_step_size"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"{name} is {getattr(self, name)}, needs to be positive and finite.")
        for name, least in (("local_steps", 1), ("num_rounds", 0), ("batch_size", 1)):
            value = getattr(self, name)
            if value is not None and (int(value) != value or value < least):
                raise InputError(f"{name} is {value}, needs to be a whole number of at least {least}.")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a ``stop`` callable sees between chunks."""

    network: Any
    round: int
    dataset: Dataset
    clients: Clients
    config: LocalSGD


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    network
        The averaged network after the last recorded round.
    trajectory
        Labelled observables. Dimensions: ``round`` t = 0 … R, ``client``, ``local_step`` k = 0 … τ, ``step_taken``
        k = 0 … τ − 1 and ``gram_round``. Local steps at round t ≥ 1 are those that lead from W(t−1) to W(t); at t = 0
        all clients hold W(0).
    diverged_at
        First round at which the loss was not finite or a million times its start; the trajectory ends before it.
    stopped_at
        Round at which ``stop`` ended the run.
    """

    network: Any
    trajectory: xr.Dataset
    diverged_at: int | None = None
    stopped_at: int | None = None


def run(
    net: Network,
    dataset: Dataset,
    clients: Clients,
    config: LocalSGD,
    *,
    key: Array | None = None,
    observe: tuple[str, ...] = (),
    gram_every: int = 1,
    stop: Callable[[Checkpoint], bool] | None = None,
    progress: bool = False,
    mesh: Mesh | None = None,
) -> Run:
    """Train a network by Local (S)GD and record what is observed.

    K = 1 is (stochastic) gradient descent; τ = 1 is synchronous gradient descent on the mean of the clients' losses.
    The run is compiled in chunks of rounds; eigenvalues and ``stop`` are evaluated on the host between chunks.
    Observing local steps may change roundings, nothing else: without it, clients need no weights of their own
    where that is the faster way.

    Parameters
    ----------
    net
        Start; it is not changed. Training runs in its dtype.
    dataset, clients
        The data and who holds it.
    config
        Step size, local steps, rounds, batch size, server step size.
    key
        Decides the batches; needed exactly when ``batch_size`` is set.
    observe
        Names out of `trajectory.OBSERVABLES`; ``loss`` is always recorded.
    gram_every
        The observables of the Gram matrix are taken every this many rounds.
    stop
        Called with a `Checkpoint` at round 0 and every ``stop.every`` rounds (an attribute; 1 if absent); true ends the
        run.
    progress
        Show a progress bar.
    mesh
        Devices over whose first axis the clients are spread; it must divide their number.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If data, clients, network and configuration do not fit together, or an observable is unknown.
    """
    names = ("loss", *observe)
    at_rounds, at_taken, at_steps, at_grams = (select(names, when) for when in ("round", "taken", "step", "gram"))
    check(net, dataset, clients, config, key, gram_every)
    data = spread(ClientData.of(dataset, clients, net.trained[0].dtype), mesh, "clients")
    net = everywhere(net, mesh)
    grams = GramRecorder(net, dataset, at_grams, gram_every)
    plan = Plan(config.local_steps, config.batch_size, at_rounds, at_taken, at_steps)
    state, at_round, at_step = at_start(net, data, plan=plan)
    record = first_record(at_round, at_step, at_taken, clients, config, grams)
    about = attributes(net, dataset, clients, config)
    sizes = {"step_size": config.step_size, "server_step_size": config.server_step_size}
    chunk = partial(chunk_of_rounds, net, data, key, plan=plan, **sizes)
    network, stop_every = net, getattr(stop, "every", 1)
    stopped_at = 0 if stop and stop(Checkpoint(net, 0, dataset, clients, config)) else None
    cadences = ([gram_every] if at_grams else []) + ([stop_every] if stop else [])
    for first, rounds in chunks(config.num_rounds if stopped_at is None else 0, cadences, progress):
        after, observed = chunk(state, first, rounds=rounds)
        if (diverged := record.diverges(observed["loss"])).size:
            kept = int(diverged[0])
            if kept:  # the same rounds again, up to the last good one, so that network and trajectory agree
                after, observed = chunk(state, first, rounds=kept)
                network = net.with_trained(after.trained)
                record.append(observed)
            return Run(network, record.labelled(about), diverged_at=first + kept + 1)
        state, network, done = after, net.with_trained(after.trained), first + rounds
        record.append(observed)
        grams.take(network, done)
        if stop and done % stop_every == 0 and stop(Checkpoint(network, done, dataset, clients, config)):
            stopped_at = done
            break
    return Run(network, record.labelled(about), stopped_at=stopped_at)


def first_record(
    at_round: dict[str, Array], at_step: dict[str, Array], at_taken: tuple[Observable, ...], clients: Clients,
    config: LocalSGD, grams: GramRecorder,
) -> Record:  # fmt: skip
    """A record that begins with round 0, where all clients hold W(0) and no step has been taken."""
    zeros = {entry.name: jnp.zeros(clients.num_clients) for entry in at_taken}
    return Record(at_round, {config.local_steps + 1: at_step, config.local_steps: zeros}, grams)


def check(
    net: Network, dataset: Dataset, clients: Clients, config: LocalSGD, key: Array | None, gram_every: int
) -> None:
    """Refuse data, clients, network and configuration that do not fit together."""
    if dataset.input_dim != net.input_dim:
        raise InputError(f"dataset has {dataset.input_dim} inputs, but the network takes {net.input_dim}.")
    columns = dataset.targets.shape[1:]
    if columns != (() if net.output_dim == 1 else (net.output_dim,)):
        outputs = "one output, a plain number" if net.output_dim == 1 else f"{net.output_dim} outputs"
        raise InputError(f"dataset has {columns[0] if columns else 1} targets a row, but the network has {outputs}.")
    if clients.num_samples != dataset.num_samples:
        raise InputError(f"clients hold {clients.num_samples} samples, but the dataset has {dataset.num_samples}.")
    if config.batch_size is not None and config.batch_size > min(clients.sizes):
        raise InputError(
            f"batch_size is {config.batch_size}, but client {int(np.argmin(clients.sizes))} holds {min(clients.sizes)} "
            f"samples: a batch without replacement cannot be larger."
        )
    if (config.batch_size is None) != (key is None):
        raise InputError("key is needed when batch_size is set, and has no use when it is not.")
    if gram_every < 1:
        raise InputError(f"gram_every is {gram_every}, needs to be at least 1.")


def attributes(net: Network, dataset: Dataset, clients: Clients, config: LocalSGD) -> dict[str, Any]:
    """What a trajectory says of its run; NetCDF attributes are never None."""
    settings = {name: value for name, value in dataclasses.asdict(config).items() if value is not None}
    data = {"dataset": dataset.name, "num_samples": dataset.num_samples, "input_dim": dataset.input_dim}
    return settings | data | {"client_sizes": list(clients.sizes), "dtype": str(net.trained[0].dtype)}


def chunks(num_rounds: int, cadences: list[int], progress: bool) -> Iterator[tuple[int, int]]:
    """First round and number of rounds of every chunk; chunk ends meet every cadence."""
    length = math.gcd(*cadences) if cadences else _LONGEST_CHUNK
    if progress and not cadences:
        length = max(1, math.ceil(num_rounds / 20))
    starts = range(0, num_rounds, length)
    shown = track(starts, description="Local SGD") if progress else starts
    for first in shown:
        yield first, min(length, num_rounds - first)
