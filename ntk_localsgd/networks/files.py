"""Networks as .npz files: the arrays by their names, and what else decides the outputs."""

import pathlib

import numpy as np

from ntk_localsgd.errors import InputError
from ntk_localsgd.files import read_npz
from ntk_localsgd.networks.activations import RELU, Activation, LeakyReLU, Smooth
from ntk_localsgd.networks.deep import DeepReLU
from ntk_localsgd.networks.stack import Stack, structure
from ntk_localsgd.networks.two_layer import TwoLayerReLU

__all__ = ["load_network", "save_network"]

# Arrays of a file; layers are W_1 … W_L, as many as there are.
_LAYERS = tuple(f"hidden_weights_{layer}" for layer in range(1, 1000))
_OTHERS = ("output_weights", "input_weights", "activation", "residual", "divided")


def save_network(net: Stack, path: str | pathlib.Path) -> None:
    """Write a stack to a .npz file; a `TwoLayerReLU` as its arrays ``weights`` and ``signs``.

    Raises
    ------
    InputError
        For a subclass that computes something else, which no file of arrays would tell.
    """
    if structure(net) is None:
        raise InputError(
            f"net is a {type(net).__name__} with outputs of its own, which a file of arrays does not hold."
        )
    if isinstance(net, TwoLayerReLU):
        net.save(path)
        return
    sigma = net.activation
    named = {"activation": f"leaky_relu {sigma.negative_slope!r}" if isinstance(sigma, LeakyReLU) else sigma.name}  # type: ignore[attr-defined]
    first = {} if net.input_weights is None else {"input_weights": np.asarray(net.input_weights)}
    layers = {name: np.asarray(weights) for name, weights in zip(_LAYERS, net.hidden_weights, strict=False)}
    last = {"output_weights": np.asarray(net.output_weights), "residual": net.residual, "divided": net.divided}
    np.savez(path, **first, **layers, **last, **named)  # type: ignore[arg-type]


def load_network(path: str | pathlib.Path) -> Stack:
    """Read what `save_network` wrote, or arrays that something else did.

    Parameters
    ----------
    path
        A .npz file with ``weights`` [m d] and ``signs`` [m], or with ``hidden_weights_1`` …, ``output_weights`` and, if
        wanted, ``input_weights``, ``activation`` ("leaky_relu 0.0", the default, "tanh", "softplus" or "gelu"),
        ``residual`` and ``divided``, as of `Stack`.

    Returns
    -------
    `TwoLayerReLU`, `DeepReLU` where it is one, or `Stack`.

    Raises
    ------
    InputError
        If the file cannot be read, lacks arrays, or as `Stack.from_arrays`.
    """
    path = pathlib.Path(path)
    try:
        arrays = read_npz(path, ("weights", "signs", *_LAYERS, *_OTHERS))
    except InputError as error:
        raise InputError(str(error).replace("cannot be read", "cannot be read as a network", 1)) from error
    layers = [arrays[name] for name in _LAYERS if name in arrays]
    if not layers:
        return TwoLayerReLU.load(path)
    if missing := {*_LAYERS[: len(layers)], "output_weights"} - arrays.keys():
        raise InputError(f"{path} lacks an array {min(missing)!r}: each layer's weights and the output's are needed.")
    kind, _, slope = str(arrays.get("activation", "leaky_relu 0.0")).partition(" ")
    sigma: Activation
    if kind == "leaky_relu":
        try:
            sigma = LeakyReLU(float(slope))
        except ValueError as error:
            raise InputError(f"{path}: activation is {kind} {slope}, needs a slope from 0 to 1.") from error
    else:
        sigma = Smooth(kind)
    residual, divided = (bool(arrays.get(name, False)) for name in ("residual", "divided"))
    first, last = arrays.get("input_weights"), arrays["output_weights"]
    if first is not None and sigma == RELU and not residual and not divided:
        return DeepReLU.from_arrays(first, layers, last)
    return Stack.from_arrays(first, layers, last, activation=sigma, residual=residual, divided=divided)
