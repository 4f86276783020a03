"""Local (S)GD: rounds of local steps on every client, then the plain average over clients."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.sharding import Mesh
from jaxtyping import Array
from rich.progress import track

from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.config import Checkpoint, LocalSGD
from ntk_localsgd.local_sgd.gradients import ClientData, for_each
from ntk_localsgd.local_sgd.observables import Observable, select
from ntk_localsgd.local_sgd.placement import everywhere, spread
from ntk_localsgd.local_sgd.recording import GramRecorder, Record
from ntk_localsgd.local_sgd.rounds import Plan, State, at_start, chunk_of_rounds
from ntk_localsgd.networks import Network

__all__ = ["Run", "run", "run_seeds"]

# Rounds in one compiled chunk when nothing else asks for a shorter one.
_LONGEST_CHUNK = 1000


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
        Names out of `OBSERVABLES`; ``loss`` is always recorded.
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


def run_seeds(
    nets: Sequence[Network],
    dataset: Dataset,
    clients: Clients,
    config: LocalSGD,
    *,
    keys: Sequence[Array] | None = None,
    observe: tuple[str, ...] = (),
    gram_every: int = 1,
    mesh: Mesh | None = None,
) -> list[Run]:
    """Train several networks of one shape by Local (S)GD on the same data and clients.

    What `local_sgd.run` finds for each of them, up to rounding; networks one after the other on a CPU, all at once on a
    GPU, where a single small network leaves most of the device idle. All of them are held in memory together.

    Parameters
    ----------
    nets
        Starts, of equal shapes; they are not changed.
    keys
        One a network, exactly when ``batch_size`` is set.
    mesh
        Devices over whose first axis the networks are spread; it must divide their number.
    dataset, clients, config, observe, gram_every
        As in `local_sgd.run`.

    Returns
    -------
    One `Run` a network, in the order given.

    Raises
    ------
    InputError
        As `local_sgd.run`; for no networks, networks of different shapes, or another number of keys.
    """
    _check_alike(nets, keys)
    check(nets[0], dataset, clients, config, keys[0] if keys is not None else None, gram_every)
    at_rounds, at_taken, at_steps, at_grams = (
        select(("loss", *observe), when) for when in ("round", "taken", "step", "gram")
    )
    data = everywhere(ClientData.of(dataset, clients, nets[0].trained[0].dtype), mesh)
    stacked = spread(jax.tree.map(lambda *leaves: jnp.stack(leaves), *nets), mesh, "networks")
    key = spread(jnp.stack(list(keys)), mesh, "networks") if keys is not None else None
    plan = Plan(config.local_steps, config.batch_size, at_rounds, at_taken, at_steps)
    states, rounds_seen, steps_seen = _starts(stacked, data, plan=plan)
    records = [
        first_record(
            _of(rounds_seen, k),
            _of(steps_seen, k),
            at_taken,
            clients,
            config,
            GramRecorder(net, dataset, at_grams, gram_every),
        )
        for k, net in enumerate(nets)
    ]
    sizes = {"step_size": config.step_size, "server_step_size": config.server_step_size}
    chunk = partial(_chunk, stacked, data, key, plan=plan, **sizes)
    diverged = np.zeros(len(nets), bool)
    for first, rounds in chunks(config.num_rounds, [gram_every] if at_grams else [], progress=False):
        states, observed = chunk(states, first, rounds=rounds)
        observed = {name: np.asarray(values) for name, values in observed.items()}
        for k, (net, record) in enumerate(zip(nets, records, strict=True)):
            diverged[k] |= record.diverges(observed["loss"][k]).size > 0
            if not diverged[k]:
                record.append(_of(observed, k))
                record.grams.take(net.with_trained(_of(states.trained, k)), first + rounds)
    about = attributes(nets[0], dataset, clients, config)
    # A diverged run ends at its last good round, which only a run of its own stops at.
    alone = partial(run, dataset=dataset, clients=clients, config=config, observe=observe, gram_every=gram_every)
    return [
        alone(net, key=keys[k] if keys is not None else None) if diverged[k]
        else Run(net.with_trained(_of(states.trained, k)), records[k].labelled(about))
        for k, net in enumerate(nets)
    ]  # fmt: skip


def _check_alike(nets: Sequence[Network], keys: Sequence[Array] | None) -> None:
    if not nets:
        raise InputError("nets is empty, needs at least one network.")
    shapes = {
        (jax.tree.structure(net), *((leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(net))) for net in nets
    }
    if len(shapes) > 1:
        raise InputError(f"nets have {len(shapes)} different shapes or dtypes, need to be alike.")
    if keys is not None and len(keys) != len(nets):
        raise InputError(f"keys are {len(keys)}, but there are {len(nets)} networks: one each is needed.")


def _of(tree: Any, k: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[k], tree)


@partial(jax.jit, static_argnames=("plan",))
def _starts(nets: Any, data: ClientData, *, plan: Plan) -> Any:
    return for_each(lambda net: at_start(net, data, plan=plan), nets)


@partial(jax.jit, static_argnames=("plan", "rounds"))
def _chunk(nets: Any, data: ClientData, keys: Array | None, states: State, first: int, **settings: Any) -> Any:
    """`chunk_of_rounds` of every network."""
    if keys is None:
        return for_each(lambda net, at: chunk_of_rounds(net, data, None, at, first, **settings), nets, states)
    return for_each(lambda net, key, at: chunk_of_rounds(net, data, key, at, first, **settings), nets, keys, states)
