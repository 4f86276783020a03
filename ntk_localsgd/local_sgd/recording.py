"""Collects the observations of a run and labels them: an xarray data set with dimensions, units and formulas."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Int, Shaped
from numpy import ndarray

from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels import as_matrix, empirical_gram, empirical_grams
from ntk_localsgd.local_sgd.gradients import Weights
from ntk_localsgd.local_sgd.observables import OBSERVABLES, Observable
from ntk_localsgd.local_sgd.states import GramState
from ntk_localsgd.networks import Network

__all__ = ["GramRecorder", "Record", "join", "rounds_at_once"]

# A loss this many times its start is called divergence. At a stable step size the loss may grow for a while, by single
# digits; at one somewhat too large a ReLU network's loss may rise a thousandfold and still come down.
DIVERGED = 1e6

# Rounds whose weights come along with a chunk, and how many bytes these and their Gram matrices take, at most; bytes of
# weights that take longer to copy than a chunk takes to begin.
_MOST_AT_ONCE, _BYTES, _LARGE = 64, 2**26, 2**22


def rounds_at_once(nets: Sequence[Network], dataset: Dataset, stops: Sequence[int]) -> int:
    """Rounds of a chunk from which weights come along; ``stop``'s cadence is a multiple of it."""
    trained = nets[0].trained
    grams = (dataset.num_samples * nets[0].output_dim) ** 2 * (trained[0].dtype.itemsize + 8)  # and in float64
    weights = len(nets) * sum(layer.nbytes for layer in trained)
    most = 1 if weights > _LARGE else max(1, min(_MOST_AT_ONCE, _BYTES // (weights + grams)))
    return next(k for k in range(most, 0, -1) if all(every % k == 0 for every in stops))


class GramRecorder:
    """Observables of the Gram matrix, on the host in float64, every so many rounds."""

    def __init__(
        self, initial: Network, dataset: Dataset, wanted: tuple[Observable, ...], every: int, here: Network, start: int
    ) -> None:
        self.net, self.inputs, self.wanted, self.every, self.start = initial, dataset.inputs, wanted, every, start
        elsewhere = start > 0 or initial is not here
        self.initial = self._gram(initial) if wanted and elsewhere else None
        self.rounds: list[int] = []
        self.values: dict[str, list[ndarray]] = {entry.name: [] for entry in wanted}
        self.take(here, start)

    def take(self, net: Network, at_round: int) -> None:
        """Record the network of this round, if it is one of those that are asked for."""
        if not self.wanted or (at_round % self.every and at_round != self.start):
            return
        self._record(net.trained, self._gram(net), at_round)

    def take_all(self, trained: Weights, first: int, number: int) -> None:
        """Record the first so many of consecutive rounds [s ...], which begin with the round ``first``."""
        grams = np.asarray(empirical_grams(self.net, trained, self.inputs), np.float64)
        held = jax.tree.map(np.asarray, trained) if jax.default_backend() == "cpu" else trained  # views there
        for k, gram in enumerate(grams[:number]):
            self._record(tuple(layer[k] for layer in held), as_matrix(gram), first + k)

    def _record(self, trained: Weights, gram: Float[ndarray, "no no"], at_round: int) -> None:
        self.initial = gram if self.initial is None else self.initial
        self.rounds.append(at_round)
        state = GramState(self.net, trained, self.inputs, gram, self.initial)
        for entry in self.wanted:
            self.values[entry.name].append(np.asarray(entry.compute(state)))

    def _gram(self, net: Network) -> Float[ndarray, "no no"]:
        return as_matrix(np.asarray(empirical_gram(net, self.inputs), np.float64))


class Record:
    """Collects chunks of observations of one run and labels them at the end.

    Parameters
    ----------
    observables
        What is observed.
    first
        Values at round 0; of steps at each of them, as many as the dimension has.
    grams
        Records the Gram matrix beside.

    Raises
    ------
    InputError
        If an observable's values do not have the dimensions that it names.
    """

    def __init__(
        self, observables: tuple[Observable, ...], first: Mapping[str, Shaped[ndarray, "..."]], grams: GramRecorder
    ) -> None:
        self.observables = {entry.name: entry for entry in observables}
        self.pieces = [{name: np.asarray(value)[None] for name, value in first.items()}]
        self.first_loss, self.grams = float(first["loss"]), grams
        self._check(self._values())

    def diverges(self, losses: Shaped[ndarray, " k"]) -> Int[ndarray, " j"]:
        """Which of these losses, by position, are not finite or a million times that at the start."""
        losses = np.asarray(losses, np.float64)
        most = DIVERGED * max(self.first_loss, np.finfo(np.float64).tiny)
        return np.flatnonzero(~(np.isfinite(losses) & (losses <= most)))

    def append(self, observed: Mapping[str, Shaped[ndarray, "..."]]) -> None:
        """Add the observations of a chunk of rounds."""
        self.pieces.append(dict(observed))

    def labelled(self, attributes: Mapping[str, object]) -> xr.Dataset:
        """Everything so far, with dimensions, coordinates, units and formulas."""
        values = self._values()
        variables = {
            name: (entry.dims, values[name], {"units": entry.units, "formula": entry.formula})
            for name, entry in self.observables.items()
        }
        labels = {"gram_round": np.array(self.grams.rounds), "bound": np.array(["lower", "upper"])}
        sizes = xr.Dataset(variables).sizes
        labels["round"] = self.grams.start + np.arange(sizes["round"])
        coords = {name: labels.get(str(name), np.arange(size)) for name, size in sizes.items()}
        return xr.Dataset(variables, coords, attributes)

    def _values(self) -> dict[str, ndarray]:
        values = {name: np.concatenate([piece[name] for piece in self.pieces]) for name in self.pieces[0]}
        # Sums over rounds in float64: a float32 sum of many small steps would stop growing.
        summed = [name for name in values if self.observables[name].cumulative]
        values |= {name: np.cumsum(values[name], axis=0, dtype=np.float64) for name in summed}
        return values | {name: np.array(value) for name, value in self.grams.values.items()}

    def _check(self, values: Mapping[str, ndarray]) -> None:
        sizes: dict[str, int] = {}
        for name, entry in self.observables.items():
            shape = values[name].shape
            if len(shape) != len(entry.dims) or any(
                sizes.setdefault(dim, size) != size for dim, size in zip(entry.dims, shape, strict=True)
            ):
                raise InputError(
                    f"observable {name!r} has shape {shape}, which does not fit its dimensions {entry.dims}."
                )


def join(earlier: xr.Dataset, later: xr.Dataset) -> xr.Dataset:
    """The trajectory of a whole run, from those of its beginning and of what `run` with ``resume`` went on with.

    Parameters
    ----------
    earlier, later
        The trajectories; ``later`` begins at a round of ``earlier``, whose observations there and before are kept.

    Returns
    -------
    One trajectory; sums over rounds go on from those of ``earlier``.

    Raises
    ------
    InputError
        If ``later`` begins at a round that ``earlier`` does not hold, or they observe different things.
    """
    first = int(later["round"][0])
    if first not in earlier["round"] or set(earlier.data_vars) != set(later.data_vars):
        raise InputError(f"later begins at round {first}, needs a round of earlier and the same observables.")
    earlier = earlier.sel(round=slice(None, first))
    later = later.isel(round=slice(1, None))
    if "gram_round" in earlier.dims:
        earlier = earlier.sel(gram_round=slice(None, first))
        later = later.sel(gram_round=later.gram_round > first)
    summed = [name for name, entry in OBSERVABLES.items() if entry.cumulative and name in earlier]
    with xr.set_options(keep_attrs=True):
        later = later.assign({name: later[name] + earlier[name].isel(round=-1) for name in summed})
    parts = [
        xr.concat([earlier[name], later[name]], dim) if (dim := _grows(earlier[name])) else earlier[name]
        for name in earlier.data_vars
    ]
    return xr.merge(parts).assign_attrs(later.attrs)


def _grows(variable: xr.DataArray) -> str | None:
    """The dimension along which a run goes on."""
    return next((str(dim) for dim in ("round", "gram_round") if dim in variable.dims), None)
