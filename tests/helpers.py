"""An independent Local SGD in plain NumPy, float64, written from the definition: the tests' reference."""

import jax
import numpy as np

from ntk_localsgd import clients, datasets
from ntk_localsgd.networks import TwoLayerReLU


def problem(seed=0, *, sizes=(3, 5, 1), input_dim=6, width=40):
    """Points on the sphere, clients of the given sizes, a network; deterministic in the seed."""
    key = jax.random.key(seed)
    data = datasets.sphere(key, sum(sizes), input_dim)
    order = np.random.default_rng(seed).permutation(sum(sizes))
    split = clients.Clients(tuple(np.split(order, np.cumsum(sizes)[:-1])))
    return TwoLayerReLU.init(key, width=width, input_dim=input_dim), data, split


def outputs(weights, signs, x):
    """f(W, x) = m^{-1/2} Σ_r a_r max(w_r·x, 0)."""
    return np.maximum(x @ weights.T, 0) @ signs / np.sqrt(len(signs))


def loss(weights, signs, x, y):
    """½ Σ_i (f − y)²."""
    return ((outputs(weights, signs, x) - y) ** 2).sum() / 2


def gradient(weights, signs, x, y):
    """Row r: m^{-1/2} a_r Σ_i 1{w_r·x_i ≥ 0} (f − y)_i x_i."""
    active = (x @ weights.T >= 0).astype(float)
    return ((active * (outputs(weights, signs, x) - y)[:, None]) * signs).T @ x / np.sqrt(len(signs))


def local_sgd(net, data, split, config, batches=None, participants=None):
    """Weights of every client at every local step: list over rounds of [K τ+1 m d], and the averages [R+1 m d].

    ``batches(t, k, c)`` gives positions within client c; None means all of its samples. ``participants(t)`` gives the
    clients that are averaged; None means all. A client that has taken its τ_c steps waits where it is.
    """
    signs, average = np.asarray(net.signs, float), np.asarray(net.weights, float)
    averages, paths = [average], []
    taking_part = participants or (lambda t: slice(None))  # noqa: ARG005
    for t in range(config.num_rounds):
        rounds = []
        for c, part in enumerate(split.indices):
            path = [average]
            for k in range(config.most_steps):
                if k >= config.steps_of(split)[c]:
                    path.append(path[-1])
                    continue
                chosen = part if batches is None else part[batches(t, k, c)]
                step = gradient(path[-1], signs, data.inputs[chosen], data.targets[chosen])
                path.append(path[-1] - config.step_size * step)
            rounds.append(path)
        paths.append(np.array(rounds))
        average = average + config.server_step_size * (paths[-1][taking_part(t), -1] - average).mean(axis=0)
        averages.append(average)
    return paths, np.array(averages)
