"""Runs beside their kernel-regime prediction, from the same network, and simulations of the prediction itself."""

import dataclasses

import jax
import numpy as np
import scipy.stats
import xarray as xr
from jaxtyping import Array, Float
from numpy import ndarray

from ntk_localsgd import kernels, local_sgd, prediction, seeds
from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.networks import Network
from ntk_localsgd.networks.frozen import FrozenPatterns
from verification.data import Source
from verification.jobs.training import Training, gram_of, residual_of, stream

__all__ = ["PREDICTORS", "MinibatchTraining", "MomentSimulation", "PredictedTraining", "simulate"]

#: The predictions that a run is compared with: by the network's own Gram matrix at its start, by the infinite one, and
#: by the first again as if clients were averaged after every local step (a control: client drift left out).
PREDICTORS = ("network", "infinite", "averaged every step")


@dataclasses.dataclass(frozen=True)
class PredictedTraining(Training):
    """Full-batch Local GD and its predictions."""

    def compute(self) -> xr.Dataset:
        """Losses and predicted losses [seed, …, round], errors ‖r − r̂‖/‖r̂‖ of the last residual [seed predictor]."""
        dataset = self.dataset
        infinite = kernels.infinite_gram(dataset.inputs)
        losses, predicted, errors = [], [], []
        for seed, run in zip(self.seeds, self.runs(), strict=True):
            net = self.network(seed)
            gram, start, end = gram_of(net, dataset), residual_of(net, dataset), residual_of(run.network, dataset)
            own, limit = (prediction.local_gd(each, self.clients, start, self.config) for each in (gram, infinite))
            paths = [own, limit, self._averaged_every_step(gram, start)]
            losses.append(run.trajectory.loss.values)
            predicted.append([(path**2).sum(axis=1) / 2 for path in paths])
            errors.append([np.linalg.norm(end - path[-1]) / np.linalg.norm(path[-1]) for path in paths])
        return xr.Dataset(
            {
                "loss": (("seed", "round"), np.array(losses, np.float64)),
                "predicted_loss": (("seed", "predictor", "round"), np.array(predicted)),
                "error": (("seed", "predictor"), np.array(errors)),
            },
            {"seed": np.array(self.seeds), "predictor": list(PREDICTORS), "round": np.arange(self.num_rounds + 1)},
        )

    def _averaged_every_step(self, gram: ndarray, start: ndarray) -> ndarray:
        """Residuals at round ends if the τ steps of a round were τ rounds of one step."""
        config = LocalSGD(self.step_size, 1, self.num_rounds * self.local_steps)
        return prediction.local_gd(gram, self.clients, start, config)[:: self.local_steps]


@dataclasses.dataclass(frozen=True)
class MinibatchTraining(Training):
    """Minibatch Local SGD, several draws of the batches a network, beside the linear recursion with the same batches.

    The linear recursion is trained as `FrozenPatterns`. Its mean over batches is known exactly, so that the mean
    difference of the two estimates how far training is from the predicted second moment, and with little noise.
    """

    batch_size: int = 1
    draws: int = 2

    def compute(self) -> xr.Dataset:
        """Trained and linear ‖r‖² at the end [seed draw], its predicted mean for b and b + 1 samples [seed], losses."""
        losses, linear, predicted = [], [], []
        for seed in self.seeds:
            net = self.network(seed)
            gram, start = gram_of(net, self.dataset), residual_of(net, self.dataset)
            losses.append(self._losses(net, seed))
            linear.append(2 * self._losses(FrozenPatterns.at(net), seed)[:, -1])
            sizes = (self.batch_size, self.batch_size + 1)
            configs = [dataclasses.replace(self.config, batch_size=size) for size in sizes]
            moments = [prediction.local_sgd_second_moment(gram, self.clients, start, each)[-1] for each in configs]
            predicted.append(moments)
        paths = np.array(losses)
        return xr.Dataset(
            {
                "trained": (("seed", "draw"), 2 * paths[:, :, -1]),
                "linear": (("seed", "draw"), np.array(linear)),
                "predicted": (("seed", "batch_size"), np.array(predicted)),
                "loss": (("seed", "round"), paths.mean(axis=1)),
            },
            {"seed": np.array(self.seeds), "batch_size": [self.batch_size, self.batch_size + 1]},
        )

    def _losses(self, net: Network, seed: int) -> Float[ndarray, "draws rounds+1"]:
        keys: list[Array] = [jax.random.fold_in(stream(seed, "batches"), draw) for draw in range(self.draws)]
        runs = local_sgd.run_seeds([net] * self.draws, self.dataset, self.clients, self.config, keys=keys)
        return np.array([run.trajectory.loss.values for run in runs], np.float64)


@dataclasses.dataclass(frozen=True)
class MomentSimulation:
    """Simulations of the linear minibatch recursion for H^∞ and r(0) = −y, beside its predicted second moment.

    Attributes
    ----------
    data, num_clients, step_size, local_steps, num_rounds, batch_size
        As in `Training`.
    simulations
        How many.
    seed
        Decides the batches.
    miss
        The chance that an exact prediction falls outside the interval of the mean in one round or more.
    """

    data: Source
    num_clients: int
    step_size: float
    local_steps: int
    num_rounds: int
    batch_size: int
    simulations: int
    seed: int
    miss: float

    def compute(self) -> xr.Dataset:
        """By round: ‖r‖² as simulated, the half-width of its interval, as predicted, and ‖E r‖² without the noise."""
        problem = self.data.load()
        split, start = problem.split(self.num_clients), -problem.dataset.targets
        config = LocalSGD(self.step_size, self.local_steps, self.num_rounds, self.batch_size)
        generator = seeds.generator(self.seed, f"C7-moment {self.data.kind}")
        squares = simulate(generator, problem.gram, split, start, config, self.simulations)
        level = scipy.stats.t.ppf(1 - self.miss / 2 / self.num_rounds, self.simulations - 1)
        curves = {
            "simulated": squares.mean(axis=1),
            "half_width": level * scipy.stats.sem(squares, axis=1),
            "predicted": prediction.local_sgd_second_moment(problem.gram, split, start, config),
            "without_noise": (prediction.local_sgd_mean(problem.gram, split, start, config) ** 2).sum(axis=1),
        }
        return xr.Dataset({name: ("round", values) for name, values in curves.items()})


def simulate(
    generator: np.random.Generator, gram: ndarray, split: Clients, start: ndarray, config: LocalSGD, number: int
) -> Float[ndarray, "rounds+1 number"]:
    """‖r(t)‖² of the minibatch recursion, written from the definition."""
    assert config.batch_size is not None
    residuals = np.tile(start, (number, 1))
    squares = [(residuals**2).sum(axis=1)]
    for _ in range(config.num_rounds):
        weights = np.zeros_like(residuals)
        for part in split.indices:
            local = residuals[:, part]
            for _ in range(config.most_steps):
                order = generator.random(local.shape).argsort(axis=1)  # a random permutation of every row
                step = config.step_size * np.where(order < config.batch_size, local, 0)
                weights[:, part] += step
                local = local - step @ gram[np.ix_(part, part)]
        residuals = residuals - weights @ gram / split.num_clients
        squares.append((residuals**2).sum(axis=1))
    return np.array(squares)
