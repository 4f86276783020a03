"""Unit-norm data: handwritten digits, the sphere, MNIST from disk, and the user's own arrays.

Rows are points on the unit sphere in float64, as every claim of the theory assumes (``docs/theory.md`` §0).
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.files import read_idx
from ntk_localsgd.randomness import generator
from ntk_localsgd.scalars import whole_number
from ntk_localsgd.separation import ClosestPair, closest_pair, on_sphere, repeated_pair
from ntk_localsgd.tables import Reading, read_parts

__all__ = ["Dataset", "digits", "from_arrays", "load", "mnist", "sphere"]


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Samples on the unit sphere with their targets; the arrays are read-only.

    Build one with `digits`, `sphere`, `mnist`, `from_arrays` or `load`, which normalise and refuse repeated rows;
    the constructor itself checks shapes, finiteness and unit norm, and leaves repeated rows to the caller.

    Parameters
    ----------
    inputs
        X, rows of unit Euclidean norm, float64.
    targets
        y, one number or one vector per row; vectors of one number become numbers.
    name
        What reports call the data.
    labels
        Class of each row, whole numbers, for splits by label and for plots.
    norms
        Norms that the rows had before they were scaled to 1; None: they came as they are.
    numbers
        What reports call the rows: their numbers in the file, counted from 1; None: 1 … n.
    notes
        What reading a file has changed, in words.

    Raises
    ------
    InputError
        For wrong shapes, non-finite values, or rows that are not of unit norm.
    """

    inputs: Float[ndarray, "n d"]
    targets: Float[ndarray, " n"] | Float[ndarray, "n o"]
    name: str
    labels: Int[ndarray, " n"] | None = None
    norms: Float[ndarray, " n"] | None = None
    numbers: Int[ndarray, " n"] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        inputs, targets = real_array("inputs", self.inputs, ndim=2), real_array("targets", self.targets, ndim=(1, 2))
        if targets.shape[1:] == (1,):
            targets = targets[:, 0]
        if len(targets) != len(inputs):
            raise InputError(
                f"targets has {len(targets)} rows, but inputs has {len(inputs)}: one target a row is needed."
            )
        norms = np.linalg.norm(inputs, axis=1)
        # Normalising rounds each coordinate once; the norm of the result is off by less than this.
        tolerance = 8 * np.finfo(np.float64).eps
        if (worst := int(np.argmax(np.abs(norms - 1)))) >= 0 and abs(norms[worst] - 1) > tolerance:
            raise InputError(f"inputs row {worst} (counted from 0) has norm {norms[worst]:.6g}, needs 1: "
                             "datasets.from_arrays normalises.")  # fmt: skip
        object.__setattr__(self, "inputs", _read_only(inputs))
        object.__setattr__(self, "targets", _read_only(targets))
        if self.labels is not None:
            object.__setattr__(self, "labels", _read_only(_whole_numbers("labels", self.labels, len(inputs))))
        for name in ("norms", "numbers"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _read_only(getattr(self, name)))

    @property
    def num_samples(self) -> int:
        """Number of rows n."""
        return self.inputs.shape[0]

    @property
    def input_dim(self) -> int:
        """Number of coordinates d."""
        return self.inputs.shape[1]

    def rows(self, chosen: Int[ndarray, " k"]) -> "Dataset":
        """The data set of these rows alone, by their numbers from 0."""
        optional = {name: getattr(self, name) for name in ("labels", "norms", "numbers")}
        kept = {name: part[chosen] for name, part in optional.items() if part is not None}
        return dataclasses.replace(self, inputs=self.inputs[chosen], targets=self.targets[chosen], **kept)

    def number_of(self, row: int) -> int:
        """What reports call a row, by its number from 0: its number in the file, counted from 1."""
        return int(row) + 1 if self.numbers is None else int(self.numbers[row])

    @property
    def separation(self) -> float:
        """φ = min_{i≠j} ‖x_i − x_j‖; infinite for a single row."""
        return self.closest_pair.distance

    @property
    def two_sided_separation(self) -> float:
        """φ± = min_{i≠j} min(‖x_i − x_j‖, ‖x_i + x_j‖); infinite for a single row."""
        return min(self.separation, self.most_opposite_pair.distance)

    @cached_property
    def closest_pair(self) -> ClosestPair:
        """The two nearest rows: min_{i≠j} ‖x_i − x_j‖ and where it is attained."""
        return closest_pair(self.inputs, sign=1.0)

    @cached_property
    def most_opposite_pair(self) -> ClosestPair:
        """The two rows nearest to being opposite: min_{i≠j} ‖x_i + x_j‖ and where it is attained."""
        return closest_pair(self.inputs, sign=-1.0)


