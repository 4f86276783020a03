"""Local SGD in which clients take different numbers of local steps."""

import dataclasses

from ntk_localsgd import local_sgd
from verification.jobs.training import Training

__all__ = ["UnequalSteps"]


@dataclasses.dataclass(frozen=True)
class UnequalSteps(Training):
    """Runs whose client c takes τ_c steps a round.

    Attributes
    ----------
    steps_by_client
        τ_c, one a client; they take the place of ``local_steps``.
    """

    steps_by_client: tuple[int, ...] = ()

    @property
    def config(self) -> local_sgd.LocalSGD:
        """Settings of the runs."""
        return dataclasses.replace(super().config, local_steps=self.steps_by_client)

    def alike(self, local_steps: int) -> Training:
        """The runs in which every client takes as many steps."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(Training)}
        return Training(**values | {"local_steps": local_steps})
