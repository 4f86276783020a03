"""Unit-norm data: handwritten digits, the sphere, MNIST from disk, and the user's own arrays.

Rows are points on the unit sphere in float64, as every claim of the theory assumes (``docs/theory.md`` §0). What
decides how hard they are to fit is how close the closest two are: the separation φ.
"""

import dataclasses
import gzip
import math
import pathlib
import struct
from functools import cached_property

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from ntk_localsgd.errors import InputError
from ntk_localsgd.randomness import generator
from ntk_localsgd.separation import ClosestPair, closest_pair, repeated_pair

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
        y, one number or one vector per row.
    name
        What reports call the data.
    labels
        Class of each row, for splits by label and for plots.

    Raises
    ------
    InputError
        For wrong shapes, non-finite values, or rows that are not of unit norm.
    """

    inputs: Float[ndarray, "n d"]
    targets: Float[ndarray, " n"] | Float[ndarray, "n o"]
    name: str
    labels: Int[ndarray, " n"] | None = None

    def __post_init__(self) -> None:
        inputs = _finite("inputs", self.inputs, ndim=(2,))
        targets = _finite("targets", self.targets, ndim=(1, 2))
        if len(targets) != len(inputs):
            raise InputError(
                f"targets has {len(targets)} rows, but inputs has {len(inputs)}: one target a row is needed."
            )
        norms = np.linalg.norm(inputs, axis=1)
        # Normalising rounds each coordinate once; the norm of the result is off by less than this.
        tolerance = 8 * np.finfo(np.float64).eps
        if (worst := int(np.argmax(np.abs(norms - 1)))) >= 0 and abs(norms[worst] - 1) > tolerance:
            raise InputError(
                f"inputs row {worst} has norm {norms[worst]:.6g}, needs 1: datasets.from_arrays normalises."
            )
        object.__setattr__(self, "inputs", _read_only(inputs))
        object.__setattr__(self, "targets", _read_only(targets))
        if self.labels is not None:
            labels = np.asarray(self.labels)
            if labels.shape != (len(inputs),) or not np.issubdtype(labels.dtype, np.integer):
                raise InputError(
                    f"labels has shape {labels.shape} and dtype {labels.dtype}, needs {len(inputs)} integers."
                )
            object.__setattr__(self, "labels", _read_only(labels))

    @property
    def num_samples(self) -> int:
        """Number of rows n."""
        return self.inputs.shape[0]

    @property
    def input_dim(self) -> int:
        """Number of coordinates d."""
        return self.inputs.shape[1]

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
    rows = _finite("inputs", inputs, ndim=(2,))
    # Dividing by the largest entry first keeps the norm of tiny and huge rows from under- and overflowing.
    largest = np.max(np.abs(rows), axis=1, keepdims=True) if rows.shape[1] else np.zeros((len(rows), 1))
    if (zero := np.flatnonzero(largest == 0)).size:
        raise InputError(f"inputs row {_listed(zero)} is zero: a row needs a direction to be normalised.")
    rows = rows / largest
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    if not allow_duplicates and (pair := repeated_pair(unit)) is not None:
        raise InputError(f"inputs rows {pair[0]} and {pair[1]} coincide after normalisation: rows must be distinct.")
    return Dataset(unit, np.asarray(targets, np.float64), name, labels)


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

    Reads ``{train,t10k}-images-idx3-ubyte[.gz]`` and ``{train,t10k}-labels-idx1-ubyte[.gz]`` in ``folder``.

    Parameters
    ----------
    folder
        Where the IDX files lie.
    num_samples
        How many images, drawn without replacement; None: all.
    classes
        As in `digits`.
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
    images = _read_idx(pathlib.Path(folder), f"{prefix}-images-idx3-ubyte")
    labels = _read_idx(pathlib.Path(folder), f"{prefix}-labels-idx1-ubyte")
    if len(images) != len(labels):
        raise InputError(f"folder {folder} holds {len(images)} images but {len(labels)} labels: they must be one set.")
    flat = images.reshape(len(images), -1).astype(np.float64)
    return _labelled_subset(flat, labels.astype(np.int64), num_samples or len(flat), classes, key, name="MNIST")


def sphere(key: jax.Array, num_samples: int, input_dim: int) -> Dataset:
    """Independent points, uniform on the unit sphere in ℝ^d, with fair random targets ±1.

    Parameters
    ----------
    key
        Decides points and targets.
    num_samples
        Number of points n.
    input_dim
        Dimension d of the space around the sphere.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If n or d is not positive, or points coincide (as they must in one dimension when n > 2).
    """
    if num_samples < 1 or input_dim < 1:
        raise InputError(f"num_samples and input_dim are {num_samples} and {input_dim}, need to be at least 1.")
    rng = generator(key)
    return from_arrays(
        rng.standard_normal((num_samples, input_dim)), rng.choice([-1.0, 1.0], num_samples), name="sphere"
    )


def load(path: str | pathlib.Path) -> tuple[Dataset, Int[ndarray, " n"] | None]:
    """The user's own .npz or .csv file: inputs, targets and, if there, the client of each row.

    A .npz holds arrays ``inputs`` [n d], ``targets`` [n] and optionally ``client`` [n]. A .csv has a header line with
    a column ``target``, optionally a column ``client``; all other columns are inputs.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Dataset, client of each row or None

    Raises
    ------
    InputError
        If the file cannot be read, lacks a part, holds text where numbers belong, or as in `from_arrays`.
    """
    path = pathlib.Path(path)
    if path.suffix not in (".npz", ".csv"):
        raise InputError(f"{path} ends in {path.suffix!r}, needs to end in .npz or .csv.")
    try:
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                columns = {name: arrays[name] for name in ("inputs", "targets", "client") if name in arrays}
        else:
            table = pd.read_csv(path)
            columns = {"inputs": table.drop(columns=["target", "client"], errors="ignore").to_numpy()}
            columns |= {key: table[name].to_numpy() for name, key in _CSV_COLUMNS.items() if name in table}
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
        raise InputError(f"{path} cannot be read ({reason}): a .npz or .csv file is needed.") from error
    if missing := {"inputs", "targets"} - columns.keys():
        wanted = "a column 'target'" if path.suffix == ".csv" else f"an array {sorted(missing)[0]!r}"
        raise InputError(f"{path} lacks {wanted}.")
    dataset = from_arrays(columns["inputs"], columns["targets"], name=path.stem)
    client = columns.get("client")
    return dataset, None if client is None else _client_numbers(path, client, dataset.num_samples)


def _client_numbers(path: pathlib.Path, client: ndarray, rows: int) -> Int[ndarray, " n"]:
    """The client of each row as integers, refused if they are anything else."""
    numbers = _finite(f"client of {path}", client, ndim=(1,))
    if len(numbers) != rows:
        raise InputError(f"client of {path} has {len(numbers)} entries, needs one for each of the {rows} rows.")
    if (bad := np.flatnonzero(numbers != np.rint(numbers))).size:
        raise InputError(f"client of {path} holds {numbers[bad[0]]:g}, needs to hold whole numbers.")
    return numbers.astype(np.int64)


_CSV_COLUMNS = {"target": "targets", "client": "client"}


def _labelled_subset(
    images: ndarray, labels: ndarray, num_samples: int, classes: tuple[int, int] | None, key: jax.Array, *, name: str
) -> Dataset:
    """A random part of labelled images, with targets ±1 for two classes and one-hot targets for all."""
    if classes is not None:
        if len(classes) != 2 or classes[0] == classes[1] or not set(classes) <= set(labels.tolist()):
            raise InputError(f"classes is {classes}, needs two different labels out of {sorted(set(labels.tolist()))}.")
        kept = np.isin(labels, classes)
        images, labels = images[kept], labels[kept]
        name = f"{name} {classes[0]} vs {classes[1]}"
    if not 1 <= num_samples <= len(images):
        raise InputError(
            f"num_samples is {num_samples}, needs to lie between 1 and the {len(images)} images there are."
        )
    chosen = generator(key).choice(len(images), num_samples, replace=False)
    images, labels = images[chosen], labels[chosen]
    if classes is None:
        targets = (labels[:, None] == np.unique(labels)[None, :]).astype(np.float64)
    else:
        targets = np.where(labels == classes[1], 1.0, -1.0)
    return from_arrays(images, targets, labels=labels, name=name)


def _read_idx(folder: pathlib.Path, name: str) -> ndarray:
    """Unsigned bytes of an IDX file: two zero bytes, type 8, the number of dimensions, the sizes, the values."""
    for path, opened in ((folder / name, open), (folder / f"{name}.gz", gzip.open)):
        if not path.exists():
            continue
        try:
            with opened(path, "rb") as file:
                raw = file.read()
            magic, dims = raw[:3], raw[3]
            shape = struct.unpack(f">{dims}I", raw[4 : 4 + 4 * dims])
        except (OSError, EOFError, IndexError, struct.error) as error:
            raise InputError(f"{path} is no IDX file ({error}).") from error
        if magic != b"\x00\x00\x08" or len(raw) != 4 + 4 * dims + math.prod(shape):
            raise InputError(f"{path} is no IDX file of unsigned bytes, or it is cut short.")
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)
    raise InputError(f"folder {folder} holds neither {name} nor {name}.gz.")


def _finite(name: str, values: ndarray | jax.Array, *, ndim: tuple[int, ...]) -> Float[ndarray, "..."]:
    """``values`` as a fresh float64 array of an allowed number of dimensions without NaN or infinity."""
    try:
        array: ndarray = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be read as numbers ({error}).") from error
    if array.ndim not in ndim or array.shape[0] == 0:
        wanted = " or ".join(str(k) for k in ndim)
        raise InputError(f"{name} has shape {array.shape}, needs at least one row and {wanted} dimensions.")
    if (bad := np.argwhere(~np.isfinite(array))).size:
        where = tuple(int(k) for k in bad[0])
        raise InputError(f"{name}{list(where)} is {array[where]}, needs to be finite.")
    return array


def _listed(rows: ndarray) -> str:
    """Row numbers for a sentence, at most five of them."""
    return ", ".join(str(int(row)) for row in rows[:5]) + (", …" if len(rows) > 5 else "")


def _read_only(array: ndarray) -> ndarray:
    array = np.array(array)
    array.flags.writeable = False
    return array
