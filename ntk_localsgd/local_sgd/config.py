"""Settings of Local SGD, and what a run shows between its chunks of rounds."""

import dataclasses

import numpy as np

from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import Network
from ntk_localsgd.scalars import positive_number, whole_number

__all__ = ["Checkpoint", "LocalSGD"]


@dataclasses.dataclass(frozen=True)
class LocalSGD:
    """Settings of Local (S)GD, every one a plain Python number, whatever kind of number it is given as.

    Round t: every participant c ∈ Q starts from W(t) and takes τ_c steps W ← W − η ∇L_c(W; B); then
    W(t+1) = W(t) + (η_g/q) Σ_{c∈Q} (W_{c,τ_c} − W(t)). Losses are sums over samples, L_c = ½ Σ_{i∈S_c} (f − y_i)², and
    a batch gradient is the sum over the batch, without a factor n_c/b. So the participants' movements are averaged
    uniformly, 1/q each. FedAvg of McMahan et al. (2017) is another algorithm where clients are unequal: it weighs
    client c by n_c/n and takes means over samples for losses.

    Parameters
    ----------
    step_size
        η > 0.
    local_steps
        τ ≥ 1 of every client, or τ_c of each of them, in their order.
    num_rounds
        R ≥ 0.
    batch_size
        b: every step draws a fresh uniform batch of b samples without replacement. None: all samples of the client.
    server_step_size
        η_g > 0.
    participants
        q ≤ K: every round draws the set Q of q clients that take part, uniformly without replacement. None: all.

    Raises
    ------
    InputError
        For a value outside these ranges, and for what is not one number.
    """

    step_size: float
    local_steps: int | tuple[int, ...]
    num_rounds: int
    batch_size: int | None = None
    server_step_size: float = 1.0
    participants: int | None = None

    def __post_init__(self) -> None:
        for name in ("step_size", "server_step_size"):
            object.__setattr__(self, name, positive_number(name, getattr(self, name)))
        for name, least in (("num_rounds", 0), ("batch_size", 1), ("participants", 1)):
            if name == "num_rounds" or getattr(self, name) is not None:
                object.__setattr__(self, name, whole_number(name, getattr(self, name), least))
        steps = self.local_steps
        if isinstance(steps, list | tuple | np.ndarray) and np.size(steps) > 1:
            own = tuple(whole_number("local_steps", each) for each in steps)
            object.__setattr__(self, "local_steps", own)
        else:
            object.__setattr__(self, "local_steps", whole_number("local_steps", steps))

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

    def check_batches(self, clients: Clients) -> None:
        """Refuse a batch that is larger than a client.

        Raises
        ------
        InputError
            Naming the smallest client.
        """
        smallest = min(clients.sizes)
        if self.batch_size is not None and self.batch_size > smallest:
            raise InputError(
                f"batch_size is {self.batch_size}, but client {clients.sizes.index(smallest)} holds {smallest} "
                f"samples: a batch without replacement cannot be larger."
            )


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a ``stop`` callable sees between chunks of rounds; ``index`` is the network's among those of `run_seeds`."""

    network: Network
    round: int
    dataset: Dataset
    clients: Clients
    config: LocalSGD
    index: int = 0
