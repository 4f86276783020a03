"""``python -m benchmarks``: the same work here and by other routes, checked to agree, then timed in turns."""

import json
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import scipy.linalg
from rich.console import Console
from rich.table import Table

from ntk_localsgd import clients, datasets, kernels, local_sgd, networks, results, trajectory
from ntk_localsgd.kernels._neural_tangents import neural_tangents

REPEATS = 5
RESULTS = pathlib.Path("results")


def gram(num_samples: int, width: int) -> dict[str, Callable[[], Any]]:
    """Two-layer Gram matrix in float32: layerwise here, Jacobian by autodiff, neural-tangents' contraction."""
    key = jax.random.key(0)
    x = np.asarray(datasets.sphere(key, num_samples, 64).inputs, np.float32)
    net = networks.TwoLayerReLU.init(key, width=width, input_dim=64, dtype=np.float32)

    @jax.jit
    def by_jacobian(weights: jax.Array) -> jax.Array:
        jacobian = jax.jacobian(lambda w: net.with_trained((w,))(x))(weights).reshape(num_samples, -1)
        return jacobian @ jacobian.T

    contraction = neural_tangents().empirical_ntk_fn(
        lambda weights, inputs: net.with_trained((weights,))(inputs)[:, None], trace_axes=(), implementation=1
    )
    peers = jax.jit(lambda weights: contraction(x, None, weights)[:, :, 0, 0])
    return {
        "ntk-localsgd": lambda: kernels.empirical_gram(net, x),
        "autodiff Jacobian": lambda: by_jacobian(net.weights),
        "neural-tangents": lambda: peers(net.weights),
    }


def smallest_eigenvalue(num_samples: int) -> dict[str, Callable[[], Any]]:
    """Rigorous enclosure here, uncertified float64 eigenvalues by LAPACK."""
    made = kernels.infinite_gram(datasets.sphere(jax.random.key(1), num_samples, 64).inputs)
    return {
        "ntk-localsgd": lambda: np.mean(kernels.smallest_eigenvalue(made)),
        "scipy eigvalsh": lambda: scipy.linalg.eigvalsh(made)[0],
    }


def local_gd(width: int) -> dict[str, Callable[[], Any]]:
    """Twenty rounds of Local GD, K = 4, τ = 5, n = 64, float32: compiled here, a NumPy loop there."""
    key = jax.random.key(2)
    data = datasets.sphere(key, 64, 64)
    split = clients.iid(key, data, 4)
    net = networks.TwoLayerReLU.init(key, width=width, input_dim=64, dtype=np.float32)
    config = local_sgd.LocalSGD(step_size=0.3, local_steps=5, num_rounds=20)
    signs, start = np.asarray(net.signs) / np.float32(np.sqrt(width)), np.asarray(net.weights)
    parts = [(data.inputs[p].astype(np.float32), data.targets[p].astype(np.float32)) for p in split.indices]

    def by_numpy() -> np.ndarray:
        average = start
        for _ in range(config.num_rounds):
            total = np.zeros_like(start)
            for x, y in parts:
                weights = average
                for _ in range(config.local_steps):
                    z = x @ weights.T
                    active = z >= 0
                    residual = np.where(active, z, 0) @ signs - y
                    weights = weights - np.float32(config.step_size) * ((active * residual[:, None]) * signs).T @ x
                total += weights
            average = total / np.float32(len(parts))
        return average

    return {
        "ntk-localsgd": lambda: local_sgd.run(net, data, split, config).network.weights,
        "NumPy loop": by_numpy,
    }


def deep_gram(num_samples: int, width: int, depth: int) -> dict[str, Callable[[], Any]]:
    """Deep Gram matrix in float32, n²m + nm² a layer: what `arithmetic_share` compares with one large product."""
    key = jax.random.key(3)
    x = np.asarray(datasets.sphere(key, num_samples, 64).inputs, np.float32)
    net = networks.DeepReLU.init(key, width=width, depth=depth, input_dim=64, dtype=np.float32)
    return {"ntk-localsgd": lambda: kernels.empirical_gram(net, x)}


