"""Multilayer perceptrons with biases and layers of any widths, as PyTorch and Flax train them."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks.activations import RELU, Activation
from ntk_localsgd.networks.network import input_rows, matmul
from ntk_localsgd.networks.stack import weight_arrays

__all__ = ["Perceptron"]


class Perceptron(eqx.Module):
    """h_0 = x, h_l = σ(W_l h_{l−1} + b_l) for l < L, f = W_L h_{L−1} + b_L.

    No structure of it is assumed anywhere: Gram matrix, Local SGD and observables reach it as they reach every module
    that meets the `Network` protocol, by automatic differentiation.

    Parameters
    ----------
    weights
        W_1 … W_L, [m_l m_{l−1}].
    biases
        b_1 … b_L, [m_l]; None: all 0.
    activation
        σ.
    trains
        "all" weights and biases, or those of the "hidden" layers, W_L and b_L fixed.
    """

    weights: tuple[Float[Array, "m p"], ...]
    biases: tuple[Float[Array, " m"], ...] | None
    activation: Activation = eqx.field(static=True, default=RELU)
    trains: Literal["all", "hidden"] = eqx.field(static=True, default="all")

    @classmethod
    def from_arrays(
        cls,
        weights: Sequence[Any],
        biases: Sequence[Any] | None = None,
        *,
        activation: Activation = RELU,
        trains: Literal["all", "hidden"] = "all",
    ) -> "Perceptron":
        """Network from arrays that something else made; arguments as of the class.

        Raises
        ------
        InputError
            For shapes that do not fit, fewer than two layers, entries that are no finite real numbers, or float64
            without x64 mode.
        """
        given = [real_array(f"weights of layer {k + 1}", w, ndim=2) for k, w in enumerate(weights)]
        held = (
            None
            if biases is None
            else [real_array(f"biases of layer {k + 1}", b, ndim=1) for k, b in enumerate(biases)]
        )
        shapes = [w.shape for w in given]
        fits = all(a[0] == b[1] for a, b in itertools.pairwise(shapes))
        if len(given) < 2 or not fits or (held is not None and [len(b) for b in held] != [s[0] for s in shapes]):
            said = "none" if held is None else [b.shape for b in held]
            raise InputError(
                f"weights {shapes} and biases {said} do not fit, need two layers or more: [m_l m_(l-1)] and [m_l]."
            )
        if trains not in ("all", "hidden"):
            raise InputError(f"trains is {trains!r}, needs to be all or hidden.")
        _, dtype = weight_arrays(list(weights))
        on_device = [
            None if arrays is None else tuple(jnp.asarray(a, dtype) for a in arrays) for arrays in (given, held)
        ]
        assert on_device[0] is not None
        return cls(on_device[0], on_device[1], activation, trains)

    @classmethod
    def from_torch(cls, state: Mapping[str, Any], **options: Any) -> "Perceptron":
        """Network from a PyTorch ``state_dict`` of linear layers, or the same arrays from a ``safetensors`` file.

        ``from_torch(safetensors.numpy.load_file(path))``, or ``from_torch({name: value.numpy() for name, value in
        model.state_dict().items()})``. Layers follow the numbers in their names.

        Parameters
        ----------
        state
            Arrays ``….weight`` [m_l m_{l−1}] and, for all layers or none, ``….bias`` [m_l], by name.
        options
            ``activation`` and ``trains``, which no such file knows.

        Raises
        ------
        InputError
            For names that end in anything else, and as `from_arrays`.

        >>> state = {"net.0.weight": [[1.0], [-1.0]], "net.10.weight": [[1.0, 1.0]]}
        >>> from_torch = Perceptron.from_torch(state)
        >>> from_torch([[3.0], [-2.0]]).tolist()  # max(x, 0) + max(-x, 0)
        [3.0, 2.0]
        """
        if strange := [name for name in state if not name.endswith((".weight", ".bias"))]:
            raise InputError(f"state holds {strange[0]!r}, needs names that end in .weight or .bias.")
        return cls._by_name(state, ".weight", ".bias", transposed=False, options=options)

    @classmethod
    def from_flax(cls, parameters: Mapping[str, Any], **options: Any) -> "Perceptron":
        """Network from Flax's parameter tree of dense layers: {"Dense_0": {"kernel": [m_0 m_1], "bias": [m_1]}, …}.

        A tree with ``params`` on top is read too. Arguments and `InputError` as of `from_torch`.
        """
        tree = parameters.get("params", parameters)
        flat = {f"{layer}.{name}": value for layer, arrays in tree.items() for name, value in arrays.items()}
        if strange := [name for name in flat if not name.endswith((".kernel", ".bias"))]:
            raise InputError(f"parameters hold {strange[0]!r}, need kernel and bias of each layer.")
        return cls._by_name(flat, ".kernel", ".bias", transposed=True, options=options)

    @classmethod
    def _by_name(
        cls, arrays: Mapping[str, Any], weight: str, bias: str, *, transposed: bool, options: Mapping[str, Any]
    ) -> "Perceptron":
        layers = sorted((name[: -len(weight)] for name in arrays if name.endswith(weight)), key=_numbered)
        weights = [np.asarray(arrays[layer + weight]) for layer in layers]
        held = [arrays[layer + bias] for layer in layers if layer + bias in arrays]
        if (held and len(held) != len(layers)) or len(held) + len(layers) != len(arrays):
            raise InputError(f"{len(layers)} layers have {len(arrays) - len(layers)} biases, need as many or none.")
        return cls.from_arrays([w.T for w in weights] if transposed else weights, held or None, **options)

    @property
    def input_dim(self) -> int:
        """Number of inputs d."""
        return self.weights[0].shape[1]

    @property
    def output_dim(self) -> int:
        """Number of outputs o."""
        return self.weights[-1].shape[0]

    @property
    def trained(self) -> tuple[Array, ...]:
        """The trained arrays: weights, first layer first, and then biases."""
        last = len(self.weights) if self.trains == "all" else -1
        return self.weights[:last] + (() if self.biases is None else self.biases[:last])

    def with_trained(self, trained: Sequence[Array]) -> Self:
        """The same network with these arrays in the trained ones' place."""
        last = len(self.weights) if self.trains == "all" else -1
        number = len(self.weights[:last])
        weights = (*trained[:number], *self.weights[number:])
        biases = None if self.biases is None else (*trained[number:], *self.biases[number:])
        return type(self)(weights, biases, self.activation, self.trains)

    def pre_activations(self, x: Any) -> tuple[Float[Array, "n m"], ...]:
        """W_l h_{l−1} + b_l of every layer, the last of which are the outputs [n o]."""
        h = input_rows(x, self.weights[0].dtype, self.input_dim)
        found = []
        for layer, w in enumerate(self.weights):
            z = matmul(h, w.T)
            found.append(z if self.biases is None else z + self.biases[layer][None])
            h = self.activation(found[-1])
        return tuple(found)

    def activation_patterns(self, x: Any) -> tuple[Bool[Array, "n m"], ...]:
        """1{pre-activation ≥ 0} of every hidden layer."""
        return tuple(z >= 0 for z in self.pre_activations(x)[:-1])

    def __call__(self, x: Any) -> Float[Array, " n"] | Float[Array, "n o"]:
        """Outputs f(W, x_i): [n] for one output, [n o] otherwise."""
        outputs = self.pre_activations(x)[-1]
        return outputs[:, 0] if self.output_dim == 1 else outputs


def _numbered(name: str) -> list[tuple[int, str]]:
    """A name's order with its numbers as numbers: layer 10 after layer 2."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", name)]
