"""Collects the observations of a run and labels them: an xarray data set with dimensions, units and formulas."""

from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Int

from ntk_localsgd.datasets import Dataset
from ntk_localsgd.kernels import empirical_gram, empirical_gram_error, smallest_eigenvalue
from ntk_localsgd.local_sgd.observables import OBSERVABLES, Observable
from ntk_localsgd.networks import Network

__all__ = ["GramRecorder", "Record"]

# A loss this many times its start is called divergence. At a stable step size the loss may grow for a while, by single
# digits; at one somewhat too large a ReLU network's loss may rise a thousandfold and still come down.
DIVERGED = 1e6


class GramRecorder:
    """Observables of the Gram matrix, on the host in float64, every so many rounds."""

    def __init__(self, net: Network, dataset: Dataset, wanted: tuple[Observable, ...], every: int) -> None:
        self.inputs, self.wanted, self.every = dataset.inputs, wanted, every
        self.initial = np.zeros(())
        self.rounds: list[int] = []
        self.values: dict[str, list[Any]] = {entry.name: [] for entry in wanted}
        self.take(net, 0)

    def take(self, net: Network, at_round: int) -> None:
        """Record the network of this round, if it is one of those that are asked for."""
        if not self.wanted or at_round % self.every:
            return
        gram = _as_matrix(np.asarray(empirical_gram(net, self.inputs), np.float64))
        self.rounds.append(at_round)
        if "smallest_eigenvalue" in self.values:
            enclosure = smallest_eigenvalue(gram, error=empirical_gram_error(net, self.inputs))
            self.values["smallest_eigenvalue"].append(tuple(enclosure))
        if "gram_movement" in self.values:
            self.initial = gram if at_round == 0 else self.initial
            self.values["gram_movement"].append(float(np.linalg.norm(gram - self.initial, 2)))


def _as_matrix(gram: np.ndarray) -> np.ndarray:
    """[n n o o] as the matrix of all outputs of all samples, (n·o)²."""
    size = gram.shape[0] * (gram.shape[2] if gram.ndim == 4 else 1)
    return gram if gram.ndim == 2 else gram.transpose(0, 2, 1, 3).reshape(size, size)


class Record:
    """Collects chunks of observations and labels them at the end."""

    def __init__(self, at_round: dict[str, Any], repeats: dict[int, dict[str, Any]], grams: GramRecorder) -> None:
        """Start with round 0; what its local steps see is the same at each of them, so many times."""
        repeated = {
            name: np.repeat(np.asarray(v)[None], times, axis=0) for times, seen in repeats.items()
            for name, v in seen.items()
        }  # fmt: skip
        self.pieces = [{name: np.asarray(v)[None] for name, v in (at_round | repeated).items()}]
        self.first_loss, self.grams = float(at_round["loss"]), grams

    def diverges(self, losses: Any) -> Int[np.ndarray, " k"]:
        """Which of these losses, by position, are not finite or a million times that at the start."""
        most = DIVERGED * max(self.first_loss, np.finfo(np.float64).tiny)
        return np.flatnonzero(~(np.asarray(losses, np.float64) <= most))

    def append(self, observed: dict[str, Any]) -> None:
        """Add the observations of a chunk of rounds."""
        self.pieces.append({name: np.asarray(v) for name, v in observed.items()})

    def labelled(self, attributes: dict[str, Any]) -> xr.Dataset:
        """Everything so far, with dimensions, coordinates, units and formulas."""
        values = {name: np.concatenate([piece[name] for piece in self.pieces]) for name in self.pieces[0]}
        # Sums over rounds in float64: a float32 sum of many small steps would stop growing.
        values |= {
            name: np.cumsum(v, axis=0, dtype=np.float64) for name, v in values.items() if OBSERVABLES[name].cumulative
        }
        values |= {name: np.array(v) for name, v in self.grams.values.items()}
        variables = {
            name: (OBSERVABLES[name].dims, v, {"units": OBSERVABLES[name].units, "formula": OBSERVABLES[name].formula})
            for name, v in values.items()
        }
        labels: dict[str, Any] = {"gram_round": np.array(self.grams.rounds), "bound": ["lower", "upper"]}
        sizes = xr.Dataset(variables).sizes
        coords = {name: labels.get(str(name), np.arange(size)) for name, size in sizes.items()}
        return xr.Dataset(variables, coords, attributes)
