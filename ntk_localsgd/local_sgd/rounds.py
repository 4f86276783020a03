"""Rounds of Local SGD as one compiled chunk, and what is observed in them."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntk_localsgd.local_sgd.gradients import (
    ClientData,
    DataPass,
    Stacked,
    data_pass,
    difference,
    for_each,
    gradient,
    layer_flips,
    sum_for_each,
    sum_over_clients,
)
from ntk_localsgd.local_sgd.observables import Observable, RoundState, StepState, TakenState
from ntk_localsgd.local_sgd.ways import shared as shared_weights
from ntk_localsgd.networks import Network

__all__ = ["Plan", "State", "at_start", "chunk_of_rounds"]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What rounds are compiled for: τ, b (None: all samples at every step), and what is observed when."""

    local_steps: int
    batch_size: int | None
    at_rounds: tuple[Observable, ...] = ()
    at_taken: tuple[Observable, ...] = ()
    at_steps: tuple[Observable, ...] = ()

    @property
    def full(self) -> bool:
        """Whether every step takes all samples."""
        return self.batch_size is None

    @property
    def gradients(self) -> bool:
        """Whether gradients at a round's end are observed."""
        return any("gradient" in entry.name for entry in self.at_rounds)

    @property
    def summed_gradient(self) -> bool:
        """Whether that is so of the sum over clients."""
        return any(entry.name == "gradient_norm" for entry in self.at_rounds)

    @property
    def flips(self) -> bool:
        """Whether patterns are compared with those at initialization."""
        return any("flip_fraction" in entry.name for entry in self.at_rounds)

    def shares_weights(self, net: Network, data: ClientData) -> bool:
        """Whether clients need no weights of their own, and are faster without."""
        return not (self.at_steps or self.at_taken) and shared_weights.pays(
            net, data, self.local_steps, self.batch_size
        )


class State(NamedTuple):
    """What one round hands to the next."""

    trained: tuple[Array, ...]
    patterns: Any  # activation patterns at initialization, [K n_max m] a layer; () if nothing is compared with them
    known: Any  # what was found at ``trained`` when it was observed, of use to the next round's steps


