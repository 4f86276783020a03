"""Step by step, all clients: the average over clients exists at every step, at the price of K copies of the weights."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntk_localsgd.local_sgd.gradients import (
    ClientData,
    DataPass,
    Patterns,
    Weights,
    difference,
    for_each,
    sum_over_clients,
)
from ntk_localsgd.local_sgd.observables import Observable, evaluate
from ntk_localsgd.local_sgd.states import StepState
from ntk_localsgd.local_sgd.ways.steps import Local, enter, pass_over, patterns, take
from ntk_localsgd.local_sgd.ways.way import Plan, Seen, Start, average
from ntk_localsgd.networks import Network

__all__ = ["KEEPS", "at_end", "mean_movement", "patterns", "visit"]

#: Whether what a round leaves is handed from chunk to chunk.
KEEPS = False


def visit(net: Network, data: ClientData, initial: Patterns | None, plan: Plan) -> tuple[DataPass, None]:
    """The pass over the data; steps in lockstep take their gradients themselves."""
    return pass_over(net, data, initial, plan), None


def mean_movement(start: Start, plan: Plan) -> tuple[Weights, Seen]:
    """Σ_{c∈Q} w_c (W_{c,τ_c} − W(t)), w_c = 1/q if uniform; and the observables of steps, [τ+1 q …] and [τ q] each."""
    number = len(start.data.mask)
    stacked = jax.tree.map(lambda w: jnp.broadcast_to(w, (number, *w.shape)), enter(plan, start.net.trained))
    stacked, (seen, taken) = jax.lax.scan(partial(_everyone, start, plan), stacked, jnp.arange(plan.local_steps))
    last = at_end(start.net, stacked.weights, start.data, plan.at_steps, start.weights)
    seen = {name: jnp.concatenate([seen[name], last[name][None]]) for name in seen}
    origin = jax.tree.map(lambda w: w[None], start.net.trained)
    return _mean(difference(stacked.weights, origin), start.weights), seen | taken


def at_end(
    net: Network,
    stacked: Weights,
    data: ClientData,
    observables: tuple[Observable, ...],
    shares: Array | None = None,
) -> Seen:
    """Observables of all clients at a local step that none of them goes on from, [K …] each."""
    return for_each(partial(_observe, net, _mean(stacked, shares), observables), stacked, *data)


def _everyone(start: Start, plan: Plan, stacked: Local, k: Array) -> tuple[Local, tuple[Seen, Seen]]:
    mean = _mean(stacked.weights, start.weights)
    return for_each(partial(_one_step, start, plan, mean, k), stacked, start.clients, *start.data)


def _one_step(
    start: Start, plan: Plan, mean: Weights, k: Array, here: Local, client: Array, *samples: Array
) -> tuple[Local, tuple[Seen, Seen]]:
    moved, taken = take(start, plan, client, samples, None, here, k)
    return moved, (_observe(start.net, mean, plan.at_steps, here.weights, *samples), taken)


def _observe(
    net: Network, mean: Weights, observables: tuple[Observable, ...], weights: Weights, *samples: Array
) -> Seen:
    """Observables of one client at a local step, from the round's start ``net``.

    With full batches the gradient at its weights is that of the step it takes next: both stand in one computation, in
    which the compiler takes it once.
    """
    return evaluate(observables, StepState(net.with_trained(weights), net.with_trained(mean), net, *samples))


def _mean(stacked: Weights, shares: Array | None) -> Weights:
    """Σ_c w_c W_c, and (1/K) Σ_c W_c without shares."""
    if shares is None:
        return average(sum_over_clients(stacked), len(stacked[0]))
    return sum_over_clients(stacked, shares)
