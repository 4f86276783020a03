"""The independent run of deep networks is the library's; lazy networks are certified by their own data alone."""

import dataclasses

import numpy as np
import pytest

from ntk_localsgd import datasets, kernels, local_sgd
from ntk_localsgd.networks import DeepReLU
from verification.data import Source
from verification.jobs.deep_cases import RandomDeepCertificates, follow_deep, random_deep_case
from verification.jobs.lazy_certificates import LazyCertificates


@pytest.mark.parametrize("seed", [3, 5])  # no neuron exactly at its kink, where rounding decides
def test_the_reference_run_is_that_of_the_library(seed):
    case = random_deep_case(np.random.default_rng(seed))
    net = DeepReLU.from_arrays(case.first, list(case.hidden), case.last)
    data = datasets.from_arrays(case.inputs, case.targets if len(case.last) > 1 else case.targets[:, 0])
    run = local_sgd.run(net, data, case.clients, local_sgd.LocalSGD(case.step_size, case.local_steps, 4))
    seen = follow_deep(case, 4)
    assert np.allclose(np.sqrt(2 * run.trajectory.loss.values), seen.residual_norms, rtol=1e-9)
    moved = sum(np.square(np.asarray(a - b)).sum() for a, b in zip(run.network.trained, net.trained, strict=True))
    assert seen.movement >= np.sqrt(moved) * (1 - 1e-9)
    if len(case.last) == 1:
        gram = np.asarray(kernels.empirical_gram(net, case.inputs))
        largest = max(np.linalg.eigvalsh(gram[np.ix_(p, p)])[-1] for p in case.clients.indices)
        assert case.largest_step == pytest.approx(1 / largest, rel=1e-9)


def test_overstated_certificates_fail():
    tally = RandomDeepCertificates(12, 0, overstated=10.0, enough=2).compute()
    assert tally.certified == tally.failed == 2


def test_lazy_networks_are_certified_and_others_are_not():
    lazy = LazyCertificates(Source("digits", 4, 0), 4, 3, 48, 2, 1e4, (1, 2))
    found = lazy.compute()
    assert (found.certified == 1).all()
    assert ((found.rate > 0.5) & (found.rate < 1)).all()
    for other in (dataclasses.replace(lazy, scale=0.1), dataclasses.replace(lazy, share=4.0)):
        spoiled = other.compute()
        assert (spoiled.certified == 0).all()
        assert (spoiled.rate == 1).all()
