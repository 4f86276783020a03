"""What searches climb, against the definition in NumPy: measured over bound at random points, or where it is 1."""

import numpy as np
import pytest
import scipy.linalg

from ntk_localsgd import kernels, prediction
from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd import LocalSGD
from tests import helpers
from verification import registry
from verification.jobs.centralized import energy_norms, gap_bound
from verification.jobs.depth_ratios import LayerRatio, TailRatio
from verification.jobs.kernel_ratios import CentralizedRatio, PairRatio
from verification.jobs.local_steps import local_steps, shrinkage_bound
from verification.jobs.separations import pair_bound
from verification.jobs.two_layer_ratios import CountRatio, FlipRatio, GradientRatio, ShrinkageRatio

SHAPE = (4, 3, 10)
SIGNS = np.where(np.arange(10) % 2, -1.0, 1.0)
POINTS = range(5)


def _drawn(ratio, seed):
    point = ratio.draw(np.random.default_rng(seed))
    rows = point.get("rows", np.ones((1, 1)))
    return point, rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_gradients_of_two_networks():
    ratio = GradientRatio(*SHAPE)
    for seed in POINTS:
        point, x = _drawn(ratio, seed)
        w, y = point["weights"], point["targets"]
        other = w + point["moves"]
        apart = np.linalg.norm(helpers.gradient(w, SIGNS, x, y) - helpers.gradient(other, SIGNS, x, y))
        chi, p = np.linalg.norm(x, 2), np.max(((w @ x.T >= 0) != (other @ x.T >= 0)).mean(axis=0))
        residual = np.linalg.norm(helpers.outputs(other, SIGNS, x) - y)
        bound = chi**2 * np.linalg.norm(point["moves"]) + chi * np.sqrt(p) * residual
        assert float(ratio.value(point)) == pytest.approx(apart / bound, rel=1e-11)
        assert float(ratio.value(point | {"moves": 1e-9 * point["moves"]})) == -np.inf


def test_local_shrinkage_and_what_it_would_be_without_the_patterns_that_may_change():
    ratio = ShrinkageRatio(*SHAPE, 3)
    for seed in POINTS:
        point, x = _drawn(ratio, seed)
        share = np.exp(-point["log_share"])
        worst = 0.0
        for k in range(1, 4):
            found = local_steps(x, point["targets"], point["weights"], SIGNS, share, k)
            bound = shrinkage_bound(*map(np.array, (found.step_size, found.smallest, found.error)), k)[-1]
            worst = max(worst, found.residual[-1] / found.residual[0] / bound)
        assert float(ratio.value(point)) == pytest.approx(worst, rel=1e-9)  # λ_min is a lower end there
    # The planted case of docs/theory.md, S2: signs in turns, so that the second neuron of sign + is the third.
    weights = np.array([[0.1, 0.0], [-1.0, 0.0], [5.0, 0.0], [-1.0, 0.0]])
    planted = {"rows": np.array([[1.0, 0.0]]), "targets": np.zeros(1), "weights": weights}
    planted["log_share"] = np.array(-np.log(0.9))
    # Outputs that cancel with the target to 5e-6 of their terms: a search climbed their rounding to 1 + 4e-10.
    cancelling = planted | {"weights": np.array([[0.377, 0.0], [0.379, 0.0], [-1.0, 0.0], [-1.0, 0.0]])}
    assert float(ShrinkageRatio(1, 2, 4, 1).value(cancelling | {"targets": np.array([-0.001002])})) == -np.inf
    assert float(ShrinkageRatio(1, 2, 4, 1).value(cancelling | {"targets": np.array([-0.1])})) > 0.5
    found = float(ShrinkageRatio(1, 2, 4, 1).value(planted))
    shrunk = found * (1 - 0.9 * (1 - 0.5))
    assert found < 1 < shrunk / (1 - 0.9)


def test_counts_in_a_ball_and_flips_of_a_column():
    for seed in POINTS:
        counts, flips = CountRatio(*SHAPE), FlipRatio(*SHAPE)
        point, x = _drawn(counts, seed)
        w, after = point["weights"], point["weights"] + point["moves"]
        z, z_after = w @ x.T >= 0, after @ x.T >= 0
        near = np.abs(w @ x.T) <= np.linalg.norm(point["moves"], axis=1).max() * (1 + 1e-9)
        worst = [0.0, 0.0]
        for i in range(4):
            for j in range(4):
                union = np.sum(near[:, i] | near[:, j])
                change = abs(np.sum(z_after[:, i] & z_after[:, j]) - np.sum(z[:, i] & z[:, j]))
                moved = abs(np.sum(z[:, i] & z_after[:, j]) - np.sum(z[:, i] & z[:, j]))
                flipped = np.sum(z[:, j] != z_after[:, j])
                worst = [max(worst[0], change / max(union, 1)), max(worst[1], moved / max(flipped, 1))]
        assert [float(each.value(point)) for each in (counts, flips)] == worst


