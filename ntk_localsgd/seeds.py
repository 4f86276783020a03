"""The same Local (S)GD from many initial networks at once: one compiled program for all of them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from ntk_localsgd import local_sgd
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD, Run
from ntk_localsgd.networks import Network
from ntk_localsgd.placement import everywhere, spread
from ntk_localsgd.recording import GramRecorder
from ntk_localsgd.rounds import Plan, State, at_start, chunk_of_rounds
from ntk_localsgd.trajectory import ClientData, for_each, select

__all__ = ["run_seeds"]


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
    _check(nets, keys)
    local_sgd.check(nets[0], dataset, clients, config, keys[0] if keys is not None else None, gram_every)
    at_rounds, at_taken, at_steps, at_grams = (
        select(("loss", *observe), when) for when in ("round", "taken", "step", "gram")
    )
    data = everywhere(ClientData.of(dataset, clients, nets[0].trained[0].dtype), mesh)
    stacked = spread(jax.tree.map(lambda *leaves: jnp.stack(leaves), *nets), mesh, "networks")
    key = spread(jnp.stack(list(keys)), mesh, "networks") if keys is not None else None
    plan = Plan(config.local_steps, config.batch_size, at_rounds, at_taken, at_steps)
    states, rounds_seen, steps_seen = _starts(stacked, data, plan=plan)
    records = [
        local_sgd.first_record(
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
    for first, rounds in local_sgd.chunks(config.num_rounds, [gram_every] if at_grams else [], progress=False):
        states, observed = chunk(states, first, rounds=rounds)
        observed = {name: np.asarray(values) for name, values in observed.items()}
        for k, (net, record) in enumerate(zip(nets, records, strict=True)):
            diverged[k] |= record.diverges(observed["loss"][k]).size > 0
            if not diverged[k]:
                record.append(_of(observed, k))
                record.grams.take(net.with_trained(_of(states.trained, k)), first + rounds)
    attributes = local_sgd.attributes(nets[0], dataset, clients, config)
    # A diverged run ends at its last good round, which only a run of its own stops at.
    alone = partial(
        local_sgd.run, dataset=dataset, clients=clients, config=config, observe=observe, gram_every=gram_every
    )
    return [
        alone(net, key=keys[k] if keys is not None else None) if diverged[k]
        else Run(net.with_trained(_of(states.trained, k)), records[k].labelled(attributes))
        for k, net in enumerate(nets)
    ]  # fmt: skip


def _check(nets: Sequence[Network], keys: Sequence[Array] | None) -> None:
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
