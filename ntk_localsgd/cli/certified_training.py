"""Train until a proof is found, in pieces that a later run goes on from."""

import dataclasses
import hashlib
import json
import os
import pathlib
import time
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ntk_localsgd import certificate, local_sgd
from ntk_localsgd.certificate import Certificate
from ntk_localsgd.cli.start import Start
from ntk_localsgd.cli.timing import TimeUp, limited
from ntk_localsgd.errors import InputError
from ntk_localsgd.files import read_npz
from ntk_localsgd.local_sgd.config import Checkpoint
from ntk_localsgd.networks import Stack

__all__ = ["Reached", "Training"]

# Seconds between checkpoints.
_WRITTEN_EVERY = 5.0

_LAYERS = tuple(f"layer_{k}" for k in range(1000))


class Reached(NamedTuple):
    """Where training has come to: the network, all losses, the proof if there is one, and whether time was up."""

    net: Stack
    losses: Float[ndarray, " rounds"]
    proof: Certificate | None = None
    time_up: bool = False

    @property
    def round(self) -> int:
        """Rounds that are behind it."""
        return len(self.losses) - 1


@dataclasses.dataclass(frozen=True)
class Training:
    """A run in pieces of ``stop.every`` rounds, with an attempt at a proof before each and after the last.

    Attributes
    ----------
    start, config, key
        The run; ``config.num_rounds`` is where it ends without a proof.
    stop
        Asks for the proof.
    path
        Where the checkpoint lies: the network and all losses after the last whole piece.
    """

    start: Start
    config: local_sgd.LocalSGD
    key: jax.Array | None
    stop: certificate.UntilCertified
    path: pathlib.Path

    def run(self, seconds: float, *, resume: bool) -> Reached:
        """Train for at most so many seconds; nothing that is whole is lost or done again when they are up.

        Raises
        ------
        InputError
            As `certificate.certify` at round 0; for a checkpoint that cannot be read, or is of another run.
        KeyboardInterrupt
            When interrupted, with the sentence that says where the checkpoint lies.
        """
        here = self._earlier() if resume else Reached(self.start.net, np.array([self._loss(self.start.net)]))
        written, columns = time.monotonic(), (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        try:
            with Progress(TextColumn("Local SGD"), *columns, console=Console(stderr=True)) as bar, limited(seconds):
                shown = bar.add_task("", total=self.config.num_rounds, completed=here.round)
                while not self.stop(self._checkpoint(here)) and here.round < self.config.num_rounds:
                    here = self._piece(here)
                    bar.update(shown, completed=here.round)
                    if time.monotonic() - written > _WRITTEN_EVERY:
                        self.write(here)
                        written = time.monotonic()
        except KeyboardInterrupt as interrupt:
            self.write(here)
            kept = f"{here.round} rounds are kept in {self.path}, --resume goes on"
            raise KeyboardInterrupt(kept) from interrupt
        except TimeUp:
            self.write(here)
            return here._replace(time_up=True)
        self.write(here)
        return here._replace(proof=self.stop.certificate)

    def _piece(self, here: Reached) -> Reached:
        """Up to the next round at which a proof is asked for."""
        every = self.stop.every
        end = min(here.round - here.round % every + every, self.config.num_rounds)
        config = dataclasses.replace(self.config, num_rounds=end)
        data = (self.start.dataset, self.start.clients)
        run = local_sgd.run(self.start.net, *data, config, key=self.key, resume=self._checkpoint(here))
        losses = np.asarray(run.trajectory.loss.values, np.float64)
        net = self.start.net.with_trained(run.network.trained)
        if run.diverged_at is not None:
            raise InputError(f"the run diverges in round {run.diverged_at}: a smaller step size is needed.")
        return Reached(net, np.concatenate([here.losses, losses[1:]]))

    def _checkpoint(self, here: Reached) -> Checkpoint:
        return Checkpoint(here.net, here.round, self.start.dataset, self.start.clients, self.config)

    def _loss(self, net: Stack) -> float:
        residual = np.asarray(net(self.start.dataset.inputs), np.float64) - self.start.dataset.targets
        return float(np.square(residual).sum() / 2)

    def write(self, here: Reached) -> None:
        """The checkpoint, moved into place when it is whole."""
        layers = dict(zip(_LAYERS, (np.asarray(layer) for layer in here.net.trained), strict=False))
        part = self.path.with_suffix(".part.npz")
        try:
            self.path.absolute().parent.mkdir(parents=True, exist_ok=True)
            np.savez(part, losses=here.losses, settings=self._settings(), **layers)  # type: ignore[arg-type]
            os.replace(part, self.path)
        except OSError as error:
            raise InputError(f"checkpoint {self.path} cannot be written ({error.strerror}).") from error

    def _earlier(self) -> Reached:
        """What an earlier command has written, if it is of the same run."""
        layers = _LAYERS[: len(self.start.net.trained)]
        try:
            kept = read_npz(self.path, ("losses", "settings", *layers))
            losses, settings = np.asarray(kept["losses"], np.float64), json.loads(str(kept["settings"]))
            weights = [kept[name] for name in layers]
            alike = [(w.shape, w.dtype) for w in weights] == [(w.shape, w.dtype) for w in self.start.net.trained]
            if not alike or losses.ndim != 1 or not losses.size or not all(map(_is_finite, (losses, *weights))):
                raise InputError("these are not the losses and weights of a run.")  # noqa: TRY301 (fails like the rest)
            net = self.start.net.with_trained([jax.numpy.asarray(each) for each in weights])
        except (InputError, KeyError, ValueError) as error:
            raise InputError(f"{self.path} cannot be read as a checkpoint, needs to be one for --resume.") from error
        now = json.loads(self._settings())
        if other := [name for name in now if settings.get(name) != now[name]]:
            raise InputError(f"{self.path} is of another run ({other[0]} differs): --resume needs the same settings.")
        if len(losses) - 1 > self.config.num_rounds:
            raise InputError(f"rounds is {self.config.num_rounds}, but {self.path} holds {len(losses) - 1} already.")
        return Reached(net, losses)

    def _settings(self) -> str:
        """All that decides the run but for its number of rounds and how a proof is looked for."""
        start, config = self.start, dataclasses.asdict(self.config)
        del config["num_rounds"]
        key = [] if self.key is None else [jax.random.key_data(self.key)]
        about: dict[str, Any] = {
            "data": _digest(start.dataset.inputs, start.dataset.targets),
            "clients": _digest(*start.clients.indices),
            "start": _digest(*start.net.trained),
            "seed": _digest(*key),
        }
        return json.dumps(about | config, default=str)


def _is_finite(array: ndarray) -> bool:
    return bool(np.isfinite(array).all())


def _digest(*arrays: Any) -> str:
    values = [np.ascontiguousarray(array) for array in arrays]
    return hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest()[:16]
