"""A certificate speaks of the settings that its proof speaks of: every other one is refused, at every way in."""

import dataclasses

import jax
import numpy as np
import pytest

from ntk_localsgd import certificate, local_sgd, networks
from ntk_localsgd.certificate.deep.certifier import DeepCertifier
from ntk_localsgd.certificate.model import Rounds
from ntk_localsgd.certificate.schedule import Schedule
from ntk_localsgd.certificate.two_layer.certifier import Certifier
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD, Momentum
from ntk_localsgd.local_sgd.config import PLAIN
from tests import helpers

NET, DATA, SPLIT = helpers.problem(sizes=(2, 2), input_dim=6, width=20)
DEEP = networks.DeepReLU.init(jax.random.key(0), width=8, depth=2, input_dim=6, dtype=np.float64)
CONFIG = LocalSGD(0.1, 2, 3)

# One value besides the default of every setting that no theorem here is about.
BEYOND = {
    "client_weights": "samples",
    "batches": "epochs",
    "reduction": "mean",
    "step_factors": (1.0, 0.5, 0.25),
    "client_momentum": 0.5,
    "proximal": 0.1,
    "weight_decay": 0.1,
    "server": Momentum(),
}

WAYS_IN = {
    "certify": lambda config: certificate.certify(NET, DATA, SPLIT, config),
    "deep": lambda config: certificate.certify(DEEP, DATA, SPLIT, config),
    "at init": lambda config: certificate.certify_at_init(jax.random.key(0), DATA, SPLIT, config, width=20),
    "until": lambda config: local_sgd.run(
        NET, DATA, SPLIT, config, key=jax.random.key(0) if config.random else None, stop=certificate.until_certified()
    ),
    "two layers' certifier": lambda config: Certifier(lambda: iter([]), DATA, SPLIT, config),
    "deep certifier": lambda config: DeepCertifier(DEEP, DATA, SPLIT, config),
    "record": lambda config: certificate.write_certificate("none.json", None, NET, DATA, SPLIT, config),
    "schedule": lambda config: Schedule.of(SPLIT, config),
    "rounds": lambda config: Rounds.of(SPLIT, config),
}


def test_every_setting_is_either_proved_or_tried_here():
    assert {field.name for field in dataclasses.fields(LocalSGD)} == {*PLAIN, *BEYOND}


@pytest.mark.parametrize("name", BEYOND)
@pytest.mark.parametrize("enter", WAYS_IN.values(), ids=WAYS_IN.keys())
def test_no_way_in_lets_it_pass(enter, name):
    more = {"batch_size": 2} if name == "batches" else {}
    with pytest.raises(InputError, match=f"{name} is .*, but the certificate does not cover that: needs"):
        enter(dataclasses.replace(CONFIG, **{name: BEYOND[name]}, **more))


def test_a_setting_of_tomorrow_is_refused_too():
    @dataclasses.dataclass(frozen=True, repr=False)
    class Tomorrow(LocalSGD):
        compressed: bool = False

    Schedule.of(SPLIT, Tomorrow(0.1, 2, 3))
    with pytest.raises(InputError, match="compressed is True, but the certificate does not cover that: needs False"):
        Schedule.of(SPLIT, Tomorrow(0.1, 2, 3, compressed=True))


def test_batches_of_all_that_a_client_holds_are_full_ones():
    whole, capped = (Schedule.of(SPLIT, dataclasses.replace(CONFIG, batch_size=size)) for size in (None, 9))
    assert capped.certain
    assert whole.batches.tolist() == capped.batches.tolist() == [2, 2]
