"""Runs that figures show and no claim is decided by: certificates along a run, spectra, loss curves by split."""

import dataclasses

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from numpy import ndarray

from ntk_localsgd import certificate, clients, kernels, local_sgd, prediction
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from verification.runs import RunSpec, gram_of, residual_of

__all__ = ["CertifiedRun", "CurveRun", "InitialGrams", "SpectrumRun"]


# Share of the residual's norm at the start below which float64 leaves a certificate too few digits.
_FLOOR = 1e-9


@dataclasses.dataclass(frozen=True)
class CertifiedRun(RunSpec):
    """Local GD with an attempt at a certificate every ``certify_every`` rounds."""

    certify_every: int = 10

    def compute(self, dataset: Dataset, split: Clients) -> xr.Dataset:
        """Residual norms [seed round]; certified 1, not 0, not tried −1, and rate [seed attempt]; B's rate [seed]."""
        attempts = np.arange(0, self.num_rounds + 1, self.certify_every)
        norms, certified, rates, kernel_rates = [], [], [], []
        for seed in self.seeds:
            net = self.network(seed, dataset)
            found: list[tuple[int, float]] = []
            stop = _Attempts(self.certify_every, float(np.linalg.norm(residual_of(net, dataset))), found)
            run = local_sgd.run(net, dataset, split, self.config, stop=stop)
            norms.append(np.sqrt(2 * run.trajectory.loss.values))
            certified.append([holds for holds, _ in found])
            rates.append([rate for _, rate in found])
            kernel_rates.append(_rate(self, gram_of(run.network, dataset), split))
        return xr.Dataset(
            {
                "residual_norm": (("seed", "round"), np.array(norms, np.float64)),
                "certified": (("seed", "attempt"), np.array(certified, np.int8)),
                "certified_rate": (("seed", "attempt"), np.array(rates)),
                "kernel_rate": (("seed",), np.array(kernel_rates)),
            },
            {"seed": np.array(self.seeds), "round": np.arange(self.num_rounds + 1), "attempt": attempts},
        )


@dataclasses.dataclass
class _Attempts:
    """A ``stop`` that never stops: it notes whether the run is certified from here on (1, 0), and the rate reached.

    Where the residual has fallen to a share of `_FLOOR`, rounding has the say; −1 says that nothing was tried.
    """

    every: int
    start: float
    found: list[tuple[int, float]]

    def __call__(self, checkpoint: local_sgd.Checkpoint) -> bool:
        config = checkpoint.config
        if np.linalg.norm(residual_of(checkpoint.network, checkpoint.dataset)) < _FLOOR * self.start:
            self.found.append((-1, np.inf))
            return False
        try:
            proof = certificate.certify(
                checkpoint.network, checkpoint.dataset, checkpoint.clients, config, method="path", estimate=False
            )
            self.found.append((int(proof.certified), proof.rate))
        except InputError:  # the Gram matrix may be outside the theorem's range for a while
            self.found.append((0, np.inf))
        return False


