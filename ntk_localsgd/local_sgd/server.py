"""What the server does with the average of the clients' movements: add it, or take it for −gradient of an optimizer."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.gradients import Weights
from ntk_localsgd.scalars import number_at_least, positive_number

__all__ = ["Adam", "Momentum", "ServerState", "begin", "step"]


@dataclasses.dataclass(frozen=True)
class Momentum:
    """m ← βm + Δ, W ← W + η_g m for the average Δ of the clients' movements, m = 0 at first.

    Parameters
    ----------
    decay
        β, at least 0 and below 1.

    References
    ----------
    Hsu, Qi and Brown (2019), FedAvgM; Reddi et al., Adaptive federated optimization (2021).
    """

    decay: float = 0.9

    def __post_init__(self) -> None:
        object.__setattr__(self, "decay", _share("decay", self.decay))


@dataclasses.dataclass(frozen=True)
class Adam:
    """m ← β₁m + (1 − β₁)Δ, v ← β₂v + (1 − β₂)Δ², W ← W + η_g m̂/(√v̂ + ε), entry by entry.

    Parameters
    ----------
    decay, square_decay
        β₁ and β₂, at least 0 and below 1.
    epsilon
        ε > 0; the published FedAdam has 10⁻³.
    corrected
        m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ) after t rounds, as in Optax and FedJAX; else m̂ = m and v̂ = v, as in the
        published FedAdam.

    References
    ----------
    Kingma and Ba (2015); Reddi et al., Adaptive federated optimization (2021), algorithm 2.
    """

    decay: float = 0.9
    square_decay: float = 0.999
    epsilon: float = 1e-8
    corrected: bool = True

    def __post_init__(self) -> None:
        for name in ("decay", "square_decay"):
            object.__setattr__(self, name, _share(name, getattr(self, name)))
        object.__setattr__(self, "epsilon", positive_number("epsilon", self.epsilon))


class ServerState(NamedTuple):
    """m, v (() of momentum) and the number of rounds so far."""

    mean: Weights
    square: Weights
    rounds: Int[Array, ""]


def begin(rule: Momentum | Adam | None, weights: Weights) -> ServerState | tuple[()]:
    """The state before the first round; () without an optimizer."""
    if rule is None:
        return ()
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return ServerState(zeros, zeros if isinstance(rule, Adam) else (), jnp.zeros((), jnp.int32))


def step(
    rule: Momentum | Adam | None, state: ServerState | tuple[()], weights: Weights, moved: Weights, eta: Array
) -> tuple[Weights, ServerState | tuple[()]]:
    """W(t+1), from W(t) and the clients' average movement, and the state after it."""
    if rule is None or not isinstance(state, ServerState):
        return jax.tree.map(lambda w, each: w + eta * each, weights, moved), ()
    number, dtype = state.rounds + 1, weights[0].dtype
    if isinstance(rule, Momentum):
        beta = jnp.asarray(rule.decay, dtype)
        mean = jax.tree.map(lambda m, each: beta * m + each, state.mean, moved)
        return jax.tree.map(lambda w, m: w + eta * m, weights, mean), ServerState(mean, (), number)
    first, second, epsilon = (jnp.asarray(value, dtype) for value in (rule.decay, rule.square_decay, rule.epsilon))
    mean = jax.tree.map(lambda m, each: first * m + (1 - first) * each, state.mean, moved)
    square = jax.tree.map(lambda v, each: second * v + (1 - second) * each**2, state.square, moved)
    rounds = number.astype(dtype)
    by_mean, by_square = (1 - first**rounds, 1 - second**rounds) if rule.corrected else (1, 1)

    def entry(w: Array, m: Array, v: Array) -> Array:
        return w + eta * (m / by_mean) / (jnp.sqrt(v / by_square) + epsilon)

    return jax.tree.map(entry, weights, mean, square), ServerState(mean, square, number)


def _share(name: str, value: float) -> float:
    number = number_at_least(name, value, 0.0)
    if number >= 1:
        raise InputError(f"{name} is {number:g}, needs to be below 1.")
    return number
