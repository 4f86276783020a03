"""From numbers to rows: the conclusion is computed from its relation, and so is whether the control breaks it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.evidence import Condition, Control, Evidence, Relation, compare
from ntk_localsgd.statistics import (
    Interval,
    failure_interval,
    holds_with_probability,
    implied_constant,
    slope,
)

__all__ = [
    "DELTA",
    "GROWTH",
    "as_exponent",
    "at_least",
    "at_most",
    "compared",
    "equal",
    "in_words",
    "searched_for",
    "stays_bounded",
    "threshold",
    "with_probability",
]

#: The failure probability at which every "with probability ≥ 1 − δ" is checked, unless a claim names its own.
DELTA = 0.05

#: How far the exponent of an implied constant may lie beyond 0: x^0.1 is a factor 1.15 over a sweep of 4, of the size
#: of the corrections of relative order m^{-1/2} to L/√m that the widths swept leave.
GROWTH = 0.1

Setting = Mapping[str, object]


def in_words(power: Interval) -> str:
    """An estimate with the half-width of its interval."""
    return f"{power.estimate:.2f} ± {power.half_width:.2f}"


def compared(
    relation: Relation,
    setting: Setting,
    premise: Condition,
    text: str,
    measured: float | ndarray | Interval,
    bound: float,
    *,
    control: float | Interval,
    control_setting: str,
    control_bound: float | None = None,
    control_also: bool | None = None,
    tolerance: float = 0.0,
    also: bool | None = True,
    trials: int | None = None,
    failures: int = 0,
) -> Evidence:
    """A row for a number that stands in a relation to another one.

    Parameters
    ----------
    setting, premise, text
        Where, under which condition, and the conclusion in words.
    measured, bound
        The two sides where the conclusion is closest to failing; or the measured sides of all settings, of which the
        one closest to failing is shown, and those that fail are counted; or an estimate whose interval decides in its
        place and may leave the conclusion open.
    control, control_setting, control_bound
        The measured side, and the other one if it differs, with one setting changed. It broke if the same relation
        fails there.
    control_also
        For a conclusion with a further part: that part with the setting changed; the control breaks by either.
    tolerance
        How far the relation may be missed; the caller says why beside it.
    also
        A further part of the conclusion, named in its text; None: it is undecided.
    trials, failures
        Settings (data, size, seed) that were looked at, and how many of them failed: those of ``measured``, or one.
    """
    interval, control_interval = _ends(measured), _ends(control)
    if isinstance(measured, Interval):
        trials = trials or max(1, len(measured.values))
        measured = measured.estimate
    control = control.estimate if isinstance(control, Interval) else control
    sides = np.ravel(measured)
    if sides.size > 1:
        failures += sum(compare(relation, value, bound, tolerance=tolerance) is not True for value in sides.tolist())
    nearest = {"≤": np.max, "≥": np.min}.get(relation, lambda each: each[np.argmax(np.abs(each - bound))])
    worst = float(nearest(sides))
    holds = _both(compare(relation, worst, bound, tolerance=tolerance, interval=interval), also)
    other = bound if control_bound is None else control_bound
    # What is no number says nothing, not even that the conclusion fails.
    known = not math.isnan(control)
    breaks = known and compare(relation, control, other, tolerance=tolerance, interval=control_interval) is False
    return Evidence(
        setting,
        premise,
        Condition(text, holds),
        relation,
        _number(worst),
        _number(bound),
        Control(control_setting, breaks or control_also is False, _number(control)),
        tolerance=tolerance,
        interval=interval,
        trials=sides.size if trials is None else trials,
        failures=failures or int(holds is False),
    )


#: Rows for "measured ≤ bound", "measured ≥ bound", and "measured = bound" up to a tolerance or within an interval.
at_most, at_least, equal = partial(compared, "≤"), partial(compared, "≥"), partial(compared, "=")


def with_probability(
    setting: Setting,
    premise: Condition,
    text: str,
    values: ndarray,
    bound: float,
    *,
    control: ndarray,
    control_setting: str,
    relation: Relation = "≤",
    delta: float = DELTA,
) -> Evidence:
    """A row for "value ≤ bound (or ≥) with probability ≥ 1 − δ", one independent value a seed.

    The control's values are judged in the same way; it broke if their interval lies wholly above δ.
    """
    failures = sum(compare(relation, float(v), bound) is not True for v in values)
    broken = sum(compare(relation, float(v), bound) is False for v in control if not math.isnan(v))
    worst = np.min if relation == "≥" else np.max
    rate = failure_interval(failures, len(values))
    return Evidence(
        setting,
        premise,
        Condition(f"{text}, with probability ≥ {1 - delta:g}", holds_with_probability(failures, len(values), delta)),
        relation,
        float(worst(values)),
        bound,
        Control(
            control_setting,
            holds_with_probability(broken, len(control), delta) is False,
            float(worst(control)),
        ),
        interval=_ends(rate),
        delta=delta,
        trials=len(values),
        failures=failures,
    )


def as_exponent(
    setting: Setting,
    premise: Condition,
    text: str,
    measured: Interval,
    claimed: float,
    tolerance: float,
    *,
    control: Interval,
    control_setting: str,
    relation: Relation = "within",
    spare: float = 0.0,
    trials: int = 1,
) -> Evidence:
    """A row for Θ(x^p), the interval of a fitted exponent within p ± tolerance, or with ``≤`` for O(x^p).

    ``spare`` widens p to a range, [p − spare, p + spare], of exponents that are claimed alike. The relation and the
    tolerance are added to the text.
    """
    shown = f"[{claimed - spare:.3g}, {claimed + spare:.3g}]" if spare else f"{claimed:.3g}"
    sign = "+" if relation == "≤" else "−" if relation == "≥" else "±"
    limits = f"{relation} {shown} {sign} {tolerance:g}"
    inside = "contains" if measured.lower <= claimed <= measured.upper else "does not contain"
    both = [
        compare(relation, i.estimate, claimed, tolerance=tolerance + spare, interval=_ends(i))
        for i in (measured, control)
    ]
    return Evidence(
        setting,
        premise,
        Condition(f"exponent of {text} {limits}; its interval {inside} {claimed:.3g}", both[0]),
        relation,
        measured.estimate,
        claimed,
        Control(control_setting, both[1] is False, control.estimate),
        tolerance=tolerance + spare,
        interval=_ends(measured),
        trials=trials,
        failures=_failing(both[0], measured, relation, claimed, tolerance + spare),
    )


def stays_bounded(
    setting: Setting,
    premise: Condition,
    quantity: str,
    parameter: str,
    points: Sequence[float],
    measured: Float[ndarray, "seeds points"],
    shape: Float[ndarray, "*seeds points"],
    *,
    control: Float[ndarray, "seeds points"],
    control_setting: str,
    control_shape: Float[ndarray, "*seeds points"] | None = None,
    relation: Relation = "≤",
) -> Evidence:
    """A row for "quantity = O(shape)", or with ``≥`` Ω, over one parameter.

    C = measured / shape must not grow (Ω: shrink) with the parameter: the 95% interval of the slope of log C lies below
    `GROWTH` (above −`GROWTH`). The control's values go through the same; it broke if its interval lies beyond.
    """
    constants = implied_constant(measured, shape)
    left, own = slope(points, constants), slope(points, measured)
    broken = slope(points, implied_constant(control, shape if control_shape is None else control_shape))
    holds, control_holds = (
        compare(relation, i.estimate, 0.0, tolerance=GROWTH, interval=_ends(i)) for i in (left, broken)
    )
    claimed = own.estimate - left.estimate  # the shape's exponent; a shape that varies with the seed has a mean one
    return Evidence(
        dict(setting) | {"over": f"{parameter} = {min(points):g} … {max(points):g}"},
        premise,
        Condition(
            f"{quantity}: constant {constants.min():.2g} … {constants.max():.2g}, left with exponent "
            f"{'≤ ' if relation == '≤' else '≥ −'}{GROWTH:g}; measured {in_words(own)} beside {claimed:.2f}",
            holds,
        ),
        relation,
        left.estimate,
        0.0,
        Control(control_setting, control_holds is False, broken.estimate),
        tolerance=GROWTH,
        interval=_ends(left),
        trials=len(constants),
        failures=_failing(holds, left, relation, 0.0, GROWTH),
    )


def searched_for(setting: str, found: xr.Dataset) -> Evidence:
    """A row for measured / bound ≤ 1 wherever a search for counterexamples has been.

    The control is the same search against a share of the bound (0.7 where the bound is attained), which must be
    refuted: a search that finds no ratio above it says little.
    """
    worst, searched, share = float(found.found.max()), int(found.searched), float(found.refutable)
    restarts = found.sizes["restart"]
    row = at_most(
        {"case": setting, "starts": restarts, "steps from each": searched // restarts},
        Condition("premise of the claim, at every point", True),
        f"measured / bound ≤ 1 at every point; at random starts up to {float(found.start.max()):.4f}",
        worst,
        1.0,
        # Some hundred roundings of 1e-16, beside residuals that are no smaller than 1e-4 of the targets.
        tolerance=1e-10,
        control=worst,
        control_bound=share,
        control_setting=f"{share:g} times the bound",
        trials=int(found.settings),
    )
    return dataclasses.replace(row, searched=searched)


def threshold(
    relation: Relation,
    setting: Setting,
    premise: Condition,
    text: str,
    ratios: ndarray,
    *,
    grows: bool | None,
    control: float,
    control_setting: str,
    tolerance: float,
) -> Evidence:
    """A row for measured thresholds over those asked for, at most 1 (or ≥) everywhere and growing no faster.

    ``grows``: whether the exponents agree within ``tolerance``, which the text names; None: left open. An infinite
    ratio is a threshold that was not found, which leaves the conclusion open where those that were found satisfy it.
    The control's ratio must not stand in the relation: a threshold that is not found breaks "≤".
    """
    known = ratios[np.isfinite(ratios)]
    worst = float(known.max() if relation == "≤" else known.min()) if known.size else math.nan
    failures = sum(compare(relation, ratio, 1.0) is not True for ratio in known.tolist())
    holds = _both(not failures, grows if known.size == ratios.size or grows is False else None)
    broke = Control(control_setting, compare(relation, control, 1.0) is False, _number(control))
    conclusion = Condition(f"{text} (exponents may differ by {tolerance:g})", holds)
    trials, failures = ratios.size, failures or int(holds is False)
    return Evidence(
        setting, premise, conclusion, relation, _number(worst), 1.0, broke, trials=trials, failures=failures
    )


def _failing(holds: bool | None, mean: Interval, relation: Relation, bound: float, tolerance: float) -> int:
    """Of a mean that does not stand in the relation: how many of its values do not, at least one where it fails."""
    outside = sum(compare(relation, value, bound, tolerance=tolerance) is not True for value in mean.values)
    return 0 if holds else max(outside, int(holds is False))


def _both(holds: bool | None, also: bool | None) -> bool | None:
    """Both parts of a conclusion; one that fails decides, one that is open leaves it open."""
    if holds is False or also is False:
        return False
    return None if holds is None or also is None else True


def _ends(value: float | ndarray | Interval) -> tuple[float, float] | None:
    return (value.lower, value.upper) if isinstance(value, Interval) else None


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
