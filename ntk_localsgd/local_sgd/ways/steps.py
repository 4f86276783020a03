"""One local step of one client that holds weights of its own, for the ways that take such steps."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntk_localsgd.local_sgd import batches
from ntk_localsgd.local_sgd.gradients import ClientData, DataPass, Patterns, Weights, data_pass, for_each, gradient
from ntk_localsgd.local_sgd.observables import evaluate
from ntk_localsgd.local_sgd.states import TakenState
from ntk_localsgd.local_sgd.ways.way import Plan, Seen, Start
from ntk_localsgd.networks import Network

__all__ = ["Samples", "descend", "pass_over", "patterns", "take"]

#: Inputs, targets and mask of one client.
Samples = tuple[Array, ...]


def take(
    start: Start, plan: Plan, client: Array, samples: Samples, origin: Weights | None, weights: Weights, k: Array
) -> tuple[Weights, Seen]:
    """W ← W − η∇L_c(W; B), and its observables beside ``origin``, the gradient at the round's start (None: take it)."""
    if start.key is not None and plan.batch_size is not None:
        chosen = batches.draw(start.key, start.number, k, client, samples[2], plan.batch_size)
        samples = tuple(part[chosen] for part in samples)
    slope = gradient(start.net.with_trained(weights), *samples)
    if plan.at_taken and origin is None:
        origin = gradient(start.net, *samples)
    seen = evaluate(plan.at_taken, TakenState(weights, slope, start.net.trained, origin)) if origin is not None else {}
    moved = descend(weights, slope, start.eta)
    goes_on = plan.goes_on(client, k)
    if goes_on is None:
        return moved, seen
    # A client that has taken all its steps waits where it is, and what would be seen of a further one is no number.
    seen = {name: jnp.where(goes_on, value, jnp.nan) for name, value in seen.items()}
    return jax.tree.map(partial(jnp.where, goes_on), moved, weights), seen


def descend(weights: Weights, slope: Weights, eta: Array) -> Weights:
    """W − ηG."""
    return jax.tree.map(lambda w, g: w - eta * g, weights, slope)


def patterns(net: Network, data: ClientData) -> Patterns:
    """Activation patterns [K n_max m] of every trained layer."""
    return for_each(net.activation_patterns, data.inputs)


def pass_over(net: Network, data: ClientData, initial: Patterns | None, plan: Plan) -> DataPass:
    """All that the observables of a round's end need of the data."""
    return data_pass(net, data, gradients=plan.needs("gradients"), initial_patterns=initial)
