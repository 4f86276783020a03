"""Rounds of Local SGD in which no client ever holds weights of its own.

Within a round, client c's layer l is W_l − η Σ_j D_{l,j}ᵀ H_{l,j}: the round's start and one low-rank term a step, with
the layer's inputs H and the gradients D by its pre-activations, [b m] each for b samples. So every product with W_l is
one for all clients together, what the terms add costs about τb/m of that, and the average over clients is one product
at the round's end. Large products run at a machine's full rate; b rows beside weights of one's own do not.

The first trained layer's inputs are the same at every step: its product is taken once a round, and between steps only
its pre-activations move, by inner products of the client's own samples. Of a two-layer network that is all there is, so
that a round reads the weights once and writes them once, whatever the number of local steps.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ntk_localsgd.local_sgd import batches
from ntk_localsgd.local_sgd.gradients import ClientData, DataPass, Patterns, Weights, layer_flips, norm
from ntk_localsgd.local_sgd.ways.way import Plan, Seen, Start
from ntk_localsgd.networks import Network, Stack, matmul, structure

__all__ = ["KEEPS", "Pass", "is_faster", "mean_movement", "movement", "patterns", "there_and_back", "visit"]

#: Whether what a round leaves is handed from chunk to chunk: the pass at a round's end holds the next one's first
#: steps.
KEEPS = True

# Steps are written out one by one, which takes compile time.
_MOST_STEPS = 16

# Two layers: n at most this many times d. Pre-activations and slopes, n numbers a neuron each, are handed from round to
# round, and a chunk holds them as argument, result and in between: some 6n numbers a neuron, which has d weights.
_MOST_ROWS = 2


class Pass(NamedTuple):
    """All clients' samples on their way through a network and back: the gradients of all clients, as factors.

    Client c's gradient by layer l is ``slopes[l][c]ᵀ inputs[l][c]``.
    """

    inputs: tuple[Float[Array, "K n p"], ...]  # h_0 … h_{L−1}, what the trained layers are given
    pre_activations: tuple[Float[Array, "K n m"], ...]
    residual: Float[Array, "K n o"]  # 0 where the mask says padding
    slopes: tuple[Float[Array, "K n m"], ...]  # of the loss by the pre-activations; () if not wanted
    gradient: Weights = ()  # Σ_c ∇L_c by the trained layers; () if not wanted

    def patterns(self) -> tuple[Bool[Array, "K n m"], ...]:
        """1{pre-activation ≥ 0} of every trained layer."""
        return tuple(z >= 0 for z in self.pre_activations)

    def losses(self) -> Float[Array, " K"]:
        """L_c = ½ Σ_{i∈S_c} ‖f − y_i‖²."""
        return jnp.sum(self.residual**2, axis=(1, 2)) / 2

    def norm(self) -> Float[Array, ""]:
        """‖Σ_c ∇L_c‖_F over all layers together."""
        return norm(self.gradient)

    def client_norms(self) -> Float[Array, " K"]:
        """‖∇L_c‖_F: ‖DᵀH‖_F² = Σ_ij (DDᵀ)_ij (HHᵀ)_ij, without the matrix.

        The square loses twice the digits where a client's samples cancel, so that it is taken in float64 where JAX has
        it; in float32 the error is about 10⁻⁷ times the squared condition of the client's Jacobian.
        """
        squares = [
            jnp.sum(_inner(slope) * _inner(given), axis=(1, 2))
            for slope, given in zip(self.slopes, self.inputs, strict=True)
        ]
        return jnp.sqrt(jnp.maximum(sum(squares[1:], squares[0]), 0)).astype(self.residual.dtype)


def is_faster(net: Network, data: ClientData, local_steps: int, batch_size: int | None = None) -> bool:
    """Whether this way serves the network and is the faster one, for full batches (None) or batches of b.

    Deep: the terms' 4(τ−1)b²m operations a step must be few beside 6bm² for a layer; measured, this way is faster up to
    (τ−1)b about m/2. And a round's batches, τb samples, must not be many fewer than the client's n_c, all of which meet
    the round's first layer once. Two layers, by counts alone: 4 n_c dm for that layer's products and 2(τ−1) b n_c m
    between the steps, where clients with weights of their own need 4τ bdm.
    """
    stack = structure(net)
    if stack is None or local_steps > _MOST_STEPS:
        return False
    clients, held = data.mask.shape
    rows = batch_size or held
    if stack.input_weights is None and stack.depth == 1:
        fewer = 2 * held * net.input_dim + (local_steps - 1) * rows * held <= 2 * local_steps * rows * net.input_dim
        return fewer and clients * held <= _MOST_ROWS * net.input_dim
    return 2 * (local_steps - 1) * rows <= stack.width and held <= 2 * local_steps * rows


def patterns(net: Network, data: ClientData) -> Patterns:
    """Activation patterns [K n_max m] a layer, by the products that `visit` takes: no rounding looks like a flip."""
    return there_and_back(net, data, back=False).patterns()


def visit(net: Network, data: ClientData, initial: Patterns | None, plan: Plan) -> tuple[DataPass, Pass]:
    """One pass over the data, which later rounds' first steps take up where it ends."""
    back, summed = plan.full or plan.needs("gradients"), plan.needs("summed gradient")
    seen = there_and_back(net, data, back=back, summed=summed)
    flips = None if initial is None else jnp.moveaxis(layer_flips(seen.patterns(), initial), 0, 1)
    # Later layers' pre-activations are not needed again, nor the sum over clients where not all take part.
    kept = seen._replace(pre_activations=seen.pre_activations[:1])
    return DataPass(seen.losses(), seen, flips), kept if plan.participants is None else kept._replace(gradient=())


