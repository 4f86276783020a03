"""Flower as a peer: weights n_c/n and shuffled epochs, averaged by its strategies; skipped where it is missing."""

import dataclasses
import os
from typing import Any

import jax
import numpy as np
import pytest

from ntk_localsgd.local_sgd import LocalSGD, Momentum, epoch_steps, run
from ntk_localsgd.local_sgd.batches import draw
from tests import helpers

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"  # no calls home
flower = pytest.importorskip("flwr.serverapp.strategy")
app = pytest.importorskip("flwr.app")

KEY, SIZES, BATCH, EPOCHS, ROUNDS = jax.random.key(4), (7, 4, 2), 3, 2, 5
NET, DATA, SPLIT = helpers.problem(seed=3, sizes=SIZES, input_dim=16, width=24)


@dataclasses.dataclass(frozen=True)
class _Reply:
    """What a strategy reads of a client's message."""

    content: Any

    def has_error(self):
        return False


def _client(t, c, weights, config):
    """A client's epochs, in float32."""
    signs, part = np.asarray(NET.signs, np.float32), SPLIT.indices[c]
    velocity = np.zeros_like(weights)
    for e in range(EPOCHS):
        order = part[np.asarray(draw(KEY, t, e, c, np.ones(len(part), bool), len(part)))]
        for first in range(0, len(part), BATCH):
            own = order[first : first + BATCH]
            x, y = (np.asarray(each[own], np.float32) for each in (DATA.inputs, DATA.targets))
            slope = helpers.gradient(weights, signs, x, y).astype(np.float32) / np.float32(len(own))
            velocity = np.float32(config.client_momentum) * velocity + slope
            weights = weights - np.float32(config.step_size) * velocity
    content = {"arrays": app.ArrayRecord([weights]), "metrics": app.MetricRecord({"num-examples": len(part)})}
    return _Reply(app.RecordDict(content))


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        (lambda: flower.FedAvg(), {}),
        (lambda: flower.FedAvg(), {"client_momentum": 0.5}),
        (
            lambda: flower.FedAvgM(server_learning_rate=0.5, server_momentum=0.9),
            {"server": Momentum(0.9), "server_step_size": 0.5},
        ),
    ],
)
def test_sample_weights_and_epochs_are_flower_s(strategy, options):
    steps = epoch_steps(SPLIT, BATCH, EPOCHS)
    config = LocalSGD(
        1.0, steps, ROUNDS, BATCH, batches="epochs", client_weights="samples", reduction="mean", **options
    )
    start = np.asarray(NET.weights, np.float32)
    ours = np.asarray(run(NET, DATA, SPLIT, config, key=KEY).network.weights) - start
    server, weights = strategy(), start
    server.current_arrays = app.ArrayRecord([start])  # as its configure_train does, which asks a running grid
    for t in range(ROUNDS):
        average, _ = server.aggregate_train(t + 1, [_client(t, c, weights, config) for c in range(len(SIZES))])
        (weights,) = average.to_numpy_ndarrays()
    # Float32 beside a movement of the weights' own size.
    assert np.linalg.norm(weights - start - ours) <= 1e-5 * np.linalg.norm(ours)
    assert np.linalg.norm(ours) > 0.1 * np.linalg.norm(start)
    uniform = run(NET, DATA, SPLIT, dataclasses.replace(config, client_weights="uniform"), key=KEY).network.weights
    assert np.linalg.norm(np.asarray(uniform) - weights) > 1e-2 * np.linalg.norm(ours)
