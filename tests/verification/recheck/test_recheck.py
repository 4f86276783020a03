"""The second opinion: true certificates are confirmed, and each planted false one is not."""

import copy
import json

import flint
import jax
import numpy as np
import pytest

from ntk_localsgd import certificate, datasets
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD, lazy_targets
from ntk_localsgd.networks import TwoLayerReLU
from verification import recheck as second
from verification.commands import main
from verification.jobs.certificates import certify, largest_step
from verification.jobs.certified_cases import random_case
from verification.jobs.reference import Case, follow
from verification.recheck.balls import identity, is_positive, length, middle, norm
from verification.recheck.walk import Walk

SPLIT = Clients((np.array([0, 2]), np.array([1]), np.array([3])))


def _case(scale, width, near=None):
    """A network, its data and a run; ``near``: z of neuron 0 on sample 0."""
    data = datasets.sphere(jax.random.key(0), 4, 16)
    net = TwoLayerReLU.init(jax.random.key(2), width=width, input_dim=16, dtype=np.float64)
    if near is not None:
        x, weights = np.asarray(data.inputs[0]), np.array(net.weights)
        weights[0] += (near - weights[0] @ x) / (x @ x) * x
        net = TwoLayerReLU.from_arrays(weights, np.asarray(net.signs))
    config = LocalSGD(0.9 * largest_step(net, data, SPLIT), 3, 0)
    return net, lazy_targets(net, data, scale=scale), config


def _content(folder, scale=10.0, width=200, method="path", near=None):
    net, data, config = _case(scale, width, near)
    proof = certificate.certify(net, data, SPLIT, config, method=method)
    assert proof.certified
    certificate.write_certificate(folder / "c.json", proof, net, data, SPLIT, config)
    return json.loads((folder / "c.json").read_text())


@pytest.fixture(scope="module")
def true(tmp_path_factory):
    return _content(tmp_path_factory.mktemp("certificate"))


def _verdict(folder, content, rounds=200):
    content = content | {"digest": second.digest(content)}
    (folder / "c.json").write_text(json.dumps(content))
    return second.recheck(second.read_certificate(folder / "c.json"), rounds)


def _scaled(name, factor):
    def alter(content):
        content["claims"][name] = (factor * float.fromhex(content["claims"][name])).hex()

    return alter


def _early(content):
    """True of all late rounds, and of none of the first."""
    content["claims"] |= {"rate": (0.99).hex(), "constant": (0.5).hex()}


def _step_size(content):
    content["run"]["step_size"] = (0.7 * float.fromhex(content["run"]["step_size"])).hex()


def _large_step(content):
    content["run"]["step_size"] = (1.2 * float.fromhex(content["run"]["step_size"])).hex()


def _local_steps(content):
    content["run"]["local_steps"] = 2


def _busiest(content):
    """The neuron that the samples turn on most."""
    net, data = content["network"], content["data"]
    weights, inputs = (
        np.array([[float.fromhex(v) for v in row] for row in rows]) for rows in (net["weights"], data["inputs"])
    )
    return int(np.maximum(weights @ inputs.T, 0).sum(axis=1).argmax())


def _weights(content):
    content["network"]["weights"][_busiest(content)][0] = (1.5).hex()


def _signs(content):
    content["network"]["signs"][_busiest(content)] *= -1


def _inputs(content):
    content["data"]["inputs"][2][5] = (0.3).hex()


def _targets(content):
    content["data"]["targets"][0] = (0.9 * float.fromhex(content["data"]["targets"][0])).hex()


def _clients(content):
    content["clients"] = [[0, 1, 2, 3]]


@pytest.mark.parametrize(("method", "scale"), [("path", 10.0), ("dominance", 10.0), ("frozen", 1e5), ("ball", 1000.0)])
def test_true_certificates_of_every_method_are_confirmed(tmp_path, method, scale):
    content = _content(tmp_path, scale, method=method)
    found = _verdict(tmp_path, content)
    assert found.confirmed
    assert found.text.startswith("confirmed")


@pytest.mark.parametrize(
    "alter",
    [
        _scaled("rate", 0.98),
        _scaled("radius", 0.4),
        _scaled("constant", 0.9),
        _scaled("residual_norm", 1.001),
        _early,
        _step_size,
        _large_step,
        _local_steps,
        _weights,
        _signs,
        _inputs,
        _targets,
        _clients,
    ],
)
def test_planted_false_certificates_are_not_confirmed(tmp_path, true, alter):
    content = copy.deepcopy(true)
    alter(content)
    assert not _verdict(tmp_path, content, rounds=40).confirmed


