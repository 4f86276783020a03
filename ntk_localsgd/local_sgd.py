"""Local (S)GD, also called FedAvg: rounds of local steps on every client, then averaging."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array
from rich.progress import track

from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import Network
from ntk_localsgd.recording import GramRecorder, Record
from ntk_localsgd.trajectory import (
    ClientData,
    Observable,
    RoundState,
    StepState,
    for_each_client,
    gradient,
    select,
)

__all__ = ["Checkpoint", "LocalSGD", "Run", "run"]

# A loss this many times its start is called divergence. At a stable step size the loss may grow for a while, by single
# digits; at one somewhat too large a ReLU network's loss may rise a thousandfold and still come down.
DIVERGED = 1e6

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
        Labelled observables. Dimensions: ``round`` t = 0 … R, ``client``, ``local_step`` k = 0 … τ and ``gram_round``.
        Local steps at round t ≥ 1 are those that lead from W(t−1) to W(t); at t = 0 all clients hold W(0).
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
) -> Run:
    """Train a network by Local (S)GD and record what is observed.

    K = 1 is (stochastic) gradient descent; τ = 1 is synchronous gradient descent on the mean of the clients' losses.
    The run is compiled in chunks of rounds; eigenvalues and ``stop`` are evaluated on the host between chunks.

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

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If data, clients, network and configuration do not fit together, or an observable is unknown.
    """
    names = ("loss", *observe)
    at_rounds, at_steps, at_grams = (select(names, when) for when in ("round", "step", "gram"))
    _check(net, dataset, clients, config, key, gram_every)
    data = ClientData.of(dataset, clients, net.trained[0].dtype)
    grams = GramRecorder(net, dataset, at_grams, gram_every)
    at_round, at_step = _at_start(net, data, at_rounds=at_rounds, at_steps=at_steps)
    record = Record(at_round, at_step, config.local_steps, grams)
    attributes = _attributes(net, dataset, clients, config)
    chunk = partial(
        _chunk, net, data, key, local_steps=config.local_steps, batch_size=config.batch_size, at_rounds=at_rounds,
        at_steps=at_steps, step_size=config.step_size, server_step_size=config.server_step_size,
    )  # fmt: skip
    network, stop_every = net, getattr(stop, "every", 1)
    stopped_at = 0 if stop and stop(Checkpoint(net, 0, dataset, clients, config)) else None
    cadences = ([gram_every] if at_grams else []) + ([stop_every] if stop else [])
    for first, rounds in _chunks(config.num_rounds if stopped_at is None else 0, cadences, progress):
        after, observed = chunk(network.trained, first, rounds=rounds)
        losses = np.asarray(observed["loss"], np.float64)
        diverged = np.flatnonzero(~(losses <= DIVERGED * max(record.first_loss, np.finfo(np.float64).tiny)))
        if diverged.size:
            kept = int(diverged[0])
            if kept:  # the same rounds again, up to the last good one, so that network and trajectory agree
                after, observed = chunk(network.trained, first, rounds=kept)
                network = net.with_trained(after)
                record.append(observed)
            return Run(network, record.labelled(attributes), diverged_at=first + kept + 1)
        network = net.with_trained(after)
        record.append(observed)
        grams.take(network, first + rounds)
        done = first + rounds
        if stop and done % stop_every == 0 and stop(Checkpoint(network, done, dataset, clients, config)):
            stopped_at = done
            break
    return Run(network, record.labelled(attributes), stopped_at=stopped_at)


def _check(
    net: Network, dataset: Dataset, clients: Clients, config: LocalSGD, key: Array | None, gram_every: int
) -> None:
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


def _attributes(net: Network, dataset: Dataset, clients: Clients, config: LocalSGD) -> dict[str, Any]:
    """What a trajectory says of its run; NetCDF attributes are never None."""
    settings = {name: value for name, value in dataclasses.asdict(config).items() if value is not None}
    data = {"dataset": dataset.name, "num_samples": dataset.num_samples, "input_dim": dataset.input_dim}
    return settings | data | {"client_sizes": list(clients.sizes), "dtype": str(net.trained[0].dtype)}


def _chunks(num_rounds: int, cadences: list[int], progress: bool) -> Iterator[tuple[int, int]]:
    """First round and number of rounds of every chunk; chunk ends meet every cadence."""
    length = math.gcd(*cadences) if cadences else _LONGEST_CHUNK
    if progress and not cadences:
        length = max(1, math.ceil(num_rounds / 20))
    starts = range(0, num_rounds, length)
    shown = track(starts, description="Local SGD") if progress else starts
    for first in shown:
        yield first, min(length, num_rounds - first)


@partial(jax.jit, static_argnames=("rounds", "local_steps", "batch_size", "at_rounds", "at_steps"))
def _chunk(
    net: Network,
    data: ClientData,
    key: Array | None,
    trained: tuple[Array, ...],
    first_round: int,
    *,
    step_size: float,
    server_step_size: float,
    rounds: int,
    local_steps: int,
    batch_size: int | None,
    at_rounds: tuple[Observable, ...],
    at_steps: tuple[Observable, ...],
) -> tuple[tuple[Array, ...], dict[str, Array]]:
    """``rounds`` rounds from ``trained`` on; ``net`` is the initial network. Returns weights and observations."""
    num_clients, dtype = len(data.mask), trained[0].dtype
    eta, server_eta = jnp.asarray(step_size, dtype), jnp.asarray(server_step_size, dtype)
    patterns = _initial_patterns(net, data, at_rounds)
    numbers = jnp.arange(num_clients)

    def step(weights: Any, client: Array, samples: Any, when: tuple[Array, Array]) -> Any:
        if key is not None and batch_size is not None:
            samples = _batch(_stream(key, *when, client), samples, batch_size)
        return jax.tree.map(lambda w, g: w - eta * g, weights, gradient(net.with_trained(weights), *samples))

    def client_round(start: Any, t: Array) -> Any:
        """Client by client, all its steps: one client's weights at a time, besides the running result."""

        def local(client: Array, *samples: Any) -> Any:
            body = lambda weights, k: (step(weights, client, samples, (t, k)), None)  # noqa: E731
            return jax.lax.scan(body, start, jnp.arange(local_steps))[0]

        return for_each_client(local, numbers, *data), {}

    def lockstep_round(start: Any, t: Array) -> Any:
        """Step by step, all clients: W̄_k exists at every k, at the price of K copies of the weights."""

        def body(stacked: Any, k: Array) -> Any:
            moved = lambda weights, client, *samples: step(weights, client, samples, (t, k))  # noqa: E731
            stacked = for_each_client(moved, stacked, numbers, *data)
            return stacked, observe_step(net, start, stacked, data, at_steps)

        stacked = jax.tree.map(lambda w: jnp.broadcast_to(w, (num_clients, *w.shape)), start)
        at_start = observe_step(net, start, stacked, data, at_steps)
        stacked, seen = jax.lax.scan(body, stacked, jnp.arange(local_steps))
        return stacked, {name: jnp.concatenate([at_start[name][None], seen[name]]) for name in seen}

    def one_round(start: Any, t: Array) -> Any:
        stacked, seen = (lockstep_round if at_steps else client_round)(start, t)
        weights = jax.tree.map(lambda w, all_w: w + server_eta * jnp.mean(all_w - w, axis=0), start, stacked)
        return weights, seen | observe_round(net, weights, patterns, data, at_rounds)

    return jax.lax.scan(one_round, trained, first_round + jnp.arange(rounds))


