"""The works: what is measured, at which sizes, against whom, and what is aimed at."""

from functools import partial
from typing import Any

import jax
import numpy as np
import scipy.linalg

from benchmarks.cases import OURS, Case, Route, Target, Work
from benchmarks.commands import waiting
from benchmarks.practised import fedavg
from ntk_localsgd import datasets, kernels, local_sgd, networks

INPUT_DIM = 64
FLIPS = "float32 sums in different orders; a pre-activation that rounding moves across 0 changes one neuron of one row"

# n and m at which calls take longer than what they compute.
SMALLEST = (32, 64)

PRODUCT = Route("one large product", function="product", checked=False)
TORCH_PRODUCT = Route("one large product, PyTorch", "with_pytorch", "pytorch", function="product", checked=False)
STRUCTURED = "neural-tangents, structured derivatives"
GRAM_PEERS = (
    Route("neural-tangents, Jacobian contraction", "with_neural_tangents", settings={"implementation": 1}),
    Route("neural-tangents, NTK-vector products", "with_neural_tangents", settings={"implementation": 2}),
    Route(STRUCTURED, "with_structured_derivatives", "structured", {"implementation": 3}),
    Route("torch.func, Jacobian", "with_pytorch", "pytorch", {"method": "jacobian"}),
    Route("torch.func, NTK-vector products", "with_pytorch", "pytorch", {"method": "products"}),
)


def works(smoke: bool) -> tuple[Work, ...]:
    """All works; ``smoke``: at sizes that only try the pipeline."""
    products = tuple(
        Route(r.name, r.script, r.environment, {"size": 256 if smoke else 4096}, r.function, checked=False)
        for r in (PRODUCT, TORCH_PRODUCT)
    )
    return (
        deep_gram(products, smoke),
        two_layer_gram(products, smoke),
        local_gd(products, smoke),
        fedavg(smoke),
        tracking(smoke),
        gram_on_the_way(smoke),
        certificates(smoke),
        seeds(smoke),
        smallest_eigenvalue(smoke),
        predicted(smoke),
        waiting(smoke),
    )


def deep_network(width: int, depth: int) -> dict[str, np.ndarray]:
    """Arrays of a `DeepReLU` in float32."""
    net = networks.DeepReLU.init(jax.random.key(3), width=width, depth=depth, input_dim=INPUT_DIM, dtype=np.float32)
    hidden = {f"hidden_{layer}": np.asarray(w) for layer, w in enumerate(net.hidden_weights)}
    return hidden | {
        "input_weights": np.asarray(net.input_weights),
        "output_weights": np.asarray(net.output_weights),
    }


def samples(num_samples: int) -> dict[str, np.ndarray]:
    """Inputs on the sphere and targets ±1."""
    data = datasets.sphere(jax.random.key(0), num_samples, INPUT_DIM)
    return {"x": data.inputs.astype(np.float32), "y": data.targets.astype(np.float32)}


def deep_problem(num_samples: int, width: int, depth: int) -> dict[str, np.ndarray]:
    """Network and samples."""
    return deep_network(width, depth) | samples(num_samples)


def deep_gram_case(n: int, m: int, depth: int, routes: tuple[Route, ...], **more: Any) -> Case:
    """Forward through the input layer and L others, backward through L − 1, two Gram products a layer."""
    operations = 2 * (n * m * INPUT_DIM + (2 * depth - 1) * n * m**2 + 2 * depth * n**2 * m)
    arrays = partial(gram_problem, n, m, depth)
    return Case(f"n = {n}, m = {m}, L = {depth}", "gram", arrays, {}, routes, operations, **more)


def gram_problem(n: int, m: int, depth: int) -> dict[str, np.ndarray]:
    """Network and inputs."""
    return deep_network(m, depth) | {"x": samples(n)["x"]}


