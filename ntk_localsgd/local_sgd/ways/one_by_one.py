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
from ntk_localsgd.local_sgd.ways.steps import Samples, descend, enter, pass_over, patterns, take
from ntk_localsgd.local_sgd.ways.way import Plan, Seen, Start, average
from ntk_localsgd.networks import Network

__all__ = ["KEEPS", "mean_movement", "patterns", "visit"]

#: Whether what a round leaves is handed from chunk to chunk: clients' gradients, as large as K networks, are handed
#: from round to round only.
KEEPS = False


def visit(net: Network, data: ClientData, initial: Patterns | None, plan: Plan) -> tuple[DataPass, Weights | None]:
    """The pass over the data, and the clients' gradients, where they are those of the next round's first steps."""
    seen = pass_over(net, data, initial, plan)
    return seen, seen.gradients.layers if isinstance(seen.gradients, Stacked) and plan.full else None


def mean_movement(start: Start, plan: Plan) -> tuple[Weights, Seen]:
    """Σ_{c∈Q} w_c (W_{c,τ_c} − W(t)), w_c = 1/q if uniform, and the observables of steps taken, [τ q] each."""
    movement = partial(_movement, start, plan)
    total, seen = sum_for_each(movement, start.clients, start.known, start.weights, *start.data)
    seen = {name: values.T for name, values in seen.items()}
    return total if start.weights is not None else average(total, len(start.clients)), seen


def _movement(
    start: Start, plan: Plan, client: Array, known: Weights | None, weight: Array | None, *samples: Array
) -> tuple[Weights, Seen]:
    last, seen = _all_steps(start, plan, client, known, samples)
    moved = difference(last, start.net.trained)
    return moved if weight is None else jax.tree.map(lambda w: weight * w, moved), seen


def _all_steps(
    start: Start, plan: Plan, client: Array, known: Weights | None, samples: Samples
) -> tuple[Weights, Seen]:
    """W_{c,τ_c}; ``known`` is the gradient at the start, which is the first step's with full batches."""
    here = enter(plan, start.net.trained)
    if known is None and not (plan.full and plan.at_taken):
        step = partial(take, start, plan, client, samples, None)
        last, seen = jax.lax.scan(step, here, jnp.arange(plan.local_steps))
        return last.weights, seen
    origin = gradient(start.net, *samples) if known is None else known
    first = evaluate(plan.at_taken, TakenState(here.weights, origin, here.weights, origin))
    step = partial(take, start, plan, client, samples, origin)
    one_step = descend(start, plan, here, origin, samples[2])
    last, rest = jax.lax.scan(step, one_step, jnp.arange(1, plan.local_steps))
    return last.weights, {name: jnp.concatenate([first[name][None], rest[name]]) for name in first}
