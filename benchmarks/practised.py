"""Federated averaging as libraries run it: clients of unequal sizes weighed by them, shuffled epochs, optimizers."""

from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks.cases import OURS, Case, Route, Work
from ntk_localsgd import datasets
from ntk_localsgd.local_sgd.batches import draw
from ntk_localsgd.networks import DeepReLU

INPUT_DIM = 64

# FedJAX fills the last batch of an order from the next one; of sizes that b divides there is none.
SIZES, BATCH = (8, 16, 24, 40), 8


def fedavg(smoke: bool) -> Work:
    """Weights n_c/n, means over batches, two epochs a round; plain, and with momentum of clients and an optimizer."""
    width, rounds = (32, 2) if smoke else (256, 5)
    flower = "Flower strategy, PyTorch clients"
    routes = (
        Route(OURS),
        Route("FedJAX", "with_fedjax", "fedjax"),
        # It averages weights, here 130 times as large as their movement, whose float32 is known to 130·2⁻²⁴ a round.
        Route(flower, "with_flower_strategies", "flower", within=1e-4),
    )
    shared: dict[str, Any] = {"sizes": SIZES, "batch_size": BATCH, "epochs": 2, "num_rounds": rounds}
    # Of a loss that is a mean, beside outputs of a network without a factor 1/√m.
    shared |= {"step_size": 1 / width, "server_step_size": 1.0, "client_momentum": 0.0}
    options: dict[str, dict[str, Any]] = {
        "FedAvg": {},
        "FedAvgM, client momentum": {"client_momentum": 0.5, "server": ["momentum", 0.9], "server_step_size": 0.5},
        # An ε beside which float32's rounding of a movement is nothing.
        "FedAdam": {"server": ["adam", 0.9, 0.99, 1e-3], "server_step_size": 0.01},
    }
    arrays = partial(fedavg_problem, width, rounds, 2)
    # Flower's FedAdam corrects round t by 1 − β^{t+1}, where Adam has 1 − β^t.
    without = {"FedAdam": {flower: "its Adam corrects by the power of the round after"}}
    cases = tuple(
        Case(f"{name}, m = {width}", "fedavg", arrays, shared | own, routes, left_out=without.get(name, {}))
        for name, own in options.items()
    )
    title = f"Federated averaging as practised, n_c = {', '.join(map(str, SIZES))}, b = {BATCH}, 2 epochs"
    why = (
        "float32 sums in different orders, over all rounds; batches are the same (Flower: 1e-4, as it averages weights)"
    )
    return Work("fedavg", title, cases, tolerance=1e-5, because=why)


def fedavg_problem(width: int, rounds: int, epochs: int) -> dict[str, np.ndarray]:
    """Network, samples client by client, and the orders in which every round walks through them."""
    net = DeepReLU.init(jax.random.key(3), width=width, depth=2, input_dim=INPUT_DIM, dtype=np.float32)
    data, key = datasets.sphere(jax.random.key(0), sum(SIZES), INPUT_DIM), jax.random.key(7)
    orders = {
        f"order_{t}_{c}": np.concatenate(
            [np.asarray(draw(key, t, e, c, np.ones(size, bool), size)) for e in range(epochs)]
        )
        for t in range(rounds)
        for c, size in enumerate(SIZES)
    }
    hidden = {f"hidden_{layer}": np.asarray(w) for layer, w in enumerate(net.hidden_weights)}
    first, last = np.asarray(net.input_weights), np.asarray(net.output_weights)
    samples = {"x": data.inputs.astype(np.float32), "y": data.targets.astype(np.float32)}
    return orders | hidden | {"input_weights": first, "output_weights": last} | samples