def mean_movement(start: Start, plan: Plan) -> tuple[Weights, Seen]:
    """(1/q) Σ_{c∈Q} (W_{c,τ_c} − W(t)); no step is observed."""
    chosen = None
    if start.key is not None and plan.batch_size is not None:
        steps = jnp.arange(plan.local_steps)
        of_step = jax.vmap(partial(_draw, start.key, start.number, plan.batch_size), (None, 0, 0))
        chosen = jax.vmap(of_step, (0, None, None))(steps, start.clients, start.data.mask)
    going = [plan.goes_on(start.clients, step) for step in range(plan.local_steps)]
    return movement(start.net, start.data, start.eta, plan.local_steps, start.known, chosen, going), {}


def _draw(key: Array, number: Array, size: int, step: Array, client: Array, mask: Array) -> Int[Array, " b"]:
    return batches.draw(key, number, step, client, mask, size)


def there_and_back(net: Network, data: ClientData, *, back: bool = True, summed: bool = False) -> Pass:
    """All clients' samples through the network and, with ``back``, back again; ``summed``: with Σ_c ∇L_c."""
    stack = _stack(net)
    given = data.inputs
    if stack.input_weights is not None:
        given = stack.activation(matmul(given, stack.input_weights.T))
    seen = _through(stack, given, _shared(given, net.trained[0].T), data.targets, data.mask, back=back)
    return seen._replace(gradient=tuple(map(_product, seen.slopes, seen.inputs))) if summed else seen


def movement(
    net: Network,
    data: ClientData,
    eta: Array,
    local_steps: int,
    start: Pass,
    chosen: Int[Array, "tau K b"] | None = None,
    going: Sequence[Bool[Array, " K"] | None] | None = None,
) -> Weights:
    """(1/K) Σ_c (W_{c,τ} − W) of every trained layer, after τ steps of every client from the network's W.

    Parameters
    ----------
    start
        What `there_and_back` finds at W, with the way back for full batches.
    chosen
        The samples of every step, by their place in the client's data; None: all of them at every step.
    going
        One entry a step: which clients take it. None: all of them.
    """
    stack, given, entering = _stack(net), start.inputs[0], start.pre_activations[0]
    # The first trained layer's inputs never change: what Σ_j D_{1,j}, sample by sample, does to its outputs is known.
    inner, pushes, taken = matmul(given, _transposed(given)), jnp.zeros_like(entering), []
    for step, goes_on in enumerate(going or [None] * local_steps):
        at = None if chosen is None else chosen[step]
        if chosen is None and step == 0:
            taken.append(start)
        else:
            pre_activations = _at(entering, at) - eta * matmul(_at(inner, at), pushes)
            targets, mask = _at(data.targets, at), _at(data.mask, at)
            taken.append(_through(stack, _at(given, at), pre_activations, targets, mask, eta=eta, past=taken))
        if goes_on is not None:
            stopped = tuple(jnp.where(goes_on[:, None, None], slope, 0) for slope in taken[-1].slopes)
            taken[-1] = taken[-1]._replace(slopes=stopped)
        pushes = _add_at(pushes, at, taken[-1].slopes[0])
    # The first steps' terms add up to the gradient at the start, where that has been taken.
    known = start.gradient if chosen is None else ()
    later, total = taken[1:] if known else taken, [_product(pushes, given)]
    for layer in range(1, len(net.trained)):
        terms = [known[layer]] if known else []
        if later:
            terms.append(_product(*(jnp.concatenate([step[layer] for step in side], axis=1) for side in _sides(later))))
        total.append(sum(terms[1:], terms[0]))
    return tuple(-eta / len(data.mask) * layer for layer in total)


def _stack(net: Network) -> Stack:
    """The network's structure, which `is_faster` has asked for."""
    stack = structure(net)
    assert stack is not None
    return stack


