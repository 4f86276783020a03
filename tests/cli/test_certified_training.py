"""Training until there is a proof: interruptions and time limits lose no whole piece and train none twice."""

import jax
import numpy as np
import pytest

from ntk_localsgd import certificate, cli, clients, datasets, local_sgd
from ntk_localsgd.cli import certified_training
from ntk_localsgd.cli.certified_training import Reached, Training
from ntk_localsgd.cli.start import Gram, Start, StepSize
from ntk_localsgd.cli.timing import TimeUp
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels import Enclosure
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.networks import TwoLayerReLU

DATA = datasets.sphere(jax.random.key(0), 4, 16)
SPLIT = clients.from_assignment(np.array([0, 1, 1, 2]))
NET = TwoLayerReLU.init(jax.random.key(1), width=60, input_dim=16, dtype=np.float64)
START = Start(DATA, SPLIT, NET, None, Gram(np.eye(4), Enclosure(1.0, 1.0)), StepSize(0.5, 1.0), 1.0, [])


class _Stop(certificate.UntilCertified):
    """Never certified; at a round, something happens."""

    def __init__(self, every, at=None, what=None):
        super().__init__(every)
        self.at, self.what, self.seen = at, what, []

    def __call__(self, checkpoint):
        self.seen.append(checkpoint.round)
        if checkpoint.round == self.at:
            raise self.what
        return False


def _training(folder, rounds, stop, *, batch=None, seed=0):
    key = None if batch is None else jax.random.key(seed)
    return Training(START, LocalSGD(0.5, 3, rounds, batch), key, stop, folder / "c.npz")


@pytest.mark.parametrize("what", [TimeUp(), KeyboardInterrupt()])
@pytest.mark.parametrize("batch", [None, 1])
def test_a_run_that_was_ended_goes_on_to_the_bits_of_a_whole_one(tmp_path, what, batch):
    config = LocalSGD(0.5, 3, 11, batch)
    key = None if batch is None else jax.random.key(0)
    whole = local_sgd.run(NET, DATA, SPLIT, config, key=key)
    ended = _training(tmp_path, 11, _Stop(4, 8, what), batch=batch)
    if isinstance(what, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt, match=r"8 rounds are kept in .*, --resume goes on"):
            ended.run(60.0, resume=False)
    else:
        reached = ended.run(60.0, resume=False)
        assert (reached.round, reached.time_up, reached.proof) == (8, True, None)
    stop = _Stop(4)
    later = _training(tmp_path, 11, stop, batch=batch).run(60.0, resume=True)
    assert stop.seen == [8, 11]
    assert later.round == 11
    assert not later.time_up
    np.testing.assert_allclose(later.losses, whole.trajectory.loss.values, rtol=1e-12)
    np.testing.assert_allclose(later.net.weights, whole.network.weights, rtol=1e-12)


def test_a_proof_ends_the_run_where_it_is_asked_for(tmp_path):
    stop = certificate.until_certified(5, method="path")
    reached = _training(tmp_path, 400, stop).run(60.0, resume=False)
    assert reached.proof.certified
    assert 0 < reached.round < 400
    again = certificate.certify(reached.net, DATA, SPLIT, LocalSGD(0.5, 3, 0), method="path")
    assert again.rate == reached.proof.rate


def test_the_checkpoint_of_another_run_or_of_none_is_refused(tmp_path):
    first = _training(tmp_path, 4, _Stop(2))
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        first.run(60.0, resume=True)
    first.run(60.0, resume=False)
    with pytest.raises(InputError, match=r"rounds is 3, but .* holds 4 already"):
        _training(tmp_path, 3, _Stop(2)).run(60.0, resume=True)
    with pytest.raises(InputError, match=r"is of another run .seed differs."):
        Training(START, LocalSGD(0.5, 3, 8), jax.random.key(1), _Stop(2), tmp_path / "c.npz").run(60.0, resume=True)
    with pytest.raises(InputError, match="local_steps differs"):
        Training(START, LocalSGD(0.5, 2, 8), None, _Stop(2), tmp_path / "c.npz").run(60.0, resume=True)


@pytest.mark.parametrize(
    "altered",
    [
        {"losses": np.zeros(0)},  # of no round at all
        {"losses": np.zeros((2, 2))},
        {"losses": np.array([1.0, np.nan])},
        {"layer_0": np.zeros((1, 16))},  # would be broadcast to all neurons
        {"layer_0": np.full((60, 16), np.inf)},
        {"layer_0": np.zeros((60, 16), np.float32)},
    ],
)
def test_a_checkpoint_that_is_none_of_a_run_is_refused_before_anything_is_certified(tmp_path, altered):
    _training(tmp_path, 4, _Stop(2)).run(60.0, resume=False)
    with np.load(tmp_path / "c.npz") as kept:
        np.savez(tmp_path / "c.npz", **(dict(kept) | altered))
    stop = _Stop(2)
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        _training(tmp_path, 6, stop).run(60.0, resume=True)
    assert stop.seen == []


def test_checkpoints_are_written_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(certified_training, "_WRITTEN_EVERY", 0.0)
    written = []
    monkeypatch.setattr(Training, "write", lambda _, here: written.append(here.round))
    _training(tmp_path, 6, _Stop(2)).run(60.0, resume=False)
    assert written == [2, 4, 6, 6]
    assert Reached(NET, np.zeros(3)).round == 2


def test_the_command_goes_on_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", inputs=DATA.inputs, targets=DATA.targets, client=np.array([0, 1, 1, 2]))
    NET.save("net.npz")
    argv = ["certify", "data.npz", "--local-steps", "3", "--step-size", "0.5", "--weights", "net.npz", "--every", "5"]
    argv += ["--method", "path"]
    assert cli.main([*argv, "--rounds", "5"]) == 1
    assert (tmp_path / "results" / "certify-data-checkpoint.npz").exists()
    assert cli.main([*argv, "--rounds", "400", "--resume"]) == 0
    assert "proved, by the path method" in capsys.readouterr().out
    assert cli.main([*argv, "--resume"]) == 2
    assert "without rounds there is no training" in capsys.readouterr().err