def observe_round(
    net: Network, weights: Any, patterns: Any, data: ClientData, observables: tuple[Observable, ...]
) -> dict[str, Array]:
    """Observables of a round's end at the averaged weights."""
    state = RoundState(net.with_trained(weights), net, patterns, data)
    return {entry.name: entry.compute(state) for entry in observables if entry.compute}


def observe_step(
    net: Network, start: Any, stacked: Any, data: ClientData, observables: tuple[Observable, ...]
) -> dict[str, Array]:
    """Observables of a local step, [K] each."""
    average, origin = net.with_trained(jax.tree.map(lambda w: jnp.mean(w, axis=0), stacked)), net.with_trained(start)

    def of_client(weights: Any, *samples: Array) -> dict[str, Array]:
        state = StepState(net.with_trained(weights), average, origin, *samples)
        return {entry.name: entry.compute(state) for entry in observables if entry.compute}

    return for_each_client(of_client, stacked, *data)


def _initial_patterns(net: Network, data: ClientData, at_rounds: tuple[Observable, ...]) -> Any:
    """Activation patterns at initialization, once per chunk, if some observable compares with them."""
    if any("flip_fraction" in entry.name for entry in at_rounds):
        return for_each_client(net.activation_patterns, data.inputs)
    return ()


def _stream(key: Array, *numbers: Array) -> Array:
    for number in numbers:
        key = jax.random.fold_in(key, number)
    return key


def _batch(key: Array, samples: tuple[Array, Array, Array], batch_size: int) -> tuple[Array, Array, Array]:
    """A uniform batch without replacement: the samples with the ``batch_size`` largest of independent uniform keys.

    Sample i's key depends on (round, step, client, i) alone, so that a client's batches do not change with the padding.
    """
    inputs, targets, mask = samples
    keys = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i)))(jnp.arange(len(mask)))
    _, chosen = jax.lax.top_k(jnp.where(mask, keys, -1), batch_size)
    return inputs[chosen], targets[chosen], mask[chosen]


@partial(jax.jit, static_argnames=("at_rounds", "at_steps"))
def _at_start(
    net: Network, data: ClientData, *, at_rounds: tuple[Observable, ...], at_steps: tuple[Observable, ...]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Observables at round 0, where every client holds W(0)."""
    stacked = jax.tree.map(lambda w: jnp.broadcast_to(w, (len(data.mask), *w.shape)), net.trained)
    at_round = observe_round(net, net.trained, _initial_patterns(net, data, at_rounds), data, at_rounds)
    return at_round, observe_step(net, net.trained, stacked, data, at_steps)
