"""What is observed along a run: losses, gradients, movement, flipped patterns, drift; pure functions of weights.

Each `Observable` carries its formula and its unit, and says what it needs besides weights. Those of a round's end see
the averaged network; those of a step that is taken see the gradient it follows, beside that of the round's start; those
of a local step see one client's network beside the average of all clients at that step; those of the Gram matrix see
it, on the host, every so many rounds.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy import ndarray

from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels import smallest_eigenvalue
from ntk_localsgd.local_sgd.gradients import difference, gradient, loss, norm, row_movement
from ntk_localsgd.local_sgd.lanczos import layer_spectral_norms
from ntk_localsgd.local_sgd.states import Need, RoundState, StepState, TakenState, neurons
from ntk_localsgd.networks import Network
from ntk_localsgd.threads import threads_for

__all__ = ["OBSERVABLES", "Observable", "evaluate", "fitted", "select"]

Time = Literal["round", "taken", "step", "gram"]

# The dimensions with which those of an observable begin, by when it is taken.
_DIMENSIONS: dict[Time, tuple[str, ...]] = {
    "round": ("round",),
    "taken": ("round", "step_taken", "client"),
    "step": ("round", "local_step", "client"),
    "gram": ("gram_round",),
}


@dataclasses.dataclass(frozen=True)
class Observable:
    """A named quantity: when it is taken, along which dimensions, in which unit, by which formula.

    Parameters
    ----------
    name
        Of the variable in the trajectory.
    when
        "round": at every round's end; "taken": at every step a client takes, k = 0 … τ − 1; "step": at every local step
        k = 0 … τ of every client; "gram": with the Gram matrix.
    dims
        Dimensions of the variable. They begin with ("round",), ("round", "step_taken", "client"), ("round",
        "local_step", "client") or ("gram_round",), and go on with the axes of what ``compute`` returns; those of a step
        taken end there.
    units, formula
        What they are in, and what they are; both end in the trajectory.
    compute
        From a `RoundState`, `TakenState`, `StepState` (all under ``jax.jit``) or `GramState`.
    needs
        Of a round's end: what it uses besides losses and weights.
    cumulative
        What is computed is one round's share; the record holds the sum up to round t.

    Raises
    ------
    InputError
        For a name or dimensions that a trajectory cannot hold, or a need that is not known.
    """

    name: str
    when: Time
    dims: tuple[str, ...]
    units: str
    formula: str
    compute: Callable[[Any], Any]
    needs: frozenset[Need] = frozenset()
    cumulative: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", tuple(self.dims))
        object.__setattr__(self, "needs", frozenset(self.needs))
        if self.when not in _DIMENSIONS:
            raise InputError(f"when is {self.when!r}, needs to be one of {', '.join(_DIMENSIONS)}.")
        first = _DIMENSIONS[self.when]
        if self.dims[: len(first)] != first or (self.when == "taken" and self.dims != first):
            raise InputError(f"observable {self.name!r} has dimensions {self.dims}, needs them to begin with {first}.")
        if not isinstance(self.name, str) or not self.name or "/" in self.name:
            raise InputError(f"name is {self.name!r}, needs to be a text without '/'.")
        if unknown := sorted(self.needs - _NEEDS):
            raise InputError(f"needs holds {unknown[0]!r}, needs to be among {', '.join(sorted(_NEEDS))}.")


_NEEDS = frozenset(get_args(Need))


def _share(count: Array, of: Array) -> Array:
    return count.astype(of.dtype) / of


def _distance(net: Network, other: Network) -> Array:
    return norm(difference(net.trained, other.trained))


def _spectral_norm(symmetric: Float[ndarray, "n n"]) -> float:
    with threads_for(len(symmetric)):
        return float(np.abs(np.linalg.eigvalsh(symmetric)[[0, -1]]).max())


def _entry(
    when: Time, more: tuple[str, ...], name: str, units: str, formula: str, compute: Callable[[Any], Any], *needs: Need
) -> Observable:
    return Observable(name, when, (*_DIMENSIONS[when], *more), units, formula, compute, frozenset(needs))


_at_round, _by_client = partial(_entry, "round", ()), partial(_entry, "round", ("client",))
_by_layer, _at_taken = partial(_entry, "round", ("layer",)), partial(_entry, "taken", ())
_at_step, _at_gram = partial(_entry, "step", ()), partial(_entry, "gram", ())
_SQUARE, _SLOPE = "target²", "target²/weight"

_CATALOGUE = (
    _at_round("loss", _SQUARE, "½ Σ_i (f(W(t), x_i) − y_i)²", lambda s: jnp.sum(s.losses)),
    _by_client("client_loss", _SQUARE, "L_c(W(t)) = ½ Σ_{i∈S_c} (f − y_i)²", lambda s: s.losses),
    _at_round("gradient_norm", _SLOPE, "‖∇L(W(t))‖_F", lambda s: s.gradients.norm(), "gradients", "summed gradient"),
    _by_client("client_gradient_norm", _SLOPE, "‖∇L_c(W(t))‖_F", lambda s: s.gradients.client_norms(), "gradients"),
    _at_round("neuron_movement", "weight", "max_r ‖w_r(t) − w_r(0)‖", lambda s: row_movement(s.network, s.initial)),
    _at_round("frobenius_movement", "weight", "‖W(t) − W(0)‖_F", lambda s: norm(s.moved)),
    dataclasses.replace(
        _at_round("path_length", "weight", "Σ_{s<t} ‖W(s + 1) − W(s)‖_F", lambda s: _distance(s.network, s.previous)),
        cumulative=True,
    ),
    _at_round(
        "flip_fraction", "1", "share of all activation patterns that differs from t = 0",
        lambda s: jnp.mean(s.layer_flip_fractions), "flips",
    ),
    _by_layer(
        "layer_frobenius_movement", "weight", "‖W_l(t) − W_l(0)‖_F", lambda s: jnp.stack([norm((w,)) for w in s.moved])
    ),
    _by_layer(
        "layer_spectral_movement", "weight", "‖W_l(t) − W_l(0)‖₂, from below (Lanczos)",
        lambda s: layer_spectral_norms(s.moved),
    ),
    _by_layer(
        "layer_flip_fraction", "1", "share of 1{(W_l h_{l−1})_r ≥ 0} that differ from t = 0",
        lambda s: s.layer_flip_fractions, "flips",
    ),
    _at_taken(
        "distance_from_start", "weight", "‖W_{c,k} − W(start of round)‖_F, k < τ",
        lambda s: norm(difference(s.trained, s.start)),
    ),
    _at_taken(
        "gradient_difference_from_start", _SLOPE,
        "‖∇L_c(W_{c,k}; B_k) − ∇L_c(W(start of round); B_k)‖_F, k < τ, B_k the step's batch",
        lambda s: norm(difference(s.gradient, s.start_gradient)),
    ),
    _at_step("local_loss", _SQUARE, "L_c(W_{c,k})", lambda s: loss(s.network, *s.samples)),
    _at_step("client_drift", "weight", "‖W_{c,k} − W(start of round)‖_F", lambda s: _distance(s.network, s.start)),
    _at_step("local_gradient_norm", _SLOPE, "‖∇L_c(W_{c,k})‖_F", lambda s: norm(s.gradient)),
    _at_step(
        "distance_to_average", "weight", "‖W_{c,k} − W̄_k‖_F, W̄_k = (1/K) Σ_c W_{c,k}",
        lambda s: _distance(s.network, s.average),
    ),
    _at_step(
        "gradient_difference", _SLOPE, "‖∇L_c(W_{c,k}) − ∇L_c(W̄_k)‖_F",
        lambda s: norm(difference(s.gradient, gradient(s.average, *s.samples))),
    ),
    _at_step(
        "jacobian_difference", _SLOPE, "‖(J_c(W_{c,k}) − J_c(W̄_k))ᵀ (f(W̄_k) − y)‖_F",
        lambda s: norm(s.jacobian_difference),
    ),
    _at_step("average_loss", _SQUARE, "L_c(W̄_k)", lambda s: loss(s.average, *s.samples)),
    _at_step(
        "flips_from_average", "1", "max_{i∈S_c} (flips of x_i between W_{c,k} and W̄_k) / mL",
        lambda s: jnp.max(_share(jnp.sum(s.layer_flips_from_average, axis=0), jnp.sum(s.neurons))),
    ),
    _entry(
        "step", ("layer",), "layer_flips_from_average", "1",
        "max_{i∈S_c} (flips of x_i in layer l between W_{c,k} and W̄_k) / m",
        lambda s: _share(jnp.max(s.layer_flips_from_average, axis=1), s.neurons),
    ),
    _entry(
        "gram", ("bound",), "smallest_eigenvalue", "1",
        "enclosure [lower, upper] of λ_min(Θ(W(t))), of Θ as computed for networks that are no stacks",
        lambda s: smallest_eigenvalue(s.gram, error=s.error),
    ),
    _at_gram("gram_movement", "1", "‖Θ(W(t)) − Θ(W(0))‖₂", lambda s: _spectral_norm(s.gram - s.initial)),
)  # fmt: skip

#: Every observable by its name.
OBSERVABLES: dict[str, Observable] = {entry.name: entry for entry in _CATALOGUE}


def select(observe: Sequence[str | Observable]) -> tuple[Observable, ...]:
    """The loss and what is asked for, by name or as observables of one's own: the catalogue's first, in its order.

    Raises
    ------
    InputError
        For a name that is not in `OBSERVABLES`, and for two observables of one name.
    """
    if isinstance(observe, str | Observable):
        raise InputError(f"observe is {observe!r}, needs a sequence of names or observables.")
    names = {"loss", *(entry for entry in observe if isinstance(entry, str))}
    if unknown := sorted(names - OBSERVABLES.keys()):
        raise InputError(f"observe names {unknown[0]!r}, needs names out of {', '.join(OBSERVABLES)}.")
    asked = dict.fromkeys(entry for entry in observe if not isinstance(entry, str))
    if strangers := [entry for entry in asked if not isinstance(entry, Observable)]:
        raise InputError(f"observe holds {strangers[0]!r}, needs names or observables.")
    chosen = [entry for entry in OBSERVABLES.values() if entry.name in names or entry in asked]
    chosen += [entry for entry in asked if entry not in chosen]
    known = [entry.name for entry in chosen]
    if twice := [name for name in known if known.count(name) > 1]:
        raise InputError(f"observe holds two observables of name {twice[0]!r}, needs names of their own.")
    if clashes := {dimension for entry in chosen for dimension in entry.dims} & {*known}:
        raise InputError(f"observe holds an observable of name {min(clashes)!r}, which is a dimension's.")
    return tuple(chosen)


def fitted(observables: Iterable[Observable], net: Network) -> tuple[Observable, ...]:
    """The observables with the dimension ``trained_array`` where a network trains other arrays than one a layer."""
    if len(net.trained) == len(neurons(net)):
        return tuple(observables)
    return tuple(
        dataclasses.replace(entry, dims=("round", "trained_array")) if entry.name in _OF_ARRAYS else entry
        for entry in observables
    )


# Of every trained array, which of a stack are the layers.
_OF_ARRAYS = ("layer_frobenius_movement", "layer_spectral_movement")


def evaluate(observables: Iterable[Observable], state: RoundState | TakenState | StepState) -> dict[str, Array]:
    """Each observable's value at a state, by its name."""
    return {entry.name: jnp.asarray(entry.compute(state)) for entry in observables}
