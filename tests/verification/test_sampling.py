"""Evidence from one value a seed: which side of the bound fails, and when a control has broken."""

import jax
import numpy as np
import pytest

from ntk_localsgd.evidence import Condition, Verdict
from ntk_localsgd.networks import TwoLayerReLU
from verification.context import problem
from verification.sampling import gram_at, with_probability


def _row(failures, broken, *, at_least, trials=100):
    """Values 1 … 2 that hold and 3 that fail (with ``at_least`` their negatives), against 2, which itself holds."""
    values, control = (np.linspace(1, 2, trials) for _ in range(2))
    values[:failures], control[:broken] = 3.0, 3.0
    sign = -1 if at_least else 1
    return with_probability("X", "s", Condition("p", True), "q", sign * values, sign * 2.0, control=sign * control,
                            control_setting="c", at_least=at_least)  # fmt: skip


@pytest.mark.parametrize("at_least", [False, True])
@pytest.mark.parametrize(
    ("failures", "verdict"), [(0, Verdict.VERIFIED), (6, Verdict.INCONCLUSIVE), (12, Verdict.REFUTED)]
)
def test_values_beyond_the_bound_are_the_failures(at_least, failures, verdict):
    row = _row(failures, 100, at_least=at_least)
    assert row.verdict is verdict
    assert row.failures == failures
    assert row.trials == 100
    # Reported is the value nearest to failing, or farthest beyond.
    assert abs(row.measured) == (3.0 if failures else 2.0)


@pytest.mark.parametrize(("broken", "broke"), [(0, False), (6, False), (12, True), (100, True)])
def test_a_control_has_broken_only_when_its_whole_interval_lies_above(broken, broke):
    assert _row(0, broken, at_least=False).control.broke is broke


def test_fewer_seeds_decide_a_probability_of_one_half():
    values = np.ones(7)
    rows = [
        with_probability(
            "X", "s", Condition("p", True), "q", values, 2.0, control=3 * values, control_setting="c", **more
        )
        for more in ({}, {"delta": 0.5})
    ]
    assert [row.verdict for row in rows] == [Verdict.INCONCLUSIVE, Verdict.VERIFIED]
    assert "with probability ≥ 0.5" in rows[1].conclusion.text
    assert rows[1].control.broke


def test_gram_of_a_check_is_the_mean_over_neurons():
    made = problem("sphere", 5, 0)
    net = TwoLayerReLU.init(jax.random.key(0), width=50, input_dim=made.dataset.input_dim)
    active = (np.asarray(net.weights) @ made.inputs.T >= 0).astype(float)
    np.testing.assert_allclose(gram_at(net, made), made.inner * (active.T @ active) / 50, rtol=1e-14)
