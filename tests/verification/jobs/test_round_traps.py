"""Planted rounds and jumps: they keep what is proved, and not what is proved with a step left out."""

import pytest

from ntk_localsgd.certificate.two_layer.envelope import envelope
from verification.jobs.round_traps import LEFT_OUT, Jumps, PlantedRounds


@pytest.mark.parametrize("rule", ["smaller", "gap", "quotient"])
def test_planted_rounds_keep_the_row_inequality(rule):
    assert PlantedRounds(40, None, rule).compute().excess.max() <= 1e-12


@pytest.mark.parametrize("step", LEFT_OUT)
def test_without_a_step_some_do_not(step):
    assert PlantedRounds(60, step).compute().excess.max() > 1e-3


@pytest.mark.parametrize(("mean", "worst"), [(0.9, 1.5), (0.99, 1.01), (0.5, 4.0)])
def test_jumps_exceed_the_envelope_with_the_probability_of_the_first_row_of_jumps_above_it(mean, worst):
    probability = float(Jumps(mean, worst, 0.05).compute().probability)
    assert probability <= 0.05
    held, k = envelope(mean, worst, 0.05), 1
    while worst**k <= held.factor * held.rate**k:
        k += 1
    assert probability == pytest.approx((mean / worst) ** k)
    assert float(Jumps(mean, worst, 0.05, chances=False).compute().probability) == pytest.approx(mean / worst)