def from_arrays(
    inputs: Float[ndarray, "n d"] | jax.Array,
    targets: Float[ndarray, " n"] | Float[ndarray, "n o"] | jax.Array,
    *,
    labels: Int[ndarray, " n"] | None = None,
    name: str = "arrays",
    allow_duplicates: bool = False,
) -> Dataset:
    """Dataset from the user's own arrays: rows x_i / ‖x_i‖, targets as given.

    Parameters
    ----------
    inputs
        Rows of any non-zero norm.
    targets
        One number or one vector per row.
    labels
        Class of each row.
    name
        What reports call the data.
    allow_duplicates
        Keep rows that coincide after normalisation; negative controls ask for this, the theory excludes it.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        For non-finite values, zero rows, rows that coincide (distance ≤ 8u) after normalisation, wrong lengths.
    """
    return _scaled(inputs, targets, labels, name, allow_duplicates=allow_duplicates)


def _scaled(
    inputs: Any, targets: Any, labels: Any, name: str, *, allow_duplicates: bool = False,
    numbers: Int[ndarray, " n"] | None = None, hint: str = "",
) -> Dataset:  # fmt: skip
    """`from_arrays`, with sentences that count rows from 0, or by their ``numbers`` in a file, from 1."""
    rows, counted = real_array("inputs", inputs, ndim=2), f"(counted from {0 if numbers is None else 1})"
    called = np.arange(len(rows)) if numbers is None else numbers
    unit, norms = on_sphere(rows, called, counted)
    if not allow_duplicates and (pair := repeated_pair(unit)) is not None:
        i, j = called[list(pair)]
        raise InputError(
            f"inputs rows {i} and {j} {counted} coincide after normalisation: rows must be distinct{hint}."
        )
    return Dataset(unit, targets, name, labels, norms, numbers)


