"""Local SGD as it is practised, in plain NumPy and float64, written from the definitions: the tests' reference."""

import numpy as np

from ntk_localsgd.local_sgd import Momentum
from tests.helpers import gradient


def averages(net, data, split, config, batches=None, participants=None):
    """W(0) … W(R) of a two-layer network.

    ``batches(t, k, c)`` gives positions within client c, None all of its samples; ``participants(t)`` the clients that
    are averaged, None all of them.
    """
    signs = np.asarray(net.signs, float)

    def slope(weights, own):
        return gradient(weights, signs, data.inputs[own], data.targets[own])

    return walk(np.asarray(net.weights, float), slope, split, config, batches, participants)


def walk(weights, slope, split, config, batches=None, participants=None):
    """W(0) … W(R) from any weights on, for ``slope(W, samples)``, the gradient of the sum over these samples."""
    path, server = [weights], _Server(config.server)
    for t in range(config.num_rounds):
        chosen = range(split.num_clients) if participants is None else participants(t)
        importance = np.array([_importance(config, split, c) for c in chosen])
        moved = [_client(weights, slope, split, config, batches, t, c) - weights for c in chosen]
        total = sum(p * each for p, each in zip(importance, moved, strict=True)) / importance.sum()
        weights = weights + config.server_step_size * server.step(total)
        path.append(weights)
    return np.array(path)


def walked(order, k, size):
    """The batch of step k that walks through samples, ``order(e)`` in pass e, ``size`` at a time."""
    number = len(order(0))
    per_pass = int(np.ceil(number / size))
    first = (k % per_pass) * size
    return order(k // per_pass)[first : first + size]


def _importance(config, split, c):
    if isinstance(config.client_weights, str):
        return {"uniform": 1.0, "samples": float(split.sizes[c])}[config.client_weights]
    return config.client_weights[c]


def _client(start, slope, split, config, batches, t, c):
    weights, velocity, part = start, np.zeros_like(start), split.indices[c]
    eta = config.step_size * (1 if config.step_factors is None else config.step_factors[t])
    for k in range(config.steps_of(split)[c]):
        own = part if batches is None else part[batches(t, k, c)]
        g = slope(weights, own)
        g = g / len(own) if config.reduction == "mean" else g
        g = g + config.weight_decay * weights + config.proximal * (weights - start)
        velocity = config.client_momentum * velocity + g
        weights = weights - eta * velocity
    return weights


class _Server:
    """Average movements in, steps out."""

    def __init__(self, rule):
        self.rule, self.mean, self.square, self.count = rule, 0.0, 0.0, 0

    def step(self, moved):
        rule, self.count = self.rule, self.count + 1
        if rule is None:
            return moved
        if isinstance(rule, Momentum):
            self.mean = rule.decay * self.mean + moved
            return self.mean
        self.mean = rule.decay * self.mean + (1 - rule.decay) * moved
        self.square = rule.square_decay * self.square + (1 - rule.square_decay) * moved**2
        if not rule.corrected:
            return self.mean / (np.sqrt(self.square) + rule.epsilon)
        mean = self.mean / (1 - rule.decay**self.count)
        return mean / (np.sqrt(self.square / (1 - rule.square_decay**self.count)) + rule.epsilon)