def test_a_pair_that_is_not_named_and_changes_its_side_is_found_in_the_run(tmp_path):
    content = _content(tmp_path, 1.0, 1024)
    net, data, config = _case(1.0, 1024)
    case = Case(np.asarray(data.inputs), np.asarray(data.targets), SPLIT, np.asarray(net.weights),
                np.asarray(net.signs), config.step_size, config.local_steps)  # fmt: skip
    switched = {(int(j), int(r)) for r, j in np.argwhere(follow(case, 40).switched)}
    named = [tuple(pair) for pair in content["claims"]["switching"]]
    assert switched
    assert switched <= set(named)
    content["claims"]["switching"] = [pair for pair in named if pair != min(switched)]
    found = _verdict(tmp_path, content)
    assert not found.confirmed
    assert found.text.startswith("refuted: round")


def test_a_pair_at_its_kink_has_to_be_named_where_no_round_is_followed(tmp_path):
    content = _content(tmp_path, 1000.0, 400, near=1e-9)
    assert [0, 0] in content["claims"]["switching"]
    for name, factor in (("rate", 1.2), ("constant", 10.0), ("radius", 10.0)):
        _scaled(name, factor)(content)  # so that nothing but the name can be missing
    assert _verdict(tmp_path, content, rounds=0).confirmed
    small = copy.deepcopy(content)
    _scaled("radius", 1e-3)(small)
    assert "radius is not shown" in _verdict(tmp_path, small, rounds=0).text
    content["claims"]["switching"].remove([0, 0])
    found = _verdict(tmp_path, content, rounds=0)
    assert not found.confirmed
    assert "not named" in found.text


def test_a_neuron_without_weights_is_on_its_kink_and_counts_as_on(tmp_path):
    net, data, config = _case(100.0, 200)
    weights = np.array(net.weights)
    weights[3] = 0
    net = TwoLayerReLU.from_arrays(weights, np.asarray(net.signs))
    data = lazy_targets(net, datasets.sphere(jax.random.key(0), 4, 16), scale=100.0)
    proof = certificate.certify(net, data, SPLIT, config, method="path")
    assert proof.certified
    certificate.write_certificate(tmp_path / "c.json", proof, net, data, SPLIT, config)
    assert second.recheck(second.read_certificate(tmp_path / "c.json"), 100).confirmed


@pytest.mark.parametrize("number", [199, 296])
def test_certificates_without_room_are_confirmed(tmp_path, number):
    """The residual in the slowest direction in the 2-norm, C = 1; one sample, no pair in U, ρ = β."""
    case = random_case(np.random.default_rng([number, 99]))
    proof = certify(case, "ball" if number == 199 else "dominance")
    net, data = TwoLayerReLU.from_arrays(case.weights, case.signs), datasets.from_arrays(case.inputs, case.targets)
    certificate.write_certificate(tmp_path / "c.json", proof, net, data, case.clients, case.config)
    assert second.recheck(second.read_certificate(tmp_path / "c.json"), 100).confirmed


def test_the_exact_run_is_the_one_that_float64_shows(tmp_path, true):
    (tmp_path / "c.json").write_text(json.dumps(true))
    stated = second.read_certificate(tmp_path / "c.json")
    net, data, config = _case(10.0, 200)
    case = Case(np.asarray(data.inputs), np.asarray(data.targets), SPLIT, np.asarray(net.weights),
                np.asarray(net.signs), config.step_size, config.local_steps)  # fmt: skip
    seen, before = follow(case, 6), flint.ctx.prec
    flint.ctx.prec = 384
    try:
        walk = Walk(stated)
        for t in range(6):
            walk.hold(t)
            assert float(length(walk.here.residuals)) == pytest.approx(seen.residual_norms[t], rel=1e-12)
            walk.round(t)
        assert float(walk.moved.sqrt()) == pytest.approx(seen.movement, rel=1e-9)
        assert 0 < float(walk.gap) < 1e-80
    finally:
        flint.ctx.prec = before


