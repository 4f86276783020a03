"""What every claim gets: the preset's sizes, the data sets, and random numbers by purpose."""

import dataclasses
from typing import TYPE_CHECKING, TypeVar

import jax
import numpy as np

from ntk_localsgd import seeds as streams
from verification.data import Problem, Source
from verification.presets import Preset

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Context"]

_Sizes = TypeVar("_Sizes", bound="DataclassInstance")


@dataclasses.dataclass(frozen=True)
class Context:
    """Preset and seed of one verification run; the seed's own stream is that of the data."""

    preset: Preset
    seed: int
    attack: bool = False  # whether counterexamples are searched for besides

    def problem(
        self, kind: str, num_samples: int, *, seed: int | None = None, distance: float | None = None
    ) -> Problem:
        """A data set of this run, or of another seed; planted pairs are at the first separation if not told where."""
        apart = {} if distance is None else {"distance": distance}
        if kind == "planted" and distance is None:
            apart = {"distance": self.preset.deep.separations[0]}
        return Source(kind, num_samples, self.seed if seed is None else seed, **apart).load()  # type: ignore[arg-type]

    def problems(self, num_samples: int) -> list[Problem]:
        """The data sets that every claim is checked on."""
        return [self.problem(kind, num_samples) for kind in self.preset.kinds]

    def deep_problems(self, num_samples: int | None = None) -> list[Problem]:
        """The data sets that every claim about deep networks is checked on."""
        sizes = self.preset.deep
        return [self.problem(kind, num_samples or sizes.samples[0]) for kind in sizes.kinds]

    def only(self, data: str) -> "Context":
        """The same, of the preset's data sets only those of this name; unchanged where it has none of it.

        What is measured on a data set does not depend on the others, so that its numbers stay.
        """
        return dataclasses.replace(self, preset=self._narrowed(self.preset, data))

    def _narrowed(self, sizes: _Sizes, data: str) -> _Sizes:
        """Sizes whose lists of kinds hold, where they hold a data set of this name, nothing else."""
        changes: dict[str, object] = {}
        for field in dataclasses.fields(sizes):
            value = getattr(sizes, field.name)
            if field.name == "kinds":
                changes["kinds"] = tuple(kind for kind in value if self.problem(kind, 8).dataset.name == data) or value
            elif dataclasses.is_dataclass(value) and not isinstance(value, type):
                changes[field.name] = self._narrowed(value, data)
        return dataclasses.replace(sizes, **changes)

    def key(self, purpose: str) -> jax.Array:
        """A key of its own for every purpose, so that checks do not share randomness by accident."""
        return streams.key(self.seed, purpose)

    def generator(self, purpose: str) -> np.random.Generator:
        """The same as a NumPy generator."""
        return streams.generator(self.seed, purpose)

    def seeds(self, purpose: str, number: int) -> tuple[int, ...]:
        """Seeds of independent trials; no two purposes and no two seeds of a run share any."""
        return streams.seeds(self.seed, purpose, number)
