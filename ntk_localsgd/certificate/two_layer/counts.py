"""How many neurons are certainly, and possibly, on for two samples, given the pairs that may change."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.certificate.two_layer.neurons import NearKinks, Survey, pattern_products

__all__ = ["Counts"]


class Counts(NamedTuple):
    """Neurons on both of two samples: certainly, c, possibly, p; and on i with (j, r) uncertain, for either sign."""

    certain: Float[ndarray, "n n"]
    possible: Float[ndarray, "n n"]
    uncertain: Float[ndarray, "n n"]

    @classmethod
    def of(cls, survey: Survey, near: NearKinks, chosen: Bool[ndarray, "N n"]) -> "Counts":
        """For the pairs ``chosen`` as uncertain; exact, as all counts are whole numbers below 2⁵³."""
        touched = chosen.any(axis=1)
        b, u, plus = near.patterns[touched], chosen[touched], near.signs[touched] > 0
        reference, on = pattern_products(b), (b | u).astype(np.float64)
        either = [(u & side[:, None]).astype(np.float64).T @ on for side in (plus, ~plus)]
        certain = survey.counts - reference + pattern_products(b & ~u)
        possible = survey.counts - reference + pattern_products(b | u)
        return cls(certain.astype(np.float64), possible.astype(np.float64), np.maximum(*either))
