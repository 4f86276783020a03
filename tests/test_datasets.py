"""Datasets: unit rows, real data, the user's own files, separation, and every refusal."""

import contextlib
import gzip
import io
import struct
import warnings

import hypothesis
import jax
import numpy as np
import pytest
import scipy.stats
from hypothesis import strategies as st

from ntk_localsgd import datasets
from ntk_localsgd.errors import InputError

KEY = jax.random.key(0)

# A norm of d rounded coordinates is off by less than this.
UNIT = 8 * np.finfo(np.float64).eps


def _refused(named, call):
    with pytest.raises(InputError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [datasets.digits(50, key=KEY), datasets.digits(50, classes=(1, 7), key=KEY), datasets.sphere(KEY, 50, 7)],
    ids=["ten digits", "two digits", "sphere"],
)
def test_rows_have_unit_norm_and_arrays_are_read_only_float64(data):
    np.testing.assert_allclose(np.linalg.norm(data.inputs, axis=1), 1, rtol=0, atol=UNIT)
    assert data.inputs.dtype == data.targets.dtype == np.float64
    assert data.num_samples == 50
    with pytest.raises(ValueError, match="read-only"):
        data.inputs[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        data.targets[0] = 1


def test_two_classes_have_targets_plus_minus_one_by_label():
    data = datasets.digits(80, classes=(3, 8), key=KEY)
    np.testing.assert_array_equal(data.targets, np.where(data.labels == 8, 1.0, -1.0))
    assert set(data.labels) == {3, 8}


def test_ten_classes_have_one_hot_targets():
    data = datasets.digits(200, key=KEY)
    assert data.targets.shape == (200, 10)
    np.testing.assert_array_equal(data.targets.argmax(axis=1), data.labels)
    np.testing.assert_array_equal(data.targets.sum(axis=1), 1)


def test_keys_decide_the_data():
    same, other = datasets.digits(30, key=jax.random.key(0)), datasets.digits(30, key=jax.random.key(1))
    np.testing.assert_array_equal(same.inputs, datasets.digits(30, key=jax.random.PRNGKey(0)).inputs)
    assert not np.array_equal(same.inputs, other.inputs)


def test_points_are_uniform_on_the_sphere_and_targets_fair():
    data = datasets.sphere(KEY, 20_000, 3)
    # Archimedes: the coordinates of a uniform point in space are uniform. One wrong alarm in ten thousand seeds each.
    for column in data.inputs.T:
        assert scipy.stats.kstest(column, scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-4
    assert scipy.stats.binomtest(int((data.targets > 0).sum()), 20_000).pvalue > 1e-4


def test_targets_are_kept_as_given_and_rows_normalised():
    rows = np.array([[3.0, 4.0], [1e300, 1e300], [1e-300, -1e-300]])
    data = datasets.from_arrays(rows, [0.5, -7, 2])
    root = np.sqrt(0.5)
    np.testing.assert_allclose(data.inputs, [[0.6, 0.8], [root, root], [root, -root]], rtol=0, atol=UNIT)
    np.testing.assert_array_equal(data.targets, [0.5, -7, 2])
    assert datasets.from_arrays(jax.numpy.eye(2), jax.numpy.ones(2)).num_samples == 2


def test_separation_matches_brute_force_in_tiles():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1500, 3))
    data = datasets.from_arrays(x, np.zeros(1500))
    distance = np.linalg.norm(data.inputs[:, None] - data.inputs[None], axis=2) + 9 * np.eye(1500)
    opposite = np.linalg.norm(data.inputs[:, None] + data.inputs[None], axis=2) + 9 * np.eye(1500)
    assert data.separation == distance.min()
    assert data.two_sided_separation == min(distance.min(), opposite.min())
    i, j = data.closest_pair.rows
    assert distance[i, j] == distance.min()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("tiny", [1e-6, 1e-10, 1e-13])
