"""Networks at random initialization with a lazy scale: which of them are certified, and how fast."""

import dataclasses
import time

import jax
import numpy as np
import xarray as xr

from ntk_localsgd import certificate, kernels
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD, lazy_targets
from ntk_localsgd.networks import DeepReLU, Network, TwoLayerReLU
from verification.data import Source

__all__ = ["LazyCertificates"]


@dataclasses.dataclass(frozen=True)
class LazyCertificates:
    """Certificates of f = κ(g(W) − g(W(0))), one network a seed; clients by label.

    g is a `DeepReLU`, without a ``depth`` a `TwoLayerReLU`. ``share``: η in units of 1/max_c λ_max(Θ_cc) at W(0).
    """

    data: Source
    num_clients: int
    local_steps: int
    width: int
    depth: int | None
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
        start = time.process_time()
        proof = self.proof(seed)
        seconds = time.process_time() - start
        if proof is None:
            return False, 1.0, 0, seconds
        return proof.certified, proof.rate if proof.certified else 1.0, len(proof.switching), seconds

    def proof(self, seed: int) -> certificate.Certificate | None:
        """The certificate of one network; None where the theorem does not speak of its run."""
        problem = self.data.load()
        split, d = problem.split(self.num_clients, "label"), problem.dataset.input_dim
        key = jax.random.key(seed)
        net: Network
        if self.depth is None:
            net = TwoLayerReLU.init(key, width=self.width, input_dim=d, dtype=np.float64)
        else:
            sizes = {"width": self.width, "depth": self.depth, "output_dim": problem.num_outputs}
            net = DeepReLU.init(key, input_dim=d, dtype=np.float64, **sizes)
        gram = np.asarray(kernels.empirical_gram(net, problem.inputs))
        outputs = len(gram) // problem.num_samples
        parts = [(part[:, None] * outputs + np.arange(outputs)).ravel() for part in split.indices]
        largest = max(float(np.linalg.eigvalsh(gram[np.ix_(part, part)])[-1]) for part in parts)
        config = LocalSGD(self.share / largest, self.local_steps, 0)
        try:
            data = lazy_targets(net, problem.dataset, scale=self.scale)
            return certificate.certify(net, data, split, config, estimate=False)
        except InputError:
            return None
