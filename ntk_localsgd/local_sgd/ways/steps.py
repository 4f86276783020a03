"""One local step of one client that holds weights of its own, for the ways that take such steps."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntk_localsgd.local_sgd import batches
from ntk_localsgd.local_sgd.gradients import ClientData, DataPass, Patterns, Weights, data_pass, for_each, gradient
from ntk_localsgd.local_sgd.observables import evaluate
from ntk_localsgd.local_sgd.states import TakenState
from ntk_localsgd.local_sgd.ways.way import Plan, Seen, Start
from ntk_localsgd.networks import Network

__all__ = ["Local", "Samples", "descend", "enter", "pass_over", "patterns", "take"]

#: Inputs, targets and mask of one client.
Samples = tuple[Array, ...]


class Local(NamedTuple):
    """A client's weights within a round, and its velocity: () without momentum."""

    weights: Weights
    velocity: Weights


def enter(plan: Plan, weights: Weights) -> Local:
    """A client at a round's start."""
    return Local(weights, jax.tree.map(jnp.zeros_like, weights) if plan.rule.momentum else ())


def take(
    start: Start, plan: Plan, client: Array, samples: Samples, origin: Weights | None, here: Local, k: Array
) -> tuple[Local, Seen]:
    """One step, and its observables beside ``origin``, the gradient at the round's start (None: take it)."""
    if start.key is not None and plan.batch_size is not None:
        samples = _batch(start, plan, client, samples, k)
    slope = gradient(start.net.with_trained(here.weights), *samples)
    if plan.at_taken and origin is None:
        origin = gradient(start.net, *samples)
    seen = {}
    if origin is not None:
        seen = evaluate(plan.at_taken, TakenState(here.weights, slope, start.net.trained, origin))
    moved = descend(start, plan, here, slope, samples[2])
    goes_on = plan.goes_on(client, k)
    if goes_on is None:
        return moved, seen
    # A client that has taken all its steps waits where it is, and what would be seen of a further one is no number.
    seen = {name: jnp.where(goes_on, value, jnp.nan) for name, value in seen.items()}
    return jax.tree.map(partial(jnp.where, goes_on), moved, here), seen


def _batch(start: Start, plan: Plan, client: Array, samples: Samples, k: Array) -> Samples:
    """The step's samples; the mask leaves out what a client with fewer than b samples does not have."""
    assert start.key is not None
    assert plan.batch_size is not None
    inputs, targets, mask = samples
    if not plan.rule.epochs:
        chosen = batches.draw(start.key, start.number, k, client, mask, plan.batch_size)
        return inputs[chosen], targets[chosen], mask[chosen]
    chosen, kept = batches.walk(start.key, start.number, k, client, mask, plan.batch_size)
    return inputs[chosen], targets[chosen], kept


def descend(start: Start, plan: Plan, here: Local, slope: Weights, mask: Array) -> Local:
    """W ← W − ηG, G the sum or mean over the batch with all that the rule adds: v ← βv + G and W ← W − ηv."""
    rule, dtype, weights = plan.rule, slope[0].dtype, here.weights
    if rule.mean:
        number = jnp.sum(mask).astype(dtype)
        slope = jax.tree.map(lambda g: g / number, slope)
    if rule.weight_decay:
        decay = jnp.asarray(rule.weight_decay, dtype)
        slope = jax.tree.map(lambda g, w: g + decay * w, slope, weights)
    if rule.proximal:
        pull = jnp.asarray(rule.proximal, dtype)
        slope = jax.tree.map(lambda g, w, w0: g + pull * (w - w0), slope, weights, start.net.trained)
    velocity: Weights = ()
    if rule.momentum:
        beta = jnp.asarray(rule.momentum, dtype)
        velocity = slope = jax.tree.map(lambda v, g: beta * v + g, here.velocity, slope)
    return Local(jax.tree.map(lambda w, g: w - start.eta * g, weights, slope), velocity)


def patterns(net: Network, data: ClientData) -> Patterns:
    """Activation patterns [K n_max m] of every trained layer."""
    return for_each(net.activation_patterns, data.inputs)


def pass_over(net: Network, data: ClientData, initial: Patterns | None, plan: Plan) -> DataPass:
    """All that the observables of a round's end need of the data."""
    return data_pass(net, data, gradients=plan.needs("gradients"), initial_patterns=initial)
