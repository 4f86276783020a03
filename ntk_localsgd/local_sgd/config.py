"""Settings of Local SGD, and what a run shows between its chunks of rounds."""

import dataclasses

from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.networks import Network
from ntk_localsgd.scalars import positive_number, whole_number

__all__ = ["Checkpoint", "LocalSGD"]


@dataclasses.dataclass(frozen=True)
class LocalSGD:
    """Settings of Local (S)GD, every one a plain Python number, whatever kind of number it is given as.

    Round t: every client starts from W(t) and takes τ steps W ← W − η ∇L_c(W; B); then
    W(t+1) = W(t) + (η_g/K) Σ_c (W_{c,τ} − W(t)). Losses are sums over samples, L_c = ½ Σ_{i∈S_c} (f − y_i)², and a
    batch gradient is the sum over the batch, without a factor n_c/b. So the clients' movements are averaged uniformly,
    1/K each. FedAvg of McMahan et al. (2017) is another algorithm where clients are unequal: it weighs client c by
    n_c/n, takes means over samples for losses, and lets a fraction of the clients take part in a round.

    Parameters
    ----------
    step_size
        η > 0.
    local_steps
        τ ≥ 1.
    num_rounds
        R ≥ 0.
    batch_size
        b: every step draws a fresh uniform batch of b samples without replacement. None: all samples of the client.
    server_step_size
        η_g > 0.

    Raises
    ------
    InputError
        For a value outside these ranges, and for what is not one number.
    """

    step_size: float
    local_steps: int
    num_rounds: int
    batch_size: int | None = None
    server_step_size: float = 1.0

    def __post_init__(self) -> None:
        for name in ("step_size", "server_step_size"):
            object.__setattr__(self, name, positive_number(name, getattr(self, name)))
        for name, least in (("local_steps", 1), ("num_rounds", 0), ("batch_size", 1)):
            if name != "batch_size" or self.batch_size is not None:
                object.__setattr__(self, name, whole_number(name, getattr(self, name), least))


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a ``stop`` callable sees between chunks of rounds; ``index`` is the network's among those of `run_seeds`."""

    network: Network
    round: int
    dataset: Dataset
    clients: Clients
    config: LocalSGD
    index: int = 0
