"""What a round of Local SGD is made of: step size, local steps, batches, participants, server step size."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd.config import PLAIN, LocalSGD

__all__ = ["Schedule", "refuse_unproved"]


def refuse_unproved(config: LocalSGD) -> None:
    """Refuse every setting that the proofs do not speak of: all but `PLAIN` ones, known today or not.

    Every certificate reads its settings through `Schedule.of` or `model.Rounds.of`, which ask this.

    Raises
    ------
    InputError
        Naming the setting.
    """
    config.refuse_beyond(PLAIN, "the certificate")


class Schedule(NamedTuple):
    """η, τ_c, b_c, n_c, q and η_g."""

    step_size: float
    steps: Int[ndarray, " K"]
    batches: Int[ndarray, " K"]
    sizes: Int[ndarray, " K"]
    participants: int
    server_step_size: float

    @classmethod
    def of(cls, clients: Clients, config: LocalSGD) -> "Schedule":
        """The settings of a run, for these clients.

        Raises
        ------
        InputError
            If numbers of steps or participants do not fit the clients, and as `refuse_unproved`.
        """
        refuse_unproved(config)
        sizes, batches = np.array(clients.sizes), np.array(config.batches_of(clients))
        steps, taking_part = np.array(config.steps_of(clients)), config.participants_of(clients)
        return cls(config.step_size, steps, batches, sizes, taking_part, config.server_step_size)

    @property
    def num_clients(self) -> int:
        """K."""
        return len(self.sizes)

    @property
    def weight(self) -> float:
        """κ = η_g/q, by which a participant's movement counts."""
        return self.server_step_size / self.participants

    @property
    def shares(self) -> Float[ndarray, " K"]:
        """p₁ = b_c/n_c, the probability with which a sample is in a batch."""
        return self.batches / self.sizes

    @property
    def certain(self) -> bool:
        """Whether nothing is drawn: all clients take part, with all their samples."""
        return self.participants == self.num_clients and bool((self.batches == self.sizes).all())

    @property
    def plain(self) -> bool:
        """Whether the run is Local GD with one number of local steps and the server's plain average."""
        return self.certain and len(set(self.steps.tolist())) == 1 and self.server_step_size == 1