def deep_gram(products: tuple[Route, ...], smoke: bool) -> Work:
    """Deep Gram matrix in float32."""
    sizes = [(8, 32, 2), (16, 64, 3)] if smoke else [(64, 256, 2), (128, 512, 2), (128, 1024, 3)]
    routes = (Route(OURS), *GRAM_PEERS, *products)
    n, m, depth = (32, 64, 3) if smoke else (512, 2048, 3)
    slow = "not run: 21 to 237 times as long in earlier measurements, where it fits into memory"
    left_out = {r.name: slow for r in GRAM_PEERS if r.name != STRUCTURED and not smoke}
    large = deep_gram_case(n, m, depth, routes, left_out=left_out)
    smallest = deep_gram_case(*SMALLEST, 2, routes)
    cases = (smallest, *(deep_gram_case(*size, routes, left_out=left_out) for size in sizes), large)
    aims = {smallest.label: 1, large.label: 1.5}
    ratios = (Target(case.label, "ratio", aims.get(case.label, 2)) for case in cases)
    targets = (*ratios, Target(large.label, "share", 0.8))
    return Work(
        "deep-gram", "Deep Gram matrix", cases, targets, "2 (nmd + (2L − 1) nm² + 2L n²m)", because=FLIPS
    )  # fmt: skip