@partial(jax.jit, static_argnames=("plan", "rounds"))
def chunk_of_rounds(
    net: Network,
    data: ClientData,
    key: Array | None,
    state: State,
    first_round: int,
    *,
    plan: Plan,
    step_size: float,
    server_step_size: float,
    rounds: int,
) -> tuple[State, dict[str, Array]]:
    """``rounds`` rounds from a state on; ``net`` is the initial network. Returns the state after them, observations."""
    num_clients, dtype = len(data.mask), state.trained[0].dtype
    eta, server_eta = jnp.asarray(step_size, dtype), jnp.asarray(server_step_size, dtype)
    numbers, local_steps, batch_size = jnp.arange(num_clients), plan.local_steps, plan.batch_size
    shared = plan.shares_weights(net, data)

    def step(start: Any, client: Array, samples: Any, origin: Any, t: Array, weights: Any, k: Array) -> Any:
        """One local step, and its observables beside the gradient at the round's start (None: compute it)."""
        if key is not None and batch_size is not None:
            samples = _batch(_stream(key, t, k, client), samples, batch_size)
        slope = gradient(net.with_trained(weights), *samples)
        if plan.at_taken and origin is None:
            origin = gradient(net.with_trained(start), *samples)
        return _descend(weights, slope, eta), _observe_taken(TakenState(weights, slope, start, origin), plan.at_taken)

    def client_round(start: Any, known: Any, t: Array) -> Any:
        """Client by client, all its steps: one client's weights at a time, besides the running sum of movements."""

        def local(client: Array, known: Any, *samples: Any) -> Any:
            if not (known or (plan.full and plan.at_taken)):
                return jax.lax.scan(partial(step, start, client, samples, None, t), start, jnp.arange(local_steps))
            origin = known or gradient(net.with_trained(start), *samples)
            seen = _observe_taken(TakenState(start, origin, start, origin), plan.at_taken)
            later = partial(step, start, client, samples, origin, t)
            last, rest = jax.lax.scan(later, _descend(start, origin, eta), jnp.arange(1, local_steps))
            return last, {name: jnp.concatenate([seen[name][None], rest[name]]) for name in seen}

        def moved(*args: Any) -> Any:
            last, seen = local(*args)
            return difference(last, start), seen

        total, seen = sum_for_each(moved, numbers, known, *data)
        return _over(total, num_clients), {name: values.T for name, values in seen.items()}

    def lockstep_round(start: Any, _: Any, t: Array) -> Any:
        """Step by step, all clients: W̄_k exists at every k, at the price of K copies of the weights."""

        def body(stacked: Any, k: Array) -> Any:
            average = _mean(stacked)

            def of_client(weights: Any, client: Array, *samples: Any) -> Any:
                moved, taken = step(start, client, samples, None, t, weights, k)
                return moved, (_observe_step(net, start, average, weights, samples, plan.at_steps), taken)

            return for_each(of_client, stacked, numbers, *data)

        stacked = jax.tree.map(lambda w: jnp.broadcast_to(w, (num_clients, *w.shape)), start)
        stacked, (seen, taken) = jax.lax.scan(body, stacked, jnp.arange(local_steps))
        at_end = _observe_clients(net, start, stacked, data, plan.at_steps)
        seen = {name: jnp.concatenate([seen[name], at_end[name][None]]) for name in seen} | taken
        return _mean(difference(stacked, start)), seen

    def shared_round(start: Any, known: Any, t: Array) -> Any:
        """All clients at once, none with weights of its own."""
        batches = None
        if key is not None and batch_size is not None:
            of_client = lambda k, c, mask: _chosen(_stream(key, t, k, c), mask, batch_size)  # noqa: E731
            batches = jax.vmap(jax.vmap(of_client, (None, 0, 0)), (0, None, None))(
                jnp.arange(local_steps), numbers, data.mask
            )
        return shared_weights.mean_movement(net.with_trained(start), data, eta, local_steps, known, batches), {}

    movement = shared_round if shared else lockstep_round if plan.at_steps else client_round

    def one_round(state: State, t: Array) -> tuple[State, dict[str, Array]]:
        moved, seen = movement(state.trained, state.known, t)
        weights = jax.tree.map(lambda w, step: w + server_eta * step, state.trained, moved)
        over_data, known = _look(net.with_trained(weights), data, state.patterns, plan)
        observed = _observe_round(net, state.trained, weights, over_data, data, plan)
        return State(weights, state.patterns, known), seen | observed

    if shared:
        return jax.lax.scan(one_round, state, first_round + jnp.arange(rounds))
    # Clients' gradients, as large as K networks, are handed from round to round but not from chunk to chunk.
    state = state._replace(known=_look(net.with_trained(state.trained), data, (), plan)[1])
    state, seen = jax.lax.scan(one_round, state, first_round + jnp.arange(rounds))
    return state._replace(known=()), seen


def _descend(weights: Any, slope: Any, eta: Array) -> Any:
    return jax.tree.map(lambda w, g: w - eta * g, weights, slope)


def _observe_taken(state: TakenState, observables: tuple[Observable, ...]) -> dict[str, Array]:
    """Observables of a step taken, one number each."""
    return {entry.name: entry.compute(state) for entry in observables if entry.compute}


def _look(here: Network, data: ClientData, patterns: Any, plan: Plan) -> tuple[DataPass, Any]:
    """The pass over the data by which a round's end is observed, and what of it is of use to the next round."""
    if not plan.shares_weights(here, data):
        over_data = data_pass(here, data, gradients=plan.gradients, initial_patterns=patterns)
        # Gradients are those of the next round's first steps, unless these are taken in lockstep.
        found = over_data.gradients
        return over_data, found.layers if isinstance(found, Stacked) and plan.full and not plan.at_steps else ()
    seen = shared_weights.look(here, data, back=plan.full or plan.gradients, summed=plan.summed_gradient)
    flips = jnp.moveaxis(layer_flips(seen.patterns(), patterns), 0, 1) if patterns else ()
    # Later layers' pre-activations are not needed again.
    return DataPass(seen.losses(), seen, flips), seen._replace(pre_activations=seen.pre_activations[:1])


