"""The proof that a network near the stored one interpolates: Newton–Kantorovich with an approximate right inverse."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import kernels
from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.interpolation.balls import enclosed
from ntk_localsgd.interpolation.shallow import Shallow
from ntk_localsgd.rounding import SLACK, TINY, UNIT, gamma

__all__ = ["Proof", "lipschitz", "prove"]


@dataclasses.dataclass(frozen=True)
class Proof:
    """Whether a zero of the residual is proved to exist near θ̃, the network's stored weights, and where.

    If ``certified``: some θ with ‖θ − θ̃‖₂ ≤ ``radius`` interpolates the stored data exactly.

    Attributes
    ----------
    certified
        Whether ε + 2ωα ≤ ½.
    residual
        Bound on ‖r(θ̃)‖₂.
    alpha
        α = ‖A‖‖r(θ̃)‖, A the computed right inverse of the Jacobian; the zero is within 2α.
    defect
        ε ≥ ‖I − J(θ̃)A‖₂; at least 1 where the Jacobian has not full row rank.
    omega
        ω = Λ‖A‖ ≥ ‖(J(θ) − J(θ̃))A‖/‖θ − θ̃‖.
    lipschitz
        Λ ≥ ‖J(θ) − J(θ̃)‖/‖θ − θ̃‖ for all θ.
    smallest_singular
        σ ≤ σ_min(J(θ̃)), 0 if full row rank is not proved. Within a distance R < σ/Λ of θ̃ it is at least σ − ΛR, so that
        ‖∇L(θ)‖ ≥ (σ − ΛR)‖r(θ)‖ for L = ½‖r‖²: every stationary point there is a global minimizer.
    """

    certified: bool
    residual: float
    alpha: float
    defect: float
    omega: float
    lipschitz: float
    smallest_singular: float

    @property
    def radius(self) -> float:
        """2α."""
        return 2 * self.alpha

    @property
    def rank_radius(self) -> float:
        """σ/Λ: nearer than this to θ̃ the Jacobian has full row rank; any distance if all inputs are 0."""
        if not self.lipschitz > 0:
            return math.inf if self.smallest_singular > 0 else 0.0
        return float(np.nextafter(self.smallest_singular / self.lipschitz, 0))

    def __str__(self) -> str:
        if self.certified:
            return (
                f"proved: some weights within {self.radius:.3g} of these interpolate exactly "
                f"(α = {self.alpha:.3g}, σ_min(J) ≥ {self.smallest_singular:.4g})"
            )
        if not self.smallest_singular > 0:
            return f"not proved: the Jacobian is not proved to have full row rank (ε = {self.defect:.3g})"
        return f"not proved: ε + 2ωα = {self.defect + 2 * self.omega * self.alpha:.3g} exceeds ½"


def prove(net: Shallow, x: Float[ndarray, "n d"], y: Float[ndarray, " n"]) -> Proof:
    """Try to prove that a network within 2α of this one has f(x_i) = y_i for all i.

    With J̃ the Jacobian at θ̃, A the pseudo-inverse of J̃ as computed, ε ≥ ‖I − J̃A‖, α = ‖A‖‖r(θ̃)‖ and ω a Lipschitz
    constant of θ ↦ J(θ)A: if ε + 2ωα ≤ ½, u ↦ u − r(θ̃ + Au) is a contraction of the ball ‖u‖ ≤ 2‖r(θ̃)‖ into itself,
    and its fixed point is a zero. Everything is bounded from above with its rounding; σ, σ' and r by ball arithmetic.

    Parameters
    ----------
    net
        The network at θ̃.
    x, y
        Inputs [n d] and targets [n]; the proof is about these numbers as they are stored.

    Returns
    -------
    Proof
        Certified or not.

    Raises
    ------
    InputError
        For inputs that do not fit.

    References
    ----------
    ``docs/theory.md``, N2 [D]; the classical theorem: Kantorovich 1948.
    """
    x, y = real_array("x", x, ndim=2), real_array("y", y, ndim=1)
    if x.shape != (len(y), net.input_dim):
        raise InputError(f"x and y have shapes {x.shape} and {y.shape}, need [n {net.input_dim}] and [n].")
    residual = enclosed(net, x, y)
    bound, jacobian = lipschitz(net, x), net.jacobian(x)
    inverse = np.linalg.pinv(jacobian)
    size = kernels.spectral_norm(inverse).upper
    off = jacobian_error(net, x, residual.value_error, residual.slope_error)
    defect = _defect(jacobian, inverse, size, off)
    alpha, omega = size * residual.norm * SLACK, bound * size * SLACK
    # (1 − ε)‖y‖ ≤ ‖(J̃A)ᵀy‖ ≤ ‖A‖‖J̃ᵀy‖ for every y.
    smallest = max((1 - defect) / size / SLACK, 0.0) if defect < 1 else 0.0
    certified = bool((defect + 2 * omega * alpha) * SLACK <= 0.5)
    return Proof(certified, residual.norm, alpha, defect, omega, bound, smallest)


def lipschitz(net: Shallow, x: Float[ndarray, "n d"]) -> float:
    """Λ = ‖X‖√(s₂² ξ² max_r v_r² + 2 s₁²) ≥ ‖J(θ) − J(θ̃)‖₂/‖θ − θ̃‖₂ for every θ, θ̃ the network's weights.

    s₁ ≥ |σ'|, s₂ ≥ |σ''|, ξ = max_i ‖x_i‖; proof in ``docs/theory.md``, N2.
    """
    first, second = net.activation.steepest, net.activation.most_bent
    # Squares of inputs may underflow where their products with the readout do not.
    longest = max(math.hypot(*row) for row in x.tolist()) * SLACK
    root = math.hypot(second * longest * float(np.abs(net.readout).max()), math.sqrt(2) * first)
    return kernels.spectral_norm(x).upper * root * SLACK


def jacobian_error(net: Shallow, x: Float[ndarray, "n d"], value_error: float, slope_error: float) -> float:
    """Bound on ‖J̃ − (J̃ as stored)‖_F from how far the stored σ and σ' are off.

    An entry v σ' x is off by |v||x|(e' + 3u(|σ'| + e')), and of these Σ_ir v_r²‖x_i‖² = ‖v‖²‖X‖_F²; an entry σ by e.
    """
    slope = slope_error + 3 * UNIT * (net.activation.steepest + slope_error)
    inner = float(np.linalg.norm(net.readout)) * float(np.linalg.norm(x)) * slope
    outer = math.sqrt(len(x) * net.width) * value_error
    return (inner + outer + x.size * net.width * TINY) * SLACK


def _defect(jacobian: Float[ndarray, "n p"], inverse: Float[ndarray, "p n"], size: float, off: float) -> float:
    """ε ≥ ‖I − J̃A‖: as computed, the product's rounding γ_p|J||A| in Frobenius norms, and what the stored J̃ is off."""
    n, p = jacobian.shape
    computed = float(np.linalg.norm(np.eye(n) - jacobian @ inverse)) * (1 + 4 * UNIT)
    rounding = gamma(p + 2) * float(np.linalg.norm(jacobian)) * float(np.linalg.norm(inverse))
    return (computed + rounding + off * size + n * p * TINY) * SLACK
