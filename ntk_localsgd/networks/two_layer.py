"""The two-layer network in the scaling of Du et al.: first layer trained, random signs fixed."""

import pathlib
import zipfile
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_localsgd.errors import InputError
from ntk_localsgd.networks.activations import RELU, Activation
from ntk_localsgd.networks.network import float_dtype
from ntk_localsgd.networks.stack import Stack, weight_arrays
from ntk_localsgd.scalars import positive_number, whole_number

__all__ = ["NEURONS_PER_BLOCK", "TwoLayerReLU", "two_layer"]

#: Neurons are drawn in blocks of this many, block b from fold_in(key, b), so that a network of any width can be
#: streamed block by block and still be the one that `TwoLayerReLU.init` builds.
NEURONS_PER_BLOCK = 2**16


class TwoLayerReLU(Stack):
    """f(W, x) = m^{-1/2} Σ_r a_r σ(w_r·x) with w_r(0) ~ N(0, I_d) and a_r = ±1 fixed; only W is trained.

    Build one with `init` or `from_arrays`. Inputs are NumPy or JAX arrays [n d]; they are cast to the dtype of the
    weights. The scaling is that of Du, Zhai, Poczos and Singh (2019); ``docs/theory.md`` §0.
    """

    def __init__(self, weights: Float[Array, "m d"], signs: Float[Array, " m"]) -> None:
        super().__init__(None, (weights,), signs, divided=True)

    @classmethod
    def init(
        cls, key: Array, *, width: int, input_dim: int, scale: float = 1.0, coupled: bool = False, dtype: Any = None
    ) -> "TwoLayerReLU":
        """Network at its random initialization: w_r ~ N(0, s² I_d), a_r = ±1 with equal probability.

        Parameters
        ----------
        key
            JAX key. Block b of 65,536 neurons is drawn from ``fold_in(key, b)``, see `draw_block`.
        width
            Number of neurons m.
        input_dim
            Number of inputs d.
        scale
            s > 0, the standard deviation of weights; the theory has 1, and s multiplies f(0) and leaves all patterns.
        coupled
            Neurons 2r and 2r + 1 have equal weights and the signs +1 and −1: f(0) = 0 for every input, but for
            rounding, and H(W) is that of m/2 independent neurons.
        dtype
            Of the weights, float32 or float64; None: float64 where JAX's x64 mode is on, float32 otherwise.

        Raises
        ------
        InputError
            For a width or dimension below 1, a scale that is not positive, an odd width of coupled neurons, another
            dtype, or float64 without JAX's x64 mode.

        References
        ----------
        Coupled: Munteanu, Omlor, Song and Woodruff, Bounding the width of neural networks via coupled initialization
        (2022).
        """
        width, input_dim = whole_number("width", width), whole_number("input_dim", input_dim)
        if coupled and width % 2:
            raise InputError(f"width is {width}, needs to be even for coupled neurons.")
        dtype = float_dtype(dtype)
        sizes = [min(NEURONS_PER_BLOCK, width - start) for start in range(0, width, NEURONS_PER_BLOCK)]
        blocks = [cls.draw_block(key, b, size, input_dim, dtype, coupled=coupled) for b, size in enumerate(sizes)]
        weights, signs = (jnp.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*blocks, strict=True))
        scale = positive_number("scale", scale)
        return cls(weights if scale == 1 else scale * weights, signs)

    @staticmethod
    def draw_block(
        key: Array, block: int, size: int, input_dim: int, dtype: Any, *, coupled: bool = False
    ) -> tuple[Float[Array, "b d"], Float[Array, " b"]]:
        """Weights and signs of the neurons 65,536·block, …, of which there are ``size`` ≤ 65,536."""
        weights_key, signs_key = jax.random.split(jax.random.fold_in(key, block))
        if coupled:
            pairs = jax.random.normal(weights_key, (size // 2, input_dim), dtype)
            return jnp.repeat(pairs, 2, axis=0), jnp.tile(jnp.asarray([1, -1], dtype), size // 2)
        weights = jax.random.normal(weights_key, (size, input_dim), dtype)
        return weights, jax.random.rademacher(signs_key, (size,), dtype)

    @classmethod
    def from_arrays(cls, weights: Any, signs: Any) -> "TwoLayerReLU":  # type: ignore[override]
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
            For wrong shapes, weights that are no finite real numbers, signs other than ±1, or float64 arrays without
            JAX's x64 mode.
        """
        (own,), dtype = weight_arrays([weights])
        (a,), _ = weight_arrays([signs])
        assert own is not None
        assert a is not None
        if own.ndim != 2 or a.shape != own.shape[:1]:
            raise InputError(f"weights {own.shape} and signs {a.shape} do not fit, need [m d] and [m].")
        if not np.isin(a, (-1, 1)).all():
            raise InputError(f"signs hold {a[~np.isin(a, (-1, 1))][0]}, need to be +1 or -1.")
        return cls(jnp.asarray(own, dtype), jnp.asarray(a, dtype))

    @property
    def weights(self) -> Float[Array, "m d"]:
        """W, trained."""
        return self.hidden_weights[0]

    @property
    def signs(self) -> Float[Array, " m"]:
        """a, fixed."""
        return self.output_weights

    def save(self, path: str | pathlib.Path) -> None:
        """Write weights and signs to a .npz file."""
        np.savez(path, weights=np.asarray(self.weights), signs=np.asarray(self.signs))

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "TwoLayerReLU":
        """Read a .npz file with arrays ``weights`` [m d] and ``signs`` [m]; raises `InputError` as `from_arrays`."""
        try:
            with np.load(path) as arrays:
                weights, signs = arrays["weights"], arrays["signs"]
        except _UNREADABLE as error:
            why = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
            raise InputError(f"{path} cannot be read as a network ({why}): arrays weights and signs needed.") from error
        return cls.from_arrays(weights, signs)


# What NumPy and its zip reader raise for a file that is absent, cut short, of another kind, or damaged inside; a .npy
# file under this name gives a plain array, which is no context manager.
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, SyntaxError, MemoryError,
               RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)  # fmt: skip


def two_layer(
    key: Array,
    *,
    width: int,
    input_dim: int,
    activation: Activation = RELU,
    coupled: bool = False,
    dtype: Any = None,
) -> Stack:
    """The network of `TwoLayerReLU.init`, weight by weight, with another activation.

    Returns
    -------
    f(W, x) = m^{-1/2} Σ_r a_r σ(w_r·x), a `Stack`; arguments and `InputError` as of `TwoLayerReLU.init`.
    """
    net = TwoLayerReLU.init(key, width=width, input_dim=input_dim, coupled=coupled, dtype=dtype)
    return Stack(None, net.trained, net.signs, activation, divided=True)
