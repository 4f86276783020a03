"""Networks as the theory defines them: initialization, outputs, pre-activations, activation patterns.

A network is an equinox module whose leaves are JAX arrays. `trained` and `with_trained` name the weights that Local
SGD moves, so that algorithm and observables are written once for every network; `Stack` is one that is known by its
structure, and `structure` says whether a network is one.
"""

from ntk_localsgd.networks.activations import GELU, RELU, SOFTPLUS, TANH, Activation, LeakyReLU, Smooth
from ntk_localsgd.networks.deep import DeepReLU, deep
from ntk_localsgd.networks.domains import along_line, in_plane
from ntk_localsgd.networks.feedforward import AffineMaps, FeedforwardReLU
from ntk_localsgd.networks.files import load_network, save_network
from ntk_localsgd.networks.frozen import FrozenPatterns
from ntk_localsgd.networks.network import Network, float_dtype, input_rows, matmul
from ntk_localsgd.networks.perceptron import Perceptron
from ntk_localsgd.networks.stack import Stack, structure
from ntk_localsgd.networks.two_layer import NEURONS_PER_BLOCK, TwoLayerReLU, two_layer

#: σ(z) = z·1{z ≥ 0} with derivative 1 at 0.
relu = RELU

__all__ = [
    "GELU",
    "NEURONS_PER_BLOCK",
    "RELU",
    "SOFTPLUS",
    "TANH",
    "Activation",
    "AffineMaps",
    "DeepReLU",
    "FeedforwardReLU",
    "FrozenPatterns",
    "LeakyReLU",
    "Network",
    "Perceptron",
    "Smooth",
    "Stack",
    "TwoLayerReLU",
    "along_line",
    "deep",
    "float_dtype",
    "in_plane",
    "input_rows",
    "load_network",
    "matmul",
    "relu",
    "save_network",
    "structure",
    "two_layer",
]
