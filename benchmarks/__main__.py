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

from ntk_localsgd import clients, datasets, kernels, local_sgd, networks, prediction, results, trajectory
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


def predicted_problem(num_samples: int, num_clients: int) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Infinite Gram matrix, clients, residual and settings: η = 0.9/max_c λ_max(Θ_cc), τ = 10."""
    key = jax.random.key(5)
    data = datasets.sphere(key, num_samples, 64)
    split, made = clients.iid(key, data, num_clients), kernels.infinite_gram(data.inputs)
    largest = max(scipy.linalg.eigvalsh(made[np.ix_(part, part)])[-1] for part in split.indices)
    return made, split, -data.targets, {"step_size": 0.9 / largest, "local_steps": 10}


def predicted_local_gd(num_samples: int, num_clients: int, num_rounds: int) -> dict[str, Callable[[], Any]]:
    """Residual after the rounds, K clients, τ = 10: by the round operator here, every local step written out there."""
    made, split, start, settings = predicted_problem(num_samples, num_clients)
    parts = [(part, made[np.ix_(part, part)]) for part in split.indices]

    def step_by_step() -> np.ndarray:
        residual = start
        for _ in range(num_rounds):
            weights = np.zeros_like(residual)
            for part, block in parts:
                local = residual[part]
                for _ in range(settings["local_steps"]):
                    weights[part] += settings["step_size"] * local
                    local = local - settings["step_size"] * block @ local
            residual = residual - made @ weights / len(parts)
        return residual

    return {
        "ntk-localsgd": lambda: prediction.local_gd(made, split, start, num_rounds=num_rounds, **settings)[-1],
        "NumPy, step by step": step_by_step,
    }


def predicted_contraction(num_samples: int, num_clients: int) -> dict[str, Callable[[], Any]]:
    """M-norm, 2-norm and spectral radius of the round operator."""
    made, split, _, settings = predicted_problem(num_samples, num_clients)
    return {"ntk-localsgd": lambda: prediction.contraction(made, split, **settings)}


def predicted_second_moment(num_samples: int, num_clients: int, num_rounds: int) -> dict[str, Callable[[], Any]]:
    """E ‖r(t)‖² of minibatches of 10 samples."""
    made, split, start, settings = predicted_problem(num_samples, num_clients)
    settings |= {"batch_size": 10, "num_rounds": num_rounds}
    return {"ntk-localsgd": lambda: prediction.local_sgd_second_moment(made, split, start, **settings)}


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


def in_turns(routes: dict[str, Callable[[], Any]], *, repeats: int = REPEATS) -> dict[str, float]:
    """Median seconds of each route, taken in turns; the first turn compiles and does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in routes}
    for repeat in range(repeats + 1):
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
    "predicted Local GD, n = 2000, K = 20, 1000 rounds": lambda: predicted_local_gd(2000, 20, 1000),
    "contraction, n = 2000, K = 20": lambda: predicted_contraction(2000, 20),
    "second moment, n = 500, K = 20, 1000 rounds": lambda: predicted_second_moment(500, 20, 1000),
}


def measure(routes: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of each route, taken in turns after a warm-up in which all must give the same numbers.

    Work that takes longer than ten seconds is repeated once: other programs disturb it less.
    """
    begun = time.perf_counter()
    first, *others = (np.asarray(jax.block_until_ready(route()), np.float64) for route in routes.values())
    for other in others:
        # float32 sums of up to width terms in different orders; eigenvalues agree far better than this.
        np.testing.assert_allclose(other, first, rtol=2e-3, atol=2e-4)
    return in_turns(routes, repeats=REPEATS if time.perf_counter() - begun < 10 else 1)


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
