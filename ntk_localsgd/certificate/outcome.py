"""What a certificate says, and in words."""

import dataclasses
import math

import numpy as np
from jaxtyping import Int
from numpy import ndarray

__all__ = ["Certificate", "failure"]


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Whether Local GD provably converges from here, how fast, and how far neurons go.

    If ``certified``: ‖r(t)‖₂ ≤ constant · rate^t · ‖r(0)‖₂ after t more rounds, and radius ≥ max_r ‖w_r − w_r(here)‖
    over all future local steps of all clients.

    Attributes
    ----------
    certified
        Whether convergence to zero loss is proved.
    rate, constant
        Per round; rate < 1 if certified, otherwise what was reached.
    radius
        Bound on every neuron's movement from here.
    allowed_radius
        Ball method: the largest movement at which the argument still holds. Path method: the distance to the kink of
        the nearest neuron whose pattern is proved never to change is accounted for pair by pair, and this is infinite.
    residual_norm
        ‖r(0)‖₂ = ‖f − y‖₂ here.
    obstacle
        Empty if certified; otherwise what stands in the way.
    width_estimate, residual_estimate
        Roughly the width, or the residual norm at this width, that would do (the present ones if certified, infinite
        and 0 if unknown).
    method
        "ball" or "path", the one that speaks.
    switching
        (sample, neuron) of all pairs that are not proved to keep their sign at averaged models and on the local models
        of the sample's own client.
    rounding_floor
        Residual norm below which a float64 run is rounding noise, and the rate cannot be observed.
    """

    certified: bool
    rate: float
    constant: float
    radius: float
    allowed_radius: float
    residual_norm: float
    obstacle: str
    width_estimate: float
    residual_estimate: float
    method: str
    rounding_floor: float
    switching: Int[ndarray, "p 2"] = dataclasses.field(repr=False)

    def __str__(self) -> str:
        if self.certified:
            return (f"certified ({self.method}): ‖r(t)‖ ≤ {self.constant:.4g} · {self.rate:.6g}^t · "
                    f"{self.residual_norm:.4g}, no neuron moves by more than {self.radius:.4g}")  # fmt: skip
        hint = ""
        if math.isfinite(self.width_estimate):
            hint = (
                f"; a width of roughly {self.width_estimate:.1g} or a residual of {self.residual_estimate:.1g} would do"
            )
        return f"not certified ({self.method}): {self.obstacle}{hint}"


def failure(method: str, obstacle: str, *, rate: float = math.inf) -> Certificate:
    """A certificate that does not certify; the caller fills in the residual and the estimates."""
    return Certificate(
        False, rate, math.inf, math.inf, math.inf, math.nan, obstacle, math.inf, 0.0, method, math.nan,
        np.zeros((0, 2), np.int64),
    )  # fmt: skip
