"""Deep ReLU networks with biases, of any depth, and the affine map that such a network is on an activation domain."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.rounding import SLACK, gamma

__all__ = ["AffineMaps", "FeedforwardReLU"]


class AffineMaps(NamedTuple):
    """x ↦ A x + c, one map a row of inputs, and how far rounding takes it from the layers' own outputs."""

    matrices: Float[ndarray, "n m d"]
    offsets: Float[ndarray, "n m"]
    magnitudes: Float[ndarray, "n m d+1"]  # the same sums over paths with every number's modulus
    roundings: int  # one after the other, of either route

    def __call__(self, x: Float[ndarray, "n d"]) -> Float[ndarray, "n m"]:
        """A_i x_i + c_i."""
        return np.einsum("nmd,nd->nm", self.matrices, x) + self.offsets

    def rounding_error(self, x: Float[ndarray, "n d"]) -> Float[ndarray, "n m"]:
        """Bound on |A_i x_i + c_i − N_L(x_i)|, both as computed, where the patterns are those of x_i.

        Both are sums over paths of products of weights, each rounded k times at most: every path is off by γ_k of
        itself, k the layers' inner dimensions and one for each bias, and the last product (no underflow assumed).
        """
        sizes = np.einsum("nmd,nd->nm", self.magnitudes[..., :-1], np.abs(x)) + self.magnitudes[..., -1]
        return 2 * gamma(self.roundings) * sizes * SLACK


@dataclasses.dataclass(frozen=True, eq=False)
class FeedforwardReLU:
    """N_0 = x and N_l = σ(W_l N_{l−1} + b_l), l = 1 … L, in float64 on the host.

    Nothing is compiled, so that depths of thousands are no trouble.

    Parameters
    ----------
    weights
        W_l [m_l m_{l−1}], m_0 = d.
    biases
        b_l [m_l]; None: all 0.

    Raises
    ------
    InputError
        For no layer, shapes that do not fit, or entries that are no finite real numbers.

    References
    ----------
    Xu and Zhang, Convergence of Deep ReLU Networks (2021) [S]; ``docs/theory.md`` §7.

    >>> net = FeedforwardReLU([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [-1.0]])
    >>> net.layers([[3.0], [-0.5]])[-1].tolist()  # max(|x| − 1, 0)
    [[2.0], [0.0]]
    """

    weights: Sequence[Any] | ndarray
    biases: Sequence[Any] | ndarray | None = None

    def __post_init__(self) -> None:
        weights = tuple(real_array(f"weights of layer {k + 1}", w, ndim=2) for k, w in enumerate(self.weights))
        given = [np.zeros(len(w)) for w in weights] if self.biases is None else self.biases
        biases = tuple(real_array(f"biases of layer {k + 1}", b, ndim=1) for k, b in enumerate(given))
        if not weights or len(weights) != len(biases):
            raise InputError(
                f"weights and biases are of {len(weights)} and {len(biases)} layers, need one and as many."
            )
        for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
            if len(b) != len(w) or (k and w.shape[1] != len(weights[k - 1])):
                raise InputError(
                    f"layer {k + 1} has weights {w.shape} and biases {b.shape}, needs a row a bias and a column for "
                    f"every neuron before it."
                )
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "biases", biases)

    @property
    def depth(self) -> int:
        """L."""
        return len(self.weights)

    @property
    def input_dim(self) -> int:
        """Number of inputs d."""
        return self.weights[0].shape[1]

    @property
    def sizes(self) -> tuple[int, ...]:
        """m_1, …, m_L."""
        return tuple(len(w) for w in self.weights)

    def rows(self, x: Any) -> Float[ndarray, "n d"]:
        """Inputs as float64 [n d]; `InputError` for others."""
        given = real_array("inputs", x, ndim=2)
        if given.shape[1] != self.input_dim:
            raise InputError(f"inputs has shape {given.shape}, needs [n {self.input_dim}]: one row a sample.")
        return given

    def steps(self) -> Iterator[tuple[Float[ndarray, "m p"], Float[ndarray, " m"]]]:
        """W_l and b_l, layer by layer."""
        return zip(self.weights, self.biases or (), strict=True)

    def layers(self, x: Any) -> list[Float[ndarray, "n m"]]:
        """N_0(x), …, N_L(x)."""
        hidden = [self.rows(x)]
        for w, b in self.steps():
            hidden.append(np.maximum(hidden[-1] @ w.T + b, 0))
        return hidden

    def activation_patterns(self, x: Any) -> list[Bool[ndarray, "n m"]]:
        """The diagonals of I_1(x), …, I_L(x): 1 where a neuron's pre-activation, and so its output, is above 0."""
        return [h > 0 for h in self.layers(x)[1:]]

    def affine_maps(self, patterns: Sequence[Bool[ndarray, "n m"]]) -> AffineMaps:
        """The product form: A = Π_{l=L..1} I_l W_l, c = Σ_l (Π_{j=L..l+1} I_j W_j) I_l b_l, a map a row of patterns.

        Parameters
        ----------
        patterns
            Diagonals of I_1, …, I_L, as `activation_patterns` returns them; of any inputs.

        Returns
        -------
        AffineMaps
            At the patterns of x_i, A_i x_i + c_i is N_L(x_i), also where pre-activations are 0 (claim X1).

        Raises
        ------
        InputError
            If patterns are not of this network's shape.
        """
        shapes = [np.shape(active) for active in patterns]
        if [s[-1:] for s in shapes] != [(m,) for m in self.sizes] or len({s[:-1] for s in shapes}) != 1:
            raise InputError(f"patterns have shapes {shapes}, need [n m] for the layers' sizes m = {self.sizes}.")
        start = np.eye(self.input_dim, self.input_dim + 1)[None]  # the last column is c
        maps = np.repeat(start, len(patterns[0]), axis=0)
        sizes = maps
        for (w, b), active in zip(self.steps(), patterns, strict=True):
            maps, sizes = w @ maps, np.abs(w) @ sizes
            maps[..., -1] += b
            sizes[..., -1] += np.abs(b)
            maps, sizes = maps * active[..., None], sizes * active[..., None]
        roundings = sum(w.shape[1] + 1 for w in self.weights) + self.input_dim + 1
        return AffineMaps(maps[..., :-1], maps[..., -1], sizes, roundings)
