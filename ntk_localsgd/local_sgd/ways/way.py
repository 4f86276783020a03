"""What a way of computing rounds is: module-level functions of what a round starts from and what is planned."""

import dataclasses
from typing import NamedTuple, Protocol

import jax
from jaxtyping import Array, PyTree

from ntk_localsgd.local_sgd.gradients import ClientData, DataPass, Patterns, Weights
from ntk_localsgd.local_sgd.observables import Observable
from ntk_localsgd.local_sgd.states import Need
from ntk_localsgd.networks import Network

__all__ = ["Plan", "Seen", "Start", "Way", "average"]

#: Values of observables, by name.
Seen = dict[str, Array]


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

    def needs(self, what: Need) -> bool:
        """Whether an observable of a round's end needs this."""
        return any(what in entry.needs for entry in self.at_rounds)


class Start(NamedTuple):
    """What a round starts from: the network W(t), what a pass over the data knows of it, t, and what it is led by."""

    net: Network
    data: ClientData
    known: PyTree
    number: Array
    key: Array | None
    eta: Array


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
        """(1/K) Σ_c (W_{c,τ} − W(t)), and what was observed of steps, [τ K …] or [τ+1 K …] each."""
        ...


def average(total: Weights, number: int) -> Weights:
    """A sum over so many clients as a mean."""
    return jax.tree.map(lambda w: w / number, total)
