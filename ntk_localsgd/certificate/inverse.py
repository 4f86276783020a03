"""Θ^{-1} as far as float64 knows it."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.certificate.model import RoundModel, Unsuitable
from ntk_localsgd.certificate.rounding import spectral_norm
from ntk_localsgd.rounding import SLACK, UNIT

__all__ = ["Inverse"]


class Inverse:
    """``matrix`` ≈ Θ^{-1}, and ``gap`` ≥ ‖fl(v·matrix) − vΘ^{-1}‖₂/‖v‖₂ for every row v.

    Raises
    ------
    Unsuitable
        If Θ cannot be inverted in float64.
    """

    def __init__(self, model: RoundModel) -> None:
        inverse = np.linalg.inv(model.gram)
        self.model, self.matrix = model, (inverse + inverse.T) / 2
        size, n = spectral_norm(self.matrix), len(inverse)
        product_error = 2 * n**2 * UNIT * size * spectral_norm(model.gram)
        gap = spectral_norm(np.eye(n) - self.matrix @ model.gram) + product_error
        if gap >= 0.5:
            raise Unsuitable("the Gram matrix cannot be inverted in float64")
        # The last term: rounding of a row times the matrix.
        self.gap = (size * gap / (1 - gap) + 2 * n**1.5 * UNIT * size) * SLACK

    def sensitivity(self, u: Float[ndarray, "... n"], size: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
        """≥ ‖vΘ^{-1}D^{-1}‖₂ for u = fl(v·matrix) and ‖v‖₂ ≤ ``size``."""
        model = self.model
        gap = size * self.gap + 2 * (model.pad + model.root_gap) * np.linalg.norm(u, axis=-1)
        return (np.linalg.norm(u @ model.inverse_root, axis=-1) + gap * model.inverse_norm) * SLACK
