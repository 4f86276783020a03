"""Deep networks at random initialization with a lazy scale: which of them are certified, and how fast."""

import dataclasses
import time

import jax
import numpy as np
import xarray as xr

from ntk_localsgd import certificate
from ntk_localsgd.certificate.deep.certifier import DeepCertifier
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD, lazy_targets
from ntk_localsgd.networks import DeepReLU
from verification.data import Source

__all__ = ["LazyCertificates"]


@dataclasses.dataclass(frozen=True)
class LazyCertificates:
    """Certificates of f = κ(g(W) − g(W(0))), g a `DeepReLU`, one network a seed; clients by label.

    ``share``: η in units of 1/max_c λ_max(Θ_cc) at W(0).
    """

    data: Source
    num_clients: int
    local_steps: int
    width: int
    depth: int
    scale: float
    seeds: tuple[int, ...]
    share: float = 0.9

    def compute(self) -> xr.Dataset:
        """By seed: ``certified``, the ``rate`` (1 where nothing is certified), ``switching`` triples, ``seconds``."""
        columns = zip(*(self.certify(seed) for seed in self.seeds), strict=True)
        named = zip(("certified", "rate", "switching", "seconds"), columns, strict=True)
        return xr.Dataset({name: ("seed", np.array(values, np.float64)) for name, values in named})

    def certify(self, seed: int) -> tuple[bool, float, int, float]:
        """One network."""
        problem, start = self.data.load(), time.process_time()
        split = problem.split(self.num_clients, "label")
        sizes = {"width": self.width, "depth": self.depth, "input_dim": problem.dataset.input_dim}
        net = DeepReLU.init(jax.random.key(seed), **sizes, output_dim=problem.num_outputs, dtype=np.float64)
        data = lazy_targets(net, problem.dataset, scale=self.scale)
        # Any step size shows Θ.
        shown = DeepCertifier(net, data, split, LocalSGD(1.0, self.local_steps, 0))
        gram, parts = shown.frozen.gram, shown.rounds.clients.indices
        largest = max(float(np.linalg.eigvalsh(gram[np.ix_(part, part)])[-1]) for part in parts)
        config = LocalSGD(self.share / largest, self.local_steps, 0)
        try:
            proof = certificate.certify(net, data, split, config, estimate=False)
        except InputError:  # the theorem does not speak of this run
            return False, 1.0, 0, time.process_time() - start
        rate = proof.rate if proof.certified else 1.0
        return proof.certified, rate, len(proof.switching), time.process_time() - start
