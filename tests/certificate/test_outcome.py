"""A certificate in words."""

import dataclasses

import numpy as np
import pytest

from ntk_localsgd.certificate.outcome import Certificate, failure

PROOF = Certificate(True, 0.25, 3.0, 0.5, 0.75, 7.0, "", 100.0, 7.0, "ball", 1e-12, np.zeros((0, 2), int))


def test_a_proof_names_constant_rate_residual_and_radius_each_in_its_place():
    assert str(PROOF) == "certified (ball): ‖r(t)‖ ≤ 3 · 0.25^t · 7, no neuron moves by more than 0.5"


@pytest.mark.parametrize("known", [True, False])
def test_a_failure_says_what_would_do_where_it_is_known(known):
    proof = failure("path", "too narrow")
    if known:
        proof = dataclasses.replace(proof, width_estimate=3000.0, residual_estimate=0.5)
    hint = "; a width of roughly 3e+03 or a residual of 0.5 would do" if known else ""
    assert str(proof) == f"not certified (path): too narrow{hint}"
    assert not proof.certified