def test_the_closest_pair():
    ratio = PairRatio(5, 3)
    for seed in POINTS:
        point, x = _drawn(ratio, seed)
        gram = kernels.infinite_gram(x)
        distance = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(x)) + 3 * np.eye(5)
        pair = np.unravel_index(np.argmin(distance), distance.shape)
        expected = np.linalg.eigvalsh(gram)[0] / pair_bound(x[list(pair)])
        assert float(ratio.value(point)) == pytest.approx(expected, rel=1e-11)
    assert float(PairRatio(2, 3).value({"rows": np.array([[1.0, 0, 0], [0.6, 0.8, 0]])})) == pytest.approx(1, rel=1e-13)


def test_federated_against_centralized():
    ratio = CentralizedRatio(2, 2, 3, 4)
    for seed in POINTS:
        point, _ = _drawn(ratio, seed)
        gram = point["root"] @ point["root"].T
        split, whole = (Clients(tuple(np.split(np.arange(4), k))) for k in (2, 1))
        largest = max(np.linalg.eigvalsh(gram[np.ix_(part, part)])[-1] for part in split.indices)
        eta = np.exp(-point["log_share"]) / largest
        apart = []
        local, central = (
            prediction.round_operator(gram, held, LocalSGD(step, 3, 1))
            for held, step in ((split, eta), (whole, eta / 2))
        )
        root = np.linalg.cholesky(gram)
        for rounds in range(1, 5):
            gap = np.linalg.matrix_power(local, rounds) - np.linalg.matrix_power(central, rounds)
            # The largest of ‖gap v‖_*/‖v‖_*: of v = root u, ‖u‖ = 1.
            apart.append(np.linalg.norm(np.linalg.solve(root, gap @ root), 2))
            assert energy_norms(gram, (gap @ root).T).max() <= apart[-1] * (1 + 1e-9)
        bound = gap_bound(eta, 3, largest, np.linalg.eigvalsh(gram)[-1], 2)
        assert float(ratio.value(point)) == pytest.approx(max(apart) / bound, rel=1e-8)


@pytest.mark.parametrize("bound", ["start", "output"])
def test_tails_of_deep_networks(bound):
    ratio = TailRatio(3, 4, bound)
    for seed in POINTS:
        point, _ = _drawn(ratio, seed)
        outputs = [np.abs(point["input"])]
        for change, bias in zip(point["changes"], point["biases"], strict=True):
            outputs.append(np.maximum((np.eye(3) + change) @ outputs[-1] + bias, 0))
        sizes, biases = np.linalg.norm(point["changes"], 2, axis=(1, 2)), np.linalg.norm(point["biases"], axis=1)
        start = np.linalg.norm(outputs[0])
        rest = np.array([np.linalg.norm(outputs[-1] - each) for each in outputs[:-1]])
        if bound == "start":
            bounds = [
                (np.prod(1 + sizes) * (start + biases.sum())) * sizes[n:].sum() + biases[n:].sum() for n in range(4)
            ]
        else:
            norms = np.linalg.norm(outputs, axis=1)
            bounds = [(np.prod(1 + sizes[n:]) - 1) * (norms[n] + biases[n:].sum()) + biases[n:].sum() for n in range(4)]
        assert float(ratio.value(point)) == pytest.approx((rest / bounds).max(), rel=1e-11)
    along = {"input": np.ones(3), "changes": np.stack([0.3 * np.eye(3)] * 4), "biases": np.zeros((4, 3))}
    assert float(TailRatio(3, 4, "output").value(along)) == pytest.approx(1, rel=1e-12)


def test_a_layer_known_by_its_outputs():
    ratio, tried = LayerRatio(3), 0
    for seed in range(12):
        point, _ = _drawn(ratio, seed)
        before = np.abs(point["outputs"])
        after = before @ (np.eye(3) + point["change"]).T + point["bias"]
        found = float(ratio.value(point))
        if (after <= 0).any():
            assert found == -np.inf
            continue
        tried += 1
        spread = np.linalg.svd(np.column_stack([before, np.ones(4)]), compute_uv=False)[-1]
        layer = np.linalg.norm(np.column_stack([point["change"], point["bias"]]), 2)
        assert found == pytest.approx(layer * spread / np.linalg.norm(after - before, 2), rel=1e-11)
    assert tried


def test_claims_that_bound_what_any_weights_do_are_searched_for_counterexamples():
    registry.discover()
    attacked = {entry.id for entry in registry.in_order() if entry.attack}
    assert attacked >= {"S1a", "S2", "S3", "K6a", "K8", "F1", "C10", "X2", "X2-output", "X3"}
