"""What is observed along a run: losses, gradients, movement, flipped patterns, drift; pure functions of weights.

Each `Observable` carries its formula and its unit. Those of a round's end see the averaged network; those of a step
that is taken see the gradient it follows, beside that of the round's start; those of a local step see one client's
network beside the average of all clients at that step.
"""

import dataclasses
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import Network, matmul

__all__ = [
    "OBSERVABLES", "ClientData", "DataPass", "Gradients", "Observable", "RoundState", "Stacked", "StepState",
    "TakenState", "data_pass", "difference", "for_each", "gradient", "layer_flips", "layer_spectral_norms", "loss",
    "norm", "residual", "row_movement", "sample_flips", "select", "spectral_norm", "sum_for_each", "sum_over_clients",
]  # fmt: skip


class ClientData(NamedTuple):
    """Samples by client, padded to the largest client: inputs [K n_max d], targets [K n_max] or [K n_max o], mask."""

    inputs: Float[Array, "K n_max d"]
    targets: Float[Array, "K n_max"] | Float[Array, "K n_max o"]
    mask: Bool[Array, "K n_max"]

    @classmethod
    def of(cls, dataset: Dataset, clients: Clients, dtype: Any) -> "ClientData":
        """Gather a dataset by client, in the dtype of the network that will see it."""
        indices, mask = clients.padded()
        return cls(
            jnp.asarray(dataset.inputs[indices], dtype), jnp.asarray(dataset.targets[indices], dtype), jnp.asarray(mask)
        )


def for_each(function: Callable[..., Any], *stacked: Any) -> Any:
    """Apply a function to every client, or network: one after the other on a CPU (faster there), at once elsewhere.

    Several CPU devices are several places: what is spread over them must not be visited in turn.
    """
    if _one_after_the_other():
        return jax.lax.map(lambda args: function(*args), stacked)
    return jax.vmap(function)(*stacked)


def sum_for_each(
    function: Callable[..., tuple[tuple[Array, ...], Any]], *stacked: Any
) -> tuple[tuple[Array, ...], Any]:
    """Σ over clients of what a function returns first, and all that it returns second, client by client.

    As `for_each`, but on a CPU the terms of the sum are added as they come and never held together.
    """
    if not _one_after_the_other():
        terms, others = jax.vmap(function)(*stacked)
        return sum_over_clients(terms), others
    shapes, _ = jax.eval_shape(function, *jax.tree.map(lambda leaf: leaf[0], stacked))

    def add(total: Any, args: Any) -> Any:
        term, other = function(*args)
        return jax.tree.map(jnp.add, total, term), other

    return jax.lax.scan(add, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes), stacked)


def _one_after_the_other() -> bool:
    return jax.default_backend() == "cpu" and jax.device_count() == 1


def residual(net: Network, inputs: Array, targets: Array, mask: Array) -> Float[Array, " n"] | Float[Array, "n o"]:
    """f(W, x_i) − y_i, and 0 where the mask says padding."""
    left = net(inputs) - targets
    return jnp.where(mask if left.ndim == 1 else mask[:, None], left, 0)


def loss(net: Network, inputs: Array, targets: Array, mask: Array) -> Float[Array, ""]:
    """½ Σ_i ‖f(W, x_i) − y_i‖², the sum over the samples that the mask keeps."""
    return jnp.sum(residual(net, inputs, targets, mask) ** 2) / 2


def gradient(net: Network, inputs: Array, targets: Array, mask: Array) -> tuple[Array, ...]:
    """Gradient of `loss` by the trained weights."""
    return jax.grad(lambda trained: loss(net.with_trained(trained), inputs, targets, mask))(net.trained)


def norm(weights: tuple[Array, ...]) -> Float[Array, ""]:
    """Frobenius norm over all trained layers together."""
    return jnp.sqrt(sum((jnp.sum(w**2) for w in weights), jnp.zeros((), weights[0].dtype)))


def difference(a: tuple[Array, ...], b: tuple[Array, ...]) -> tuple[Array, ...]:
    """Layer by layer a − b."""
    return jax.tree.map(jnp.subtract, a, b)


def sum_over_clients(stacked: tuple[Array, ...]) -> tuple[Array, ...]:
    """Σ_c W_c layer by layer, as a product with ones: on a CPU a reduction over the first axis is ten times slower."""
    return tuple(matmul(jnp.ones(len(w), w.dtype), w.reshape(len(w), -1)).reshape(w.shape[1:]) for w in stacked)


def row_movement(net: Network, reference: Network) -> Float[Array, ""]:
    """max_r ‖w_r − w_r(reference)‖ over the neurons of all trained layers."""
    moved = difference(net.trained, reference.trained)
    return jnp.max(jnp.stack([jnp.max(jnp.linalg.norm(w, axis=1)) for w in moved]))


