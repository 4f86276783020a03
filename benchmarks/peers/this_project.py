"""This project's own route to every work."""

import os
import pathlib
import subprocess
import sys
import tempfile

import jax
import numpy as np
from serving import Moved, serve

from ntk_localsgd import certificate as certificates
from ntk_localsgd import clients, datasets, kernels, local_sgd, networks, prediction


def network(arrays):
    """The network whose arrays were stored."""
    if "signs" in arrays:
        return networks.TwoLayerReLU.from_arrays(arrays["weights"], arrays["signs"])
    hidden = [arrays[f"hidden_{layer}"] for layer in range(sum(name.startswith("hidden_") for name in arrays))]
    return networks.DeepReLU.from_arrays(arrays["input_weights"], hidden, arrays["output_weights"])


def gram(arrays, settings):
    net, x = network(arrays), arrays["x"]
    return lambda: jax.block_until_ready(kernels.empirical_gram(net, x))


def data_of(arrays, settings):
    """Data, clients of equal size, settings of a run."""
    data = datasets.from_arrays(arrays["x"], arrays["y"])
    split = clients.Clients(tuple(np.split(np.arange(len(data.inputs)), settings["num_clients"])))
    return data, split, local_sgd.LocalSGD(settings["step_size"], settings["local_steps"], settings["num_rounds"])


def local_gd(arrays, settings, observe=()):
    """What the run adds to the weights, all layers in one vector."""
    net, problem = network(arrays), data_of(arrays, settings)

    def route():
        after = local_sgd.run(net, *problem, observe=observe).network.trained
        return Moved(jax.block_until_ready(after), net.trained)

    return route


def tracked(arrays, settings):
    return local_gd(arrays, settings, observe=tuple(settings["observe"]))


def lazy(arrays, settings):
    """Network, data at a lazy scale, clients, settings of a run."""
    net, (data, split, config) = network(arrays), data_of(arrays, settings)
    return net, local_sgd.lazy_targets(net, data, scale=settings["scale"]), split, config


def certificate(arrays, settings):
    """Rate and radius; refuses to be timed without a proof."""
    problem = lazy(arrays, settings)

    def route():
        proof = certificates.certify(*problem, estimate=False)
        assert proof.certified, proof
        return np.array([proof.rate, proof.radius])

    return route


def lazy_training(arrays, settings):
    problem = lazy(arrays, settings)
    return lambda: jax.block_until_ready(local_sgd.run(*problem).network.trained)


def seeds(arrays, settings):
    """Several two-layer networks on the same data, all at once or one run after the other."""
    pairs = zip(arrays["weights"], arrays["signs"], strict=True)
    nets = [networks.TwoLayerReLU.from_arrays(weights, signs) for weights, signs in pairs]
    problem = data_of(arrays, settings)

    def route():
        if settings["at_once"]:
            runs = local_sgd.run_seeds(nets, *problem)
        else:
            runs = [local_sgd.run(net, *problem) for net in nets]
        return Moved(jax.block_until_ready([run.network.weights for run in runs]), arrays["weights"])

    return route


def fedavg(arrays, settings):
    """Weights n_c/n, means over batches, shuffled epochs; the server's optimizer by its name and numbers."""
    data, sizes, rule = datasets.from_arrays(arrays["x"], arrays["y"]), settings["sizes"], settings.get("server")
    split = clients.Clients(tuple(np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])))
    server = None if rule is None else {"momentum": local_sgd.Momentum, "adam": local_sgd.Adam}[rule[0]](*rule[1:])
    steps = local_sgd.epoch_steps(split, settings["batch_size"], settings["epochs"])
    config = local_sgd.LocalSGD(
        settings["step_size"], steps, settings["num_rounds"], settings["batch_size"], settings["server_step_size"],
        client_weights="samples", batches="epochs", reduction="mean", client_momentum=settings["client_momentum"],
        server=server,
    )  # fmt: skip
    net = network(arrays)

    def route():
        after = local_sgd.run(net, data, split, config, key=jax.random.key(7)).network.trained
        return Moved(jax.block_until_ready(after), net.trained)

    return route


def smallest_eigenvalue(arrays, settings):
    return lambda: np.array(kernels.smallest_eigenvalue(arrays["gram"]))


def product(arrays, settings):
    square = jax.random.normal(jax.random.key(4), (settings["size"], settings["size"]), np.float32)
    multiply = jax.jit(networks.matmul)
    return lambda: jax.block_until_ready(multiply(square, square))


def gram_command(arrays, settings):
    """The command in a process of its own, that finds no compiled program."""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    start = "import sys; from ntk_localsgd.starting import main; sys.exit(main())"

    def route():
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "data.npz"
            np.savez(path, **arrays)
            command = [sys.executable, "-c", start, "gram", str(path)]
            told = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
        return "λ_min(H^∞)".encode() in told

    return route


def jobs(arrays, settings):
    """A sweep of jobs that do nothing, each time into a store of its own."""
    # Of no other route, whose memory they would count to.
    from benchmarks.spinning import Spin
    from verification.engine import compute
    from verification.store import Store

    def route():
        with tempfile.TemporaryDirectory() as folder:
            store = Store(pathlib.Path(folder), home=("benchmarks",))
            return len(compute([Spin(seed, 0) for seed in range(settings["number"])], store).computed)

    return route


def _predicted(arrays, settings):
    parts = np.split(np.arange(len(arrays["gram"])), settings["num_clients"])
    rounds, batch_size = settings.get("num_rounds", 0), settings.get("batch_size")
    config = local_sgd.LocalSGD(settings["step_size"], settings["local_steps"], rounds, batch_size)
    return clients.Clients(tuple(parts)), config


def predicted_local_gd(arrays, settings):
    split, config = _predicted(arrays, settings)
    return lambda: prediction.local_gd(arrays["gram"], split, arrays["residual"], config)[-1]


def contraction(arrays, settings):
    split, config = _predicted(arrays, settings)
    return lambda: prediction.contraction(arrays["gram"], split, config).norm


def second_moment(arrays, settings):
    split, config = _predicted(arrays, settings)
    return lambda: prediction.local_sgd_second_moment(arrays["gram"], split, arrays["residual"], config)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    works = [
        gram,
        local_gd,
        fedavg,
        tracked,
        certificate,
        lazy_training,
        seeds,
        smallest_eigenvalue,
        product,
        predicted_local_gd,
        contraction,
        second_moment,
        gram_command,
        jobs,
    ]
    sys.exit(serve({work.__name__: work for work in works}))
