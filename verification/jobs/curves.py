"""What figures show of runs besides their trajectories: predicted curves, spectra, certificates along the way."""

import dataclasses
from typing import Literal

import numpy as np
import xarray as xr
from numpy import ndarray

from ntk_localsgd import certificate, clients, kernels, local_sgd, prediction
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from verification.jobs.training import Training, gram_of, residual_of, stream

__all__ = ["CertifiedCurve", "Curve", "InitialGrams", "Scheme", "Spectrum"]

#: How clients share the samples: as the training says, at random, or by a Dirichlet law.
Scheme = Literal["training", "iid", "dirichlet"]

# Share of the residual's norm at the start below which float64 leaves a certificate too few digits.
_FLOOR = 1e-9


@dataclasses.dataclass(frozen=True)
class Curve:
    """Local GD or Local SGD on a split of its own, beside its kernel-regime prediction.

    ``scheme`` "training" is the training's own split; "iid" and "dirichlet" deal the samples out anew, the latter once
    a seed.
    """

    training: Training
    scheme: Scheme = "training"
    concentration: float = 1.0

    def compute(self) -> xr.Dataset:
        """Trained and predicted loss [seed round], residual at the end [seed sample], rate and size by split [seed].

        Predicted from the network's own Gram matrix at its start, for minibatches in expectation over batches;
        ``kernel_rate`` is the spectral radius of the round operator B, full batches.
        """
        training, dims = self.training, {"loss": ("round",), "predicted_loss": ("round",), "residual": ("sample",)}
        curves = [self._of(seed) for seed in training.seeds]
        values = {name: np.stack([curve[name] for curve in curves]) for name in curves[0]}
        return xr.Dataset(
            {name: (("seed", *dims.get(name, ())), value) for name, value in values.items()},
            {"seed": np.array(training.seeds), "round": np.arange(training.num_rounds + 1)},
        )

    def _of(self, seed: int) -> dict[str, ndarray]:
        """One seed's."""
        training, dataset = self.training, self.training.dataset
        net, split, config = training.network(seed), self._split(seed), training.config
        gram, start = gram_of(net, dataset), residual_of(net, dataset)
        run = local_sgd.run(net, dataset, split, config, key=training.batch_key(seed))
        losses = run.trajectory.loss.reindex(round=np.arange(training.num_rounds + 1), fill_value=np.inf)
        full = dataclasses.replace(config, batch_size=None)
        if config.batch_size:
            predicted = prediction.local_sgd_second_moment(gram, split, start, config) / 2
        else:
            predicted = (prediction.local_gd(gram, split, start, config) ** 2).sum(axis=1) / 2
        return {
            "loss": losses.values.astype(np.float64),
            "predicted_loss": predicted,
            "residual": residual_of(run.network, dataset),
            "kernel_rate": np.array(prediction.contraction(gram, split, full).asymptotic_rate),
            "largest_client": np.array(max(split.sizes)),
        }

    def _split(self, seed: int) -> Clients:
        training = self.training
        if self.scheme == "iid":
            return clients.iid(stream(training.data.seed, "iid"), training.dataset, training.num_clients)
        if self.scheme == "dirichlet":
            concentration = self.concentration
            return clients.dirichlet(
                stream(seed, "dirichlet"), training.dataset, training.num_clients, concentration=concentration
            )
        return training.clients


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Local GD with the Gram matrix's eigenvalues at its start and end, and λ_min enclosed along the way."""

    training: Training

    def compute(self) -> xr.Dataset:
        """Enclosures [seed gram_round bound]; eigenvalues in ascending order [seed when eigenvalue]."""
        training, dataset = self.training, self.training.dataset
        runs = list(training.runs())
        starts = (training.network(seed) for seed in training.seeds)
        spectra = [
            [np.linalg.eigvalsh(gram_of(net, dataset)) for net in (start, run.network)]
            for start, run in zip(starts, runs, strict=True)
        ]
        smallest = [run.trajectory.smallest_eigenvalue.values for run in runs]
        return xr.Dataset(
            {
                "smallest_eigenvalue": (("seed", "gram_round", "bound"), np.array(smallest)),
                "eigenvalues": (("seed", "when", "eigenvalue"), np.array(spectra)),
            },
            {
                "seed": np.array(training.seeds),
                "when": ["start", "end"],
                "bound": ["lower", "upper"],
                "gram_round": np.arange(0, training.num_rounds + 1, training.gram_every),
            },
        )