def _patterns(here: Network, data: ClientData, plan: Plan) -> tuple[Array, ...]:
    """Patterns [K n_max m] a layer, by the products that `_look` takes, so that no rounding looks like a flip."""
    if plan.shares_weights(here, data):
        return shared_weights.look(here, data, back=False).patterns()
    return for_each(here.activation_patterns, data.inputs)


def _observe_round(
    net: Network, before: Any, weights: Any, over_data: DataPass, data: ClientData, plan: Plan
) -> dict[str, Array]:
    """Observables of a round's end at the averaged weights."""
    state = RoundState(net.with_trained(weights), net, net.with_trained(before), over_data, data.mask)
    return {entry.name: entry.compute(state) for entry in plan.at_rounds if entry.compute}


def _observe_step(
    net: Network, start: Any, average: Any, weights: Any, samples: Any, observables: tuple[Observable, ...]
) -> dict[str, Array]:
    """Observables of one client at a local step.

    With full batches the gradient at its weights is that of the step it takes next: both stand in one computation, in
    which the compiler takes it once.
    """
    state = StepState(net.with_trained(weights), net.with_trained(average), net.with_trained(start), *samples)
    return {entry.name: entry.compute(state) for entry in observables if entry.compute}


def _observe_clients(
    net: Network, start: Any, stacked: Any, data: ClientData, observables: tuple[Observable, ...]
) -> dict[str, Array]:
    """Observables of all clients at a local step that none of them goes on from, [K …] each."""
    average = _mean(stacked)
    seen = lambda weights, *samples: _observe_step(net, start, average, weights, samples, observables)  # noqa: E731
    return for_each(seen, stacked, *data)


def _mean(stacked: tuple[Array, ...]) -> tuple[Array, ...]:
    """(1/K) Σ_c W_c."""
    return _over(sum_over_clients(stacked), len(stacked[0]))


def _over(total: tuple[Array, ...], number: int) -> tuple[Array, ...]:
    return jax.tree.map(lambda w: w / number, total)


def _stream(key: Array, *numbers: Array) -> Array:
    for number in numbers:
        key = jax.random.fold_in(key, number)
    return key


def _batch(key: Array, samples: tuple[Array, Array, Array], batch_size: int) -> tuple[Array, Array, Array]:
    """Inputs, targets and mask of a batch."""
    inputs, targets, mask = samples
    chosen = _chosen(key, mask, batch_size)
    return inputs[chosen], targets[chosen], mask[chosen]


def _chosen(key: Array, mask: Array, batch_size: int) -> Array:
    """A uniform batch without replacement: the samples with the ``batch_size`` largest of independent uniform keys.

    Sample i's key depends on (round, step, client, i) alone, so that a client's batches do not change with the padding.
    """
    keys = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i)))(jnp.arange(len(mask)))
    return jax.lax.top_k(jnp.where(mask, keys, -1), batch_size)[1]


@partial(jax.jit, static_argnames=("plan",))
def at_start(net: Network, data: ClientData, *, plan: Plan) -> tuple[State, dict[str, Array], dict[str, Array]]:
    """The state before the first round, and observables at round 0, where every client holds W(0)."""
    stacked = jax.tree.map(lambda w: jnp.broadcast_to(w, (len(data.mask), *w.shape)), net.trained)
    patterns = _patterns(net, data, plan) if plan.flips else ()
    over_data, known = _look(net, data, patterns, plan)
    at_round = _observe_round(net, net.trained, net.trained, over_data, data, plan)
    at_step = _observe_clients(net, net.trained, stacked, data, plan.at_steps)
    return State(net.trained, patterns, known if plan.shares_weights(net, data) else ()), at_round, at_step
