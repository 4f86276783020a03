"""Rounds of Local SGD as one compiled chunk, and what is observed in them."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree
from numpy import ndarray

from ntk_localsgd.local_sgd import server
from ntk_localsgd.local_sgd.batches import draw_participants
from ntk_localsgd.local_sgd.gradients import ClientData, DataPass, Patterns, Weights, for_each
from ntk_localsgd.local_sgd.observables import evaluate
from ntk_localsgd.local_sgd.states import RoundState
from ntk_localsgd.local_sgd.ways import Plan, Seen, Start, Way, lockstep
from ntk_localsgd.networks import Network

__all__ = ["CARRIED", "Sizes", "State", "begin", "go_on"]

#: Under which the weights of every round's end come along with what is observed; no observable has such a name.
CARRIED = "/weights"


class State(NamedTuple):
    """What one round hands to the next."""

    trained: Weights
    patterns: Patterns | None  # at initialization, [K n_max m] a layer, where something is compared with them
    known: PyTree  # what was found at ``trained`` when it was observed, of use to the next round's steps
    server: PyTree = ()  # of the server's optimizer


class Sizes(NamedTuple):
    """η and η_g; by round what η is multiplied by, and by client K p_c, where these are not 1."""

    step_size: Array | float
    server_step_size: Array | float
    step_factors: Array | ndarray | None = None
    client_weights: Array | ndarray | None = None


@partial(jax.jit, static_argnames=("way", "plan", "many"))
def begin(
    nets: Network, trained: Weights, optimizer: PyTree, data: ClientData, *, way: Way, plan: Plan, many: bool
) -> tuple[State, Seen, Seen]:
    """The state at ``trained``, and observables of rounds and of steps there, as if all clients held these weights.

    ``nets`` are the initial networks, from which movement and flips are measured; ``optimizer`` is the server's state
    (None: as before any round); ``many``: networks are several, stacked leaf by leaf, and so is every result.
    """
    alone = partial(_begin, data, way, plan)
    return for_each(alone, nets, trained, optimizer) if many else alone(nets, trained, optimizer)


@partial(jax.jit, static_argnames=("way", "plan", "many", "rounds"))
def go_on(
    nets: Network,
    keys: Array | None,
    states: State,
    data: ClientData,
    first_round: Array | int,
    sizes: Sizes,
    *,
    way: Way,
    plan: Plan,
    many: bool,
    rounds: int,
) -> tuple[State, Seen]:
    """``rounds`` rounds from a state on, and their observables; ``nets`` are the initial networks, as in `begin`."""
    alone = partial(_go_on, data, first_round, sizes, way, plan, rounds)
    return for_each(alone, nets, keys, states) if many else alone(nets, keys, states)


def _begin(
    data: ClientData, way: Way, plan: Plan, net: Network, trained: Weights, optimizer: PyTree
) -> tuple[State, Seen, Seen]:
    here = net.with_trained(trained)
    stacked = jax.tree.map(lambda w: jnp.broadcast_to(w, (len(data.mask), *w.shape)), trained)
    patterns = way.patterns(net, data) if plan.needs("flips") else None
    over_data, known = way.visit(here, data, patterns, plan)
    at_round = _observe(here, net, here, over_data, data, plan)
    at_step = lockstep.at_end(here, stacked, data, plan.at_steps)
    optimizer = server.begin(plan.server, trained) if optimizer is None else optimizer
    return State(trained, patterns, known if way.KEEPS else None, optimizer), at_round, at_step


def _go_on(
    data: ClientData,
    first_round: Array | int,
    sizes: Sizes,
    way: Way,
    plan: Plan,
    rounds: int,
    net: Network,
    key: Array | None,
    state: State,
) -> tuple[State, Seen]:
    dtype = state.trained[0].dtype
    sizes = jax.tree.map(lambda size: jnp.asarray(size, dtype), sizes)
    if not way.KEEPS:
        state = state._replace(known=way.visit(net.with_trained(state.trained), data, None, plan)[1])
    one_round = partial(_one_round, net, data, key, sizes, way, plan)
    state, seen = jax.lax.scan(one_round, state, first_round + jnp.arange(rounds))
    return state if way.KEEPS else state._replace(known=None), seen


def _one_round(
    net: Network,
    data: ClientData,
    key: Array | None,
    sizes: Sizes,
    way: Way,
    plan: Plan,
    state: State,
    number: Array,
) -> tuple[State, Seen]:
    before, everyone = net.with_trained(state.trained), jnp.arange(len(data.mask))
    eta, server_eta, factors, weights = (None if size is None else jnp.asarray(size) for size in sizes)
    assert eta is not None
    assert server_eta is not None
    eta = eta if factors is None else eta * factors[number]
    start = _start(Start(before, data, state.known, number, key, eta, everyone, weights), plan)
    moved, seen = way.mean_movement(start, plan)
    if plan.participants is not None:
        seen = {name: _among_all(values, start.clients, len(data.mask)) for name, values in seen.items()}
    trained, optimizer = server.step(plan.server, state.server, state.trained, moved, server_eta)
    after = net.with_trained(trained)
    over_data, known = way.visit(after, data, state.patterns, plan)
    seen |= _observe(after, net, before, over_data, data, plan) | ({CARRIED: trained} if plan.carried else {})
    return State(trained, state.patterns, known, optimizer), seen


def _start(everyone: Start, plan: Plan) -> Start:
    """What the round's participants start from; their weights add up to 1."""
    weights = everyone.weights
    if plan.participants is not None and everyone.key is not None:
        chosen = draw_participants(everyone.key, everyone.number, len(everyone.clients), plan.participants)
        held = (everyone.data, everyone.known, weights)
        data, known, weights = jax.tree.map(lambda each: each[chosen], held)
        everyone = everyone._replace(data=data, known=known, clients=chosen)
    return everyone if weights is None else everyone._replace(weights=weights / jnp.sum(weights))


def _among_all(values: Array, chosen: Array, number: int) -> Array:
    """What was observed of participants' steps [τ q …] in its place among all clients; NaN for the others."""
    values = values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(jnp.float32)
    everyone = jnp.full((len(values), number, *values.shape[2:]), jnp.nan, values.dtype)
    return everyone.at[:, chosen].set(values)


def _observe(
    net: Network, initial: Network, previous: Network, over_data: DataPass, data: ClientData, plan: Plan
) -> Seen:
    """Observables of a round's end at the averaged weights."""
    return evaluate(plan.at_rounds, RoundState(net, initial, previous, over_data, data.mask))
