"""A certificate in words."""

import pytest

from ntk_localsgd.certificate.outcome import Certificate, Conclusion, Obstacle, no_proof

_HERE = {"residual_norm": 7.0, "width": 100, "rounding_floor": 1e-12}
PROOF = Certificate.of(Conclusion("ball", 0.25, 3.0, 0.5, 0.75), **_HERE)


def test_a_proof_names_constant_rate_residual_and_radius_each_in_its_place():
    assert str(PROOF) == "certified (ball): ‖r(t)‖ ≤ 3 · 0.25^t · 7, no neuron moves by more than 0.5"


@pytest.mark.parametrize("known", [True, False])
def test_a_failure_says_what_would_do_where_it_is_known(known):
    end = no_proof("path", Obstacle.PATTERNS, "too narrow", share=0.25 if known else 0.0)
    proof = Certificate.of(end, **_HERE)
    hint = "; a width of roughly 2e+03 or a residual of 2 would do" if known else ""
    assert str(proof) == f"not certified (path): too narrow{hint}"
    assert not proof.certified
    assert proof.obstacle is Obstacle.PATTERNS
