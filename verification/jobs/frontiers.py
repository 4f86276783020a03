"""The smallest lazy scale at which a random network is certified, and what its certificate costs."""

import dataclasses
import math
import multiprocessing
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor

import jax
import numpy as np
import xarray as xr

from ntk_localsgd.cli.search import smallest, tries
from verification.data import Source
from verification.jobs.lazy_certificates import LazyCertificates

__all__ = ["Frontier", "cost"]

# Scales are looked for from here to here, by factors of ten.
_FIRST, _LAST = 1.0, 1e9


@dataclasses.dataclass(frozen=True)
class Frontier:
    """κ by bisection, one network a seed; everything else as in `LazyCertificates`.

    ``ratio``: the smallest κ that is proved is at most this many times one that is not.
    """

    data: Source
    num_clients: int
    local_steps: int
    width: int
    depth: int | None
    seeds: tuple[int, ...]
    ratio: float = 2.0

    def compute(self) -> xr.Dataset:
        """By seed: ``scale``, infinite where none is proved, and the ``rate`` that is proved there.

        ``below``, the largest κ below it that was tried and is not proved (0: none), ``seconds`` of one core and peak
        ``mebibytes`` of the certificate at that κ.
        """
        found = [self._smallest(seed) for seed in self.seeds]
        # In a process of its own: what other threads of this one do is no cost of a certificate.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            asked = [
                alone.submit(cost, self.certificates(scale, seed), seed, x64=bool(jax.config.read("jax_enable_x64")))
                for (scale, _), seed in zip(found, self.seeds, strict=True)
                if scale < math.inf
            ]
            costs = iter([future.result() for future in asked])
        nothing = (1.0, math.nan, math.nan)
        rows = [(scale, below, *(next(costs) if scale < math.inf else nothing)) for scale, below in found]
        names = ("scale", "below", "rate", "seconds", "mebibytes")
        columns = zip(names, zip(*rows, strict=True), strict=True)
        return xr.Dataset({name: ("seed", np.array(values, np.float64)) for name, values in columns})

    def certificates(self, scale: float, seed: int) -> LazyCertificates:
        """The certificate that is asked for at one scale."""
        return LazyCertificates(self.data, self.num_clients, self.local_steps, self.width, self.depth, scale, (seed,))

    def _smallest(self, seed: int) -> tuple[float, float]:
        """The smallest κ found, and the largest one below it that is not proved."""

        def works(scale: float) -> bool:
            proof = self.certificates(scale, seed).proof(seed)
            return proof is not None and proof.certified

        tried = list(tries(works, _FIRST, most=_LAST, growth=10.0, ratio=self.ratio))
        scale = smallest(tried)
        if scale is None:
            return math.inf, _LAST
        return scale, max((each.value for each in tried if each.value < scale), default=0.0)


def cost(job: LazyCertificates, seed: int, *, x64: bool) -> tuple[float, float, float]:
    """The rate that is proved; seconds of one core and peak mebibytes of the proof, everything being compiled."""
    jax.config.update("jax_enable_x64", x64)
    _, rate, _, _ = job.certify(seed)
    start = time.process_time()
    job.proof(seed)
    seconds = time.process_time() - start
    tracemalloc.start()
    try:
        job.proof(seed)
        return rate, seconds, tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
