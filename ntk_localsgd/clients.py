"""Who holds which sample: splits of a dataset over clients of equal or unequal sizes.

Unequal sizes are first-class. Compiled code wants rectangles, so `Clients.padded` gives indices and a mask; nothing
else in the package shows padding.
"""

import dataclasses

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.randomness import generator
from ntk_localsgd.scalars import positive_number, whole_number

__all__ = ["Clients", "by_label", "class_of_each_row", "dirichlet", "from_assignment", "iid"]


@dataclasses.dataclass(frozen=True, eq=False)
class Clients:
    """Disjoint index sets S_c whose union is {0, …, n−1}.

    Parameters
    ----------
    indices
        One array of sample numbers per client.

    Raises
    ------
    InputError
        If a client is empty, two clients overlap, or a number between 0 and the largest is missing.
    """

    indices: tuple[Int[ndarray, " n_c"], ...]

    def __post_init__(self) -> None:
        sets = tuple(np.asarray(part) for part in self.indices)
        if not sets:
            raise InputError("indices is empty, needs at least one client.")
        for c, part in enumerate(sets):
            if part.ndim != 1 or part.size == 0:
                raise InputError(f"indices of client {c} have shape {part.shape}: every client needs a sample.")
            if not np.issubdtype(part.dtype, np.integer):
                raise InputError(f"indices of client {c} have dtype {part.dtype}, need to be integers.")
        together = np.concatenate(sets)
        values, counts = np.unique(together, return_counts=True)
        if (shared := values[counts > 1]).size:
            raise InputError(f"indices name sample {shared[0]} {counts.max()} times: clients must not overlap.")
        if values[0] != 0 or values[-1] != len(values) - 1:
            missing = np.setdiff1d(np.arange(max(values[-1], 0) + 1), values)
            fault = f"miss sample {missing[0]}" if missing.size else f"name sample {values[0]}"
            raise InputError(f"indices {fault}: together they must be 0 … n−1.")
        object.__setattr__(self, "indices", tuple(part.astype(np.int64) for part in sets))

    @property
    def num_clients(self) -> int:
        """Number of clients K."""
        return len(self.indices)

    @property
    def num_samples(self) -> int:
        """Number of samples n over all clients."""
        return sum(self.sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Samples n_c of each client."""
        return tuple(len(part) for part in self.indices)

    def padded(self) -> tuple[Int[ndarray, "K n_max"], Bool[ndarray, "K n_max"]]:
        """Index rectangle and mask: row c starts with S_c, the rest repeats sample 0 and is masked out."""
        width = max(self.sizes)
        mask = np.arange(width)[None, :] < np.array(self.sizes)[:, None]
        rectangle = np.zeros(mask.shape, np.int64)
        rectangle[mask] = np.concatenate(self.indices)
        return rectangle, mask

    def spectral_norms(self, inputs: Float[ndarray, "n d"]) -> Float[ndarray, " K"]:
        """χ_c = ‖X_c‖₂ of every client's rows."""
        rows = real_array("inputs", inputs, ndim=2)
        return np.array([np.linalg.norm(rows[part], 2) for part in self.indices])


def iid(key: jax.Array, dataset: Dataset, num_clients: int) -> Clients:
    """Shuffle the samples and deal them out: sizes differ by at most one.

    Parameters
    ----------
    key
        Decides the shuffle.
    dataset
        What is split.
    num_clients
        K, at most n.

    Returns
    -------
    Clients

    Raises
    ------
    InputError
        If K is less than 1 or more than n.
    """
    num_clients = _number_of_clients(num_clients, dataset)
    shuffled = generator(key).permutation(dataset.num_samples)
    return Clients(tuple(np.sort(part) for part in np.array_split(shuffled, num_clients)))


def by_label(key: jax.Array, dataset: Dataset, num_clients: int, *, classes_per_client: int = 2) -> Clients:
    """Each client sees few classes: samples sorted by label are cut into shards, dealt out at random.

    With K clients there are K·classes_per_client shards of sizes that differ by at most one; a client holds at most
    ``classes_per_client`` of them, so at most that many classes where shards do not cross a class boundary (a shard
    that does adds one).

    Parameters
    ----------
    key
        Decides the order inside a class and who gets which shards.
    dataset
        What is split; needs labels, or targets that are classes in their stead.
    num_clients
        K.
    classes_per_client
        Shards per client.

    Returns
    -------
    Clients

    Raises
    ------
    InputError
        If there are fewer samples than shards, or neither labels nor targets that are classes.

    References
    ----------
    McMahan et al., Communication-efficient learning of deep networks from decentralized data (2017), §3.
    """
    num_clients = _number_of_clients(num_clients, dataset)
    classes_per_client = whole_number("classes_per_client", classes_per_client)
    shards = num_clients * classes_per_client
    if shards > dataset.num_samples:
        raise InputError(
            f"{num_clients} clients of {classes_per_client} shards need {shards} samples, there are "
            f"{dataset.num_samples}."
        )
    rng = generator(key)
    shuffled = rng.permutation(dataset.num_samples)
    pieces = np.array_split(shuffled[np.argsort(class_of_each_row(dataset)[shuffled], kind="stable")], shards)
    dealt = rng.permutation(shards).reshape(num_clients, classes_per_client)
    return Clients(tuple(np.sort(np.concatenate([pieces[s] for s in hand])) for hand in dealt))


def dirichlet(
    key: jax.Array, dataset: Dataset, num_clients: int, *, concentration: float, min_samples: int = 1
) -> Clients:
    """Client shares of every class drawn from a symmetric Dirichlet distribution; no client stays empty.

    A small concentration gives clients with few classes and unequal sizes, a large one gives iid clients. A client
    that got fewer than ``min_samples`` takes what it lacks, sample by sample, from the client that is the largest then.

    Parameters
    ----------
    key
        Decides shares and samples.
    dataset
        What is split; needs labels, or targets that are classes in their stead.
    num_clients
        K.
    concentration
        Parameter of the Dirichlet distribution, positive and finite; its infinite limit is near `iid`.
    min_samples
        Samples that every client has at least, at most n/K.

    Returns
    -------
    Clients

    Raises
    ------
    InputError
        If the concentration is not positive and finite, K or the smallest size do not fit n, or there are neither
        labels nor targets that are classes.

    References
    ----------
    Hsu, Qi and Brown, Measuring the effects of non-identical data distribution for federated visual
    classification (2019).
    """
    num_clients = _number_of_clients(num_clients, dataset)
    # Beyond these, shares are those of the limits, one client a class or equal shares, to float64's digits.
    concentration = min(max(positive_number("concentration", concentration), 1e-100), 1e100)
    least = whole_number("min_samples", min_samples)
    if least * num_clients > dataset.num_samples:
        raise InputError(
            f"min_samples is {least}, needs to be at most {dataset.num_samples // num_clients} for {num_clients} "
            f"clients of {dataset.num_samples} samples."
        )
    rng = generator(key)
    labels = class_of_each_row(dataset)
    hands: list[list[int]] = [[] for _ in range(num_clients)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        shares = rng.dirichlet(np.full(num_clients, concentration))
        # Cuts are moved by one common random part before they are rounded down: every client holds its share in the
        # mean and less than one sample more or less; whose turn comes when is random too, so that no client is special.
        cuts = np.floor(np.cumsum(shares)[:-1] * len(members) + rng.random()).astype(int)
        for c, part in zip(rng.permutation(num_clients), np.split(members, cuts), strict=True):
            hands[c].extend(part.tolist())
    for hand in hands:
        while len(hand) < least:
            most = max(len(other) for other in hands)
            giver = hands[rng.choice([c for c, other in enumerate(hands) if len(other) == most])]
            hand.append(giver.pop(rng.integers(most)))
    return Clients(tuple(np.sort(np.array(hand, np.int64)) for hand in hands))


def from_assignment(client: Shaped[ndarray, " n"]) -> Clients:
    """Clients from the client of each sample, as a data file lists it: in the order of their numbers or texts."""
    client = np.asarray(client)
    return Clients(tuple(np.flatnonzero(client == name) for name in np.unique(client)))


def class_of_each_row(dataset: Dataset) -> Int[ndarray, " n"]:
    """Labels of the samples, or in their stead targets that are classes: whole numbers, most of which recur.

    Raises
    ------
    InputError
        If there are neither.
    """
    if dataset.labels is not None:
        return dataset.labels
    targets = dataset.targets
    if targets.ndim != 1:
        raise InputError(
            f"dataset {dataset.name!r} has neither labels nor one target a row: a split by label needs them."
        )
    distinct = np.unique(targets)
    if (targets != np.rint(targets)).any() or len(distinct) > max(2, len(targets) // 2):
        raise InputError(
            f"dataset {dataset.name!r} has no labels and {len(distinct)} different targets, which are no "
            "classes: a split by label needs labels."
        )
    return np.searchsorted(distinct, targets)


def _number_of_clients(num_clients: int, dataset: Dataset) -> int:
    number = whole_number("num_clients", num_clients)
    if number > dataset.num_samples:
        raise InputError(f"num_clients is {number}, needs to lie between 1 and the {dataset.num_samples} samples.")
    return number
