"""The smallest lazy scale at which a random network is certified, and what its certificate costs."""

import dataclasses
import math
import time
import tracemalloc

import numpy as np
import xarray as xr

from ntk_localsgd.cli.search import smallest, tries
from verification.data import Source
from verification.jobs.lazy_certificates import LazyCertificates

__all__ = ["Frontier"]

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
        rows = [self._seed(seed) for seed in self.seeds]
        names = ("scale", "below", "rate", "seconds", "mebibytes")
        return xr.Dataset(
            {name: ("seed", np.array(v, np.float64)) for name, v in zip(names, zip(*rows, strict=True), strict=True)}
        )

    def certificates(self, scale: float, seed: int) -> LazyCertificates:
        """The certificate that is asked for at one scale."""
        return LazyCertificates(self.data, self.num_clients, self.local_steps, self.width, self.depth, scale, (seed,))

    def _seed(self, seed: int) -> tuple[float, float, float, float, float]:
        def works(scale: float) -> bool:
            proof = self.certificates(scale, seed).proof(seed)
            return proof is not None and proof.certified

        tried = list(tries(works, _FIRST, most=_LAST, growth=10.0, ratio=self.ratio))
        scale = smallest(tried)
        if scale is None:
            return math.inf, _LAST, 1.0, math.nan, math.nan
        below = max((each.value for each in tried if each.value < scale), default=0.0)
        job = self.certificates(scale, seed)
        start = time.process_time()
        _, rate, _, _ = job.certify(seed)
        seconds = time.process_time() - start
        tracemalloc.start()
        try:
            job.proof(seed)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        return scale, below, rate, seconds, peak / 2**20
