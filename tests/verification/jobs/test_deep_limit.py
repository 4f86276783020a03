"""Networks whose depth grows: jobs against networks built again by hand, closed forms, autodiff and stacks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_localsgd import kernels
from ntk_localsgd.networks import Stack
from verification.data import Source
from verification.jobs.activation_domains import DomainCounts, DomainMap
from verification.jobs.deep_initialization import DeepInitialization, layers_and_gram
from verification.jobs.deep_limit import DepthTails, Law, OutputsAndWeights, ProductForms


@pytest.mark.parametrize("whole", [False, True])
def test_product_forms_are_within_rounding_and_not_those_of_other_inputs(whole):
    found = ProductForms(20, 3, whole).compute()
    assert float(found.gap.max()) <= (0 if whole else 1)
    assert float(found.elsewhere.min() if not whole else found.elsewhere.max()) > 1 or not whole
    assert (int(found.on_kinks.sum()) > 0) is whole


@pytest.mark.parametrize("law", [Law("power", 1.5, 0.3), Law("geometric", 0.7, 2.0)])
def test_laws_sum_to_what_is_shown_and_the_rest(law):
    total = float(law.values(10**6).sum()) + law.rest(10**6)
    assert float(law.values(50).sum()) + law.rest(50) == pytest.approx(total, rel=1e-9)
    assert Law("power", 1.0).rest(5) == Law("geometric", 1.0).rest(5) == np.inf
    assert (str(Law("power", 1.5)), str(Law("geometric", 0.5, 2.0))) == ("l^−1.5", "2 0.5^l")


def test_tails_along_the_identity_are_products_and_reach_their_bounds():
    law = Law("power", 2.0)
    found = DepthTails(law, "weights", "identity", 3, 200, (1, 2)).compute()
    products = np.cumprod(1 + law.values(200))
    np.testing.assert_allclose(found.distance[0], products[-1] - products[found.n.values - 1], rtol=1e-11)
    np.testing.assert_allclose(found.from_output[0], found.distance[0], rtol=1e-8)
    assert 0.99 < float(found.over_from_start.max()) <= 1
    limit = DepthTails(law, "weights", "identity", 3, 200, (1,), closed_form=True).compute()
    np.testing.assert_allclose(limit.distance[0], np.sinh(np.pi) / np.pi - products[found.n.values - 1], rtol=1e-9)


@pytest.mark.parametrize("moves", ["weights", "biases", "both"])
def test_random_directions_keep_what_a_law_says(moves):
    job = DepthTails(Law("power", 1.1), moves, "random", 5, 60, (4,))
    net = job._network(np.random.default_rng(4))
    deviations = [np.linalg.norm(w - np.eye(5), 2) for w in net.weights]
    zero = np.zeros(60)
    np.testing.assert_allclose(deviations, job.law.values(60) if moves != "biases" else zero, atol=1e-13)
    sizes = [np.linalg.norm(b) for b in net.biases]
    np.testing.assert_allclose(sizes, job.law.values(60) if moves != "weights" else zero, atol=1e-13)
    found = job.compute()
    assert float(found.over_from_start[0]) <= float(found.over_from_output[0]) <= 1


def test_outputs_that_stand_still_say_nothing_of_weights():
    law, seeds = Law("power", 1.5, 0.2), (1, 2)
    own, constant, corner = (
        OutputsAndWeights(kind, law, 4, 64, seeds).compute() for kind in ("convergent", "constant", "corner")
    )
    assert own.n.values.tolist() == [4, 8, 16, 32, 64]
    assert (own.deviation <= own.increments / own.spread).all()
    # u vᵀ and w of norm 1: between law(l) and √2 law(l).
    assert (own.deviation >= 0.99 * law.values(64)[own.n.values - 1]).all()
    assert (own.deviation <= 1.42 * law.values(64)[own.n.values - 1]).all()
    assert float(own.least.min()) > 0
    assert float(constant.spread.max()) < 1e-12 < float(constant.increments.min())
    assert float(corner.increments.max()) == float(corner.least.max()) == 0 < float(corner.spread.min())
    np.testing.assert_allclose(corner.deviation, np.sqrt(5), rtol=1e-12)  # [I, −1] of 4 rows


def test_domains_are_counted_by_layer_and_drawn_as_they_are_counted():
    counts = DomainCounts("random", "plane", 4, 3, 5, (7, 8)).compute().domains
    assert counts.dims == ("seed", "layer")
    assert (counts.diff("layer") >= 0).all()
    drawn = DomainMap(4, (1, 3), 5, 7).compute()
    for depth in (1, 3):
        cells = drawn.cell.values[drawn.depth.values == depth]
        assert len(np.unique(cells)) == int(counts.sel(seed=7, layer=depth))
    assert float(np.abs(drawn.s).max()) == float(np.abs(drawn.t).max()) == 3
    assert DomainCounts("tent", "line", 2, 5, 1, (0,)).compute().domains.values.tolist() == [[2, 4, 8, 16, 32]]
    assert (DomainCounts("identity", "line", 3, 5, 3, (0, 1)).compute().domains == 1).all()


@pytest.mark.parametrize("residual", [False, True])
def test_rescaled_layers_and_gram_are_those_of_a_stack_up_to_a_factor(residual):
    rng = np.random.default_rng(2)
    m, x = 6, np.abs(rng.normal(size=(4, 6)))
    weights, output = rng.normal(0, 0.6, (3, m, m)), rng.normal(size=m)
    last, log_growth, gram = layers_and_gram(x, weights, output, residual=residual)
    stack = Stack.from_arrays(None, list(weights), output, residual=residual)
    hidden = np.asarray(stack.layers(jnp.asarray(x))[0][-1])
    size = np.sqrt((hidden**2).sum(axis=1).mean())
    np.testing.assert_allclose(last, hidden / size, rtol=1e-12, atol=1e-14)
    assert log_growth == pytest.approx(np.log(size / np.sqrt((x**2).sum(axis=1).mean())), rel=1e-12)
    theirs = np.asarray(kernels.empirical_gram(stack, jnp.asarray(x)))
    np.testing.assert_allclose(gram / np.trace(gram), theirs / np.trace(theirs), rtol=1e-10)
    rows = jax.jacobian(lambda hidden: stack.with_trained(hidden)(jnp.asarray(x)))(stack.trained)
    flat = np.concatenate([np.asarray(part).reshape(4, -1) for part in rows], axis=1)
    np.testing.assert_allclose(theirs, flat @ flat.T, rtol=1e-10)


def test_a_thousand_residual_layers_do_not_overflow_and_layers_near_the_identity_hardly_move():
    source = Source("sphere", 4, 0)
    skip, near = (
        DeepInitialization(kind, source, 16, 1000, (1, 2), rate).compute()
        for kind, rate in (("skip", 0.0), ("near identity", 2.0))
    )
    assert np.isfinite(skip.growth).all()
    assert (skip.growth > 1e100).all()
    assert (near.growth < 5).all()
    assert (near.angles > 0.1).all()
    assert ((near.smallest > 1e-3) & (near.smallest <= 1)).all()