def test_norms_are_above_and_near_and_definiteness_is_never_guessed():
    rng = np.random.default_rng(0)
    for n in (1, 2, 5):
        a = rng.standard_normal((n, n))
        balls = flint.arb_mat(a.tolist())
        assert np.linalg.norm(a, 2) * (1 - 1e-12) <= float(norm(balls)) <= np.linalg.norm(a, 2) * (1 + 1e-6)
        assert np.array_equal(middle(balls), a)
        gram = balls * balls.transpose()
        assert is_positive(gram)
        assert not is_positive(gram - identity(n) * flint.arb(1.001 * np.linalg.eigvalsh(a @ a.T)[0]))
    assert not is_positive(flint.arb_mat([[1, 1], [1, 1]]))
    assert not is_positive(flint.arb_mat([[flint.arb(1, 2)]]))


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("claims", "rate", (1.5).hex(), "proves nothing"),  # true, and no convergence to zero loss
        ("claims", "rate", (0.0).hex(), "proves nothing"),
        ("claims", "rate", "nan", "is not finite"),
        ("claims", "radius", "inf", "is not finite"),
        ("claims", "certified", "false", "proves nothing"),
        ("claims", "delta", float("nan"), "draws batches or participants"),
        ("claims", "switching", [[0.5, 1]], "not one as certify writes it"),
        ("run", "local_steps", True, "local steps by client"),
        ("network", "signs", [1.5] * 200, "not one as certify writes it"),
        ("network", "weights", [], "do not fit each other"),
        ("network", "weights", [[(0.0).hex()]] * 200, "do not fit each other"),
        ("data", "inputs", [], "do not fit each other"),
        ("data", "inputs", [[]] * 4, "do not fit each other"),
        ("data", None, "", "not one as certify writes it"),
    ],
)
def test_records_that_say_nothing_or_do_not_fit_are_refused_and_not_rounded_to_others(
    tmp_path, true, part, name, value, message
):
    altered = value if name is None else true[part] | {name: value}
    with pytest.raises(InputError, match=message):
        _verdict(tmp_path, true | {part: altered})


def test_nested_beyond_what_can_be_read_is_no_certificate(tmp_path):
    (tmp_path / "c.json").write_text("[" * 200_000)
    with pytest.raises(InputError, match="not one as certify writes it"):
        second.read_certificate(tmp_path / "c.json")


def test_what_has_moved_most_is_an_upper_end_and_never_that_of_a_ball_which_overlaps_a_wider_one(tmp_path, true):
    (tmp_path / "c.json").write_text(json.dumps(true))
    walk = Walk(second.read_certificate(tmp_path / "c.json"))
    narrow, wide = flint.arb(1e-4, 1e-6), flint.arb(1e-4, 1e-5)
    for squares in ([narrow, wide], [wide, narrow]):
        walk.moved = flint.arb(0)
        walk._hold_movement(squares, flint.arb(0), "here")
        assert float(walk.moved) >= 1e-4 + 1e-5


def test_what_cannot_be_rechecked_is_refused_in_one_sentence(tmp_path, true, capsys):
    path = tmp_path / "c.json"
    for name, value, message in [
        ("claims", true["claims"] | {"certified": False}, "no claim to recheck"),
        ("claims", true["claims"] | {"delta": 0.05}, "draws batches or participants"),
        ("run", true["run"] | {"batch_size": 1}, "draws batches or participants"),
        ("run", true["run"] | {"local_steps": [1, 2, 3]}, "local steps by client"),
        ("clients", [[0], [1], [2]], "do not fit each other"),
        ("network", {"weights": [["nan"] * 16], "signs": [1]}, "not one as certify writes it"),
    ]:
        content = true | {name: value}
        path.write_text(json.dumps(content | {"digest": second.digest(content)}))
        with pytest.raises(InputError, match=message):
            second.read_certificate(path)
    path.write_text(json.dumps(true | {"claims": true["claims"] | {"rate": (0.5).hex()}}))
    with pytest.raises(InputError, match="was altered"):
        second.read_certificate(path)
    for text in ("", "{}", "[1]"):
        path.write_text(text)
        with pytest.raises(InputError, match="not one as certify writes it"):
            second.read_certificate(path)
    with pytest.raises(InputError, match="cannot be read"):
        second.read_certificate(tmp_path / "none.json")
    path.write_text(json.dumps(true))
    assert main(["recheck", str(path)]) == 0
    assert "confirmed" in capsys.readouterr().out
    assert main(["recheck", str(path), "--rounds", "-1"]) == 2


def test_every_client_s_steps_and_every_try_are_watched(tmp_path):
    _content(tmp_path)
    seen = []
    found = second.recheck(second.read_certificate(tmp_path / "c.json"), 4000, lambda *one: seen.append(one))
    rounds = int(found.text.split()[1])
    assert [one for one in seen if "client" in one[2]] == [
        (t, c / 3, f"round {t}, client {c}") for t in range(rounds) for c in range(3)
    ]
    assert seen[0] == (0, 0.0, "a proof of all rounds from 0 on")
    assert seen[-1] == (rounds, 0.0, f"a proof of all rounds from {rounds} on")
