"""What must hold in a process that has set none of JAX's flags: ``python -m tests.fresh_process`` prints it as JSON.

The checks are made in this order, in one process: what is imported can be seen before it is.
"""

import importlib
import json
import sys
import traceback
import warnings

HEAVY = {"neural_tangents", "matplotlib", "seaborn", "torch"}


def imports():
    """The package and its command line load no heavy peer, no plotting, and set no flag."""
    for name in ("local_sgd", "kernels", "bounds", "cli"):
        importlib.import_module(f"ntk_localsgd.{name}")
    import jax

    assert not HEAVY & sys.modules.keys()
    assert not jax.config.read("jax_enable_x64")


def data():
    """Inputs are float64 all the same; their sum is held against that of a process with the flag."""
    import jax
    import numpy as np

    from ntk_localsgd import datasets

    x = datasets.sphere(jax.random.key(0), 5, 4).inputs
    assert x.dtype == np.float64
    assert np.abs(np.linalg.norm(x, axis=1) - 1).max() < 1e-14
    return float(x.sum()).hex()


def networks():
    """Networks are float32, and float64 is refused instead of narrowed."""
    import jax
    import numpy as np

    from ntk_localsgd.networks import TwoLayerReLU

    key, refused = jax.random.key(0), 0
    assert TwoLayerReLU.init(key, width=3, input_dim=2).weights.dtype == np.float32
    for call in (
        lambda: TwoLayerReLU.init(key, width=3, input_dim=2, dtype=np.float64),
        lambda: TwoLayerReLU.from_arrays(np.ones((3, 2)), np.ones(3)),
    ):
        try:
            call()
        except ValueError as error:
            assert "x64" in str(error)  # noqa: PT017 (there is no pytest here)
            refused += 1
    assert refused == 2


def runs():
    """A run with everything observed."""
    import jax
    import numpy as np

    from ntk_localsgd import clients, datasets, local_sgd
    from ntk_localsgd.networks import TwoLayerReLU

    key = jax.random.key(0)
    sphere, net = datasets.sphere(key, 9, 6), TwoLayerReLU.init(key, width=20, input_dim=6)
    split, config = clients.iid(key, sphere, 3), local_sgd.LocalSGD(0.3, 2, 10)
    run = local_sgd.run(net, sphere, split, config, observe=tuple(local_sgd.OBSERVABLES))
    assert run.network.weights.dtype == np.float32
    assert run.trajectory.loss[-1] < run.trajectory.loss[0]


def neural_tangents():
    """Importing neural-tangents leaves JAX as it was."""
    import jax
    import jax.core
    import jax.interpreters.ad

    from ntk_localsgd.kernels.neural_tangents import neural_tangents as peer

    names = [(jax.core, name) for name in ("Jaxpr", "JaxprEqn", "Literal", "Var", "Primitive")]
    names += [(jax.interpreters.ad, "zeros_like_p"), (jax, "util")]
    assert "neural_tangents" not in sys.modules
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = [hasattr(owner, name) for owner, name in names]
        assert peer().stax.Relu is not None
        assert before == [hasattr(owner, name) for owner, name in names]
    assert not {"jax.util", "neural_tangents.experimental", "tensorflow"} & sys.modules.keys()


CHECKS = (imports, data, networks, runs, neural_tangents)

if __name__ == "__main__":
    found = {}
    for check in CHECKS:
        try:
            found[check.__name__] = check()
        except Exception:
            found[check.__name__] = traceback.format_exc()
    print(json.dumps(found))