def _through(
    stack: Stack,
    given: Float[Array, "K n p"],
    entering: Float[Array, "K n m"],
    targets: Array,
    mask: Array,
    *,
    eta: Array | float = 0.0,
    past: list[Pass] | None = None,
    back: bool = True,
) -> Pass:
    """From the first trained layer's pre-activations on, through layers that ``past`` steps have moved, and back."""
    output_weights, sigma = _output_weights(stack), stack.activation
    slopes_before, inputs_before = _sides(past or [])
    inputs, pre_activations = [given], [entering]
    for layer in range(1, stack.depth):
        inputs.append(_next(stack, inputs[-1], pre_activations[-1]))
        moved = _low_rank(inputs[-1], inputs_before, slopes_before, layer)
        pre_activations.append(_shared(inputs[-1], stack.trained[layer].T) - eta * moved)
    residual = _residual(output_weights, _next(stack, inputs[-1], pre_activations[-1]), targets, mask)
    slopes: list[Array] = []
    if back:
        arriving = matmul(residual, output_weights)  # the loss by h_L, then by h_{L−1}, …
        slopes = [sigma.times_slope(pre_activations[-1], arriving)]
        for layer in reversed(range(1, stack.depth)):
            moved = _low_rank(slopes[0], slopes_before, inputs_before, layer)
            passed = _shared(slopes[0], stack.trained[layer]) - eta * moved
            arriving = arriving + passed if stack.residual else passed
            slopes.insert(0, sigma.times_slope(pre_activations[layer - 1], arriving))
    return Pass(tuple(inputs), tuple(pre_activations), residual, tuple(slopes))


def _next(stack: Stack, before: Float[Array, "K n p"], pre_activations: Float[Array, "K n m"]) -> Array:
    """h_l = [h_{l−1} +] σ(z_l)."""
    own = stack.activation(pre_activations)
    return before + own if stack.residual else own


def _sides(taken: list[Pass]) -> tuple[list[tuple[Array, ...]], list[tuple[Array, ...]]]:
    """Slopes and inputs of every step."""
    return [step.slopes for step in taken], [step.inputs for step in taken]


def _output_weights(stack: Stack) -> Float[Array, "o m"]:
    """V, with its divisor."""
    rows = stack.output_weights if stack.output_weights.ndim == 2 else stack.output_weights[None]
    return rows / jnp.sqrt(jnp.asarray(stack.width, stack.dtype)) if stack.divided else rows


def _at(held: Array, chosen: Int[Array, "K b"] | None) -> Array:
    """Each client's chosen samples; None: all."""
    return held if chosen is None else jax.vmap(lambda own, rows: own[rows])(held, chosen)


def _add_at(held: Array, chosen: Int[Array, "K b"] | None, more: Array) -> Array:
    """More for each client's chosen samples; None: for all."""
    return held + more if chosen is None else jax.vmap(lambda own, rows, add: own.at[rows].add(add))(held, chosen, more)


def _residual(weights: Float[Array, "o m"], last: Float[Array, "K b m"], targets: Array, mask: Array) -> Array:
    """f − y [K b o], and 0 where the mask says padding."""
    outputs = matmul(last, weights.T)
    return jnp.where(mask[..., None], outputs - targets.reshape(outputs.shape), 0)


def _low_rank(
    rows: Float[Array, "K n m"], left: list[tuple[Array, ...]], right: list[tuple[Array, ...]], layer: int
) -> Float[Array, "K n m"] | float:
    """Rows times Σ_j left_jᵀ right_j of a layer, client by client."""
    if not left:
        return 0.0
    before, after = (jnp.concatenate([step[layer] for step in side], axis=1) for side in (left, right))
    return matmul(matmul(rows, _transposed(before)), after)


def _shared(rows: Float[Array, "K n p"], weights: Float[Array, "p m"]) -> Float[Array, "K n m"]:
    """Rows times weights that all clients share, as one product."""
    return matmul(_rows(rows), weights).reshape(*rows.shape[:2], -1)


def _product(slopes: Float[Array, "K n m"], inputs: Float[Array, "K n p"]) -> Float[Array, "m p"]:
    """Σ_c slopes_cᵀ inputs_c."""
    return matmul(_rows(slopes).T, _rows(inputs))


def _rows(stacked: Float[Array, "K n m"]) -> Float[Array, "Kn m"]:
    return stacked.reshape(math.prod(stacked.shape[:2]), stacked.shape[2])


def _inner(rows: Float[Array, "K n p"]) -> Float[Array, "K n n"]:
    """Inner products of each client's rows, in float64 where JAX has it."""
    # Not by JAX's promotion, which refuses under strict rules.
    wide = rows.astype(max(rows.dtype, jnp.zeros(()).dtype, key=lambda dtype: dtype.itemsize))
    return matmul(wide, _transposed(wide))


def _transposed(stacked: Float[Array, "K n m"]) -> Float[Array, "K m n"]:
    return jnp.swapaxes(stacked, 1, 2)