def test_tiny_separations_keep_their_digits(tiny, sign):
    x = np.eye(40)
    x[7] = sign * (np.eye(40)[3] + tiny * np.eye(40)[5])
    data = datasets.from_arrays(x, np.zeros(40))
    pair = data.closest_pair if sign == 1 else data.most_opposite_pair
    assert pair.rows == (3, 7)
    # Coordinates of size 1 carry errors of 1e-16 each.
    assert pair.distance == pytest.approx(tiny, rel=1e-5, abs=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_the_closest_of_many_near_pairs_is_not_left_to_rounded_inner_products(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((40, 9))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[20:] = x[:20] + 1e-10 * rng.uniform(1, 9, (20, 1)) * rng.standard_normal((20, 9))
    data = datasets.from_arrays(x, np.zeros(40))
    apart = np.linalg.norm(data.inputs[:20] - data.inputs[20:], axis=1)
    assert data.closest_pair == (apart.min(), (apart.argmin(), apart.argmin() + 20))


def test_one_row_has_no_closest_pair():
    assert datasets.from_arrays([[1.0, 0.0]], [1.0]).separation == np.inf


def test_rows_that_coincide_after_normalising_are_refused_by_number():
    rows = np.random.default_rng(0).standard_normal((30, 5))
    rows[17] = 3 * rows[4]  # the last bits differ after normalising: == would miss it
    _refused(r"rows 4 and 17 \(counted from 0\) coincide", lambda: datasets.from_arrays(rows, np.zeros(30)))
    kept = datasets.from_arrays(rows, np.zeros(30), allow_duplicates=True)
    assert kept.separation <= UNIT
    rows[17] = -rows[4]  # an opposite row is another point
    assert datasets.from_arrays(rows, np.zeros(30)).num_samples == 30


@pytest.mark.parametrize(
    ("inputs", "targets", "labels", "named"),
    [
        ([[1.0, 0.0], [0.0, 0.0]], [1, 1], None, r"row 1 \(counted from 0\) is zero"),
        ([[1.0, np.nan]], [1], None, r"inputs\[0, 1\] is nan"),
        ([[1.0, 0.0]], [np.inf], None, r"targets\[0\] is inf"),
        ([[1.0, 0.0]], [1, 2], None, "targets has 2 rows"),
        ([[1.0, 0.0]], [1], [1, 2], "labels has 2 entries"),
        ([[1.0, 0.0]], [1], [0.5], "labels holds 0.5"),
        ([1.0, 0.0], [1], None, "inputs has shape"),
        (np.zeros((0, 2)), [], None, "inputs has shape"),
        ([["a", "b"]], [1], None, "inputs holds str"),
    ],
)
def test_bad_arrays_are_refused_in_one_sentence(inputs, targets, labels, named):
    _refused(named, lambda: datasets.from_arrays(inputs, targets, labels=None if labels is None else np.array(labels)))


def test_the_constructor_refuses_rows_that_are_not_of_unit_norm():
    _refused(r"row 1 \(counted from 0\) has norm 2", lambda: datasets.Dataset(np.diag([1.0, 2.0]), np.ones(2), "mine"))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: datasets.digits(5000, key=KEY), "num_samples is 5000"),
        (lambda: datasets.digits(0, key=KEY), "num_samples is 0"),
        (lambda: datasets.digits(5, classes=(3, 3), key=KEY), "classes is"),
        (lambda: datasets.digits(5, classes=(3, 11), key=KEY), "classes is"),
        (lambda: datasets.sphere(KEY, 0, 3), "num_samples is 0"),
        (lambda: datasets.sphere(KEY, 3, 1), "coincide"),
    ],
)
def test_impossible_requests_are_refused_in_one_sentence(call, named):
    _refused(named, call)


def _write_idx(folder, images, labels, *, zipped=False, prefix="train"):
    opened, suffix = (gzip.open, ".gz") if zipped else (open, "")
    for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        with opened(folder / (name + suffix), "wb") as file:
            file.write(header + array.astype(np.uint8).tobytes())


IMAGES = np.random.default_rng(0).integers(1, 256, (20, 3, 4))
LABELS = np.arange(20) % 10


@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_reads_idx_files(tmp_path, zipped):
    _write_idx(tmp_path, IMAGES, LABELS, zipped=zipped)
    data = datasets.mnist(tmp_path, key=KEY)
    assert data.inputs.shape == (20, 12)
    assert sorted(data.labels) == sorted(LABELS)
    rows = IMAGES.reshape(20, 12) / np.linalg.norm(IMAGES.reshape(20, 12), axis=1, keepdims=True)
    order = [int(np.abs(rows - x).sum(axis=1).argmin()) for x in data.inputs]
    np.testing.assert_allclose(data.inputs, rows[order], rtol=0, atol=UNIT)
    np.testing.assert_array_equal(data.labels, LABELS[order])
    assert set(datasets.mnist(tmp_path, 3, classes=(2, 5), key=KEY).targets) <= {-1.0, 1.0}
    assert datasets.mnist(tmp_path, classes=(2, 5), key=KEY).num_samples == 4  # None: all that there are of the two
    _refused("num_samples is 0", lambda: datasets.mnist(tmp_path, 0, key=KEY))