@dataclasses.dataclass(frozen=True)
class InitialGrams:
    """Gram matrices of a training's networks at their initialization; steps and rounds have no meaning here."""

    training: Training

    def compute(self) -> xr.Dataset:
        """‖H(0) − H^∞‖_F and λ0 − λ_min(H(0)), in float64 and not enclosed, [seed]."""
        training, dataset = self.training, self.training.dataset
        infinite = kernels.infinite_gram(dataset.inputs)
        grams = [gram_of(training.network(seed), dataset) for seed in training.seeds]
        lambda0 = np.linalg.eigvalsh(infinite)[0]
        values = {
            "distance": [np.linalg.norm(gram - infinite) for gram in grams],
            "drop": [lambda0 - np.linalg.eigvalsh(gram)[0] for gram in grams],
        }
        variables = {name: (("seed",), np.array(column)) for name, column in values.items()}
        return xr.Dataset(variables, {"seed": np.array(training.seeds)})


@dataclasses.dataclass(frozen=True)
class CertifiedCurve:
    """Local GD with an attempt at a certificate every ``every`` rounds."""

    training: Training
    every: int

    def compute(self) -> xr.Dataset:
        """Residual norms [seed round]; certified 1, not 0, not tried −1, and rate [seed attempt]; B's rate [seed]."""
        training, dataset, split = self.training, self.training.dataset, self.training.clients
        norms, attempts, kernel_rates = [], [], []
        for seed in training.seeds:
            net = training.network(seed)
            tries = _Attempts(self.every, float(np.linalg.norm(residual_of(net, dataset))))
            run = local_sgd.run(net, dataset, split, training.config, stop=tries)
            norms.append(np.sqrt(2 * run.trajectory.loss.values))
            attempts.append(tries.outcomes)
            operator = prediction.contraction(gram_of(run.network, dataset), split, training.config)
            kernel_rates.append(operator.asymptotic_rate)
        certified, rates = np.moveaxis(np.array(attempts, np.float64), 2, 0)
        return xr.Dataset(
            {
                "residual_norm": (("seed", "round"), np.array(norms, np.float64)),
                "certified": (("seed", "attempt"), certified.astype(np.int8)),
                "certified_rate": (("seed", "attempt"), rates),
                "kernel_rate": (("seed",), np.array(kernel_rates)),
            },
            {
                "seed": np.array(training.seeds),
                "round": np.arange(training.num_rounds + 1),
                "attempt": np.arange(0, training.num_rounds + 1, self.every),
            },
        )


@dataclasses.dataclass
class _Attempts:
    """A ``stop`` that never stops: it notes whether the run is certified from here on (1, 0), and the rate reached.

    Where the residual has fallen to a share of `_FLOOR`, rounding has the say; −1 says that nothing was tried.
    """

    every: int
    start: float
    outcomes: list[tuple[int, float]] = dataclasses.field(default_factory=list)

    def __call__(self, checkpoint: local_sgd.Checkpoint) -> bool:
        net, dataset = checkpoint.network, checkpoint.dataset
        if np.linalg.norm(residual_of(net, dataset)) < _FLOOR * self.start:
            self.outcomes.append((-1, np.inf))
            return False
        try:
            proof = certificate.certify(
                net, dataset, checkpoint.clients, checkpoint.config, method="path", estimate=False
            )
            self.outcomes.append((int(proof.certified), proof.rate))
        except InputError:  # the Gram matrix may be outside the theorem's range for a while
            self.outcomes.append((0, np.inf))
        return False
