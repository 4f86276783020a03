"""Finding an interpolant: least squares by SciPy, then Newton steps with a residual that is known to the last digit."""

import dataclasses

import numpy as np
import scipy.optimize
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.interpolation.balls import enclosed
from ntk_localsgd.interpolation.proof import Proof, prove
from ntk_localsgd.interpolation.shallow import Shallow
from ntk_localsgd.networks import TANH, Activation
from ntk_localsgd.scalars import whole_number

__all__ = ["fit", "interpolate"]

# Newton steps at the end: each squares a small residual, until rounding of the weights is all that is left of it.
_STEPS = 3

# Tolerances of the least squares, a few roundings: it ends where nothing moves any more; and of its rough beginning.
_TOLERANCE, _ROUGH = 1e-15, 1e-3

# √ of the penalty's weight for targets of mean square 1, and the number of weights up to which it is used.
_PENALTY, _MANY = 0.03, 1000

# Targets up to here have squares, and sums of squares, within float64.
_LARGEST = 1e140

# Residuals beyond which no zero is near: Newton's steps would lead away.
_NEAR = 1e-3


def interpolate(
    x: Float[ndarray, "n d"],
    y: Float[ndarray, " n"],
    width: int,
    generator: np.random.Generator,
    *,
    activation: Activation = TANH,
    attempts: int = 5,
) -> tuple[Shallow, Proof]:
    """A network of this width that provably has an exact interpolant next to it, from one of several random starts.

    Parameters
    ----------
    x, y
        Inputs [n d] and targets [n].
    width
        Number m of neurons; ⌈2n/d⌉ is where one exists by the theorem (`least_width`).
    generator
        Decides the random starts.
    activation
        σ: tanh, softplus or GELU.
    attempts
        Random starts at most.

    Returns
    -------
    The network, and its proof; of the start with the smallest residual if none is certified.

    Raises
    ------
    InputError
        For inputs that do not fit, or an activation with kinks.

    References
    ----------
    Zhang, Zhang, Hong, Sun and Luo (2021), abstract [S]; the proof of each case: ``docs/theory.md``, N2.
    """
    # A readout too small for the targets would have to be made up for by neurons that saturate, ever further.
    tried, scale = [], 2 * float(np.abs(y).max()) or 1.0
    for _ in range(whole_number("attempts", attempts)):
        net = Shallow.init(generator, width=width, input_dim=np.shape(x)[1], activation=activation, scale=scale)
        net = fit(net, x, y)
        tried.append((net, prove(net, x, y)))
        if tried[-1][1].certified:
            return tried[-1]
    return min(tried, key=lambda pair: pair[1].residual)


def fit(net: Shallow, x: Float[ndarray, "n d"], y: Float[ndarray, " n"], *, steps: int = 300) -> Shallow:
    """Least squares of f(x_i) − y_i over all weights, from this network.

    Levenberg–Marquardt with a small penalty on ‖θ‖², so that neurons do not saturate on targets ±1; a trust region
    without it; then Newton steps of least length. Networks of many weights go without the first.

    Raises
    ------
    InputError
        For inputs that do not fit, or targets whose squares leave float64's range.
    """
    x, y = real_array("x", x, ndim=2), real_array("y", y, ndim=1)
    if x.shape != (len(y), net.input_dim):
        raise InputError(f"x and y have shapes {x.shape} and {y.shape}, need [n {net.input_dim}] and [n].")
    largest = float(np.abs(y).max())
    if not largest <= _LARGEST:
        raise InputError(f"y reaches {largest:.3g}, needs to be at most {_LARGEST:g}: divide targets by their largest.")
    parameters, problem = net.parameters, _LeastSquares(x, y, net.activation)
    if parameters.size <= _MANY:
        held = dataclasses.replace(problem, penalty=_PENALTY * float(np.sqrt(np.mean(y**2))))
        parameters = scipy.optimize.least_squares(
            held.residual, parameters, held.jacobian, method="lm", max_nfev=steps // 3, ftol=_ROUGH, xtol=_ROUGH
        ).x
    found = scipy.optimize.least_squares(
        problem.residual,
        parameters,
        problem.jacobian,
        method="trf",
        tr_solver="exact",
        max_nfev=steps,
        ftol=_TOLERANCE,
        xtol=_TOLERANCE,
        gtol=_TOLERANCE,
    )
    fitted = problem.network(found.x)
    if not np.abs(found.fun).max() < _NEAR:
        return fitted
    for _ in range(_STEPS):
        step, *_ = np.linalg.lstsq(fitted.jacobian(x), enclosed(fitted, x, y).rounded)
        fitted = problem.network(fitted.parameters - step)
    return fitted


@dataclasses.dataclass(frozen=True, eq=False)
class _LeastSquares:
    """Residual and Jacobian as functions of the parameters; those of penalty·θ below them."""

    x: Float[ndarray, "n d"]
    y: Float[ndarray, " n"]
    activation: Activation
    penalty: float = 0.0

    def network(self, parameters: Float[ndarray, " p"]) -> Shallow:
        return Shallow.from_parameters(parameters, self.x.shape[1], self.activation)

    def residual(self, parameters: Float[ndarray, " p"]) -> Float[ndarray, " n"]:
        residual = self.network(parameters)(self.x) - self.y
        return np.append(residual, self.penalty * parameters) if self.penalty else residual

    def jacobian(self, parameters: Float[ndarray, " p"]) -> Float[ndarray, "n p"]:
        jacobian = self.network(parameters).jacobian(self.x)
        return np.vstack([jacobian, self.penalty * np.eye(len(parameters))]) if self.penalty else jacobian
