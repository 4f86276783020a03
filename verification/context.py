"""What every check gets: the preset's sizes, the data, random keys by purpose, and the stored runs."""

import dataclasses
import functools
import inspect
import math
import pathlib
import zlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array

from ntk_localsgd import clients, datasets, kernels, results
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from verification.runs import RunSpec

__all__ = ["PRESETS", "Context", "DeepSizes", "Preset", "Problem", "problem", "with_close_pair", "with_close_pairs"]


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
    deep: "DeepSizes"
    kinds: tuple[str, ...] = ("digits", "sphere")  # data sets of two-layer networks
    claims: tuple[str, ...] = ()  # what is checked if no claim is named; none: all


@dataclasses.dataclass(frozen=True)
class DeepSizes:
    """Sizes of the claims about deep networks: every sweep varies one of them, all else at the first-named value."""

    samples: tuple[int, ...]  # n
    widths: tuple[int, ...]  # m; the narrowest serves the sweeps over everything else
    depths: tuple[int, ...]  # L
    separations: tuple[float, ...]  # φ of the sphere's planted pair
    local_steps: tuple[int, ...]  # τ
    clients: tuple[int, ...]  # K
    rounds: int
    start_seeds: int  # of everything at initialization, which is cheap
    seeds: int  # of runs whose exponent in the width is asked for
    few_seeds: int  # of the other sweeps
    kinds: tuple[str, ...] = (
        "digits",
        "planted",
    )  # planted: a pair at the first separation

    @property
    def start_widths(self) -> tuple[int, ...]:
        """m at initialization: one more, for a longer lever."""
        return self.widths[0] // 2, *self.widths


_DEEP = {
    "smoke": DeepSizes((8, 16), (2**6, 2**9), (3, 1), (0.4, 0.1), (5, 2), (4, 2), 4, 12, 8, 5),
    "quick": DeepSizes(
        (16, 8, 32), (2**7, 2**8, 2**9), (3, 1, 2, 4), (0.4, 0.1, 0.2, 0.8), (5, 1, 10), (4, 1, 2), 6, 80, 30, 8
    ),
    "full": DeepSizes(
        (32, 8, 16, 64), tuple(2**k for k in range(7, 11)), (3, 1, 2, 4, 6), (0.4, 0.05, 0.1, 0.2, 0.8), (5, 1, 20),
        (4, 1, 2, 8), 20, 80, 30, 12, ("digits", "planted", "digits10", "pairs 0.2"),
    ),
}  # fmt: skip
_DEEP["gpu"] = dataclasses.replace(_DEEP["quick"], widths=(2**11, 2**12, 2**13), seeds=960)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("smoke", 12, 6, 8, (2**8, 2**10), 6, (2**6, 2**10), 6, 5, 5, 8, _DEEP["smoke"]),
        Preset("quick", 100, 8, 16, (2**11, 2**13, 2**15), 26, (2**8, 2**10, 2**12), 6, 20, 100, 60, _DEEP["quick"]),
        Preset("full", 100, 16, 32, (2**11, 2**13, 2**15), 26, (2**8, 2**10, 2**12), 12, 40, 500, 1200,
               _DEEP["full"], ("digits", "sphere", "pairs 0.2")),
        # For one GPU: the sweeps of quick at 16 times the width with 32 times the seeds, a long run inside a certified
        # regime and Gram matrices of many samples.
        Preset("gpu", 100, 8, 16, (2**15, 2**17, 2**19), 832, (2**12, 2**14, 2**16), 192, 20, 100, 60, _DEEP["gpu"],
               claims=("K4a-many", "K4b-many", "C8-run", "S4-slope", "S5", "S6-slope", "S4-deep", "S5-deep", "D2-run")),
    )
}  # fmt: skip


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

    def split(self, num_clients: int, how: str = "label") -> Clients:
        """Clients that see few classes each (by label), or a random share (``"iid"``)."""
        key = jax.random.fold_in(jax.random.key(self.seed), num_clients)
        if num_clients == 1 or how == "iid":
            return clients.iid(key, self.dataset, num_clients)
        return clients.by_label(key, self.dataset, num_clients, classes_per_client=1)

    def largest_client_eigenvalue(self, num_clients: int) -> float:
        """max_c λ_max(H^∞_cc): local steps are stable below 2 over this."""
        parts = self.split(num_clients).indices
        return max(float(np.linalg.eigvalsh(self.gram[np.ix_(part, part)])[-1]) for part in parts)

    def largest_deep_eigenvalue(self, num_clients: int, depth: int, how: str = "label") -> float:
        """max_c λ_max(Θ^∞_cc) of a deep network with one output: η times m times this below 2 is stable."""
        parts, gram = self.split(num_clients, how).indices, kernels.infinite_deep_gram(self.inputs, depth)
        return max(float(np.linalg.eigvalsh(gram[np.ix_(part, part)])[-1]) for part in parts)

    def __str__(self) -> str:
        return f"{self.dataset.name}, n = {self.num_samples}"


