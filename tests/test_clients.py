"""Clients: partitions of every kind and size, and every refusal."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_localsgd import clients, datasets
from ntk_localsgd.errors import InputError

KEY = jax.random.key(0)
DATA = datasets.digits(60, key=KEY)


def _is_partition(split, num_samples):
    return sorted(np.concatenate(split.indices).tolist()) == list(range(num_samples)) and min(split.sizes) > 0


@given(seed=st.integers(0, 10**6), num_clients=st.integers(1, 20), concentration=st.floats(0.01, 100))
def test_every_split_is_a_partition_without_empty_clients(seed, num_clients, concentration):
    key = jax.random.key(seed)
    for split in (
        clients.iid(key, DATA, num_clients),
        clients.by_label(key, DATA, num_clients),
        clients.dirichlet(key, DATA, num_clients, concentration=concentration),
    ):
        assert _is_partition(split, 60)
        assert split.num_clients == num_clients
        assert split.num_samples == 60


def test_iid_sizes_differ_by_at_most_one():
    assert sorted(clients.iid(KEY, DATA, 7).sizes) == [8, 8, 8, 9, 9, 9, 9]


@pytest.mark.parametrize("classes_per_client", [1, 2])
def test_by_label_clients_see_few_classes(classes_per_client):
    labels = np.repeat(np.arange(5), 12)  # shards of 12 or 6 samples never cross a class boundary
    data = datasets.from_arrays(DATA.inputs, np.zeros(60), labels=labels)
    split = clients.by_label(KEY, data, 5, classes_per_client=classes_per_client)
    assert max(len(set(labels[part])) for part in split.indices) <= classes_per_client
    assert min(len(set(labels[part])) for part in clients.iid(KEY, data, 5).indices) > 2


def test_concentration_goes_from_one_class_to_all():
    spread = [
        np.mean([len(set(DATA.labels[p])) for p in clients.dirichlet(KEY, DATA, 4, concentration=a).indices])
        for a in (0.01, 1000.0)
    ]
    assert spread[0] < 5 < spread[1]


@pytest.mark.parametrize("concentration", [0.05, 100.0])
def test_dirichlet_favours_no_client(concentration):
    seeds = range(300)
    sizes = [clients.dirichlet(jax.random.key(s), DATA, 12, concentration=concentration).sizes for s in seeds]
    # Exchangeable clients hold 60/12 in the mean; five standard errors of the mean over the seeds.
    error = np.std(sizes) / np.sqrt(len(sizes))
    assert np.abs(np.mean(sizes, axis=0) - 5).max() < 5 * error


@pytest.mark.parametrize("concentration", [1e-300, 1e300])
def test_dirichlet_at_both_ends(concentration):
    split = clients.dirichlet(KEY, DATA, 3, concentration=concentration)
    present = [len(set(DATA.labels[part])) for part in split.indices]
    assert max(split.sizes) - min(split.sizes) <= 10 if concentration > 1 else sum(present) <= 10 + 2


def test_targets_that_are_no_classes_are_refused():
    for targets in (np.linspace(0, 1, 60), np.arange(60.0)):
        data = datasets.from_arrays(DATA.inputs, targets)
        with pytest.raises(InputError, match=r"60 different targets, which are no classes"):
            clients.by_label(KEY, data, 3)
        with pytest.raises(InputError, match=r"no classes"):
            clients.dirichlet(KEY, data, 3, concentration=1)


def test_splits_by_label_use_scalar_targets_in_the_labels_stead():
    data = datasets.sphere(KEY, 40, 5)
    for part in clients.by_label(KEY, data, 2, classes_per_client=1).indices:
        majority = abs(data.targets[part].sum())
        assert majority >= 20 - 2 * abs(int(data.targets.sum()))  # nearly all of one sign


def test_padding_is_masked_and_only_padding():
    split = clients.Clients((np.array([4, 1]), np.array([0, 2, 3])))
    rectangle, mask = split.padded()
    np.testing.assert_array_equal(mask, [[True, True, False], [True, True, True]])
    np.testing.assert_array_equal(rectangle[mask], [4, 1, 0, 2, 3])


def test_spectral_norms():
    split = clients.iid(KEY, DATA, 3)
    expected = [np.sqrt(np.linalg.eigvalsh(DATA.inputs[p] @ DATA.inputs[p].T)[-1]) for p in split.indices]
    # Eigenvalues of the Gram matrix against singular values of the rows: a few roundings of numbers below 8.
    np.testing.assert_allclose(split.spectral_norms(DATA.inputs), expected, rtol=1e-12)


def test_assignment_from_a_file():
    split = clients.from_assignment(np.array([7, 3, 7, 7]))
    assert [part.tolist() for part in split.indices] == [[1], [0, 2, 3]]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: clients.Clients(()), "at least one client"),
        (lambda: clients.iid(KEY, DATA, 2.5), "num_clients is 2.5"),
        (lambda: clients.by_label(KEY, DATA, 2, classes_per_client=True), "classes_per_client is True"),
        (lambda: clients.dirichlet(KEY, DATA, 2, concentration=float("inf")), "concentration is inf"),
        (lambda: clients.iid(3, DATA, 2), "key is 3, needs to be a JAX key"),
        (lambda: clients.Clients((np.array([0, 1]), np.array([], int))), "client 1"),
        (lambda: clients.Clients((np.array([0, 1]), np.array([1, 2]))), "sample 1 2 times"),
        (lambda: clients.Clients((np.array([0]), np.array([2]))), "miss sample 1"),
        (lambda: clients.Clients((np.array([-1, 0]),)), "name sample -1"),
        (lambda: clients.Clients((np.array([0.0, 1.0]),)), "dtype"),
        (lambda: clients.iid(KEY, DATA, 0), "num_clients is 0"),
        (lambda: clients.iid(KEY, DATA, 61), "num_clients is 61"),
        (lambda: clients.by_label(KEY, DATA, 40), "80 samples"),
        (lambda: clients.by_label(KEY, DATA, 4, classes_per_client=0), "classes_per_client is 0"),
        (lambda: clients.dirichlet(KEY, DATA, 4, concentration=0.0), "concentration is 0"),
        (lambda: clients.dirichlet(KEY, DATA, 4, concentration=float("nan")), "concentration is nan"),
    ],
)
def test_bad_splits_are_refused_in_one_sentence(call, named):
    with pytest.raises(InputError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_vector_targets_without_labels_cannot_be_split_by_label():
    data = datasets.from_arrays(np.eye(4), np.eye(4))
    with pytest.raises(InputError, match="neither labels nor one target a row"):
        clients.by_label(KEY, data, 2)


@pytest.mark.parametrize("least", [1, 3, 5])
def test_a_smallest_size_is_kept_and_takes_from_the_largest(least):
    data = datasets.digits(40, classes=(3, 8), key=jax.random.key(0))
    plain, kept = (
        clients.dirichlet(jax.random.key(2), data, 8, concentration=0.1, min_samples=size) for size in (1, least)
    )
    assert min(kept.sizes) >= least
    assert max(kept.sizes) <= max(plain.sizes)
    assert sorted(np.concatenate(kept.indices)) == list(range(40))
    if least == 3:
        assert min(plain.sizes) < least
    with pytest.raises(InputError, match="min_samples is 6, needs to be at most 5 for 8 clients of 40 samples"):
        clients.dirichlet(jax.random.key(2), data, 8, concentration=0.1, min_samples=6)
