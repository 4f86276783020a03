"""The two-layer ReLU network in the scaling of Du et al.: first layer trained, random signs fixed."""

import pathlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ntk_localsgd.errors import InputError
from ntk_localsgd.networks.network import float_dtype, matmul, relu

__all__ = ["NEURONS_PER_BLOCK", "TwoLayerReLU"]

# Neurons are drawn in blocks of this many, block b from fold_in(key, b), so that a network of any width can be streamed
# block by block and still be the one that `TwoLayerReLU.init` builds.
NEURONS_PER_BLOCK = 2**16


class TwoLayerReLU(eqx.Module):
    """f(W, x) = m^{-1/2} Σ_r a_r σ(w_r·x) with w_r(0) ~ N(0, I_d) and a_r = ±1 fixed; only W is trained.

    Build one with `init` or `from_arrays`. Inputs are NumPy or JAX arrays [n d]; they are cast to the dtype of the
    weights. The scaling is that of Du, Zhai, Poczos and Singh (2019); ``docs/theory.md`` §0.
    """

    weights: Float[Array, "m d"]
    signs: Float[Array, " m"]

    @classmethod
    def init(cls, key: Array, *, width: int, input_dim: int, dtype: Any = None) -> "TwoLayerReLU":
        """Network at its random initialization: w_r ~ N(0, I_d), a_r = ±1 with equal probability.

        Parameters
        ----------
        key
            JAX key. Block b of 65,536 neurons is drawn from ``fold_in(key, b)``, see `draw_block`.
        width
            Number of neurons m.
        input_dim
            Number of inputs d.
        dtype
            Of the weights; None: float64 where JAX's x64 mode is on, float32 otherwise.

        Raises
        ------
        InputError
            For a width or dimension below 1, or float64 without JAX's x64 mode.
        """
        if width < 1 or input_dim < 1:
            raise InputError(f"width and input_dim are {width} and {input_dim}, need to be at least 1.")
        dtype = float_dtype(dtype)
        sizes = [min(NEURONS_PER_BLOCK, width - start) for start in range(0, width, NEURONS_PER_BLOCK)]
        blocks = [cls.draw_block(key, b, size, input_dim, dtype) for b, size in enumerate(sizes)]
        weights, signs = (jnp.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*blocks, strict=True))
        return cls(weights, signs)

    @staticmethod
    def draw_block(
        key: Array, block: int, size: int, input_dim: int, dtype: Any
    ) -> tuple[Float[Array, "b d"], Float[Array, " b"]]:
        """Weights and signs of the neurons 65,536·block, …, of which there are ``size`` ≤ 65,536."""
        weights_key, signs_key = jax.random.split(jax.random.fold_in(key, block))
        weights = jax.random.normal(weights_key, (size, input_dim), dtype)
        return weights, jax.random.rademacher(signs_key, (size,), dtype)

    @classmethod
    def from_arrays(cls, weights: Any, signs: Any) -> "TwoLayerReLU":
        """Network from arrays that something else made.

        Parameters
        ----------
        weights
            W [m d], finite.
        signs
            a [m], each +1 or −1.

        Raises
        ------
        InputError
            For wrong shapes, non-finite weights, signs other than ±1, or float64 arrays without JAX's x64 mode.
        """
        weights, signs = np.asarray(weights), np.asarray(signs)
        if weights.ndim != 2 or signs.shape != weights.shape[:1] or not weights.size:
            raise InputError(f"weights {weights.shape} and signs {signs.shape} do not fit, need [m d] and [m].")
        dtype = float_dtype(weights.dtype if np.issubdtype(weights.dtype, np.floating) else None)
        if not np.isfinite(weights).all():
            raise InputError(f"weights hold {int((~np.isfinite(weights)).sum())} non-finite values, need to be finite.")
        if not np.isin(signs, (-1, 1)).all():
            raise InputError(f"signs hold {signs[~np.isin(signs, (-1, 1))][0]}, need to be +1 or -1.")
        return cls(jnp.asarray(weights, dtype), jnp.asarray(signs, dtype))

    @property
    def width(self) -> int:
        """Number of neurons m."""
        return self.weights.shape[0]

    @property
    def input_dim(self) -> int:
        """Number of inputs d."""
        return self.weights.shape[1]

    @property
    def output_dim(self) -> int:
        """Number of outputs o = 1."""
        return 1

    @property
    def trained(self) -> tuple[Float[Array, "m d"], ...]:
        """The trained weights: (W,)."""
        return (self.weights,)

    def with_trained(self, trained: tuple[Array, ...]) -> "TwoLayerReLU":
        """The same network with W replaced."""
        (weights,) = trained
        return TwoLayerReLU(weights, self.signs)

    def pre_activations(self, x: Any) -> tuple[Float[Array, "n m"], ...]:
        """w_r·x_i of the one trained layer, [n m]."""
        return (matmul(jnp.asarray(x, self.weights.dtype), self.weights.T),)

    def activation_patterns(self, x: Any) -> tuple[Bool[Array, "n m"], ...]:
        """1{w_r·x_i ≥ 0} of the one trained layer, [n m]."""
        return tuple(z >= 0 for z in self.pre_activations(x))

    def __call__(self, x: Any) -> Float[Array, " n"]:
        """Outputs f(W, x_i), [n]."""
        (z,) = self.pre_activations(x)
        return matmul(relu(z), self.signs) / jnp.sqrt(jnp.asarray(self.width, self.weights.dtype))

    def save(self, path: str | pathlib.Path) -> None:
        """Write weights and signs to a .npz file."""
        np.savez(path, weights=np.asarray(self.weights), signs=np.asarray(self.signs))

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "TwoLayerReLU":
        """Read a .npz file with arrays ``weights`` [m d] and ``signs`` [m]; raises `InputError` as `from_arrays`."""
        try:
            with np.load(path) as arrays:
                return cls.from_arrays(arrays["weights"], arrays["signs"])
        except InputError:
            raise
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path} cannot be read as a network ({error}): arrays weights and signs needed."
            ) from error
