"""Perturbations of deep networks: their norms, what they do, and that an adversary does more than chance."""

import jax
import numpy as np
import pytest

from ntk_localsgd.networks import DeepReLU
from verification.data import Source
from verification.jobs import deep_perturbation
from verification.jobs.deep_perturbation import Effect, Perturbation

SOURCE = Source("digits", 6, 0)


def _by_hand(net, x, y, direction, radius):
    """The fields of `Effect` in plain NumPy, but for autodiff's gradient."""
    first, last = np.asarray(net.input_weights), np.asarray(net.output_weights)

    def forward(hidden):
        h, z = [np.maximum(x @ first.T, 0)], []
        for w in hidden:
            z.append(h[-1] @ w.T)
            h.append(np.maximum(z[-1], 0))
        return h, z, (((h[-1] @ last.T)[:, 0] - y) ** 2).sum() / 2

    start = [np.asarray(w) for w in net.hidden_weights]
    gradients = jax.grad(lambda t: ((net.with_trained(t)(x) - y) ** 2).sum() / 2)(net.trained)
    h, z, here = forward(start)
    rows = []
    for sign in (1, -1):
        step = [sign * radius * np.asarray(v) for v in direction]
        new_h, new_z, there = forward([w + s for w, s in zip(start, step, strict=True)])
        linear = sum(np.sum(np.asarray(g) * s) for g, s in zip(gradients, step, strict=True))
        flips = max(((a >= 0) != (b >= 0)).sum(axis=1).max() for a, b in zip(new_z, z, strict=True))
        moved = max(np.linalg.norm(a - b, axis=1).max() for a, b in zip(new_h, h, strict=True))
        rows.append((flips, moved, there - here - linear, there - here))
    return (*(max(pair) for pair in zip(*rows, strict=True)), here)


@pytest.mark.parametrize("radius", [0.25, 0.02])
def test_effects_are_those_of_plain_numpy_and_the_adversary_flips_far_more_than_chance(radius):
    problem, seed = SOURCE.load(), 3
    x, y = problem.inputs, problem.dataset.targets
    net = DeepReLU.init(jax.random.key(seed), width=64, depth=2, input_dim=64, dtype=np.float64)
    random = deep_perturbation.random_direction(jax.random.fold_in(jax.random.key(seed), 10**6), net)
    directions = {"random": random, "adversarial": deep_perturbation.flipping_direction(random, net, x, radius)}
    job = Perturbation(SOURCE, 64, 2, radius, (seed,)).compute().isel(seed=0)
    for choice, direction in directions.items():
        # Lanczos sees the rank-one adversary exactly, and a Gaussian matrix has norm 2√m up to m^(-1/6).
        norms = [np.linalg.norm(v, 2) for v in direction]
        assert norms == pytest.approx([1, 1], rel=1e-3 if choice == "adversarial" else 0.15)
        values = [float(job[name].sel(choice=choice)) for name in Effect._fields]
        np.testing.assert_allclose(values, _by_hand(net, x, y, direction, radius), rtol=1e-8, atol=1e-10)  # float64
    flips = job.flips.sel(choice="adversarial")
    assert flips >= 2 * job.flips.sel(choice="random")
    # No single-layer adversary flips more of one sample than the neurons nearest to their kinks that ω can reach.
    z, h = net.pre_activations(x[:1])[0][0], net.layers(x[:1])[0][0][0]
    reach = np.sqrt(np.cumsum(np.sort(np.asarray(z) ** 2))) <= radius * np.linalg.norm(h)
    assert flips >= 0.5 * reach.sum()
