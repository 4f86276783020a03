"""Settings of Local SGD, and what a run shows between its chunks of rounds."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import PyTree

from ntk_localsgd.arrays import real_array
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.server import Adam, Momentum
from ntk_localsgd.networks import Network
from ntk_localsgd.scalars import number_at_least, positive_number, whole_number

__all__ = ["PLAIN", "Checkpoint", "LocalSGD", "epoch_steps"]

Batches = Literal["independent", "epochs"]
Reduction = Literal["sum", "mean"]

#: The settings of the algorithm that theorems speak of; all others are at their defaults there.
PLAIN = ("step_size", "local_steps", "num_rounds", "batch_size", "server_step_size", "participants")


@dataclasses.dataclass(frozen=True)
class LocalSGD:
    """Settings of Local (S)GD, every one a plain Python value, whatever kind of number it is given as.

    Round t: every participant c ∈ Q starts from W(t) and takes τ_c steps W ← W − η ∇L_c(W; B); then
    W(t+1) = W(t) + (η_g/q) Σ_{c∈Q} (W_{c,τ_c} − W(t)). Losses are sums over samples, L_c = ½ Σ_{i∈S_c} (f − y_i)², and
    a batch gradient is the sum over the batch, without a factor n_c/b. So the participants' movements are averaged
    uniformly, 1/q each. What follows ``participants`` is for the algorithm as it is practised; theorems and
    certificates speak of its defaults. FedAvg of McMahan et al. (2017) has ``client_weights="samples"``,
    ``reduction="mean"``, ``batches="epochs"`` and `epoch_steps`.

    Parameters
    ----------
    step_size
        η > 0.
    local_steps
        τ ≥ 1 of every client, or τ_c of each of them, in their order.
    num_rounds
        R ≥ 0.
    batch_size
        b: every step takes a batch of b samples without replacement, or of all n_c where a client has fewer. None: all
        samples of the client.
    server_step_size
        η_g > 0.
    participants
        q ≤ K: every round draws the set Q of q clients that take part, uniformly without replacement. None: all.
    client_weights
        "uniform"; "samples": p_c = n_c/n; or p_c > 0 of each client. The average is
        Σ_{c∈Q} p_c (W_{c,τ_c} − W(t)) / Σ_{c∈Q} p_c, so that own weights need no sum of 1.
    batches
        "independent": every step draws its batch anew. "epochs": a client walks through its samples in a random order,
        b at a time; the last batch of an order is what is left, and then another order begins, as it does with every
        round.
    reduction
        "sum" over the batch's samples, or their "mean": a step of η/b for a batch of b.
    step_factors
        Round t has the step size η·step_factors[t], at least R of them; None: η in every round.
    client_momentum
        β ≥ 0: v ← βv + g, W ← W − ηv, with v = 0 at every round's start.
    proximal
        μ ≥ 0 of FedProx: the loss has the term (μ/2) ‖W − W(t)‖².
    weight_decay
        λ ≥ 0: the loss has the term (λ/2) ‖W‖².
    server
        `Momentum` or `Adam`, which take the average in the place of −gradient; None: it is added times η_g.

    Raises
    ------
    InputError
        For a value outside these ranges, for what is not one number, and for epochs without a batch size.
    """

    step_size: float
    local_steps: int | tuple[int, ...]
    num_rounds: int
    batch_size: int | None = None
    server_step_size: float = 1.0
    participants: int | None = None
    client_weights: Literal["uniform", "samples"] | tuple[float, ...] = "uniform"
    batches: Batches = "independent"
    reduction: Reduction = "sum"
    step_factors: tuple[float, ...] | None = None
    client_momentum: float = 0.0
    proximal: float = 0.0
    weight_decay: float = 0.0
    server: Momentum | Adam | None = None

    def __post_init__(self) -> None:
        for name in ("step_size", "server_step_size"):
            self._set(name, positive_number(name, getattr(self, name)))
        for name, least in (("num_rounds", 0), ("batch_size", 1), ("participants", 1)):
            if name == "num_rounds" or getattr(self, name) is not None:
                self._set(name, whole_number(name, getattr(self, name), least))
        for name in ("client_momentum", "proximal", "weight_decay"):
            self._set(name, number_at_least(name, getattr(self, name), 0.0))
        steps = self.local_steps
        if isinstance(steps, list | tuple | np.ndarray) and np.size(steps) > 1:
            self._set("local_steps", tuple(whole_number("local_steps", each) for each in steps))
        else:
            self._set("local_steps", whole_number("local_steps", steps))
        for name, kinds in (("batches", Batches), ("reduction", Reduction)):
            if getattr(self, name) not in get_args(kinds):
                needed = " or ".join(get_args(kinds))
                raise InputError(f"{name} is {getattr(self, name)!r}, needs to be {needed}.")
        if self.batches == "epochs" and self.batch_size is None:
            raise InputError("batches is 'epochs', which needs a batch_size.")
        self._check_sequences()
        if not isinstance(self.server, Momentum | Adam | None):
            raise InputError(f"server is {self.server!r}, needs to be a Momentum, an Adam or None.")

    def _check_sequences(self) -> None:
        if not isinstance(self.client_weights, str):
            self._set("client_weights", _positive_numbers("client_weights", self.client_weights))
        elif self.client_weights not in ("uniform", "samples"):
            raise InputError(
                f"client_weights is {self.client_weights!r}, needs to be uniform, samples or a number a client."
            )
        if self.step_factors is not None:
            self._set("step_factors", _positive_numbers("step_factors", self.step_factors))
            if len(self.step_factors) < self.num_rounds:
                raise InputError(
                    f"step_factors are {len(self.step_factors)}, need to be one for each of {self.num_rounds} rounds."
                )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        """The three settings that every run has, and what is not left at its default."""
        shown = [f"{name}={value!r}" for name, value in self.chosen().items()]
        return f"{type(self).__name__}({', '.join(shown)})"

    def chosen(self) -> dict[str, Any]:
        """The settings by name, without those that are at their defaults."""
        fields = [(field, getattr(self, field.name)) for field in dataclasses.fields(self)]
        return {field.name: value for field, value in fields if value != field.default}

    def refuse_beyond(self, covered: Iterable[str], what: str) -> None:
        """Refuse settings that are neither at their defaults nor among those that something speaks of.

        A setting that is new, and that nobody has thought about, is refused.

        Parameters
        ----------
        covered
            Names of settings.
        what
            Whose they are, as the sentence's subject: "the certificate".

        Raises
        ------
        InputError
            Naming the first such setting.
        """
        if beyond := [name for name in self.chosen() if name not in covered]:
            default = next(field.default for field in dataclasses.fields(self) if field.name == beyond[0])
            raise InputError(
                f"{beyond[0]} is {_short(getattr(self, beyond[0]))}, but {what} does not cover that: needs {default!r}."
            )

    @property
    def most_steps(self) -> int:
        """max_c τ_c."""
        return self.local_steps if isinstance(self.local_steps, int) else max(self.local_steps)

    @property
    def random(self) -> bool:
        """Whether chance decides a run: batches or participants are drawn."""
        return self.batch_size is not None or self.participants is not None

    def steps_of(self, clients: Clients) -> tuple[int, ...]:
        """τ_c of every client.

        Raises
        ------
        InputError
            If numbers of local steps are given client by client and are not as many as the clients.
        """
        number = clients.num_clients
        if isinstance(self.local_steps, int):
            return (self.local_steps,) * number
        if len(self.local_steps) != number:
            raise InputError(
                f"local_steps are {len(self.local_steps)} numbers, need to be one or {number}, one a client."
            )
        return self.local_steps

    def participants_of(self, clients: Clients) -> int:
        """q, K where all clients take part.

        Raises
        ------
        InputError
            If more are asked for than there are.
        """
        if self.participants is None:
            return clients.num_clients
        if self.participants > clients.num_clients:
            raise InputError(f"participants is {self.participants}, needs to be at most K = {clients.num_clients}.")
        return self.participants

    def batches_of(self, clients: Clients) -> tuple[int, ...]:
        """b_c of every client: b, or all n_c samples where it has fewer or no batches are taken."""
        return tuple(size if self.batch_size is None else min(size, self.batch_size) for size in clients.sizes)

    def weights_of(self, clients: Clients) -> tuple[float, ...]:
        """K p_c/Σ p of every client: 1 for each where they are uniform.

        Raises
        ------
        InputError
            If weights are given client by client and are not as many as the clients.
        """
        number = clients.num_clients
        if self.client_weights == "uniform":
            return (1.0,) * number
        given = clients.sizes if self.client_weights == "samples" else self.client_weights
        if len(given) != number:
            raise InputError(f"client_weights are {len(given)} numbers, need to be {number}, one a client.")
        total = math.fsum(given)
        return tuple(number * float(each) / total for each in given)


def epoch_steps(clients: Clients, batch_size: int, epochs: int = 1) -> tuple[int, ...]:
    """The local steps in which every client sees each of its samples ``epochs`` times, E ⌈n_c/b⌉.

    >>> epoch_steps(Clients((np.arange(5), np.arange(5, 7))), batch_size=2, epochs=3)
    (9, 3)
    """
    size, number = whole_number("batch_size", batch_size), whole_number("epochs", epochs)
    return tuple(number * -(-held // size) for held in clients.sizes)


def _positive_numbers(name: str, values: Any) -> tuple[float, ...]:
    numbers = real_array(name, values, ndim=1)
    if not (numbers > 0).all():
        raise InputError(f"{name} hold {numbers.min():g}, need to be positive.")
    return tuple(numbers.tolist())


def _short(value: object) -> str:
    """What a sentence says of a setting: not hundreds of numbers."""
    return f"{len(value)} numbers" if isinstance(value, tuple) else repr(value)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a ``stop`` callable sees between chunks of rounds; ``index`` is the network's among those of `run_seeds`.

    ``server`` is the state of the server's optimizer, () without one.
    """

    network: Network
    round: int
    dataset: Dataset
    clients: Clients
    config: LocalSGD
    index: int = 0
    server: PyTree = ()