def digits(num_samples: int, *, classes: tuple[int, int] | None = None, key: jax.Array) -> Dataset:
    """Handwritten digits, real data that comes with scikit-learn: 1,797 images of 8×8 pixels.

    Parameters
    ----------
    num_samples
        How many images, drawn without replacement.
    classes
        Two digits (a, b): only these, with target −1 for a and +1 for b. None: all ten, one-hot targets (o = 10).
    key
        Decides which images.

    Returns
    -------
    Dataset
        With d = 64 and ``labels`` the digits.

    Raises
    ------
    InputError
        If there are not that many images, or ``classes`` are not two different digits.

    References
    ----------
    Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI repository (1998).
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return _labelled_subset(images, labels.astype(np.int64), num_samples, classes, key, name="digits")


def mnist(
    folder: str | pathlib.Path,
    num_samples: int | None = None,
    *,
    classes: tuple[int, int] | None = None,
    split: str = "train",
    key: jax.Array,
) -> Dataset:
    """MNIST, or any data in its IDX format, from files on disk, gzipped or not.

    Reads ``{train,t10k}-images-idx3-ubyte[.gz]`` and ``{train,t10k}-labels-idx1-ubyte[.gz]`` in ``folder``; the names
    may have a dot for the second hyphen.

    Parameters
    ----------
    folder
        Where the IDX files lie.
    num_samples
        How many images, drawn without replacement; None: all, of the two classes if there are two.
    classes
        As in `digits`; None: one-hot targets, one column a label of the file.
    split
        ``"train"`` or ``"test"``.
    key
        Decides which images.

    Returns
    -------
    Dataset
        With ``labels`` the digits.

    Raises
    ------
    InputError
        If a file is missing or is no IDX file of bytes, or as in `digits`.
    """
    if split not in ("train", "test"):
        raise InputError(f"split is {split!r}, needs 'train' or 'test'.")
    prefix = {"train": "train", "test": "t10k"}[split]
    images = read_idx(pathlib.Path(folder), f"{prefix}-images", "idx3-ubyte")
    labels = read_idx(pathlib.Path(folder), f"{prefix}-labels", "idx1-ubyte")
    if len(images) != len(labels):
        raise InputError(f"folder {folder} holds {len(images)} images but {len(labels)} labels: they must be one set.")
    flat = images.reshape(len(images), -1).astype(np.float64)
    return _labelled_subset(flat, labels.astype(np.int64), num_samples, classes, key, name="MNIST")


def sphere(key: jax.Array, num_samples: int, input_dim: int, *, gaussian: bool = False) -> Dataset:
    """Independent points, uniform on the unit sphere in ℝ^d, with targets that know nothing of them.

    Parameters
    ----------
    key
        Decides points and targets.
    num_samples, input_dim
        Number of points n, and dimension d of the space around the sphere.
    gaussian
        Whether targets are N(0, 1), as in the experiments of Du et al. (2019); otherwise fair ±1.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If n or d is not positive, or points coincide (as they must in one dimension when n > 2).
    """
    num_samples, input_dim = whole_number("num_samples", num_samples), whole_number("input_dim", input_dim)
    rng = generator(key)
    rows = rng.standard_normal((num_samples, input_dim))
    targets = rng.standard_normal(num_samples) if gaussian else rng.choice([-1.0, 1.0], num_samples)
    return from_arrays(rows, targets, name="sphere")


def load(
    path: str | pathlib.Path,
    *,
    target: str = "target",
    client: str = "client",
    drop: Sequence[str] = (),
    drop_incomplete: bool = False,
    standardise: bool = False,
    standardise_targets: bool = False,
    merge_duplicates: bool = False,
) -> tuple[Dataset, Shaped[ndarray, " n"] | None]:
    """The user's own .npz, .csv or .parquet file: inputs, targets and, if there, the client and the label of each row.

    A .npz holds arrays ``inputs`` [n d], ``targets`` [n] and optionally ``client`` [n] and ``labels`` [n]. A table has
    a column for the target, optionally columns for the client and ``label``; all other columns are inputs. A .csv
    begins with a header; its separator is a comma, a semicolon or a tab, whichever the header has.

    Parameters
    ----------
    path
        The file; a .parquet needs pyarrow.
    target
        Column of the targets. Of texts, or of numbers that are classes, ``"species=setosa"`` makes that one +1 and all
        others −1. Texts are the classes of the rows too, where there is no column ``label``.
    client
        Column of the clients, numbers or texts.
    drop
        Columns to leave out.
    drop_incomplete
        Leave out rows that lack an entry in a column that is used.
    standardise
        Give every column of the inputs mean 0 and standard deviation 1, before rows are scaled to norm 1.
    standardise_targets
        Give the targets mean 0 and standard deviation 1, after duplicates are merged.
    merge_duplicates
        Make one row of those that coincide once scaled, with the mean of their targets.

    Returns
    -------
    Dataset, client of each row or None. What was done to the file stands in the data set's ``notes``, and which rows of
    the file are left in its ``numbers``.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a part, holds anything but finite numbers, or as in `from_arrays`; rows and
        columns are counted from 1, without the header.

    Warns
    -----
    UserWarning
        If a column of a table counts the rows, as an index does.
    """
    path = pathlib.Path(path)
    reading = Reading(
        target=target,
        client=client,
        drop=drop,
        drop_incomplete=drop_incomplete,
        standardise=standardise,
        standardise_targets=standardise_targets,
        merge_duplicates=merge_duplicates,
    )
    parts = read_parts(path, reading)
    hint = "" if merge_duplicates else "; merge_duplicates makes one of them"
    dataset = _scaled(parts.inputs, parts.targets, parts.labels, path.stem, numbers=parts.numbers, hint=hint)
    dataset = dataclasses.replace(dataset, notes=parts.notes)
    held = parts.client
    if held is not None and held.dtype.kind == "U" and held.shape == (dataset.num_samples,):
        return dataset, held
    return dataset, None if held is None else _whole_numbers(f"client of {path}", held, dataset.num_samples)


def _whole_numbers(name: str, values: Any, rows: int) -> Int[ndarray, " n"]:
    """One integer a row, refused if they are anything else."""
    numbers = real_array(name, values, ndim=1)
    if len(numbers) != rows:
        raise InputError(f"{name} has {len(numbers)} entries, needs one for each of the {rows} rows.")
    if (bad := np.flatnonzero((numbers != np.rint(numbers)) | (np.abs(numbers) > 2**53))).size:
        raise InputError(f"{name} holds {numbers[bad[0]]:g}, needs to hold whole numbers of at most 2^53.")
    return numbers.astype(np.int64)


def _labelled_subset(
    images: ndarray, labels: ndarray, num_samples: int | None, classes: tuple[int, int] | None, key: jax.Array, *,
    name: str,
) -> Dataset:  # fmt: skip
    """A random part of labelled images, with targets ±1 for two classes and one-hot targets for all there are."""
    present = np.unique(labels)
    if classes is not None:
        if len(classes) != 2 or classes[0] == classes[1] or not set(classes) <= set(present.tolist()):
            raise InputError(f"classes is {classes}, needs two different labels out of {present.tolist()}.")
        kept = np.isin(labels, classes)
        images, labels = images[kept], labels[kept]
        name = f"{name} {classes[0]} vs {classes[1]}"
    num_samples = len(images) if num_samples is None else whole_number("num_samples", num_samples)
    if num_samples > len(images):
        raise InputError(
            f"num_samples is {num_samples}, needs to lie between 1 and the {len(images)} images there are."
        )
    chosen = generator(key).choice(len(images), num_samples, replace=False)
    images, labels = images[chosen], labels[chosen]
    if classes is None:
        targets = (labels[:, None] == present[None, :]).astype(np.float64)
    else:
        targets = np.where(labels == classes[1], 1.0, -1.0)
    return from_arrays(images, targets, labels=labels, name=name)


def _read_only(array: ndarray) -> ndarray:
    array = np.array(array)
    array.flags.writeable = False
    return array
