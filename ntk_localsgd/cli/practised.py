"""Options of Local SGD as it is practised, and the settings that they make."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import local_sgd
from ntk_localsgd.cli.inputs import ProblemOptions
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.config import PLAIN, LocalSGD

__all__ = ["PractisedOptions"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PractisedOptions(ProblemOptions):
    """What federated learning libraries run, beside what theorems are about."""

    local_steps: int | None = None  # type: ignore[assignment]
    """Local steps τ of every client in a round, unless --local-epochs is given."""
    local_epochs: int | None = None
    """For --local-steps: passes of a client through its samples, shuffled, --batch-size at a time."""
    batch_size: int | None = None
    """Samples b of a step, drawn anew, at most all of the client; left out: all."""
    mean_loss: bool = False
    """Losses are means over the batch and not sums."""
    participants: int | None = None
    """Clients drawn to take part in a round; left out: all."""
    client_weights: str = "uniform"
    """Of the average: uniform, samples (n_c/n), or a file with a number a line."""
    step_factors: str | None = None
    """η by the round t = 0, 1, …, over --step-size: inverse (1/(1 + t)), sqrt, or a file."""
    client_momentum: float = 0.0
    """β of the clients, anew in every round."""
    proximal: float = 0.0
    """FedProx's μ: the loss has (μ/2)‖W − W(t)‖² added."""
    weight_decay: float = 0.0
    """λ: the loss has (λ/2)‖W‖² added."""
    server_step_size: float | None = None
    """η_g, times the average movement; left out: 1."""
    server_momentum: float | None = None
    """β of the server."""
    server_adam: float | None = None
    """Adam at the server with this ε (1e-3), β₁ = 0.9, β₂ = 0.999."""

    def check_practised(self) -> None:
        """Refuse options that do not go together, before anything is computed."""
        if (self.local_steps is None) == (self.local_epochs is None):
            raise InputError("local_steps or --local-epochs is needed, and not both.")
        if self.local_epochs is not None and self.batch_size is None:
            raise InputError(f"local_epochs is {self.local_epochs}, which needs --batch-size.")
        if self.server_momentum is not None and self.server_adam is not None:
            raise InputError("server_momentum is set, and so is --server-adam: leave one of them out.")
        if self.server_adam is not None and self.server_step_size is None:
            raise InputError("server_adam is set, which needs --server-step-size: weights move by about that a round.")
        self._config(1.0, 1, 0, 0)

    def practised(self, step_size: float, rounds: int, clients: Clients) -> tuple[LocalSGD, list[str]]:
        """The settings of a run with these clients, and what the user should know of them.

        Raises
        ------
        InputError
            As `LocalSGD`, and for files that do not hold numbers.
        """
        steps: Any = self.local_steps
        if self.local_epochs is not None:
            assert self.batch_size is not None
            steps = local_sgd.epoch_steps(clients, self.batch_size, self.local_epochs)
        config, notes = self._config(step_size, steps, rounds, clients.num_clients), []
        config.participants_of(clients)
        config.weights_of(clients)
        if self.batch_size is not None and (few := [size for size in clients.sizes if size < self.batch_size]):
            which = f"{len(few)} client{'s' if len(few) > 1 else ''} of {min(few)} … {max(few)} samples"
            notes.append(f"{which} take{'s' if len(few) == 1 else ''} all of them for a batch of {self.batch_size}")
        if beyond := [name.replace("_", " ") for name in config.chosen() if name not in PLAIN]:
            notes.append(
                f"no theorem here and no certificate speaks of {', '.join(beyond)}: the run is made all the same"
            )
        return config, notes

    def counted(self, clients: Clients) -> Float[ndarray, " K"] | None:
        """The batches b_c that losses are means over, None for sums."""
        if not self.mean_loss:
            return None
        return np.array([size if self.batch_size is None else min(size, self.batch_size) for size in clients.sizes])

    def _config(self, step_size: float, steps: Any, rounds: int, number: int) -> LocalSGD:
        server: local_sgd.Momentum | local_sgd.Adam | None = None
        if self.server_momentum is not None:
            server = local_sgd.Momentum(self.server_momentum)
        elif self.server_adam is not None:
            server = local_sgd.Adam(epsilon=self.server_adam)
        weights: Any = self.client_weights
        if weights not in ("uniform", "samples"):
            weights = _numbers("client_weights", "uniform, samples", pathlib.Path(weights))
            if number and len(weights) != number:
                raise InputError(
                    f"client_weights holds {len(weights)} numbers, needs one for each of {number} clients."
                )
        return LocalSGD(
            step_size,
            steps,
            rounds,
            self.batch_size,
            1.0 if self.server_step_size is None else self.server_step_size,
            self.participants,
            client_weights=weights,
            batches="independent" if self.local_epochs is None else "epochs",
            reduction="mean" if self.mean_loss else "sum",
            step_factors=self._factors(rounds),
            client_momentum=self.client_momentum,
            proximal=self.proximal,
            weight_decay=self.weight_decay,
            server=server,
        )

    def _factors(self, rounds: int) -> Any:
        powers = {"inverse": -1.0, "sqrt": -0.5}
        if self.step_factors is None:
            return None
        if self.step_factors in powers:
            return (1.0 + np.arange(max(rounds, 1))) ** powers[self.step_factors]
        return _numbers("step_factors", "inverse, sqrt", pathlib.Path(self.step_factors))


def _numbers(name: str, words: str, path: pathlib.Path) -> list[float]:
    """Numbers from a file of one a line."""
    try:
        return [float(line) for line in path.read_text(encoding="utf-8-sig").split()]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{name} is {path}, needs to be {words} or a file with a number a line ({why}).") from error
