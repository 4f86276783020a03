"""Evidence for statements up to a constant: the implied constant over a sweep, and the exponent it is left with."""

import numpy as np

from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.statistics import Interval, holds_as_exponent, implied_constant, slope

__all__ = ["TOLERANCE", "stays_bounded"]

# How far the exponent of an implied constant may lie beyond 0: x^0.1 is a factor 1.15 over a sweep of 4, of the size of
# the corrections of relative order m^{-1/2} to L/√m that the widths swept leave.
TOLERANCE = 0.1


def stays_bounded(
    claim: str,
    setting: str,
    premise: Condition,
    quantity: str,
    parameter: str,
    points: tuple[float, ...],
    measured: np.ndarray,
    shape: np.ndarray,
    *,
    control: np.ndarray,
    control_setting: str,
    control_shape: np.ndarray | None = None,
    at_least: bool = False,
) -> Evidence:
    """Evidence for "quantity = O(shape)", or Ω with ``at_least``, over one parameter.

    C = measured / shape must not grow (Ω: shrink) with the parameter: the 95% interval of the slope of log C lies below
    `TOLERANCE` (above −`TOLERANCE`). The control's values go through the same; it broke if its interval lies beyond.

    Parameters
    ----------
    measured, control
        [seeds points], positive.
    shape, control_shape
        What they are compared with, [points] or [seeds points]; the control's is the same if not given.
    """
    constants = implied_constant(measured, shape)
    found = slope(points, constants)
    broken = slope(points, implied_constant(control, shape if control_shape is None else control_shape))
    holds, control_holds = (_holds(exponent, at_least) for exponent in (found, broken))
    own = slope(points, measured)
    claimed = own.estimate - found.estimate  # the shape's exponent; a shape that varies with the seed has a mean one
    return Evidence(
        claim,
        f"{setting}; over {parameter} = {min(points):g} … {max(points):g}",
        premise,
        Condition(
            f"{quantity}: constant {constants.min():.2g} … {constants.max():.2g}, left with exponent "
            f"{'≥ −' if at_least else '≤ '}{TOLERANCE:g}; measured {own.estimate:.2f} ± {own.half_width:.2f} beside "
            f"{claimed:.2f}",
            holds,
        ),
        found.estimate,
        0.0,
        Control(control_setting, control_holds is False, broken.estimate),
        interval=(found.lower, found.upper),
        trials=len(constants),
    )


def _holds(found: Interval, at_least: bool) -> bool | None:
    ends = (-found.upper, -found.lower) if at_least else (found.lower, found.upper)
    return holds_as_exponent(Interval(found.estimate, *ends), 0.0, TOLERANCE, upper_bound_only=True)