def sample_flips(patterns: tuple[Array, ...], reference: tuple[Array, ...]) -> Array:
    """Neurons of all layers whose pattern differs, per sample, as exact integers (a float32 count stops at 2^24)."""
    return jnp.sum(layer_flips(patterns, reference), axis=0)


def layer_flips(patterns: tuple[Array, ...], reference: tuple[Array, ...]) -> Array:
    """Neurons of each layer whose pattern differs, [L …] per layer and sample, as exact integers."""
    return jnp.stack([jnp.sum(a != b, axis=-1, dtype=jnp.int32) for a, b in zip(patterns, reference, strict=True)])


def layer_spectral_norms(weights: tuple[Array, ...]) -> Float[Array, " L"]:
    """‖W_l‖₂ of each layer, from below, by `_LANCZOS` steps of the Lanczos method with full reorthogonalization.

    A full SVD of an m×m matrix every round would cost more than the round; this reads each matrix 24 times. The result
    never exceeds the norm but for rounding. What training adds to the weights is dominated by few directions, and is
    then exact to about 1e-6; the hardest case, a Gaussian matrix without any gap, comes out about 1 to 3% too small.

    References
    ----------
    Kuczynski and Wozniakowski, Estimating the largest eigenvalue by the power and Lanczos algorithms (1992).
    """
    return jnp.stack([_spectral_norm_from_below(w) for w in weights])


# Steps of the Lanczos method; the test suite compares with NumPy's exact norm.
_LANCZOS = 12


def _spectral_norm_from_below(matrix: Float[Array, "a b"]) -> Float[Array, ""]:
    """Norm of the matrix on the Krylov space of MᵀM that a fixed random vector spans."""
    tiny = jnp.asarray(jnp.finfo(matrix.dtype).tiny, matrix.dtype)
    scale = jnp.maximum(jnp.max(jnp.abs(matrix)), tiny)  # squares of small movements must not underflow
    scaled = matrix / scale
    steps = min(_LANCZOS, *matrix.shape)

    def step(state: tuple[Array, Array, Array], k: Array) -> tuple[tuple[Array, Array, Array], None]:
        basis, images, vector = state
        image = matmul(scaled, vector)
        basis, images = basis.at[k].set(vector), images.at[k].set(image)
        new = matmul(image, scaled)  # many times faster than the transpose times a vector
        for _ in range(2):  # once leaves components of the size of the cancellation
            new = new - matmul(basis.T, matmul(basis, new))
        length = jnp.linalg.norm(new)
        # Once the space is exhausted only rounding is left, which must not be normalised into a direction.
        kept = length > 100 * jnp.finfo(matrix.dtype).eps * jnp.linalg.norm(image)
        return (basis, images, jnp.where(kept, new / jnp.maximum(length, tiny), 0)), None

    start = jax.random.normal(jax.random.key(0), (matrix.shape[1],), matrix.dtype)
    empty = jnp.zeros((steps, matrix.shape[1]), matrix.dtype), jnp.zeros((steps, matrix.shape[0]), matrix.dtype)
    (_, images, _), _ = jax.lax.scan(step, (*empty, start / jnp.linalg.norm(start)), jnp.arange(steps))
    largest = jnp.linalg.eigvalsh(matmul(images, images.T))[-1]
    return scale * jnp.sqrt(jnp.maximum(largest, 0))


class Gradients(Protocol):
    """∇L_c of all clients, in whatever form they were found."""

    def norm(self) -> Float[Array, ""]:
        """‖Σ_c ∇L_c‖_F over all layers together."""
        ...

    def client_norms(self) -> Float[Array, " K"]:
        """‖∇L_c‖_F over all layers together."""
        ...


class Stacked(NamedTuple):
    """The gradients themselves, [K …] a layer."""

    layers: tuple[Array, ...]

    def norm(self) -> Float[Array, ""]:
        """‖Σ_c ∇L_c‖_F over all layers together."""
        return norm(sum_over_clients(self.layers))

    def client_norms(self) -> Float[Array, " K"]:
        """‖∇L_c‖_F over all layers together."""
        return jax.vmap(norm)(self.layers)


class DataPass(NamedTuple):
    """What one pass over all clients' data gives at a network: losses; gradients and flips where they are wanted."""

    losses: Float[Array, " K"]
    gradients: Gradients | tuple[()]  # () if not wanted
    flips: Any  # neurons that differ from initialization, [K L n_max]; () if not wanted


def data_pass(
    net: Network, data: ClientData, *, gradients: bool = True, initial_patterns: tuple[Array, ...] = ()
) -> DataPass:
    """L_c, ∇L_c and the layers' flips of every client, in one pass that shares its forward computation."""

    def of_client(initial: tuple[Array, ...], *samples: Array) -> DataPass:
        slope = Stacked(gradient(net, *samples)) if gradients else ()
        flips = layer_flips(net.activation_patterns(samples[0]), initial) if initial else ()
        return DataPass(loss(net, *samples), slope, flips)

    return for_each(of_client, initial_patterns, *data)


