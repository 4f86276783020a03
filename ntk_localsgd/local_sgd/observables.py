"""What is observed along a run: losses, gradients, movement, flipped patterns, drift; pure functions of weights.

Each `Observable` carries its formula and its unit. Those of a round's end see the averaged network; those of a step
that is taken see the gradient it follows, beside that of the round's start; those of a local step see one client's
network beside the average of all clients at that step.
"""

import dataclasses
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.gradients import (
    DataPass,
    difference,
    gradient,
    layer_flips,
    loss,
    norm,
    residual,
    row_movement,
)
from ntk_localsgd.local_sgd.lanczos import layer_spectral_norms
from ntk_localsgd.networks import Network

__all__ = ["OBSERVABLES", "Observable", "RoundState", "StepState", "TakenState", "select"]


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
