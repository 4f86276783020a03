"""ReLU networks as the theory defines them: initialization, outputs, pre-activations, activation patterns.

A network is an equinox module whose leaves are JAX arrays. `trained` and `with_trained` name the weights that Local
SGD moves, so that algorithm and observables are written once for every depth.
"""

from ntk_localsgd.networks.deep import DeepReLU
from ntk_localsgd.networks.network import Network, matmul, relu
from ntk_localsgd.networks.two_layer import NEURONS_PER_BLOCK, TwoLayerReLU

__all__ = ["NEURONS_PER_BLOCK", "DeepReLU", "Network", "TwoLayerReLU", "matmul", "relu"]
