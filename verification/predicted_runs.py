"""Runs beside their kernel-regime prediction, from the same network: what C7 and its figure read."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from ntk_localsgd import kernels, local_sgd, prediction
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.networks import TwoLayerReLU, matmul
from verification.runs import RunSpec, gram_of, residual_of

__all__ = ["PREDICTORS", "FrozenPatterns", "MinibatchRuns", "PredictedRun"]

#: The predictions that a run is compared with: by the network's own Gram matrix at its start, by the infinite one, and
#: by the first again as if clients were averaged after every local step (a control: client drift left out).
PREDICTORS = ("network", "infinite", "averaged every step")


@dataclasses.dataclass(frozen=True)
class PredictedRun(RunSpec):
    """Full-batch Local GD and its predictions."""

    def compute(self, dataset: Dataset, split: Clients) -> xr.Dataset:
        """Losses and predicted losses [seed, …, round], errors ‖r − r̂‖/‖r̂‖ of the last residual [seed predictor]."""
        infinite = kernels.infinite_gram(dataset.inputs)
        losses, predicted, errors = [], [], []
        for seed in self.seeds:
            net = self.network(seed, dataset)
            gram, start = gram_of(net, dataset), residual_of(net, dataset)
            run = local_sgd.run(net, dataset, split, self.config)
            end = residual_of(run.network, dataset)
            paths = [_predict(self, gram, split, start), _predict(self, infinite, split, start),
                     _averaged_every_step(self, gram, split, start)]  # fmt: skip
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


@dataclasses.dataclass(frozen=True)
class MinibatchRuns(RunSpec):
    """Minibatch Local SGD, several draws of the batches a network, beside the linear recursion with the same batches.

    The linear recursion is trained as `FrozenPatterns`. Its mean over batches is known exactly, so that the mean
    difference of the two estimates how far training is from the predicted second moment, and with little noise.
    """

    batch_size: int = 1
    draws: int = 2

    def compute(self, dataset: Dataset, split: Clients) -> xr.Dataset:
        """‖r‖² at the end, trained and linear [seed draw], and its predicted mean for b and b + 1 samples [seed]."""
        squares, predicted = [], []
        for seed in self.seeds:
            net = self.network(seed, dataset)
            gram, start = gram_of(net, dataset), residual_of(net, dataset)
            keys = [jax.random.fold_in(jax.random.key(seed), draw) for draw in range(self.draws)]
            assert isinstance(net, TwoLayerReLU)
            pair = (net, FrozenPatterns(net.weights, net.signs, net.weights))
            squares.append([[_last_square(self, trained, dataset, split, key) for key in keys] for trained in pair])
            predicted.append([_moment(self, gram, split, start, self.batch_size + more) for more in (0, 1)])
        trained, linear = np.array(squares).transpose(1, 0, 2)
        return xr.Dataset(
            {
                "trained": (("seed", "draw"), trained),
                "linear": (("seed", "draw"), linear),
                "predicted": (("seed", "batch_size"), np.array(predicted)),
            },
            {"seed": np.array(self.seeds), "batch_size": [self.batch_size, self.batch_size + 1]},
        )


class FrozenPatterns(eqx.Module):
    """The two-layer network whose activation patterns stay those of ``initial``: linear in W, its Gram matrix fixed.

    At W = ``initial`` it has the outputs and the gradients of `TwoLayerReLU`; trained by Local SGD it follows the
    kernel-regime recursion exactly, at every width.
    """

    weights: Float[Array, "m d"]
    signs: Float[Array, " m"]
    initial: Float[Array, "m d"]

    @property
    def input_dim(self) -> int:
        """Number of inputs d."""
        return self.weights.shape[1]

    @property
    def output_dim(self) -> int:
        """Number of outputs o = 1."""
        return 1

    @property
    def trained(self) -> tuple[Float[Array, "m d"], ...]:
        """The trained weights: (W,)."""
        return (self.weights,)

    def with_trained(self, trained: tuple[Array, ...]) -> "FrozenPatterns":
        """The same network with W replaced."""
        (weights,) = trained
        return FrozenPatterns(weights, self.signs, self.initial)

    def activation_patterns(self, x: Any) -> tuple[Array, ...]:
        """1{w_r(0)·x_i ≥ 0}, whatever W is."""
        return (matmul(jnp.asarray(x, self.weights.dtype), self.initial.T) >= 0,)

    def __call__(self, x: Any) -> Float[Array, " n"]:
        """m^{-1/2} Σ_r a_r 1{w_r(0)·x ≥ 0} w_r·x, [n]."""
        (active,) = self.activation_patterns(x)
        z = matmul(jnp.asarray(x, self.weights.dtype), self.weights.T)
        return matmul(jnp.where(active, z, 0), self.signs) / jnp.sqrt(jnp.asarray(len(self.signs), z.dtype))


def _predict(spec: RunSpec, gram: np.ndarray, split: Clients, start: np.ndarray) -> np.ndarray:
    return prediction.local_gd(gram, split, start, spec.config)


def _averaged_every_step(spec: RunSpec, gram: np.ndarray, split: Clients, start: np.ndarray) -> np.ndarray:
    """Residuals at round ends if the τ steps of a round were τ rounds of one step."""
    steps = spec.num_rounds * spec.local_steps
    path = prediction.local_gd(gram, split, start, local_sgd.LocalSGD(spec.step_size, 1, steps))
    return path[:: spec.local_steps]


def _moment(spec: RunSpec, gram: np.ndarray, split: Clients, start: np.ndarray, batch_size: int) -> float:
    config = dataclasses.replace(spec.config, batch_size=batch_size)
    moments = prediction.local_sgd_second_moment(gram, split, start, config)
    return float(moments[-1])


def _last_square(spec: MinibatchRuns, net: Any, dataset: Dataset, split: Clients, key: Array) -> float:
    run = local_sgd.run(net, dataset, split, spec.config, key=key)
    return 2 * float(run.trajectory.loss.values[-1])
