"""Data by plain values, and what the theory asks of it: H^∞ and an enclosure of λ0."""

import dataclasses
import functools
import math
from typing import Literal

import jax
import numpy as np

from ntk_localsgd import clients, datasets, kernels
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError

__all__ = ["Kind", "Problem", "Source", "Split", "with_close_pair", "with_close_pairs"]

#: Kinds of data, as `Source` says.
Kind = Literal["digits", "digits10", "sphere", "planted", "pairs"]
#: How clients share the samples: each sees few classes, or a random part.
Split = Literal["label", "iid"]

# What nearly parallel pairs are apart where nothing else is said: an angle of 11°, and λ0 near 0.04.
_PAIRS = 0.2


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set in plain values.

    Attributes
    ----------
    kind
        ``digits``: 3 against 8; ``digits10``: all ten, one-hot; ``sphere``: uniform points with random signs;
        ``planted``: points on the sphere of ℝ⁶⁴, where the digits are, with one pair of opposite targets at
        ``distance``; ``pairs``: every point there has such a partner.
    num_samples, seed
        n, and what decides the data.
    input_dim
        d of the sphere.
    distance
        Of planted pairs.
    """

    kind: Kind
    num_samples: int
    seed: int
    input_dim: int = 32
    distance: float = _PAIRS

    def load(self) -> "Problem":
        """The data, with what follows from it; computed once a process."""
        return _problem(self)

    @property
    def label(self) -> str:
        """Name in settings and plots."""
        return "digits" if self.kind in ("digits", "digits10") else "sphere"


@dataclasses.dataclass(frozen=True)
class Problem:
    """A data set with what the theory asks of it: H^∞ and an enclosure of λ0."""

    source: Source
    dataset: Dataset
    gram: np.ndarray
    lambda0: kernels.Enclosure

    @property
    def num_samples(self) -> int:
        """n."""
        return self.source.num_samples

    @property
    def inputs(self) -> np.ndarray:
        """X [n d]."""
        return self.dataset.inputs

    @property
    def num_outputs(self) -> int:
        """Targets a sample, o."""
        return self.dataset.targets.shape[1] if self.dataset.targets.ndim == 2 else 1

    @property
    def largest_target(self) -> float:
        """C ≥ |y_i|."""
        return float(np.abs(self.dataset.targets).max())

    @functools.cached_property
    def inner(self) -> np.ndarray:
        """G = X Xᵀ."""
        return self.inputs @ self.inputs.T

    @functools.cached_property
    def spectral_norm(self) -> float:
        """‖X‖₂."""
        return float(np.linalg.norm(self.inputs, 2))

    @property
    def setting(self) -> dict[str, object]:
        """Data and n, as a row of evidence begins."""
        return {"data": self.dataset.name, "n": self.num_samples}

    def split(self, num_clients: int, how: Split = "label") -> Clients:
        """Clients that see few classes each (by label), or a random share (``"iid"``)."""
        key = jax.random.fold_in(jax.random.key(self.source.seed), num_clients)
        if num_clients == 1 or how == "iid":
            return clients.iid(key, self.dataset, num_clients)
        return clients.by_label(key, self.dataset, num_clients, classes_per_client=1)

    def largest_client_eigenvalue(self, num_clients: int) -> float:
        """max_c λ_max(H^∞_cc): local steps are stable below 2 over this."""
        return _largest_client_block(self.source, num_clients)

    def largest_deep_eigenvalue(self, num_clients: int, depth: int, how: Split = "label") -> float:
        """max_c λ_max(Θ^∞_cc) of a deep network with one output: η times m times this below 2 is stable."""
        return _largest_deep_block(self.source, num_clients, depth, how)

    def __str__(self) -> str:
        return f"{self.dataset.name}, n = {self.num_samples}"


def _largest_block(gram: np.ndarray, split: Clients) -> float:
    return max(float(np.linalg.eigvalsh(gram[np.ix_(part, part)])[-1]) for part in split.indices)


@functools.cache
def _largest_client_block(source: Source, num_clients: int) -> float:
    problem = source.load()
    return _largest_block(problem.gram, problem.split(num_clients))


@functools.cache
def _largest_deep_block(source: Source, num_clients: int, depth: int, how: Split) -> float:
    """Asked for by every job of a sweep, all of which begin with their needs."""
    problem = source.load()
    return _largest_block(kernels.infinite_deep_gram(problem.inputs, depth), problem.split(num_clients, how))


@functools.cache
def _problem(source: Source) -> Problem:
    dataset = _dataset(source)
    gram = kernels.infinite_gram(dataset.inputs)
    error = kernels.infinite_gram_error(*dataset.inputs.shape)
    return Problem(source, dataset, gram, kernels.smallest_eigenvalue(gram, error=error))


def _dataset(source: Source) -> Dataset:
    key, n = jax.random.key(source.seed), source.num_samples
    if source.kind == "digits":
        return datasets.digits(n, classes=(3, 8), key=key)
    if source.kind == "digits10":
        return datasets.digits(n, key=key)
    if source.kind == "sphere":
        name = "sphere" if source.input_dim == 32 else f"sphere {source.input_dim}"
        return dataclasses.replace(datasets.sphere(key, n, source.input_dim), name=name)
    if source.kind not in ("planted", "pairs"):
        raise InputError(f"kind of data is {source.kind!r}, needs to be digits, digits10, sphere, planted or pairs.")
    points = datasets.sphere(key, n, 64)
    targets, x = np.array(points.targets), points.inputs
    # The hard case: what is nearly the same must be told apart.
    if source.kind == "planted":
        targets[1], x = -targets[0], with_close_pair(x, source.distance)
    else:
        targets[1::2], x = -targets[: 2 * (n // 2) : 2], with_close_pairs(x, source.distance)
    name = "sphere with a pair" if source.kind == "planted" else "sphere in pairs"
    return datasets.from_arrays(x, targets, name=f"{name} at {source.distance:g}")


def with_close_pair(inputs: np.ndarray, distance: float) -> np.ndarray:
    """The same points, the second one moved on a great circle to the given distance from the first."""
    return np.concatenate([with_close_pairs(inputs[:2], distance), inputs[2:]])


def with_close_pairs(inputs: np.ndarray, distance: float) -> np.ndarray:
    """The same points, every second one moved on a great circle to the given distance from the one before it."""
    x = np.array(inputs)
    first = x[: 2 * (len(x) // 2) : 2]
    aside = x[1::2] - (x[1::2] * first).sum(axis=1, keepdims=True) * first
    angle = 2 * math.asin(distance / 2)
    x[1::2] = math.cos(angle) * first + math.sin(angle) * aside / np.linalg.norm(aside, axis=1, keepdims=True)
    return x
