"""Networks with leaky ReLU trained on digits: entropies of their layers, losses and accuracies."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from numpy import ndarray

from ntk_localsgd import clients, datasets, local_sgd
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.entropy import binned_entropy
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import Checkpoint
from ntk_localsgd.networks import LeakyReLU, Stack, deep
from verification.jobs.training import stream

__all__ = ["BIN", "LeakyTraining"]

#: Bin width of entropies, over the layers' scale m^{−1/2}: a tenth of the smallest slope asked about times that scale.
BIN = 0.01


@dataclasses.dataclass(frozen=True)
class LeakyTraining:
    """SGD (Local SGD of one client) on all ten digits, the loss a sum of squares; one network a seed.

    Attributes
    ----------
    width, depth, slope
        m, the number of trained layers, and α.
    samples, tests
        Images to train on and to test on, drawn once from ``data_seed``.
    epochs, batch_size
        Passes over the samples, one a round.
    step
        Step size over 2o/(L m batch_size), at which steps on pre-activations of size 1 are of order 1.
    profile_every
        Rounds between two looks at layers and accuracies.
    target_scale
        Multiplies what is trained on; at 0 there is nothing to fit, and the network has to fall silent.
    """

    width: int
    depth: int
    slope: float
    samples: int
    tests: int
    epochs: int
    seeds: tuple[int, ...]
    data_seed: int
    step: float = 0.5
    batch_size: int = 50
    profile_every: int = 2
    target_scale: float = 1.0

    @property
    def parameters(self) -> int:
        """Number of trained weights."""
        return self.depth * self.width**2

    def compute(self) -> xr.Dataset:
        """By seed and round: entropy and share of pre-activations below 0 by layer h_0 … h_L; loss, accuracies.

        ``entropy`` is that of bins of one width, ``narrowing_entropy`` that of bins that narrow with the slope.
        """
        train, test = _digits(self.data_seed, self.samples, self.tests)
        nets = [self._network(seed) for seed in self.seeds]
        profile = _Profile(self.profile_every, train, test, len(nets))
        config = local_sgd.LocalSGD(
            self.step * 2 * 10 / (self.depth * self.width * self.batch_size),
            len(train.inputs) // self.batch_size,
            self.epochs,
            self.batch_size,
        )
        fitted = dataclasses.replace(train, targets=train.targets * self.target_scale)
        whole = clients.iid(jax.random.key(0), fitted, 1)
        keys = [stream(seed, "batches") for seed in self.seeds]
        runs = local_sgd.run_seeds(nets, fitted, whole, config, keys=keys, stop=profile)
        if diverged := [run.diverged_at for run in runs if run.diverged_at is not None]:
            raise InputError(f"step is {self.step:g}, needs to be smaller: a run diverged at round {diverged[0]}.")
        losses = np.stack([run.trajectory.loss.values[profile.rounds] for run in runs])
        by_round = {name: (("seed", "round"), np.array(values)) for name, values in profile.scores.items()}
        by_layer = {name: (("seed", "round", "layer"), np.array(values)) for name, values in profile.layers.items()}
        return xr.Dataset(
            by_round | by_layer | {"loss": (("seed", "round"), losses)},
            {"seed": list(self.seeds), "round": profile.rounds, "layer": np.arange(self.depth + 1)},
        )

    def _network(self, seed: int) -> Stack:
        key, sigma = jax.random.key(seed), LeakyReLU(self.slope)
        width, depth = self.width, self.depth
        return deep(key, width=width, depth=depth, input_dim=64, output_dim=10, activation=sigma, dtype=np.float32)


class _Profile:
    """Asked by a run every few rounds, looks at the network and lets it go on."""

    def __init__(self, every: int, train: Dataset, test: Dataset, number: int) -> None:
        self.every, self.train, self.test = every, train, test
        self.rounds: list[int] = []
        self.layers: dict[str, list[list[list[float]]]] = {
            name: [[] for _ in range(number)] for name in ("entropy", "narrowing_entropy", "below")
        }
        self.scores: dict[str, list[list[float]]] = {name: [[] for _ in range(number)] for name in ("train", "test")}

    def __call__(self, checkpoint: Checkpoint) -> bool:
        """False."""
        net, place = checkpoint.network, checkpoint.index
        assert isinstance(net, Stack)
        assert isinstance(net.activation, LeakyReLU)
        if place == 0:
            self.rounds.append(checkpoint.round)
        width, narrowing = (size * net.width**-0.5 for size in (BIN, max(net.activation.negative_slope, BIN) * BIN))
        hidden, before = _layers(net, self.train.inputs)
        self.layers["entropy"][place].append([binned_entropy(h, width) for h in hidden])
        self.layers["narrowing_entropy"][place].append([binned_entropy(h, narrowing) for h in hidden])
        self.layers["below"][place].append([float((z < 0).mean()) for z in before])
        for name, data in (("train", self.train), ("test", self.test)):
            guesses = np.argmax(np.asarray(net(data.inputs)), axis=1)
            self.scores[name][place].append(float((guesses == np.argmax(data.targets, axis=1)).mean()))
        return False


def _layers(net: Stack, x: Float[ndarray, "n d"]) -> tuple[list[Array], list[Array]]:
    """h_0 … h_L and the pre-activations that they come from."""
    assert net.input_weights is not None
    hidden, before = net.layers(x)
    return list(hidden), [jnp.asarray(x, net.dtype) @ net.input_weights.T, *before]


@functools.cache
def _digits(seed: int, samples: int, tests: int) -> tuple[Dataset, Dataset]:
    whole = datasets.digits(samples + tests, key=jax.random.key(seed))
    parts = (slice(0, samples), slice(samples, None))
    train, test = (datasets.from_arrays(whole.inputs[p], whole.targets[p], name="digits") for p in parts)
    return train, test
