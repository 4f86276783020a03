"""FedJAX's federated averaging, in an environment with the JAX it was written for."""

import sys

import fedjax
import jax
import jax.numpy as jnp
import numpy as np
from fedjax.algorithms import fed_avg
from serving import Moved, serve


def local_gd(arrays, settings):
    """fed_avg.federated_averaging with full batches: each epoch is one local step; clients weigh the same."""
    hidden = [jnp.asarray(arrays[f"hidden_{layer}"]) for layer in range(len(arrays) - 4)]
    first, last = jnp.asarray(arrays["input_weights"]), jnp.asarray(arrays["output_weights"][0])

    def loss(weights, batch):
        h = jax.nn.relu(batch["x"] @ first.T)
        for layer in weights:
            h = jax.nn.relu(h @ layer.T)
        return jnp.sum((h @ last - batch["y"]) ** 2) / 2

    per_client = len(arrays["x"]) // settings["num_clients"]
    algorithm = fed_avg.federated_averaging(
        lambda weights, batch, _: jax.grad(loss)(weights, batch),
        fedjax.optimizers.sgd(settings["step_size"]),
        fedjax.optimizers.sgd(1.0),
        fedjax.ShuffleRepeatBatchHParams(batch_size=per_client, num_epochs=settings["local_steps"]),
    )
    parts = [slice(k * per_client, (k + 1) * per_client) for k in range(settings["num_clients"])]
    members = [(k, fedjax.ClientDataset({"x": arrays["x"][part], "y": arrays["y"][part]}), jax.random.PRNGKey(k))
               for k, part in enumerate(parts)]  # fmt: skip

    def route():
        state = algorithm.init(hidden)
        for _ in range(settings["num_rounds"]):
            state, _ = algorithm.apply(state, members)
        return Moved(jax.block_until_ready(state.params), hidden)

    return route


def fedavg(arrays, settings):
    """fed_avg.federated_averaging as it is: clients weigh what they hold; every round's examples come in our order."""
    layers = sum(name.startswith("hidden_") for name in arrays)
    hidden = [jnp.asarray(arrays[f"hidden_{layer}"]) for layer in range(layers)]
    first, last = jnp.asarray(arrays["input_weights"]), jnp.asarray(arrays["output_weights"][0])

    def loss(weights, batch):
        h = jax.nn.relu(batch["x"] @ first.T)
        for layer in weights:
            h = jax.nn.relu(h @ layer.T)
        return jnp.mean((h @ last - batch["y"]) ** 2) / 2

    optimizers, eta = fedjax.optimizers, settings["server_step_size"]
    kind, *numbers = settings.get("server") or ["sgd"]
    momentum = settings["client_momentum"]
    server = {
        "sgd": lambda: optimizers.sgd(eta),
        "momentum": lambda: optimizers.sgd(eta, momentum=numbers[0]),
        "adam": lambda: optimizers.adam(eta, *numbers),
    }[kind]()
    algorithm = fed_avg.federated_averaging(
        lambda weights, batch, _: jax.grad(loss)(weights, batch),
        optimizers.sgd(settings["step_size"], momentum=momentum or None),
        server,
        fedjax.ShuffleRepeatBatchHParams(batch_size=settings["batch_size"], num_epochs=1, skip_shuffle=True),
    )
    ends = np.cumsum(settings["sizes"])

    def members(t):
        held = []
        for c, (end, size) in enumerate(zip(ends, settings["sizes"], strict=True)):
            order = end - size + arrays[f"order_{t}_{c}"]
            examples = {"x": arrays["x"][order], "y": arrays["y"][order]}
            held.append((c, fedjax.ClientDataset(examples), jax.random.PRNGKey(c)))
        return held

    rounds = [members(t) for t in range(settings["num_rounds"])]

    def route():
        state = algorithm.init(hidden)
        for held in rounds:
            state, _ = algorithm.apply(state, held)
        return Moved(jax.block_until_ready(state.params), hidden)

    return route


if __name__ == "__main__":
    sys.exit(serve({"local_gd": local_gd, "fedavg": fedavg}))
