"""Gram matrices of the neural tangent kernel, at infinite and finite width, and their smallest eigenvalue."""

from ntk_localsgd.kernels.counts import pattern_counts, pattern_gram
from ntk_localsgd.kernels.empirical import empirical_gram, empirical_grams
from ntk_localsgd.kernels.empirical_error import empirical_gram_error
from ntk_localsgd.kernels.infinite import (
    infinite_deep_gram,
    infinite_deep_gram_error,
    infinite_deep_gram_neural_tangents,
    infinite_gram,
    infinite_gram_all_layers,
    infinite_gram_error,
    infinite_gram_neural_tangents,
)
from ntk_localsgd.kernels.inverse_form import inverse_quadratic_form
from ntk_localsgd.kernels.outputs import as_matrix
from ntk_localsgd.kernels.projections import Projections, projections
from ntk_localsgd.kernels.spectrum import Enclosure, smallest_eigenvalue, spectral_norm

__all__ = [
    "Enclosure",
    "Projections",
    "as_matrix",
    "empirical_gram",
    "empirical_gram_error",
    "empirical_grams",
    "infinite_deep_gram",
    "infinite_deep_gram_error",
    "infinite_deep_gram_neural_tangents",
    "infinite_gram",
    "infinite_gram_all_layers",
    "infinite_gram_error",
    "infinite_gram_neural_tangents",
    "inverse_quadratic_form",
    "pattern_counts",
    "pattern_gram",
    "projections",
    "smallest_eigenvalue",
    "spectral_norm",
]