def test_idx_files_may_have_dots_and_must_hold_images(tmp_path):
    _write_idx(tmp_path, IMAGES, LABELS, zipped=True)
    for name in ("images-idx3", "labels-idx1"):
        (tmp_path / f"train-{name}-ubyte.gz").rename(tmp_path / f"train-{name.replace('-', '.')}-ubyte.gz")
    assert datasets.mnist(tmp_path, 7, key=KEY).num_samples == 7
    _write_idx(tmp_path, IMAGES[:0], LABELS[:0])
    _refused(r"shape \(0, 3, 4\)", lambda: datasets.mnist(tmp_path, key=KEY))
    _write_idx(tmp_path, IMAGES, LABELS[:, None])
    _refused("1 axes", lambda: datasets.mnist(tmp_path, key=KEY))


def test_mnist_test_split(tmp_path):
    _write_idx(tmp_path, IMAGES[:5], LABELS[:5], prefix="t10k")
    assert datasets.mnist(tmp_path, split="test", key=KEY).num_samples == 5
    _refused("train-images", lambda: datasets.mnist(tmp_path, key=KEY))
    _refused("split is 'dev'", lambda: datasets.mnist(tmp_path, split="dev", key=KEY))


@pytest.mark.parametrize(
    "spoil",
    [lambda b: b[:-1], lambda b: b[:2], lambda b: b"\x00\x00\x0d" + b[3:], lambda b: b"PK" + b[2:], lambda b: b[:0]],
)
def test_spoilt_idx_files_are_refused(tmp_path, spoil):
    _write_idx(tmp_path, IMAGES, LABELS)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(spoil(path.read_bytes()))
    _refused("no IDX file", lambda: datasets.mnist(tmp_path, key=KEY))


def test_cut_gzip_and_mismatched_labels_are_refused(tmp_path):
    _write_idx(tmp_path, IMAGES, LABELS[:-1], zipped=True)
    _refused("20 images but 19 labels", lambda: datasets.mnist(tmp_path, key=KEY))
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:15])
    _refused("no IDX file", lambda: datasets.mnist(tmp_path, key=KEY))


def test_npz_and_csv_load_alike_with_and_without_clients(tmp_path):
    rng = np.random.default_rng(0)
    x, y, client = rng.standard_normal((6, 2)), rng.standard_normal(6), np.array([0, 0, 1, 1, 2, 2])
    np.savez(tmp_path / "a.npz", inputs=x, targets=y, client=client)
    np.savez(tmp_path / "b.npz", inputs=x, targets=y)
    table = np.column_stack([x, y, client])
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", header="u,v,target,client", comments="", fmt="%.17g")
    (data, clients), (alike, same), (_, none) = (datasets.load(tmp_path / n) for n in ("a.npz", "a.csv", "b.npz"))
    np.testing.assert_allclose(alike.inputs, data.inputs, rtol=0, atol=UNIT)
    np.testing.assert_array_equal(alike.targets, data.targets)
    np.testing.assert_array_equal(clients, same)
    assert none is None


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("a.csv", "u,v\n1,2\n", "target is 'target', but .* has no such column"),
        ("a.csv", "u,target\nx,2\n", "drop lacks 'u' of"),
        ("a.csv", "u,target\n1,2\n2,cat\n", "row 2, column 'target' is 'cat'"),
        ("a.csv", "u,v,target\n1,,2\n", "row 1, column 'v' is empty"),
        ("a.csv", "u,v,target\n1,3,2\n1,2\n", "row 2, column 'target' is empty"),
        ("a.csv", "u,v,target\n1,n/a,2\n", "row 1, column 'v' is 'n/a', needs to be a number"),
        ("a.csv", "u,v,target\n1,2,nan\n", "row 1, column 'target' is 'nan'"),
        ("a.csv", "u,v,target\n1,inf,2\n", "inputs, row 1, column 2 is inf"),
        ("a.csv", "u,v,target\n1,1e999,2\n", "inputs, row 1, column 2 is inf"),
        ("a.csv", "u,v,target\n1,2,1,7\n3,1,-1,8\n", "rows of more than 3 fields"),
        ("a.csv", ",u,target\n0,1,2\n", "column 1 has no name"),
        ("a.csv", "u,u,target\n0,1,2\n", "2 columns 'u'"),
        ("a.csv", "target\n1\n", "at least one entry"),
        ("a.csv", "u,v,target\n1,2,1\n3,6,1\n", r"rows 1 and 2 \(counted from 1\) coincide"),
        ("a.csv", "u,target,client\n1,2,1e30\n", "client of .* holds 1e"),
        ("a.csv", "", r"cannot be read as a \.csv file"),
        ("a.npz", "no zip file", "cannot be read"),
        ("a.txt", "1 2", "ends in '.txt', needs to be a file"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path, name, content, named):
    (tmp_path / name).write_text(content)
    _refused(named, lambda: datasets.load(tmp_path / name))


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    _refused(
        r"absent\.csv cannot be read \(No such file or directory\)\.$", lambda: datasets.load(tmp_path / "absent.csv")
    )