@dataclasses.dataclass(frozen=True)
class RoundState:
    """What the observables of a round's end see: the averaged network, the ones before, a pass over the data."""

    network: Network
    initial: Network
    previous: Network
    over_data: DataPass
    mask: Bool[Array, "K n_max"]

    @cached_property
    def moved(self) -> tuple[Array, ...]:
        """W(t) − W(0)."""
        return difference(self.network.trained, self.initial.trained)

    @cached_property
    def layer_flip_fractions(self) -> Float[Array, " L"]:
        """Share of the entries of each layer's patterns that differ from initialization."""
        width = self.network.trained[0].shape[0]  # trained layers are equally wide
        # Shares are at most 1, so that no sum leaves the integers' range.
        share = self.over_data.flips.astype(self.over_data.losses.dtype) / width
        return jnp.sum(jnp.where(self.mask[:, None], share, 0), axis=(0, 2)) / self.mask.sum()


@dataclasses.dataclass(frozen=True)
class TakenState:
    """What the observables of a step taken see: the client's weights, the gradient it follows, those at the start."""

    trained: tuple[Array, ...]
    gradient: tuple[Array, ...]
    start: tuple[Array, ...]
    start_gradient: tuple[Array, ...]


@dataclasses.dataclass(frozen=True)
class StepState:
    """What the observables of a local step see: one client's network, the average over clients, the round's start."""

    network: Network
    average: Network
    start: Network
    inputs: Float[Array, "n_max d"]
    targets: Float[Array, " n_max"]
    mask: Bool[Array, " n_max"]

    @cached_property
    def samples(self) -> tuple[Array, Array, Array]:
        """This client's samples."""
        return self.inputs, self.targets, self.mask

    @cached_property
    def gradient(self) -> tuple[Array, ...]:
        """∇L_c at the client's own network."""
        return gradient(self.network, *self.samples)

    @cached_property
    def jacobian_difference(self) -> tuple[Array, ...]:
        """(J_c(W_{c,k}) − J_c(W̄_k))ᵀ (f(W̄_k) − y): what is left of the gradients' difference at equal residuals."""
        outputs = lambda trained: self.network.with_trained(trained)(self.inputs)  # noqa: E731
        (pulled,) = jax.vjp(outputs, self.network.trained)[1](residual(self.average, *self.samples))
        return difference(pulled, gradient(self.average, *self.samples))

    @cached_property
    def layer_flips_from_average(self) -> Array:
        """Neurons of each layer that the average sees differently, [L n_max], 0 where the mask says padding."""
        now, average = self.network.activation_patterns(self.inputs), self.average.activation_patterns(self.inputs)
        return jnp.where(self.mask, layer_flips(now, average), 0)

    @cached_property
    def neurons(self) -> Array:
        """Neurons m of each layer, [L]."""
        return jnp.array([w.shape[0] for w in self.network.trained])


@dataclasses.dataclass(frozen=True)
class Observable:
    """A named quantity: when it is taken, along which dimensions, in which unit, by which formula."""

    name: str
    when: Literal["round", "taken", "step", "gram"]
    dims: tuple[str, ...]
    units: str
    formula: str
    compute: Callable[[Any], Array] | None = None
    cumulative: bool = False  # what is computed is one round's share; the record holds the sum up to round t


