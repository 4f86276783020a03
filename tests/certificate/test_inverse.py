"""Θ⁻¹ and what it is off by: against ball arithmetic."""

import flint
import numpy as np
import pytest

from ntk_localsgd.certificate.inverse import Inverse
from ntk_localsgd.certificate.model import RoundModel, Rounds, Unsuitable
from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd import LocalSGD


def _model(gram):
    return RoundModel(gram, Rounds.of(Clients((np.arange(len(gram)),)), LocalSGD(0.5 / np.trace(gram), 3, 0)))


@pytest.mark.parametrize("condition", [1e2, 1e8])
def test_a_row_times_the_inverse_is_off_by_less_than_it_says(condition):
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    gram = basis * np.geomspace(1, 1 / condition, 6) @ basis.T
    inverse, row = Inverse(_model((gram + gram.T) / 2)), rng.standard_normal(6)
    flint.ctx.prec = 200
    exact = flint.arb_mat([row.tolist()]) * flint.arb_mat(inverse.model.gram.tolist()).inv()
    off = np.array([float((exact[0, k] - flint.arb(u)).mid()) for k, u in enumerate(row @ inverse.matrix)])
    assert 0 < np.linalg.norm(off) <= inverse.gap * np.linalg.norm(row)
    true = np.linalg.norm([float(exact[0, k].mid()) for k in range(6)] @ np.linalg.inv(inverse.model.root))
    bound = inverse.sensitivity(row @ inverse.matrix, np.linalg.norm(row))
    assert true <= bound <= 1.01 * true


def test_a_matrix_that_float64_cannot_invert_is_unsuitable():
    model = _model(np.diag([1.0, 0.5]))
    model.gram = np.array([[1.0, 1.0], [1.0, 1 + 2.0**-52]])
    with pytest.raises(Unsuitable, match="cannot be inverted"):
        Inverse(model)