def two_layer_problem(n: int, m: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Network and inputs."""
    net = networks.TwoLayerReLU.init(jax.random.key(seed), width=m, input_dim=INPUT_DIM, dtype=np.float32)
    return {"weights": np.asarray(net.weights), "signs": np.asarray(net.signs), "x": samples(n)["x"]}


def two_layer_gram(products: tuple[Route, ...], smoke: bool) -> Work:
    """Two-layer Gram matrix in float32; each peer up to the size that it can do within memory and about ten seconds.

    Away from the processor also for 10,000 samples, against the rate of a large product alone.
    """
    n, small, large, full = (50, 64, 128, 1000) if smoke else (1000, 2048, 8192, 100_000)
    slow = "not run: 145 to 1,370 times as long at m = 2048 in version 0.1"
    slower = {name: slow for name in (route.name for route in GRAM_PEERS) if name != STRUCTURED and not smoke}
    left_out = {small: slower, large: slower, full: slower}
    routes = (Route(OURS), *GRAM_PEERS)
    cases = [two_layer_gram_case(*SMALLEST, routes)]
    cases += [two_layer_gram_case(n, m, routes, left_out=out) for m, out in left_out.items()]
    targets = (
        *(Target(case.label, "ratio", 1 if case is cases[0] else 2) for case in cases),
        Target(cases[3].label, "peak", 2 * 2**30),
    )
    if jax.default_backend() != "cpu":
        cases.append(two_layer_gram_case(10 * n, full, (Route(OURS), *products)))
    return Work(
        "two-layer-gram",
        "Two-layer Gram matrix",
        tuple(cases),
        targets,
        "2 (nmd + 10/16 n²m): the blocks from which the symmetric matrix is put together",
        because=FLIPS,
    )


def two_layer_gram_case(n: int, m: int, routes: tuple[Route, ...], **more: Any) -> Case:
    """Pre-activations, and the products of patterns that `kernels.pattern_counts` takes for many samples."""
    operations = 2.0 * (n * m * INPUT_DIM + 10 / 16 * n**2 * m)
    return Case(f"n = {n}, m = {m}", "gram", partial(two_layer_problem, n, m), {}, routes, operations, **more)


def local_gd_settings(width: int, num_clients: int, local_steps: int, num_rounds: int) -> dict[str, Any]:
    """Settings of a run; the step size is a fraction of that at which a client's loss stops falling."""
    steps = {"num_clients": num_clients, "local_steps": local_steps, "num_rounds": num_rounds}
    return steps | {"step_size": 0.05 / width}


def local_gd_operations(n: int, m: int, depth: int, steps: int) -> float:
    """Gradient steps on n samples: forward through the input layer and L others, L weight gradients, backward L − 1.

    Of clients with weights of their own, as all peers have them; `ntk_localsgd.local_sgd.ways.shared` needs fewer.
    """
    return 2.0 * steps * n * (INPUT_DIM * m + (3 * depth - 1) * m**2)


def local_gd_case(
    m: int, depth: int, routes: tuple[Route, ...], *, clients: int, held: int, tau: int, rounds: int
) -> Case:
    """Local GD with K clients of n_c samples."""
    return Case(
        f"m = {m}, L = {depth}, {rounds} rounds", "local_gd", partial(deep_problem, clients * held, m, depth),
        local_gd_settings(m, clients, tau, rounds), routes,
        local_gd_operations(clients * held, m, depth, tau * rounds),
    )  # fmt: skip


def local_gd(products: tuple[Route, ...], smoke: bool) -> Work:
    """Deep Local GD in float32, full batches, plain averaging."""
    clients, held = (2, 8) if smoke else (10, 64)
    routes = (
        Route(OURS),
        Route("PyTorch loop", "with_pytorch", "pytorch"),
        Route("FedJAX", "with_fedjax", "fedjax"),
        Route("pfl", "with_pfl", "pfl"),
        Route("Flower simulation", "with_flower", "flower", arguments=(str(clients),), alone=True),
        *products,
    )
    sizes = [(32, 2, 2)] if smoke else [(256, 2, 20), (1024, 2, 4), (2048, 3, 1)]
    cases = tuple(
        local_gd_case(m, depth, routes, clients=clients, held=held, tau=5, rounds=rounds) for m, depth, rounds in sizes
    )
    targets = (
        *(Target(case.label, "ratio", 1.4) for case in cases),
        *(Target(case.label, "share", 0.7) for case in cases[1:]),
    )
    title = f"Local GD, K = {clients}, n_c = {held}, τ = 5"
    return Work(
        "local-gd",
        title,
        cases,
        targets,
        "2 R τ K n_c (dm + (3L − 1) m²), of clients with weights of their own; this project's way needs fewer",
        # Rounding, 10⁻⁶ of a pre-activation, moves about one in 10⁶ across 0 and so a share √10⁻⁶ of what is added.
        # Beside float64, m = 2,048: this project 5·10⁻⁴, PyTorch 1.7·10⁻³.
        tolerance=4e-3,
        because="what rounds add to the weights; " + FLIPS,
    )


def tracking(smoke: bool) -> Work:
    """The same run, with more and more observed: an untracked run is what others are compared with."""
    by_time = {when: [name for name, entry in local_sgd.OBSERVABLES.items() if entry.when == when]
               for when in ("round", "taken")}  # fmt: skip
    observed = {
        "every round end": by_time["round"],
        "round ends and every step beside the round's start": by_time["round"] + by_time["taken"],
        "every step beside the average": ["gradient_difference", "distance_to_average"],
    }
    routes = tuple(
        Route(name, function="tracked", settings={"observe": names}) for name, names in ({OURS: []} | observed).items()
    )
    sizes = [(32, 2, 8, 2)] if smoke else [(256, 3, 256, 20), (1024, 2, 64, 4)]
    clients = 4
    cases = tuple(
        Case(f"m = {m}, L = {depth}, n_c = {held}", "tracked", partial(deep_problem, clients * held, m, depth),
             local_gd_settings(m, clients, 5, rounds), routes)
        for m, depth, held, rounds in sizes
    )  # fmt: skip
    targets = tuple(Target(case.label, "slowdown", 1.2, "every round end") for case in cases)
    return Work(
        "tracking",
        "Tracked against untracked Local GD, K = 4, τ = 5",
        cases,
        targets,
        because="the same run, which takes another way through where something looks at clients' weights; " + FLIPS,
    )


def gram_on_the_way(smoke: bool) -> Work:
    """Gram matrix, λ_min and ‖H(t) − H(0)‖ at every round of a run, beside the run that nothing looks at."""
    n, rounds, m = (8, 2, 32) if smoke else (64, 20, 1024)
    observed = {
        "H(t) and ‖H(t) − H(0)‖": ["gram_movement"],
        "λ_min enclosed, besides": ["gram_movement", "smallest_eigenvalue"],
    }
    routes = tuple(
        Route(name, function="tracked", settings={"observe": names}) for name, names in ({OURS: []} | observed).items()
    )
    settings = local_gd_settings(m, 4, 5, rounds)
    two = {width: partial(two_layer_run_problem, n, width) for width in (m, 8 * m)}
    cases = (
        *(
            Case(f"two layers, n = {n}, m = {width}", "tracked", arrays, settings | {"step_size": 0.3}, routes)
            for width, arrays in two.items()
        ),
        Case(f"L = 2, n = {n}, m = {m}", "tracked", partial(deep_problem, n, m, 2), settings, routes),
    )
    targets = tuple(Target(case.label, "slowdown", 1.2, name) for case in cases for name in observed)
    why = "the same run, in chunks whose weights come along; " + FLIPS
    return Work("gram-on-the-way", "Gram matrix at every round, K = 4, τ = 5", cases, targets, because=why)


def two_layer_run_problem(n: int, m: int) -> dict[str, np.ndarray]:
    """Network, inputs and targets."""
    return two_layer_problem(n, m) | samples(n)


def certificates(smoke: bool) -> Work:
    """Proof that Local GD converges from these very weights, beside 200 rounds of that run, in float64."""
    sizes = [(4, 64)] if smoke else [(8, 4096), (32, 4096), (64, 4096), (100, 4096)]
    rounds = 2 if smoke else 200
    training = Route(f"{rounds} rounds of training", function="lazy_training", checked=False)
    settings = {"num_clients": 4, "local_steps": 5, "num_rounds": rounds}
    cases = [
        Case(f"two layers, n = {n}, m = {m}", "certificate", partial(lazy_problem, n, m),
             settings | {"step_size": 0.2, "scale": 30.0 * n}, (Route(OURS), training))
        for n, m in sizes
    ]  # fmt: skip
    deep = [(4, 32)] if smoke else [(8, 256), (16, 256)]
    cases += [
        Case(f"L = 2, n = {n}, m = {m}", "certificate", partial(lazy_problem, n, m, 2),
             settings | {"step_size": 0.2 / m, "scale": 1e4}, (Route(OURS), training))
        for n, m in deep
    ]  # fmt: skip
    targets = tuple(Target(case.label, "multiple", 1.0, training.name) for case in cases)
    return Work("certificates", "Certificates beside training", tuple(cases), targets)


def lazy_problem(n: int, m: int, depth: int = 0) -> dict[str, np.ndarray]:
    """Network in float64, two coupled layers or deep, and samples."""
    data = datasets.sphere(jax.random.key(0), n, INPUT_DIM)
    if depth:
        net = networks.DeepReLU.init(jax.random.key(1), width=m, depth=depth, input_dim=INPUT_DIM)
        arrays = {f"hidden_{layer}": np.asarray(w) for layer, w in enumerate(net.hidden_weights)}
        arrays |= {"input_weights": np.asarray(net.input_weights), "output_weights": np.asarray(net.output_weights)}
    else:
        two = networks.TwoLayerReLU.init(jax.random.key(1), width=m, input_dim=INPUT_DIM, coupled=True)
        arrays = {"weights": np.asarray(two.weights), "signs": np.asarray(two.signs)}
    return arrays | {"x": data.inputs, "y": data.targets}


def seeds(smoke: bool) -> Work:
    """Many small two-layer networks at once, against one run after the other."""
    count, m, rounds = (4, 32, 2) if smoke else (64, 1024, 20)
    loop = Route("a loop over seeds", settings={"at_once": False})
    settings = local_gd_settings(m, 4, 5, rounds) | {"step_size": 0.3}
    case = Case(f"{count} seeds, m = {m}", "seeds", partial(seeds_problem, count, m), settings,
                (Route(OURS, settings={"at_once": True}), loop))  # fmt: skip
    bound = 0.95 if jax.default_backend() == "cpu" else 5
    return Work("seeds", "Many networks at once, two layers, K = 4, n_c = 16, τ = 5", (case,),
                (Target(case.label, "ratio", bound, loop.name),), because=FLIPS)  # fmt: skip


def seeds_problem(count: int, m: int) -> dict[str, np.ndarray]:
    """Networks and 64 samples."""
    nets = [two_layer_problem(1, m, seed) for seed in range(count)]
    return samples(64) | {name: np.stack([net[name] for net in nets]) for name in ("weights", "signs")}


def smallest_eigenvalue(smoke: bool) -> Work:
    """Rigorous enclosure of λ_min in float64, against eigenvalues without one and against ball arithmetic."""
    lapack = Route("scipy eigvalsh", "with_scipy")
    flint = Route("python-flint", "with_flint")
    small, *large, largest = (20, 60, 700) if smoke else (150, 2000, 5000, 20_000)
    once = Route("dpotrf, one factorisation", "with_scipy", function="factorisation", checked=False)
    cases = (
        eigenvalue_case(small, (Route(OURS), lapack, flint)),
        *(eigenvalue_case(n, (Route(OURS), lapack, once), left_out={flint.name: "n ≤ 150"}) for n in large),
        eigenvalue_case(
            largest, (Route(OURS), lapack, once), left_out={lapack.name: "not run: takes many minutes"}, most_repeats=2
        ),
    )
    targets = (
        *(Target(case.label, "ratio", 1.0, lapack.name) for case in cases[1:-1]),
        Target(cases[-1].label, "multiple", 3.0, once.name),
        Target(cases[-1].label, "peak", 6 * 2**30),
    )
    why = "distance from the enclosure; LAPACK's own error is a small multiple of n·u·‖A‖₂"
    return Work("smallest-eigenvalue", "Smallest eigenvalue of the Gram matrix, float64", cases, targets,
                agreement=outside, tolerance=1e-12, because=why)  # fmt: skip


def eigenvalue_case(n: int, routes: tuple[Route, ...], **more: Any) -> Case:
    """Infinite-width Gram matrix of n points on the sphere."""
    return Case(f"n = {n}", "smallest_eigenvalue", partial(limit_gram, n), {}, routes, **more)


def limit_gram(n: int, block: int = 2500) -> dict[str, np.ndarray]:
    """H^∞ in float64, in blocks: whole, its intermediate results take many times its memory."""
    inputs = datasets.sphere(jax.random.key(1), n, INPUT_DIM).inputs
    gram, starts = np.empty((n, n)), range(0, n, block)
    for rows, columns in [(slice(i, i + block), slice(j, j + block)) for i in starts for j in starts if i <= j]:
        same = rows == columns
        gram[rows, columns] = kernels.infinite_gram(inputs[rows], None if same else inputs[columns])
        gram[columns, rows] = gram[rows, columns].T
    return {"gram": gram}


def outside(found: np.ndarray, ours: np.ndarray) -> float:
    """How far an interval or a number [lower, upper] lies outside of ours: 0 where they meet."""
    return max(0.0, float(found[0] - ours[1]), float(ours[0] - found[-1]))


def predicted(smoke: bool) -> Work:
    """Kernel-regime Local GD, its contraction, and the second moment of Local SGD, in float64."""
    n, clients, rounds = (40, 4, 10) if smoke else (2000, 20, 1000)
    arrays = partial(predicted_problem, n, clients)
    settings = {"num_clients": clients, "local_steps": 10, "step_size": 0.9, "num_rounds": rounds}
    few = (40, 4, 10) if smoke else (500, 20, 1000)
    cases = (
        Case(f"Local GD, n = {n}, K = {clients}, {rounds} rounds", "predicted_local_gd", arrays, settings,
             (Route(OURS), Route("NumPy, step by step", "with_numpy"))),
        Case(f"contraction, n = {n}, K = {clients}", "contraction", arrays, settings, (Route(OURS),)),
        Case(f"second moment, n = {few[0]}, K = {few[1]}, {few[2]} rounds", "second_moment",
             partial(predicted_problem, *few[:2]), settings | {"num_rounds": few[2], "batch_size": 5},
             (Route(OURS),)),
    )  # fmt: skip
    return Work(
        "prediction",
        "Predicted, without training, float64",
        cases,
        tolerance=1e-9,
        because="float64 sums of n terms over all rounds",
    )


def predicted_problem(n: int, num_clients: int) -> dict[str, np.ndarray]:
    """H^∞ scaled so that every client's block has λ_max ≤ 1, and a residual."""
    data = datasets.sphere(jax.random.key(5), n, INPUT_DIM)
    gram = np.asarray(kernels.infinite_gram(data.inputs))
    parts = np.split(np.arange(n), num_clients)
    largest = max(scipy.linalg.eigvalsh(gram[np.ix_(part, part)])[-1] for part in parts)
    return {"gram": gram / largest, "residual": -data.targets}
