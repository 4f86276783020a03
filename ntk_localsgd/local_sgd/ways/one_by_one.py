"""Client by client, all its steps: one client's weights at a time, besides the running sum of movements."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntk_localsgd.local_sgd.gradients import (
    ClientData,
    DataPass,
    Patterns,
    Stacked,
    Weights,
    difference,
    gradient,
    sum_for_each,
)
from ntk_localsgd.local_sgd.observables import evaluate
from ntk_localsgd.local_sgd.states import TakenState
from ntk_localsgd.local_sgd.ways.steps import Samples, descend, pass_over, patterns, take
from ntk_localsgd.local_sgd.ways.way import Plan, Seen, Start, average
from ntk_localsgd.networks import Network

__all__ = ["KEEPS", "mean_movement", "patterns", "visit"]

# Clients' gradients, as large as K networks, are handed from round to round but not from chunk to chunk.
KEEPS = False


def visit(net: Network, data: ClientData, initial: Patterns | None, plan: Plan) -> tuple[DataPass, Weights | None]:
    """The pass over the data, and the clients' gradients, where they are those of the next round's first steps."""
    seen = pass_over(net, data, initial, plan)
    return seen, seen.gradients.layers if isinstance(seen.gradients, Stacked) and plan.full else None


def mean_movement(start: Start, plan: Plan) -> tuple[Weights, Seen]:
    """(1/q) Σ_{c∈Q} (W_{c,τ_c} − W(t)), and the observables of steps taken, [τ q] each."""
    total, seen = sum_for_each(partial(_movement, start, plan), start.clients, start.known, *start.data)
    return average(total, len(start.clients)), {name: values.T for name, values in seen.items()}


def _movement(start: Start, plan: Plan, client: Array, known: Weights | None, *samples: Array) -> tuple[Weights, Seen]:
    last, seen = _all_steps(start, plan, client, known, samples)
    return difference(last, start.net.trained), seen


def _all_steps(
    start: Start, plan: Plan, client: Array, known: Weights | None, samples: Samples
) -> tuple[Weights, Seen]:
    """W_{c,τ_c}; ``known`` is the gradient at the start, which is the first step's with full batches."""
    here = start.net.trained
    if known is None and not (plan.full and plan.at_taken):
        step = partial(take, start, plan, client, samples, None)
        return jax.lax.scan(step, here, jnp.arange(plan.local_steps))
    origin = gradient(start.net, *samples) if known is None else known
    first = evaluate(plan.at_taken, TakenState(here, origin, here, origin))
    step = partial(take, start, plan, client, samples, origin)
    last, rest = jax.lax.scan(step, descend(here, origin, start.eta), jnp.arange(1, plan.local_steps))
    return last, {name: jnp.concatenate([first[name][None], rest[name]]) for name in first}