@dataclasses.dataclass(frozen=True)
class SpectrumRun(RunSpec):
    """Local GD with the Gram matrix's eigenvalues at its start and end, and λ_min enclosed along the way."""

    def compute(self, dataset: Dataset, split: Clients) -> xr.Dataset:
        """Enclosures [seed gram_round bound]; eigenvalues in ascending order [seed when eigenvalue]."""
        smallest, spectra = [], []
        for seed in self.seeds:
            net = self.network(seed, dataset)
            run = local_sgd.run(net, dataset, split, self.config, observe=("smallest_eigenvalue",),
                                gram_every=self.gram_every)  # fmt: skip
            smallest.append(run.trajectory.smallest_eigenvalue.values)
            spectra.append([np.linalg.eigvalsh(gram_of(at, dataset)) for at in (net, run.network)])
        return xr.Dataset(
            {
                "smallest_eigenvalue": (("seed", "gram_round", "bound"), np.array(smallest)),
                "eigenvalues": (("seed", "when", "eigenvalue"), np.array(spectra)),
            },
            {"seed": np.array(self.seeds), "when": ["start", "end"], "bound": ["lower", "upper"],
             "gram_round": np.arange(0, self.num_rounds + 1, self.gram_every)},
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class InitialGrams(RunSpec):
    """Gram matrices at initialization; clients, steps and rounds have no meaning here."""

    def compute(self, dataset: Dataset, split: Clients) -> xr.Dataset:  # noqa: ARG002 (all runs have the same interface)
        """‖H(0) − H^∞‖_F and λ0 − λ_min(H(0)), in float64 and not enclosed, [seed]."""
        infinite = kernels.infinite_gram(dataset.inputs)
        grams = [gram_of(self.network(seed, dataset), dataset) for seed in self.seeds]
        distances = [np.linalg.norm(gram - infinite) for gram in grams]
        lambda0 = np.linalg.eigvalsh(infinite)[0]
        return xr.Dataset(
            {
                "distance": (("seed",), np.array(distances)),
                "drop": (("seed",), np.array([lambda0 - np.linalg.eigvalsh(gram)[0] for gram in grams])),
            },
            {"seed": np.array(self.seeds)},
        )


@dataclasses.dataclass(frozen=True)
class CurveRun(RunSpec):
    """Local GD or Local SGD on a split of its own, beside its kernel-regime prediction.

    ``scheme`` is "by_label" (the problem's own split), "iid" or "dirichlet", the last with a split for every seed;
    ``batch_size`` 0 means all samples of a client.
    """

    scheme: str = "by_label"
    concentration: float = 1.0

    def compute(self, dataset: Dataset, split: Clients) -> xr.Dataset:
        """Trained and predicted loss [seed round], residual at the end [seed sample], rate and size by split [seed].

        Predicted from the network's own Gram matrix at its start, for minibatches in expectation over batches;
        ``kernel_rate`` is the spectral radius of the round operator B, full batches.
        """
        parts: dict[str, list[Array | ndarray]] = {
            name: [] for name in ("loss", "predicted_loss", "residual", "kernel_rate", "largest_client")
        }
        for seed in self.seeds:
            net, key = self.network(seed, dataset), jax.random.key(seed)
            own = self._split(dataset, split, key)
            gram, start = gram_of(net, dataset), residual_of(net, dataset)
            run = local_sgd.run(net, dataset, own, self.config,
                                key=key if self.batch_size else None)  # fmt: skip
            losses = run.trajectory.loss.reindex(round=np.arange(self.num_rounds + 1), fill_value=np.inf)
            parts["loss"].append(losses.values.astype(np.float64))
            parts["predicted_loss"].append(_predicted(self, gram, own, start))
            parts["residual"].append(residual_of(run.network, dataset))
            parts["kernel_rate"].append(np.array(_rate(self, gram, own)))
            parts["largest_client"].append(np.array(max(own.sizes)))
        dims = {"loss": ("seed", "round"), "predicted_loss": ("seed", "round"), "residual": ("seed", "sample")}
        return xr.Dataset(
            {name: (dims.get(name, ("seed",)), np.stack(values)) for name, values in parts.items()},
            {"seed": np.array(self.seeds), "round": np.arange(self.num_rounds + 1)},
        )

    def _split(self, dataset: Dataset, by_label: Clients, key: Array) -> Clients:
        if self.scheme == "iid":
            return clients.iid(jax.random.key(self.data_seed), dataset, self.num_clients)
        if self.scheme == "dirichlet":
            return clients.dirichlet(key, dataset, self.num_clients, concentration=self.concentration)
        if self.scheme == "by_label":
            return by_label
        raise InputError(f"scheme is {self.scheme!r}, needs to be by_label, iid or dirichlet.")


def _rate(spec: RunSpec, gram: ndarray, split: Clients) -> float:
    return prediction.contraction(gram, split, dataclasses.replace(spec.config, batch_size=None)).asymptotic_rate


def _predicted(spec: CurveRun, gram: ndarray, split: Clients, start: ndarray) -> Float[ndarray, "rounds+1"]:
    """Losses by round, ½ E ‖r̂(t)‖²."""
    if spec.batch_size:
        return prediction.local_sgd_second_moment(gram, split, start, spec.config) / 2
    return (prediction.local_gd(gram, split, start, spec.config) ** 2).sum(axis=1) / 2
