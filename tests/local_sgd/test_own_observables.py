"""Observables of a user's own: recognised by what they need, whatever they are called."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_localsgd import local_sgd
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD, Observable
from ntk_localsgd.local_sgd.observables import select
from tests import helpers

CONFIG = LocalSGD(0.5, 2, 4)
ROUND, TAKEN, STEP = ("round",), ("round", "step_taken", "client"), ("round", "local_step", "client")

OWN = (
    Observable("my_gradient_share", "round", ROUND, "1", "largest weight", lambda s: jnp.max(s.network.trained[0])),
    Observable("flip_fraction_of_nothing", "round", ROUND, "1", "0", lambda s: 0 * s.losses[0]),
    Observable("slope", "round", ROUND, "1", "‖∇L‖", lambda s: s.gradients.norm(), {"gradients", "summed gradient"}),
    Observable("turned", "round", (*ROUND, "client"), "1", "flips", lambda s: s.flips.sum((1, 2)), {"flips"}),
    Observable("ways", "taken", TAKEN, "1", "‖∇L_c‖", lambda s: jnp.linalg.norm(s.gradient[0])),
    Observable("corner", "step", [*STEP, "entry"], "1", "w_0", lambda s: s.network.trained[0][0]),
    Observable("trace", "gram", ("gram_round",), "1", "tr Θ", lambda s: s.gram.trace()),
)


def test_they_stand_beside_the_catalogue_s_in_every_way_of_computing_rounds():
    net, data, split = helpers.problem(seed=3)
    catalogue = ("gradient_norm", "gradient_difference_from_start", "client_drift", "gram_movement")
    for entries in (OWN[:4], (*OWN[:5],), OWN):
        run = local_sgd.run(net, data, split, CONFIG, observe=(*catalogue[:1], *entries, *catalogue[1:]), gram_every=2)
        found = run.trajectory
        assert {entry.name for entry in entries} < set(found)
        np.testing.assert_array_equal(found.slope, found.gradient_norm)
        assert found.turned[-1].sum() > 0
        np.testing.assert_array_equal(found.turned[0], 0)
        assert not found.flip_fraction_of_nothing.any()
        np.testing.assert_allclose(found.my_gradient_share[-1], np.max(run.network.weights), rtol=1e-12)
    assert found.corner.dims == (*STEP, "entry")
    np.testing.assert_array_equal(found.corner[0, 0, 0], net.weights[0])
    np.testing.assert_allclose(
        found.trace[0], np.trace((data.inputs @ data.inputs.T) * _agreement(net, data)), rtol=1e-12
    )
    assert found.trace.attrs == {"units": "1", "formula": "tr Θ"}


def _agreement(net, data):
    active = np.asarray(net.activation_patterns(data.inputs)[0], float)
    return active @ active.T / net.width


def test_they_alone_are_enough_for_the_shared_way_too():
    net, data, split = helpers.problem(seed=3)
    alone = local_sgd.run(net, data, split, CONFIG, observe=OWN[:4]).trajectory
    both = local_sgd.run(net, data, split, CONFIG, observe=(*OWN[:4], "local_loss")).trajectory
    np.testing.assert_allclose(alone.slope, both.slope, rtol=1e-11)
    np.testing.assert_array_equal(alone.turned, both.turned)


def test_a_need_that_is_not_listed_gets_one_sentence():
    net, data, split = helpers.problem()
    for ask, said in ((lambda s: s.gradients.norm(), "'gradients'"), (lambda s: s.flips.sum(), "'flips'")):
        with pytest.raises(InputError, match=said):
            local_sgd.run(net, data, split, CONFIG, observe=(Observable("mine", "round", ROUND, "1", "?", ask),))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Observable("x", "sometimes", ROUND, "1", "", len), "when is 'sometimes'"),
        (lambda: Observable("x", "round", ("client",), "1", "", len), "begin with"),
        (lambda: Observable("x", "taken", (*TAKEN, "entry"), "1", "", len), "begin with"),
        (lambda: Observable("a/b", "round", ROUND, "1", "", len), "name is 'a/b'"),
        (lambda: Observable(3, "round", ROUND, "1", "", len), "name is 3"),
        (lambda: Observable("x", "round", ROUND, "1", "", len, {"gradient"}), "needs holds 'gradient'"),
        (lambda: select(("weight",)), "'weight'"),
        (lambda: select("loss"), "observe is 'loss'"),
        (lambda: select((3,)), "observe holds 3"),
        (lambda: select((Observable("loss", "round", ROUND, "1", "", len),)), "two observables of name 'loss'"),
        (lambda: select((Observable("round", "round", ROUND, "1", "", len),)), "'round', which is a dimension's"),
    ],
)
def test_what_a_trajectory_cannot_hold_gets_one_sentence(call, said):
    with pytest.raises(InputError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_the_catalogue_s_own_may_be_given_as_they_are():
    assert select((local_sgd.OBSERVABLES["client_loss"],)) == select(("client_loss",))
    assert jax.tree.leaves(select(("client_loss", "client_loss"))) == list(select(("client_loss",)))
