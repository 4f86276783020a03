"""A row of evidence and a counting job, for tests of what is done with them."""

import dataclasses

import numpy as np
import xarray as xr

from ntk_localsgd.evidence import Condition, Control, Evidence


def row(claim="K2", *, premise=True, holds=True, broke=True, measured=0.5, bound=1.0, relation="≤", **fields):
    """Evidence with everything in order, but for what is changed."""
    settings = {"seed": 0, "preset": "quick", "device": "x86_64 CPU, 2 cores", "claim": claim}
    parts = (Condition("p", premise), Condition("c", holds), relation, measured, bound, Control("k", broke, 2.0))
    setting = fields.pop("setting", {"data": "digits", "n": 8})
    return Evidence(setting, *parts, **(settings | fields))


#: Values of the jobs that were computed, in order.
COMPUTED: list[float] = []


@dataclasses.dataclass(frozen=True)
class Doubled:
    """A job: twice a number; negative ones cannot be doubled."""

    value: float

    def compute(self):
        """Twice the value."""
        COMPUTED.append(self.value)
        if self.value < 0:
            raise ValueError("a negative value")
        return xr.Dataset({"twice": ((), np.array(2 * self.value))})
