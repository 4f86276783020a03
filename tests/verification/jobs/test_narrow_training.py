"""Training of narrow networks: steps against autodiff's, projection onto the region, what is said of the end."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from verification.jobs.narrow_training import NarrowTraining

JOB = NarrowTraining(6, 3, 4, (5, 6), "projected", 1, radius=100.0, batch_size=6)


def test_a_full_step_is_a_gradient_step_of_the_mean_loss():
    x, y, start = JOB.start()
    moved = JOB.moved(x, y, start, np.array([0.1, 0.2]))
    for s, step in enumerate((0.1, 0.2)):

        def loss(inner, outer, s=s):
            return jnp.mean((jnp.tanh(jnp.asarray(x[s]) @ inner.T) @ outer - y[s]) ** 2) / 2

        slopes = jax.grad(loss, argnums=(0, 1))(start.inner[s], start.outer[s])
        np.testing.assert_allclose(moved.inner[s], start.inner[s] - step * slopes[0], atol=1e-14)
        np.testing.assert_allclose(moved.outer[s], start.outer[s] - step * slopes[1], atol=1e-14)


def test_the_projection_is_onto_the_region_and_moves_nothing_inside():
    _, _, start = JOB.start()
    tight = dataclasses.replace(JOB, radius=0.1)
    far = start._replace(inner=start.inner + 1, outer=-start.outer)
    near = tight.projected(far, start)
    np.testing.assert_allclose(np.linalg.norm(near.inner - start.inner, axis=(1, 2)), 0.1 * 2)
    np.testing.assert_allclose(near.outer, start.outer / 2)
    for a, b in zip(tight.projected(near, start), near, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_the_projected_start_is_mirrored_and_the_other_is_not():
    sgd = dataclasses.replace(JOB, method="sgd")
    starts = [job.start() for job in (JOB, sgd)]
    outputs = [np.einsum("snm,sm->sn", np.tanh(x @ w.inner.transpose(0, 2, 1)), w.outer) for x, _, w in starts]
    assert np.abs(outputs[0]).max() < 1e-15 < 1e-3 < np.abs(outputs[1]).max()


def test_the_end_of_a_long_run_inside_is_a_zero_and_on_the_edge_it_is_not():
    long = dataclasses.replace(JOB, epochs=3000)
    inside, edge = long.compute(), dataclasses.replace(long, radius=0.01).compute()
    assert float(inside.loss.max()) < 1e-3 < float(edge.loss.min())
    assert edge.active.all()
    share = 2 * 6 * edge.loss * edge.singular**2 / edge.residual**2
    assert float(share.max()) > 1
    free = inside.where(inside.active == 0, drop=True)
    assert (2 * 6 * free.loss * free.singular**2 <= free.residual**2 * (1 + 1e-6)).all()


def test_batches_visit_every_sample_once_an_epoch_and_sgd_learns():
    found = dataclasses.replace(JOB, method="sgd", batch_size=4, epochs=200).compute()
    assert (found.loss < found.start / 2).all()
    assert "singular" not in found
