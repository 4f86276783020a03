"""What a certificate says, and in words."""

import dataclasses
import enum
import math
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

__all__ = ["SHARES", "Certificate", "Conclusion", "Method", "Obstacle", "no_proof"]

#: Smaller residuals that are tried to say roughly how far a run is from its certificate.
SHARES = tuple(4.0**-k for k in range(1, 7))

#: "auto" tries one after the other, the cheap ones first.
Method = Literal["auto", "dominance", "frozen", "energy", "ball", "path"]


class Obstacle(enum.StrEnum):
    """What stands between a run and its certificate."""

    NONE = ""
    #: The residual is rounding noise.
    ARRIVED = "arrived"
    #: Later, the Gram matrix or the step size has left what the theorem speaks of.
    UNSUITABLE = "unsuitable"
    #: No radius is both large enough for what neurons need and small enough for the loss to contract.
    RADIUS = "radius"
    #: Neurons may move beyond those that were kept: a larger threshold may do.
    BEYOND_KEPT = "beyond kept"
    #: Patterns that may switch explain more than the whole loss.
    PATTERNS = "patterns"
    #: The set of pairs that may switch did not close.
    OPEN = "open"
    #: The method would take longer than it may.
    TIME = "time"
    #: The tail's rate says nothing about the rounds before it.
    TAIL = "tail"


class Conclusion(NamedTuple):
    """What one argument concludes; ``residual_share``: the share of the residual with which it would have worked."""

    method: str
    rate: float = math.inf
    constant: float = math.inf
    radius: float = math.inf
    allowed_radius: float = math.inf
    switching: Int[ndarray, "p k"] = np.zeros((0, 2), np.int64)
    obstacle: Obstacle = Obstacle.NONE
    explanation: str = ""
    residual_share: float = 1.0
    delta: float = 0.0

    @property
    def certified(self) -> bool:
        """Whether nothing stands in the way."""
        return self.obstacle is Obstacle.NONE


def no_proof(
    method: str, obstacle: Obstacle, explanation: str, *, rate: float = math.inf, share: float = 0.0
) -> Conclusion:
    """An argument that did not work, and why."""
    return Conclusion(method, rate, obstacle=obstacle, explanation=explanation, residual_share=share)


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
        Bound on every neuron's movement from here; deep networks: on ‖W' − W‖_F of all layers together.
    allowed_radius
        Ball method: the largest movement at which the argument still holds. Path method: the distance to the kink of
        the nearest neuron whose pattern is proved never to change is accounted for pair by pair, and this is infinite.
    residual_norm
        ‖r(0)‖₂ = ‖f − y‖₂ here.
    obstacle, explanation
        Empty if certified; otherwise the kind of thing that stands in the way, and in a sentence what it is.
    width_estimate, residual_estimate
        Roughly the width, or the residual norm at this width, that would do (the present ones if certified, infinite
        and 0 if unknown).
    method
        The argument that speaks: "dominance", "frozen", "energy", "ball" or "path".
    delta
        0 where all of this is certain. By dominance and frozen, convergence and radius always are, whatever is drawn,
        and the rate holds with probability ≥ 1 − delta over batches and participants; by energy everything does.
    switching
        (sample, neuron) of all pairs that are not proved to keep their sign at averaged models and on the local models
        of the sample's own client; deep networks: (sample, layer, neuron), layers counted from 0.
    rounding_floor
        Residual norm below which a float64 run is rounding noise, and the rate cannot be observed.
    """

    certified: bool
    rate: float
    constant: float
    radius: float
    allowed_radius: float
    residual_norm: float
    obstacle: Obstacle
    explanation: str
    width_estimate: float
    residual_estimate: float
    method: str
    rounding_floor: float
    delta: float
    switching: Int[ndarray, "p k"] = dataclasses.field(repr=False)

    @classmethod
    def of(cls, end: Conclusion, *, residual_norm: float, width: float, rounding_floor: float) -> "Certificate":
        """What an argument concludes about a network of this residual and width."""
        share = end.residual_share
        return cls(
            certified=end.certified,
            rate=end.rate,
            constant=end.constant,
            radius=end.radius,
            allowed_radius=end.allowed_radius,
            residual_norm=residual_norm,
            obstacle=end.obstacle,
            explanation=end.explanation,
            # What is needed falls like ‖r‖/√m.
            width_estimate=width / share**2 if share else math.inf,
            residual_estimate=share * residual_norm if share else 0.0,
            method=end.method,
            rounding_floor=rounding_floor,
            delta=end.delta,
            switching=end.switching,
        )

    def __str__(self) -> str:
        if self.certified:
            return (
                f"certified ({self.method}): ‖r(t)‖ ≤ {self.constant:.4g} · {self.rate:.6g}^t · "
                f"{self.residual_norm:.4g}, no neuron moves by more than {self.radius:.4g}"
                + (f"; with probability ≥ {1 - self.delta:g}" if self.delta else "")
            )
        hint = ""
        if math.isfinite(self.width_estimate):
            hint = (
                f"; a width of roughly {self.width_estimate:.1g} or a residual of {self.residual_estimate:.1g} would do"
            )
        return f"not certified ({self.method}): {self.explanation}{hint}"