def arithmetic_share(num_samples: int, width: int, depth: int) -> float:
    """Rate of the deep Gram matrix in operations a second over that of one large matrix product, in the same run."""
    square = jax.random.normal(jax.random.key(4), (4096, 4096), np.float32)
    product = jax.jit(networks.matmul)
    work = deep_gram(num_samples, width, depth) | {"product": lambda: product(square, square)}
    seconds = in_turns(work)
    # Forward through L layers, backward through L − 1, two Gram products a layer; each with as many additions.
    operations = 2 * ((2 * depth - 1) * num_samples * width**2 + 2 * depth * num_samples**2 * width)
    rates = operations / seconds["ntk-localsgd"], 2 * 4096**3 / seconds["product"]
    return rates[0] / rates[1]


def tracking(num_samples: int, width: int, depth: int) -> dict[str, Callable[[], Any]]:
    """Twenty rounds of deep Local GD, K = 4, τ = 5, float32: untracked, and with more and more observed."""
    key = jax.random.key(5)
    data = datasets.sphere(key, num_samples, 64)
    split = clients.iid(key, data, 4)
    net = networks.DeepReLU.init(key, width=width, depth=depth, input_dim=64, dtype=np.float32)
    config = local_sgd.LocalSGD(step_size=0.3 / width, local_steps=5, num_rounds=20)
    by_time = {when: [name for name, entry in trajectory.OBSERVABLES.items() if entry.when == when]
               for when in ("round", "taken")}  # fmt: skip
    observed = {
        "untracked": [],
        "round ends": by_time["round"],
        "round ends and the round's start": by_time["round"] + by_time["taken"],
        "every step against the average": ["gradient_difference", "distance_to_average"],
    }
    return {
        name: lambda names=tuple(names): local_sgd.run(net, data, split, config, observe=names).network.trained
        for name, names in observed.items()
    }


def in_turns(routes: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of each route, taken in turns; the first turn compiles and does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in routes}
    for repeat in range(REPEATS + 1):
        for name, route in routes.items():
            start = time.perf_counter()
            jax.block_until_ready(route())
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


WORK: dict[str, Callable[[], dict[str, Callable[[], Any]]]] = {
    "Gram, n = 128, m = 4096": lambda: gram(128, 4096),
    "λ_min, n = 1000": lambda: smallest_eigenvalue(1000),
    "λ_min, n = 2000": lambda: smallest_eigenvalue(2000),
    "Local GD, m = 1024": lambda: local_gd(1024),
    "Local GD, m = 8192": lambda: local_gd(8192),
}


def measure(routes: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of each route, taken in turns; all must give the same numbers."""
    first, *others = (np.asarray(jax.block_until_ready(route()), np.float64) for route in routes.values())
    for other in others:
        # float32 sums of up to width terms in different orders; eigenvalues agree far better than this.
        np.testing.assert_allclose(other, first, rtol=2e-3, atol=2e-4)
    return in_turns(routes)


def main() -> None:
    """Measure all work, print ratios, store them with the environment."""
    jax.config.update("jax_enable_x64", True)
    table = Table("work", "route", "median seconds", "times ours")
    rows = []
    for work, prepare in WORK.items():
        seconds = measure(prepare())
        ours = seconds["ntk-localsgd"]
        for name, value in seconds.items():
            table.add_row(work, name, f"{value:.4f}", f"{value / ours:.2f}")
            rows.append({"work": work, "route": name, "seconds": value, "ratio": value / ours})
    share = arithmetic_share(512, 2048, 3)
    table.add_row("deep Gram, n = 512, m = 2048, L = 3", "share of one large product's rate", "", f"{share:.0%}")
    rows.append({"work": "deep Gram, n = 512, m = 2048, L = 3", "route": "large product", "rate": share})
    work, costs = "tracking, n = 1024, m = 256, L = 3", in_turns(tracking(1024, 256, 3))
    for name, value in costs.items():
        ratio = value / costs["untracked"]
        table.add_row(work, name, f"{value:.4f}", f"{ratio:.2f}")
        rows.append({"work": work, "route": name, "seconds": value, "ratio": ratio})
    Console().print(table)
    RESULTS.mkdir(exist_ok=True)
    report = {"device": results.device_name(), "versions": results.versions(), "repeats": REPEATS, "rows": rows}
    (RESULTS / "benchmarks.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
