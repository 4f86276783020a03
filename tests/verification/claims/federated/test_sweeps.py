"""C4's sweeps: losses at its rate and above it, over server steps and with unequal local steps."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd import prediction
from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import CONTEXT, rows
from verification.claims.federated import sweeps


def _losses(factor, unstable):
    """Losses at a multiple of C4's rate a round, with the fewest local steps; the control's grow."""

    def numbers(job, place):
        steps = job.server_step_size * job.step_size * job.local_steps * job.problem.lambda0.lower
        rate = 1.5 if unstable(job) else factor * (1 - steps / (2 * job.num_clients))
        loss = rate ** np.arange(job.num_rounds + 1)
        return xr.Dataset({"loss": (("seed", "round"), np.tile(loss, (len(job.seeds), 1)))})

    return numbers


@pytest.mark.parametrize(("factor", "verdict"), [(0.999, Verdict.OBSERVED), (1.001, Verdict.SILENT)])
def test_server_steps_are_held_against_the_rate_of_their_own(factor, verdict):
    judged = rows("C4-server", _losses(factor, lambda job: job.server_step_size > 10))
    assert [row.verdict for row in judged] == [verdict] * 3
    assert all(row.control.broke for row in judged)
    assert len({row.where for row in judged}) == 3


@pytest.mark.parametrize(("factor", "fewest"), [(0.999, Verdict.OBSERVED), (1.001, Verdict.SILENT)])
def test_unequal_steps_are_held_against_the_rate_of_their_fewest_and_of_their_mean(factor, fewest):
    judged = rows("C4-unequal", _losses(factor, lambda job: job.num_rounds == 2))
    found = {(row.setting["τ_c"], row.setting["case"]): row.verdict for row in judged}
    assert len(found) == len(judged) == 2 * len(sweeps._PATTERNS)
    # Losses planted at the rate of the fewest steps are above that of the mean.
    assert {verdict for (_, case), verdict in found.items() if case.endswith("fewest")} == {fewest}
    assert {verdict for (_, case), verdict in found.items() if case.endswith("mean")} == {Verdict.SILENT}
    assert all(row.control.broke for row in judged)


def test_the_ceiling_of_server_steps_is_where_the_round_ceases_to_contract():
    (problem,) = CONTEXT.problems(6)
    training = sweeps._training(CONTEXT, problem, "test")
    ceiling = sweeps._ceiling(training)
    for factor, contracts in ((0.999, True), (1.001, False)):
        config = dataclasses.replace(training.config, server_step_size=factor * ceiling)
        operator = prediction.round_operator(problem.gram, training.clients, config)
        assert bool(np.abs(np.linalg.eigvals(operator)).max() < 1) is contracts
    assert ceiling > 2
    assert all(np.mean(pattern) == training.local_steps for pattern in sweeps._PATTERNS)


def test_the_rate_holds_up_to_half_of_the_ceiling_and_not_up_to_the_ceiling():
    (problem,) = CONTEXT.problems(6)
    training = sweeps._training(CONTEXT, problem, "test")
    x = training.step_size * problem.largest_client_eigenvalue(training.num_clients)
    assert (training.local_steps - 1) * x <= 1
    weights = prediction.round_weights(problem.gram, training.clients, training.config)
    worst = {}
    for share in (*sweeps._SHARES, 0.97):
        config = dataclasses.replace(training.config, server_step_size=share * sweeps._ceiling(training), num_rounds=60)
        values, vectors = np.linalg.eig(prediction.round_operator(problem.gram, training.clients, config))
        start = vectors[:, np.argmax(np.abs(values))].real
        path = prediction.local_gd(problem.gram, training.clients, start, config)
        norms = np.einsum("ti,ij,tj->t", path, weights, path)
        rate = config.server_step_size * config.step_size * config.local_steps * problem.lambda0.upper
        bound = (1 - rate / (2 * training.num_clients)) ** np.arange(61)
        worst[share] = (norms / norms[0] / bound).max()
    assert worst.pop(0.97) > 2
    assert max(worst.values()) <= 1 + 1e-9
    assert max(worst) == sweeps._MOST