@pytest.mark.parametrize("first", [0, 1])
def test_a_column_that_counts_the_rows_is_named(tmp_path, first):
    rows = [f"{first + k},{age},{y}" for k, (age, y) in enumerate([(3, 1), (1, -1), (5, 1)])]
    (tmp_path / "a.csv").write_text("\n".join(["id,age,target", *rows]))
    with pytest.warns(UserWarning, match="column 'id' counts the rows"):
        data, _ = datasets.load(tmp_path / "a.csv")
    assert data.input_dim == 2
    (tmp_path / "a.csv").write_text("\n".join(["id,age,target", *rows[:2]]))  # two rows count nothing
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.load(tmp_path / "a.csv")


def _npz_bytes(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@hypothesis.given(cut=st.floats(0, 1), at=st.floats(0, 1), byte=st.integers(0, 255))
def test_files_cut_short_or_with_a_wrong_byte_are_read_or_refused(tmp_path_factory, cut, at, byte):
    folder = tmp_path_factory.mktemp("broken")
    whole = _npz_bytes(inputs=np.eye(3), targets=np.ones(3))
    spoilt = bytearray(whole)
    spoilt[int(at * (len(whole) - 1))] = byte
    for content in (whole[: int(cut * (len(whole) - 1))], bytes(spoilt)):
        (folder / "a.npz").write_bytes(content)
        with contextlib.suppress(InputError):
            datasets.load(folder / "a.npz")


def test_an_array_without_a_name_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(2))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    _refused("one array without a name", lambda: datasets.load(tmp_path / "a.npz"))


@pytest.mark.parametrize("separator", [";", "\t", ", "])
def test_the_header_decides_the_separator(tmp_path, separator):
    text = "\ufeffu,v,target,label\n3,4,1,7\n1,0,-1,8\n".replace(",", separator)
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    data, _ = datasets.load(tmp_path / "a.csv")
    np.testing.assert_allclose(data.inputs, [[0.6, 0.8], [1, 0]], rtol=0, atol=UNIT)
    np.testing.assert_array_equal(data.labels, [7, 8])
    np.testing.assert_allclose(data.norms, [5, 1], rtol=1e-15)


def test_labels_of_an_npz_are_kept_and_whole_floats_are_labels(tmp_path):
    np.savez(tmp_path / "a.npz", inputs=np.eye(3), targets=np.array([0.1, 0.2, 0.3]), labels=np.array([4.0, 5, 4]))
    np.testing.assert_array_equal(datasets.load(tmp_path / "a.npz")[0].labels, [4, 5, 4])


def test_complex_and_masked_arrays_are_refused():
    _refused("inputs holds complex", lambda: datasets.from_arrays(np.eye(2) + 1j, np.ones(2)))
    _refused("inputs holds masked", lambda: datasets.from_arrays(np.ma.masked_greater(2 * np.eye(2), 1), np.ones(2)))
    _refused("targets holds masked", lambda: datasets.from_arrays(np.eye(2), np.ma.masked_equal([1.0, 2.0], 2)))


def test_one_column_of_targets_is_one_target_a_row():
    assert datasets.from_arrays(np.eye(3), np.ones((3, 1))).targets.shape == (3,)
    assert datasets.from_arrays(np.eye(3), np.ones((3, 2))).targets.shape == (3, 2)


def test_one_hot_targets_have_a_column_for_every_digit_there_is():
    assert {datasets.digits(15, key=jax.random.key(k)).targets.shape for k in range(4)} == {(15, 10)}


def test_npz_without_targets_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", inputs=np.eye(2))
    _refused("'targets'", lambda: datasets.load(tmp_path / "a.npz"))