def _catalogue() -> dict[str, Observable]:
    at_round = partial(Observable, when="round", dims=("round",))
    by_client = partial(Observable, when="round", dims=("round", "client"))
    by_layer = partial(Observable, when="round", dims=("round", "layer"))
    at_taken = partial(Observable, when="taken", dims=("round", "step_taken", "client"))
    at_step = partial(Observable, when="step", dims=("round", "local_step", "client"))
    at_gram = partial(Observable, when="gram")
    entries = [
        at_round("loss", units="target²", formula="½ Σ_i (f(W(t), x_i) − y_i)²",
                 compute=lambda s: jnp.sum(s.over_data.losses)),
        by_client("client_loss", units="target²", formula="L_c(W(t)) = ½ Σ_{i∈S_c} (f − y_i)²",
                  compute=lambda s: s.over_data.losses),
        at_round("gradient_norm", units="target²/weight", formula="‖∇L(W(t))‖_F",
                 compute=lambda s: s.over_data.gradients.norm()),
        by_client("client_gradient_norm", units="target²/weight", formula="‖∇L_c(W(t))‖_F",
                  compute=lambda s: s.over_data.gradients.client_norms()),
        at_round("neuron_movement", units="weight", formula="max_r ‖w_r(t) − w_r(0)‖",
                 compute=lambda s: row_movement(s.network, s.initial)),
        at_round("frobenius_movement", units="weight", formula="‖W(t) − W(0)‖_F", compute=lambda s: norm(s.moved)),
        at_round("path_length", units="weight", formula="Σ_{s<t} ‖W(s + 1) − W(s)‖_F", cumulative=True,
                 compute=lambda s: norm(difference(s.network.trained, s.previous.trained))),
        at_round("flip_fraction", units="1", formula="share of all activation patterns that differs from t = 0",
                 compute=lambda s: jnp.mean(s.layer_flip_fractions)),
        by_layer("layer_frobenius_movement", units="weight", formula="‖W_l(t) − W_l(0)‖_F",
                 compute=lambda s: jnp.stack([norm((w,)) for w in s.moved])),
        by_layer("layer_spectral_movement", units="weight", formula="‖W_l(t) − W_l(0)‖₂, from below (Lanczos)",
                 compute=lambda s: layer_spectral_norms(s.moved)),
        by_layer("layer_flip_fraction", units="1", formula="share of 1{(W_l h_{l−1})_r ≥ 0} that differ from t = 0",
                 compute=lambda s: s.layer_flip_fractions),
        at_taken("distance_from_start", units="weight", formula="‖W_{c,k} − W(start of round)‖_F, k < τ",
                 compute=lambda s: norm(difference(s.trained, s.start))),
        at_taken("gradient_difference_from_start", units="target²/weight",
                 formula="‖∇L_c(W_{c,k}; B_k) − ∇L_c(W(start of round); B_k)‖_F, k < τ, B_k the step's batch",
                 compute=lambda s: norm(difference(s.gradient, s.start_gradient))),
        at_step("local_loss", units="target²", formula="L_c(W_{c,k})", compute=lambda s: loss(s.network, *s.samples)),
        at_step("client_drift", units="weight", formula="‖W_{c,k} − W(start of round)‖_F",
                compute=lambda s: norm(difference(s.network.trained, s.start.trained))),
        at_step("local_gradient_norm", units="target²/weight", formula="‖∇L_c(W_{c,k})‖_F",
                compute=lambda s: norm(s.gradient)),
        at_step("distance_to_average", units="weight", formula="‖W_{c,k} − W̄_k‖_F, W̄_k = (1/K) Σ_c W_{c,k}",
                compute=lambda s: norm(difference(s.network.trained, s.average.trained))),
        at_step("gradient_difference", units="target²/weight", formula="‖∇L_c(W_{c,k}) − ∇L_c(W̄_k)‖_F",
                compute=lambda s: norm(difference(s.gradient, gradient(s.average, *s.samples)))),
        at_step("jacobian_difference", units="target²/weight", compute=lambda s: norm(s.jacobian_difference),
                formula="‖(J_c(W_{c,k}) − J_c(W̄_k))ᵀ (f(W̄_k) − y)‖_F"),
        at_step("average_loss", units="target²", formula="L_c(W̄_k)", compute=lambda s: loss(s.average, *s.samples)),
        at_step("flips_from_average", units="1", formula="max_{i∈S_c} (flips of x_i between W_{c,k} and W̄_k) / mL",
                compute=lambda s: jnp.max(jnp.sum(s.layer_flips_from_average, axis=0)) / s.neurons.sum()),
        at_step("layer_flips_from_average", dims=("round", "local_step", "client", "layer"), units="1",
                formula="max_{i∈S_c} (flips of x_i in layer l between W_{c,k} and W̄_k) / m",
                compute=lambda s: jnp.max(s.layer_flips_from_average, axis=1) / s.neurons),
        at_gram("smallest_eigenvalue", dims=("gram_round", "bound"), units="1",
                formula="enclosure [lower, upper] of λ_min(Θ(W(t)))"),
        at_gram("gram_movement", dims=("gram_round",), units="1", formula="‖Θ(W(t)) − Θ(W(0))‖₂"),
    ]  # fmt: skip
    return {entry.name: entry for entry in entries}


#: Every observable by its name.
OBSERVABLES: dict[str, Observable] = _catalogue()


def select(names: tuple[str, ...], when: Literal["round", "taken", "step", "gram"]) -> tuple[Observable, ...]:
    """The observables among ``names`` that are taken at that time, in the catalogue's order.

    Raises
    ------
    InputError
        For a name that is not in `OBSERVABLES`.
    """
    if unknown := [name for name in names if name not in OBSERVABLES]:
        raise InputError(f"observe names {unknown[0]!r}, needs names out of {', '.join(OBSERVABLES)}.")
    return tuple(entry for name, entry in OBSERVABLES.items() if name in names and entry.when == when)


def spectral_norm(matrix: Any) -> float:
    """‖A‖₂ on the host in float64."""
    return float(np.linalg.norm(np.asarray(matrix, np.float64), 2))