@functools.cache
def problem(kind: str, num_samples: int, seed: int) -> Problem:
    """Data by name: ``"digits"``, ``"digits10"``, ``"sphere"``, ``"sphere 256"``, ``"planted 0.4"`` or ``"pairs 0.2"``.

    Digits are 3 against 8, or all ten with one-hot targets; the sphere is that of ℝ³², or of the dimension that the
    name gives; planted data lie on the sphere of ℝ⁶⁴, where the digits are, with a closest pair of opposite targets at
    the distance that the name gives, and pairs are there as well, every point with a partner of opposite target at that
    distance: nearly parallel, at 0.2 an angle of 11° and λ0 near 0.04.
    """
    key = jax.random.key(seed)
    if kind.startswith("digits"):
        dataset = datasets.digits(num_samples, classes=None if kind == "digits10" else (3, 8), key=key)
    elif kind.startswith(("planted", "pairs")):
        name, distance = kind.split()
        plant = _planted if name == "planted" else _nearly_parallel
        dataset = plant(datasets.sphere(key, num_samples, 64), float(distance))
    else:
        dataset = datasets.sphere(key, num_samples, int(kind.removeprefix("sphere") or 32))
        dataset = dataclasses.replace(dataset, name=kind)
    gram = kernels.infinite_gram(dataset.inputs)
    lambda0 = kernels.smallest_eigenvalue(gram, error=kernels.infinite_gram_error(*dataset.inputs.shape))
    return Problem(kind, num_samples, seed, dataset, gram, lambda0)


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


def _planted(made: Dataset, distance: float) -> Dataset:
    targets = np.array(made.targets)
    targets[1] = -targets[0]  # the hard case: what is nearly the same must be told apart
    return datasets.from_arrays(
        with_close_pair(made.inputs, distance), targets, name=f"sphere with a pair at {distance:g}"
    )


def _nearly_parallel(made: Dataset, distance: float) -> Dataset:
    targets = np.array(made.targets)
    targets[1::2] = -targets[: 2 * (len(targets) // 2) : 2]
    return datasets.from_arrays(
        with_close_pairs(made.inputs, distance), targets, name=f"sphere in pairs at {distance:g}"
    )


@dataclasses.dataclass(frozen=True)
class Context:
    """Preset, seed and store of one verification run."""

    preset: Preset
    seed: int
    out: pathlib.Path

    def problems(self, num_samples: int) -> list[Problem]:
        """The data sets that every claim is checked on."""
        return [problem(kind, num_samples, self.seed) for kind in self.preset.kinds]

    def deep_problems(self, num_samples: int | None = None) -> list[Problem]:
        """The data sets that every claim about deep networks is checked on."""
        sizes = self.preset.deep
        planted = {"planted": f"planted {sizes.separations[0]:g}"}
        return [problem(planted.get(kind, kind), num_samples or sizes.samples[0], self.seed) for kind in sizes.kinds]

    def key(self, purpose: str) -> Array:
        """A key of its own for every purpose, so that checks do not share randomness by accident."""
        return jax.random.fold_in(jax.random.key(self.seed), zlib.crc32(purpose.encode()))

    def rng(self, purpose: str) -> np.random.Generator:
        """The same as a NumPy generator."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])

    def run(self, spec: RunSpec) -> xr.Dataset:
        """The stored run, computed if it is not there yet."""
        made = problem(spec.kind, spec.num_samples, spec.data_seed)
        split = made.split(spec.num_clients, spec.split)
        return results.load_or_compute(_identity(spec), lambda: spec.compute(made.dataset, split), self.out / "runs")

    def stored(self, script: str, purpose: str, compute_it: Callable[[], xr.Dataset]) -> xr.Dataset:
        """What a script measured besides runs, stored for the figures; computed if it is not there yet."""
        code = results.code_fingerprint(pathlib.Path(script), pathlib.Path(__file__))
        identity = {"purpose": purpose, "seed": self.seed, "preset": self.preset.name, "script": code}
        return results.load_or_compute(identity, compute_it, self.out / "runs")

    def path(self, spec: RunSpec) -> pathlib.Path:
        """Where the run is, or would be, stored."""
        return results.path_for(_identity(spec), self.out / "runs")


def _identity(spec: RunSpec) -> dict[str, Any]:
    """What names a run's file besides the library: its specification and the code that turns it into a run."""
    here, own = pathlib.Path(__file__), pathlib.Path(inspect.getfile(type(spec)))
    scripts = dict.fromkeys((here, here.with_name("runs.py"), own))
    return {"spec": dataclasses.asdict(spec), "scripts": results.code_fingerprint(*scripts)}
