"""Data, and the formulas of the network once more, in mpmath's numbers of any precision."""

import mpmath
import numpy as np

from ntk_localsgd.interpolation import Shallow
from ntk_localsgd.networks import GELU, SOFTPLUS, TANH

ACTIVATIONS = [TANH, SOFTPLUS, GELU]

_VALUES = {
    "tanh": mpmath.tanh,
    "softplus": lambda z: mpmath.log(1 + mpmath.exp(z)),
    "gelu": lambda z: z * mpmath.ncdf(z),
}


def data(n, d, seed=0):
    """Random points on the sphere with random signs."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True), generator.choice([-1.0, 1.0], n)


def network(n, d, activation, width=None, seed=1):
    """A random network."""
    width = width or -(-2 * n // d)
    return Shallow.init(np.random.default_rng(seed), width=width, input_dim=d, activation=activation)


def exact_residual(parameters, x, y, activation):
    """f(x_i) − y_i as mpmath numbers, from a list of parameters."""
    sigma, d = _VALUES[activation.name], x.shape[1]
    m = len(parameters) // (d + 1)
    rows, readout = [parameters[r * d : (r + 1) * d] for r in range(m)], parameters[m * d :]
    inner = [[mpmath.fdot(zip(w, map(mpmath.mpf, row), strict=True)) for w in rows] for row in x]
    return [mpmath.fdot((v, sigma(z)) for v, z in zip(readout, zs, strict=True)) - t
            for zs, t in zip(inner, map(mpmath.mpf, y), strict=True)]  # fmt: skip


def exact_jacobian(parameters, x, activation):
    """∂f(x_i)/∂θ as an mpmath matrix; the slope is mpmath's own numerical derivative."""
    sigma, d = _VALUES[activation.name], x.shape[1]
    m = len(parameters) // (d + 1)
    rows, readout = [parameters[r * d : (r + 1) * d] for r in range(m)], parameters[m * d :]
    lines = []
    for row in x:
        zs = [mpmath.fdot(zip(w, map(mpmath.mpf, row), strict=True)) for w in rows]
        slopes = [mpmath.diff(sigma, z) for z in zs]
        lines.append([v * s * mpmath.mpf(e) for v, s in zip(readout, slopes, strict=True) for e in row]
                     + [sigma(z) for z in zs])  # fmt: skip
    return mpmath.matrix(lines)
