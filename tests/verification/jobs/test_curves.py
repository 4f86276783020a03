"""What figures show of runs: each column beside its definition in NumPy."""

import dataclasses

import numpy as np
import pytest

from ntk_localsgd import kernels
from verification.data import Source
from verification.jobs.curves import Curve, InitialGrams, Spectrum
from verification.jobs.training import Training, residual_of

TRAINING = Training(Source("sphere", 4, 0), 2, 16, 0.5, 2, 3, seeds=(0, 1), dtype="float64")
X = TRAINING.dataset.inputs


def _gram(seed):
    active = (X @ np.asarray(TRAINING.network(seed).weights).T >= 0).astype(float)
    return (X @ X.T) * (active @ active.T) / TRAINING.width


@pytest.mark.parametrize("batch_size", [None, 1])
def test_a_curve_begins_where_its_prediction_does_and_ends_at_its_residual(batch_size):
    training = dataclasses.replace(TRAINING, batch_size=batch_size)
    curve = Curve(training).compute()
    start = [(residual_of(training.network(seed), training.dataset) ** 2).sum() / 2 for seed in training.seeds]
    np.testing.assert_allclose(curve.loss[:, 0], start, rtol=1e-12)
    np.testing.assert_allclose(curve.predicted_loss[:, 0], start, rtol=1e-12)
    np.testing.assert_allclose(curve.loss[:, -1], (curve.residual**2).sum("sample") / 2, rtol=1e-12)
    # The round from its definition, of full batches whatever the run's: every client's steps from unit residuals.
    for place, seed in enumerate(training.seeds):
        gram, operator = _gram(seed), np.eye(4)
        for part in training.clients.indices:
            block, local, weights = gram[np.ix_(part, part)], np.eye(4)[part], np.zeros((4, 4))
            for _ in range(training.local_steps):
                weights[part] += training.step_size * local
                local = local - training.step_size * block @ local
            operator = operator - gram @ weights / training.num_clients
        assert curve.kernel_rate[place] == pytest.approx(np.abs(np.linalg.eigvals(operator)).max(), rel=1e-9)


def test_splits_of_a_curve_s_own_are_dealt_out_anew():
    sizes = Curve(dataclasses.replace(TRAINING, num_rounds=0), "dirichlet", 0.01).compute().largest_client
    assert (sizes == 3).all()  # nearly all of one label's samples go to one client, and no client stays empty


def test_spectra_at_the_start_and_differences_from_the_limit():
    training = dataclasses.replace(TRAINING, observe=("smallest_eigenvalue",), gram_every=3)
    spectrum, initial = Spectrum(training).compute(), InitialGrams(training).compute()
    infinite = kernels.infinite_gram(X)
    for place, seed in enumerate(training.seeds):
        values = np.linalg.eigvalsh(_gram(seed))
        np.testing.assert_allclose(spectrum.eigenvalues.sel(when="start")[place], values, rtol=1e-12, atol=1e-15)
        lower, upper = spectrum.smallest_eigenvalue[place, 0].values
        assert lower - 1e-15 <= values[0] <= upper + 1e-15  # the other route rounds, too
        assert initial.distance[place] == pytest.approx(np.linalg.norm(_gram(seed) - infinite), rel=1e-12)
        assert initial["drop"][place] == pytest.approx(np.linalg.eigvalsh(infinite)[0] - values[0], abs=1e-15)
    assert (spectrum.eigenvalues.sel(when="end") != spectrum.eigenvalues.sel(when="start")).any()
