"""What a way of computing rounds is: module-level functions of what a round starts from and what is planned."""

import dataclasses
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ntk_localsgd.local_sgd.config import LocalSGD
from ntk_localsgd.local_sgd.gradients import ClientData, DataPass, Patterns, Weights
from ntk_localsgd.local_sgd.observables import Observable
from ntk_localsgd.local_sgd.server import Adam, Momentum
from ntk_localsgd.local_sgd.states import Need
from ntk_localsgd.networks import Network

__all__ = ["ClientRule", "Plan", "Seen", "Start", "Way", "average"]

#: Values of observables, by name, and weights where they come along.
Seen = dict[str, PyTree]


@dataclasses.dataclass(frozen=True)
class ClientRule:
    """What a client's step is besides a gradient step on the batch's sum; as of `LocalSGD`."""

    epochs: bool = False
    mean: bool = False
    momentum: float = 0.0
    proximal: float = 0.0
    weight_decay: float = 0.0

    @classmethod
    def of(cls, config: LocalSGD) -> "ClientRule":
        """From the settings of a run."""
        epochs, mean = config.batches == "epochs", config.reduction == "mean"
        return cls(epochs, mean, config.client_momentum, config.proximal, config.weight_decay)

    @property
    def plain(self) -> bool:
        """Whether it is nothing besides."""
        return self == ClientRule()


@dataclasses.dataclass(frozen=True)
class Plan:
    """What rounds are compiled for: τ, b (None: all samples at every step), and what is observed when.

    ``own_steps``: τ_c ≤ τ of every client, where they are not all τ; ``participants``: q, where not all take part;
    ``weighted``: whether the average over them is not the uniform one; ``carried``: whether the weights at every
    round's end come along.
    """

    local_steps: int
    batch_size: int | None
    at_rounds: tuple[Observable, ...] = ()
    at_taken: tuple[Observable, ...] = ()
    at_steps: tuple[Observable, ...] = ()
    own_steps: tuple[int, ...] | None = None
    participants: int | None = None
    weighted: bool = False
    rule: ClientRule = ClientRule()
    server: Momentum | Adam | None = None
    carried: bool = False

    @property
    def full(self) -> bool:
        """Whether every step takes all samples."""
        return self.batch_size is None

    def goes_on(self, clients: Int[Array, "*q"], step: Array | int) -> Bool[Array, "*q"] | None:
        """1{k < τ_c} of these clients; None: every client takes every step."""
        return None if self.own_steps is None else step < jnp.asarray(self.own_steps)[clients]

    def needs(self, what: Need) -> bool:
        """Whether an observable of a round's end needs this."""
        return any(what in entry.needs for entry in self.at_rounds)


class Start(NamedTuple):
    """What a round starts from: the network W(t), what a pass over the data knows of it, t, and what it is led by.

    ``data`` and ``known`` are those of the clients that take part, ``clients`` their numbers, ``weights`` their shares
    of the average, which add up to 1 (None: 1/q each).
    """

    net: Network
    data: ClientData
    known: PyTree
    number: Array
    key: Array | None
    eta: Array
    clients: Int[Array, " q"]
    weights: Float[Array, " q"] | None = None


class Way(Protocol):
    """How a round is computed; a module with these names is one.

    ``KEEPS``: whether what is known of a round's start is handed from chunk to chunk, and not found anew.
    """

    KEEPS: bool

    def patterns(self, net: Network, data: ClientData) -> Patterns:
        """Activation patterns [K n_max m] a layer, by the products that ``visit`` takes."""
        ...

    def visit(self, net: Network, data: ClientData, initial: Patterns | None, plan: Plan) -> tuple[DataPass, PyTree]:
        """The pass over the data by which a round's end is observed, and what of it is of use to the next round."""
        ...

    def mean_movement(self, start: Start, plan: Plan) -> tuple[Weights, Seen]:
        """Σ_{c∈Q} w_c (W_{c,τ_c} − W(t)), w the shares, and what was observed of steps, [τ q …] or [τ+1 q …] each."""
        ...


def average(total: Weights, number: int) -> Weights:
    """A sum over so many clients as a mean."""
    return jax.tree.map(lambda w: w / number, total)
