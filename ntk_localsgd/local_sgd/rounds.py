"""Rounds of Local SGD as one compiled chunk, and what is observed in them."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ntk_localsgd.local_sgd.batches import draw_participants
from ntk_localsgd.local_sgd.gradients import ClientData, DataPass, Patterns, Weights, for_each
from ntk_localsgd.local_sgd.observables import evaluate
from ntk_localsgd.local_sgd.states import RoundState
from ntk_localsgd.local_sgd.ways import Plan, Seen, Start, Way, lockstep
from ntk_localsgd.networks import Network

__all__ = ["Sizes", "State", "begin", "go_on"]


class State(NamedTuple):
    """What one round hands to the next."""

    trained: Weights
    patterns: Patterns | None  # at initialization, [K n_max m] a layer, where something is compared with them
    known: PyTree  # what was found at ``trained`` when it was observed, of use to the next round's steps


class Sizes(NamedTuple):
    """η and η_g."""

    step_size: float
    server_step_size: float


@partial(jax.jit, static_argnames=("way", "plan", "many"))
def begin(
    nets: Network, trained: Weights, data: ClientData, *, way: Way, plan: Plan, many: bool
) -> tuple[State, Seen, Seen]:
    """The state at ``trained``, and observables of rounds and of steps there, as if all clients held these weights.

    ``nets`` are the initial networks, from which movement and flips are measured; ``many``: they are several, stacked
    leaf by leaf, and so is every result.
    """
    alone = partial(_begin, data, way, plan)
    return for_each(alone, nets, trained) if many else alone(nets, trained)


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


def _begin(data: ClientData, way: Way, plan: Plan, net: Network, trained: Weights) -> tuple[State, Seen, Seen]:
    here = net.with_trained(trained)
    stacked = jax.tree.map(lambda w: jnp.broadcast_to(w, (len(data.mask), *w.shape)), trained)
    patterns = way.patterns(net, data) if plan.needs("flips") else None
    over_data, known = way.visit(here, data, patterns, plan)
    at_round = _observe(here, net, here, over_data, data, plan)
    at_step = lockstep.at_end(here, stacked, data, plan.at_steps)
    return State(trained, patterns, known if way.KEEPS else None), at_round, at_step


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
    etas = jnp.asarray(sizes.step_size, dtype), jnp.asarray(sizes.server_step_size, dtype)
    if not way.KEEPS:
        state = state._replace(known=way.visit(net.with_trained(state.trained), data, None, plan)[1])
    one_round = partial(_one_round, net, data, key, *etas, way, plan)
    state, seen = jax.lax.scan(one_round, state, first_round + jnp.arange(rounds))
    return state if way.KEEPS else state._replace(known=None), seen


def _one_round(
    net: Network,
    data: ClientData,
    key: Array | None,
    eta: Array,
    server_eta: Array,
    way: Way,
    plan: Plan,
    state: State,
    number: Array,
) -> tuple[State, Seen]:
    before = net.with_trained(state.trained)
    start = _start(Start(before, data, state.known, number, key, eta, jnp.arange(len(data.mask))), plan)
    moved, seen = way.mean_movement(start, plan)
    if plan.participants is not None:
        seen = {name: _among_all(values, start.clients, len(data.mask)) for name, values in seen.items()}
    weights = jax.tree.map(lambda w, step: w + server_eta * step, state.trained, moved)
    after = net.with_trained(weights)
    over_data, known = way.visit(after, data, state.patterns, plan)
    return State(weights, state.patterns, known), seen | _observe(after, net, before, over_data, data, plan)


def _start(everyone: Start, plan: Plan) -> Start:
    """What the round's participants start from."""
    if plan.participants is None or everyone.key is None:
        return everyone
    chosen = draw_participants(everyone.key, everyone.number, len(everyone.clients), plan.participants)
    data, known = jax.tree.map(lambda held: held[chosen], (everyone.data, everyone.known))
    return everyone._replace(data=data, known=known, clients=chosen)


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
