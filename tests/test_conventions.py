"""The same run in other conventions: every row of the table moves weights as it says, by the definition in NumPy."""

import dataclasses

import numpy as np
import pytest

from ntk_localsgd import conventions
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import Adam, LocalSGD, Momentum, epoch_steps
from tests.helpers import gradient, problem

NET, DATA, SPLIT = problem(sizes=(3, 4, 1), width=400)
SIZES = np.array(SPLIT.sizes)

# Factor of ½ Σ, and whether it is divided by the number of samples used.
QUOTIENTS = {"½ Σ": (1, 0), "Σ": (2, 0), "½ m": (1, 1), "mea": (2, 1)}

AVERAGES = {"plain": np.full(3, 1 / 3), "weights": SIZES / SIZES.sum(), "own": np.array([0.5, 0.2, 0.3])}


def _movement(step_sizes, quotient, average, config):
    """One round of clients that descend with their own step on a quotient of ½ Σ over the batch."""
    weights, signs = np.asarray(NET.weights), np.asarray(NET.signs)
    total = np.zeros_like(weights)
    for c, part in enumerate(SPLIT.indices):
        own, velocity = weights, 0.0
        for k in range(config.steps_of(SPLIT)[c]):
            used = part
            if config.batch_size is not None:
                used = part[(config.batch_size * k) % len(part) :][: config.batch_size]
            slope = quotient[0] / len(used) ** quotient[1] * gradient(own, signs, DATA.inputs[used], DATA.targets[used])
            velocity = config.client_momentum * velocity + slope
            own = own - step_sizes[c] * velocity
        total += average[c] * (own - weights)
    return total


@pytest.mark.parametrize("local_steps", [1, 3])
@pytest.mark.parametrize(
    ("settings", "number"),
    [
        ({}, 6),
        ({"batch_size": 1}, 6),
        ({"client_weights": "samples", "reduction": "mean"}, 6),
        ({"client_weights": (5.0, 2.0, 3.0), "reduction": "mean", "client_momentum": 0.6}, 8),
    ],
)
def test_conventions_move_the_weights_alike(local_steps, settings, number):
    config = LocalSGD(0.3, local_steps, 1, **settings)
    kind = {"uniform": "plain", "samples": "weights"}.get(str(config.client_weights), "own")
    own = (1, int(config.reduction == "mean"))
    ours = _movement(np.full(3, 0.3), own, AVERAGES[kind], config)
    found = conventions.conventions(SPLIT, config)
    assert len(found) == number
    assert found[0].loss.endswith("as here")
    np.testing.assert_array_equal(found[0].step_sizes, 0.3)
    for entry in found:
        quotient = next(value for start, value in QUOTIENTS.items() if entry.loss.startswith(start))
        average = AVERAGES[next(name for name in AVERAGES if entry.average.startswith(name))]
        theirs = _movement(entry.step_sizes, quotient, average, config)
        assert np.allclose(theirs, ours, atol=1e-12) == entry.exact


def test_epochs_whose_last_batch_is_short_are_no_other_reduction_s():
    config = LocalSGD(0.3, epoch_steps(SPLIT, 2), 1, 2, batches="epochs", reduction="mean")
    for entry in conventions.conventions(SPLIT, config):
        quotient = next(value for start, value in QUOTIENTS.items() if entry.loss.startswith(start))
        if entry.average.startswith("plain"):
            theirs = _movement(entry.step_sizes, quotient, AVERAGES["plain"], config)
            alike = np.allclose(theirs, _movement(np.full(3, 0.3), (1, 1), AVERAGES["plain"], config), atol=1e-12)
            assert alike == entry.exact == ("mean" in entry.loss)


def test_participants_that_are_drawn_leave_no_average_to_another():
    one = LocalSGD(0.3, 1, 1)
    exact = [[entry.exact for entry in conventions.conventions(SPLIT, config)]
             for config in (one, dataclasses.replace(one, participants=2))]  # fmt: skip
    assert exact == [[True] * 6, [True] * 4 + [False] * 2]


def _told(split=SPLIT, **settings):
    return dict(
        conventions.options(split, LocalSGD(**({"step_size": 0.3, "local_steps": 3, "num_rounds": 1} | settings)))
    )


def test_libraries_are_told_the_run_or_say_why_they_cannot():
    epochs = {"batch_size": 1, "batches": "epochs", "local_steps": epoch_steps(SPLIT, 1, 2), "reduction": "mean"}
    told = _told(**epochs, client_weights="samples", client_momentum=0.5, server=Momentum(0.9), server_step_size=0.5)
    assert told["PyTorch loop"].startswith(
        "MSELoss(reduction='mean'), SGD(lr=0.15, momentum=0.5), DataLoader(batch_size=1, shuffle=True), 2 epochs; then"
    )
    assert told["Flower"].startswith(
        "FedAvgM(weighted_by_key='num-examples', server_learning_rate=0.5, server_momentum=0.9), every client reporting"
    )
    assert told["FedJAX"] == (
        "federated_averaging(grad of ½ mean (f − y)², sgd(0.3, momentum=0.5), sgd(0.5, momentum=0.9), "
        "ShuffleRepeatBatchHParams(batch_size=1, num_epochs=2))"
    )
    assert "reporting 1 as" in _told()["Flower"]
    assert "drawn anew" in _told(batch_size=2)["PyTorch loop"]
    why = {
        "weighs clients by n_c": _told(),
        "walk through epochs": _told(batch_size=2, client_weights="samples"),
        "from the next one": _told(**epochs | {"batch_size": 2}, client_weights="samples"),
        "fills the last batch": _told(client_weights="samples"),
        "corrects its means": _told(**epochs, client_weights="samples", server=Adam(corrected=False)),
    }
    assert all(words in each["FedJAX"] for words, each in why.items())
    assert "corrects round t" in _told(server=Adam())["Flower"]
    with pytest.raises(InputError, match=r"weight_decay is 0\.1, but the table of options does not cover that"):
        _told(weight_decay=0.1)
    with pytest.raises(InputError, match="participants is 2, but the table of options"):
        _told(participants=2)


def test_steps_that_are_no_whole_epochs_are_told_as_steps():
    part = {"batch_size": 1, "batches": "epochs", "client_weights": "samples"}
    told = _told(**part, local_steps=2)
    assert "DataLoader(batch_size=1, shuffle=True), 2 steps; then" in told["PyTorch loop"]
    assert "ShuffleRepeatBatchHParams(batch_size=1, num_epochs=None, num_steps=2)" in told["FedJAX"]
    told = _told(**part, local_steps=(2, 3, 1), server=Momentum(0.9))
    assert "2, 3, 1 (client by client) steps; then" in told["PyTorch loop"]
    assert "by n_c/n, whose movement Momentum(decay=0.9) takes for −gradient at η_g = 1" in told["PyTorch loop"]
    assert "equally many steps or epochs" in told["FedJAX"]
