"""The network with one hidden layer of which both layers are trained, on the host."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import TANH, Activation, Smooth, Stack
from ntk_localsgd.scalars import whole_number

__all__ = ["Shallow", "least_width"]


def least_width(num_samples: int, input_dim: int) -> int:
    """⌈2n/d⌉: the width from which on a smooth network of d inputs has an interpolant of n samples.

    References
    ----------
    Zhang, Zhang, Hong, Sun and Luo (2021), abstract [S].

    >>> least_width(64, 8)
    16
    """
    return math.ceil(2 * whole_number("num_samples", num_samples) / whole_number("input_dim", input_dim))


@dataclasses.dataclass(frozen=True, eq=False)
class Shallow:
    """f(x) = Σ_r v_r σ(w_r·x) with all m(d + 1) weights trained; σ is smooth.

    Parameters
    ----------
    weights
        W [m d], float64.
    readout
        v [m].
    activation
        σ, without kinks.

    Raises
    ------
    InputError
        For wrong shapes, numbers that are not finite, or an activation with kinks.
    """

    weights: Float[ndarray, "m d"]
    readout: Float[ndarray, " m"]
    activation: Activation = TANH

    def __post_init__(self) -> None:
        weights, readout = real_array("weights", self.weights, ndim=2), real_array("readout", self.readout, ndim=1)
        if len(weights) != len(readout):
            raise InputError(f"weights {weights.shape} and readout {readout.shape} do not fit, need [m d] and [m].")
        if not isinstance(self.activation, Smooth):
            raise InputError(f"activation is {self.activation!r}, needs to be smooth: tanh, softplus or gelu.")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "readout", readout)

    @classmethod
    def init(
        cls,
        generator: np.random.Generator,
        *,
        width: int,
        input_dim: int,
        activation: Activation = TANH,
        scale: float = 1.0,
    ) -> "Shallow":
        """w_r ~ N(0, I_d) and |v_r| as of N(0, scale²/m) with alternating signs: outputs of the order of scale.

        Signs alternate because a positive σ with readouts of one sign has outputs of one sign.
        """
        width, input_dim = whole_number("width", width), whole_number("input_dim", input_dim)
        weights = generator.standard_normal((width, input_dim))
        sizes = scale * np.abs(generator.standard_normal(width)) / math.sqrt(width)
        return cls(weights, sizes * (-1.0) ** np.arange(width), activation)

    @classmethod
    def mirrored(
        cls, generator: np.random.Generator, *, width: int, input_dim: int, activation: Activation = TANH
    ) -> "Shallow":
        """LeCun's initialization of m/2 neurons, w_r ~ N(0, I_d/d), v_r ~ N(0, 1/m), and each again with −v_r: f = 0.

        Raises
        ------
        InputError
            If the width is odd.

        References
        ----------
        Zhang, Zhang, Hong, Sun and Luo (2021) [R].
        """
        width, input_dim = whole_number("width", width), whole_number("input_dim", input_dim)
        if width % 2:
            raise InputError(f"width is {width}, needs to be even: half of the neurons mirror the others.")
        weights = generator.standard_normal((width // 2, input_dim)) / math.sqrt(input_dim)
        readout = generator.standard_normal(width // 2) / math.sqrt(width)
        return cls(np.concatenate([weights, weights]), np.concatenate([readout, -readout]), activation)

    @classmethod
    def from_parameters(
        cls, parameters: Float[ndarray, " p"], input_dim: int, activation: Activation = TANH
    ) -> "Shallow":
        """Inverse of `parameters`."""
        inner = len(parameters) // (input_dim + 1) * input_dim
        return cls(parameters[:inner].reshape(-1, input_dim), parameters[inner:], activation)

    @property
    def width(self) -> int:
        """Number m of neurons."""
        return len(self.weights)

    @property
    def input_dim(self) -> int:
        """Number d of inputs."""
        return self.weights.shape[1]

    @property
    def parameters(self) -> Float[ndarray, " p"]:
        """θ, all m(d + 1) weights: W row by row, then v."""
        return np.concatenate([self.weights.ravel(), self.readout])

    def __call__(self, x: Float[ndarray, "n d"]) -> Float[ndarray, " n"]:
        """Outputs f(x_i).

        Neuron r and neuron r + m/2 are added first, each half by a product of its own: mirrored halves cancel exactly.
        """
        values = [self.activation.on_host(x @ part.T)[0] * v for part, v in self._halves]
        return (values[0] + values[1] if len(values) == 2 else values[0]).sum(axis=1)

    @property
    def _halves(self) -> list[tuple[Float[ndarray, "h d"], Float[ndarray, " h"]]]:
        parts = 1 if self.width % 2 else 2
        return list(zip(np.split(self.weights, parts), np.split(self.readout, parts), strict=True))

    def jacobian(self, x: Float[ndarray, "n d"]) -> Float[ndarray, "n p"]:
        """∂f(x_i)/∂θ = (v_r σ'(w_r·x_i) x_i for every r, then σ(w_r·x_i) for every r)."""
        values, slopes = self.activation.on_host(x @ self.weights.T)
        inner = (slopes * self.readout)[:, :, None] * x[:, None, :]
        return np.concatenate([inner.reshape(len(x), -1), values], axis=1)

    def stack(self) -> Stack:
        """The same function as a `networks.Stack`, whose readout does not train; needs JAX's x64 mode."""
        return Stack.from_arrays(None, [self.weights], self.readout, activation=self.activation)
