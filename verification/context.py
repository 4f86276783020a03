"""What every check gets: the preset's sizes, the data, random keys by purpose, and the stored runs."""

import dataclasses
import functools
import inspect
import pathlib
import zlib
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array

from ntk_localsgd import clients, datasets, kernels, results
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from verification.runs import RunSpec

__all__ = ["PRESETS", "Context", "Preset", "Problem", "problem"]


@dataclasses.dataclass(frozen=True)
class Preset:
    """Sizes of a verification run.

    ``trials`` seeds decide a probability at δ = 0.05 only from 72 on, so that the smoke preset answers `inconclusive`
    there; its controls break all the same.
    """

    name: str
    trials: int
    kernel_samples: int  # n of the claims at initialization
    sweep_samples: int  # n of the sweeps over widths
    sweep_widths: tuple[int, ...]
    sweep_seeds: int
    control_widths: tuple[int, ...]
    control_seeds: int
    sweep_rounds: int
    gd_rounds: int  # rounds of 20 gradient steps
    certificate_runs: int  # random runs that certificates are held against


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("smoke", 12, 6, 8, (2**8, 2**10), 6, (2**6, 2**10), 6, 5, 5, 8),
        Preset("quick", 100, 8, 16, (2**11, 2**13, 2**15), 26, (2**8, 2**10, 2**12), 6, 20, 100, 100),
        Preset("full", 400, 16, 32, (2**11, 2**13, 2**15, 2**17), 24, (2**8, 2**10, 2**12), 12, 40, 1000, 1200),
    )
}


@dataclasses.dataclass(frozen=True)
class Problem:
    """A data set with what the theory asks of it: H^∞ and an enclosure of λ0."""

    kind: str
    num_samples: int
    seed: int
    dataset: Dataset
    gram: np.ndarray
    lambda0: kernels.Enclosure

    @property
    def inputs(self) -> np.ndarray:
        """X."""
        return self.dataset.inputs

    @property
    def largest_target(self) -> float:
        """C ≥ |y_i|."""
        return float(np.abs(self.dataset.targets).max())

    @functools.cached_property
    def inner(self) -> np.ndarray:
        """G = X Xᵀ."""
        return self.inputs @ self.inputs.T

    @property
    def spectral_norm(self) -> float:
        """‖X‖₂."""
        return float(np.linalg.norm(self.inputs, 2))

    def split(self, num_clients: int) -> Clients:
        """Clients that see few classes each (by label)."""
        key = jax.random.fold_in(jax.random.key(self.seed), num_clients)
        if num_clients == 1:
            return clients.iid(key, self.dataset, 1)
        return clients.by_label(key, self.dataset, num_clients, classes_per_client=1)

    def largest_client_eigenvalue(self, num_clients: int) -> float:
        """max_c λ_max(H^∞_cc): local steps are stable below 2 over this."""
        parts = self.split(num_clients).indices
        return max(float(np.linalg.eigvalsh(self.gram[np.ix_(part, part)])[-1]) for part in parts)

    def __str__(self) -> str:
        return f"{self.dataset.name}, n = {self.num_samples}"


@functools.cache
def problem(kind: str, num_samples: int, seed: int) -> Problem:
    """Two-class digits (3 against 8, real data) or points on the sphere in ℝ³², by name."""
    key = jax.random.key(seed)
    if kind == "digits":
        dataset = datasets.digits(num_samples, classes=(3, 8), key=key)
    else:
        dataset = datasets.sphere(key, num_samples, 32)
    gram = kernels.infinite_gram(dataset.inputs)
    lambda0 = kernels.smallest_eigenvalue(gram, error=kernels.infinite_gram_error(*dataset.inputs.shape))
    return Problem(kind, num_samples, seed, dataset, gram, lambda0)


@dataclasses.dataclass(frozen=True)
class Context:
    """Preset, seed and store of one verification run."""

    preset: Preset
    seed: int
    out: pathlib.Path

    def problems(self, num_samples: int) -> list[Problem]:
        """The data sets that every claim is checked on."""
        return [problem(kind, num_samples, self.seed) for kind in ("digits", "sphere")]

    def key(self, purpose: str) -> Array:
        """A key of its own for every purpose, so that checks do not share randomness by accident."""
        return jax.random.fold_in(jax.random.key(self.seed), zlib.crc32(purpose.encode()))

    def rng(self, purpose: str) -> np.random.Generator:
        """The same as a NumPy generator."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])

    def run(self, spec: RunSpec) -> xr.Dataset:
        """The stored run, computed if it is not there yet."""
        made = problem(spec.kind, spec.num_samples, spec.data_seed)
        split = made.split(spec.num_clients)
        return results.load_or_compute(_identity(spec), lambda: spec.compute(made.dataset, split), self.out / "runs")

    def path(self, spec: RunSpec) -> pathlib.Path:
        """Where the run is, or would be, stored."""
        return results.path_for(_identity(spec), self.out / "runs")


def _identity(spec: RunSpec) -> dict[str, Any]:
    """What names a run's file besides the library: its specification and the code that turns it into a run."""
    here, own = pathlib.Path(__file__), pathlib.Path(inspect.getfile(type(spec)))
    scripts = dict.fromkeys((here, here.with_name("runs.py"), own))
    return {"spec": dataclasses.asdict(spec), "scripts": results.code_fingerprint(*scripts)}
