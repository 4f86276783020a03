"""Certify deep networks: their (sample, output) pairs, what is refused, and the residual that would do."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.certificate.deep.closing import certify_deep
from ntk_localsgd.certificate.deep.frozen import Weights
from ntk_localsgd.certificate.deep.steps import PROVED, DeepSteps
from ntk_localsgd.certificate.model import Rounds, Unsuitable
from ntk_localsgd.certificate.outcome import SHARES, Certificate, Conclusion, Obstacle, no_proof
from ntk_localsgd.certificate.refusal import check_range, check_weights, refusal
from ntk_localsgd.certificate.rounding import euclidean_norm
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.config import LocalSGD
from ntk_localsgd.networks.activations import RELU
from ntk_localsgd.networks.stack import Stack
from ntk_localsgd.rounding import UNIT

__all__ = ["DeepCertifier", "is_deep"]


def is_deep(stack: Stack) -> bool:
    """Whether the argument speaks of this network: ReLU, no residual connections, no factor m^{-1/2}."""
    return stack.activation == RELU and not stack.residual and not stack.divided


class DeepCertifier:
    """The network and its data in float64, one row a (sample, output): they share h, z and patterns, not V's row."""

    def __init__(
        self, stack: Stack, dataset: Dataset, clients: Clients, config: LocalSGD, steps: DeepSteps = PROVED
    ) -> None:
        first = None if stack.input_weights is None else real_array("net's weights", stack.input_weights, ndim=2)
        hidden = [real_array("net's weights", w, ndim=2) for w in stack.hidden_weights]
        outputs = np.atleast_2d(real_array("net's weights", stack.output_weights, ndim=(1, 2)))
        check_weights(*hidden, outputs, *([] if first is None else [first]))
        targets = np.asarray(dataset.targets, np.float64).reshape(dataset.num_samples, -1)
        if targets.shape[1] != len(outputs):
            raise InputError(
                f"dataset has {targets.shape[1]} targets a row, but the network has {len(outputs)} outputs."
            )
        number = np.arange(len(outputs))
        pairs = [(part[:, None] * len(outputs) + number).ravel() for part in clients.indices]
        self.rounds = Rounds.of(Clients(tuple(pairs)), config)
        self.inputs = np.repeat(np.asarray(dataset.inputs, np.float64), len(outputs), axis=0)
        self.targets, self.dataset, self.steps, self.outputs = targets.ravel(), dataset, steps, len(outputs)
        rows = np.tile(outputs, (dataset.num_samples, 1))
        self.frozen = steps.frozen(Weights.of(first, tuple(hidden), rows), self.inputs)

    def run(self, *, estimate: bool) -> Certificate:
        """The certificate; ``estimate``: the share of the residual that would do, if this one does not."""
        frozen, width = self.frozen, self.frozen.pre.shape[2]
        residual = frozen.outputs - self.targets
        norm = euclidean_norm(residual)
        if norm > 0:
            check_range(norm)
        try:
            end = self._conclude(self.targets)
        except Unsuitable as error:
            raise InputError(refusal(frozen.gram, self.rounds, self.dataset, str(error))) from error
        if not end.certified and estimate and end.obstacle is not Obstacle.ARRIVED:
            end = end._replace(residual_share=self._share(residual))
        # A sum of m products is off by less than √m·u of their size; n outputs, and room for steps not yet contracted.
        size = float((np.abs(frozen.hidden[-1]) * np.abs(frozen.weights.outputs)).sum(axis=1).max())
        floor = 8 * UNIT * frozen.depth * np.sqrt(width) * size * len(residual)
        end = end._replace(switching=self._by_sample(end))
        return Certificate.of(end, residual_norm=norm, width=width, rounding_floor=floor)

    def _conclude(self, targets: Float[ndarray, " N"]) -> Conclusion:
        if not euclidean_norm(self.frozen.outputs - targets) > 0:
            return no_proof("path", Obstacle.ARRIVED, "the residual is rounding noise: the run has arrived")
        return certify_deep(self.frozen.weights, self.inputs, targets, self.rounds, self.steps, self.frozen)

    def _share(self, residual: Float[ndarray, " N"]) -> float:
        """The largest power of ¼ of the residual with which these weights would be certified; 0 if none was."""
        shares = (s for s in SHARES if self._conclude(self.frozen.outputs - s * residual).certified)
        return next(shares, 0.0)

    def _by_sample(self, end: Conclusion) -> ndarray:
        """(sample, layer, neuron) of the (pair, layer, neuron) that may switch."""
        pairs = end.switching if end.certified else np.zeros((0, 3), np.int64)
        return np.unique(np.column_stack([pairs[:, 0] // self.outputs, pairs[:, 1:]]), axis=0)
