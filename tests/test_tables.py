"""Files of the user's own: texts, names of columns, repeated rows, columns of other units."""

import importlib.util
import io

import numpy as np
import pandas as pd
import pytest

from ntk_localsgd import clients, datasets
from ntk_localsgd.errors import InputError

FLOWERS = "id,width,length,species,site\n1,2,3,iris,north\n2,1,4,rose,south\n3,5,1,iris,south\n4,2,2,tulip,north\n"


def _load(folder, text, **options):
    (folder / "a.csv").write_text(text)
    return datasets.load(folder / "a.csv", **options)


def test_texts_are_targets_clients_and_classes(tmp_path):
    data, site = _load(tmp_path, FLOWERS, target="species=iris", client="site", drop=("id",))
    np.testing.assert_array_equal(data.targets, [1, -1, 1, -1])
    np.testing.assert_allclose(data.inputs[1], np.array([1, 4]) / np.sqrt(17))
    np.testing.assert_array_equal(data.labels, [0, 1, 0, 2])
    assert [part.tolist() for part in clients.from_assignment(site).indices] == [[0, 3], [1, 2]]
    assert data.notes == ("target 'species': iris is +1, all else is -1",)


def test_one_number_among_many_is_a_class_too(tmp_path):
    data, _ = _load(tmp_path, "u,v,digit\n1,2,3\n2,1,8\n1,5,3\n", target="digit=8")
    np.testing.assert_array_equal(data.targets, [-1, 1, -1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "species", "client": "site"}, "holds texts (iris, rose, tulip), needs numbers: 'species"),
        ({"target": "species=daisy", "client": "site"}, "holds no 'daisy', needs one of iris, rose, tulip"),
        ({"target": "specie", "client": "site"}, "no column 'specie', the nearest is 'species'"),
        ({"target": "species=iris", "client": "sit"}, "no column 'sit', the nearest is 'site'"),
        ({"target": "species=iris", "client": "site", "drop": ("ids",)}, "no column 'ids', the nearest is 'id'"),
        ({"target": "species=iris"}, "drop lacks 'site' of"),
        ({}, "needs to be one of id, width, length, species, site (column 'site' holds texts: 'site=north'"),
        ({"target": "gone", "client": "site"}, "row 1, column 'gone' is 'n/a', needs to be a number"),
    ],
)
def test_what_columns_cannot_be_is_said(tmp_path, options, words):
    text = FLOWERS.replace("species", "gone").replace("iris", "n/a") if options.get("target") == "gone" else FLOWERS
    with pytest.raises(InputError) as error:
        _load(tmp_path, text, **options)
    assert words in str(error.value)


GAPS = "sex,site,u,v,target\nm,A,1,2,3\nm,B,NA,1,2\nNA,A,4,1,1\nf,,2,5,7\nf,B,6,1,0\nm,B,6,1,2\n"


def test_rows_with_gaps_are_left_out_and_the_others_keep_their_numbers(tmp_path):
    with pytest.raises(
        InputError, match=r"row 4, column 'site' is empty, .* \(drop_incomplete leaves out the 2 of 6 rows"
    ):
        _load(tmp_path, GAPS, client="site", drop=("sex",))
    options = {"client": "site", "drop": ("sex",), "drop_incomplete": True}
    with pytest.raises(InputError, match=r"rows 5 and 6 \(counted from 1\) coincide"):
        _load(tmp_path, GAPS, **options)
    data, site = _load(tmp_path, GAPS, **options, merge_duplicates=True)
    np.testing.assert_array_equal(data.numbers, [1, 3, 5])
    np.testing.assert_array_equal(data.targets, [3, 1, 1])
    np.testing.assert_array_equal(site, ["A", "A", "B"])
    assert data.notes[0] == "2 of 6 rows left out, an entry is missing there"
    assert "(rows 5 and 6, from 1)" in data.notes[1]
    assert [data.rows(np.array([2, 0])).number_of(row) for row in (0, 1)] == [5, 1]


def test_every_column_of_texts_is_named_at_once(tmp_path):
    with pytest.raises(InputError, match=r"drop lacks 'sex', 'site' of .*, texts where inputs need to be numbers"):
        _load(tmp_path, GAPS)
    with pytest.raises(InputError, match="has no row without a gap"):
        _load(tmp_path, "u,v,target\n1,,2\n,1,2\n", drop_incomplete=True)
    with pytest.raises(InputError, match=r"no such column: needs to be one of u, v\.$"):
        _load(tmp_path, "u,v\n1,2\n")


def test_standardised_targets_have_mean_zero_and_deviation_one_and_it_is_said_what_they_had(tmp_path):
    data, _ = _load(tmp_path, "u,v,target\n1,2,10\n1,1,20\n6,4,60\n", standardise_targets=True)
    np.testing.assert_allclose([data.targets.mean(), data.targets.std()], [0, 1], atol=1e-15)
    np.testing.assert_allclose(np.diff(data.targets), np.array([10, 40]) / np.std([10, 20, 60]))
    assert data.notes == ("targets standardised, yours had mean 30, deviation 21.6",)


def test_parquet_is_read_as_csv_is(tmp_path):
    table = pd.read_csv(io.StringIO(FLOWERS)).astype({"species": "category", "width": "Int64"})
    if importlib.util.find_spec("pyarrow") is None:
        (tmp_path / "a.parquet").write_bytes(b"")
        with pytest.raises(InputError, match=r"needs pyarrow: pip install pyarrow, or write it as a \.csv file"):
            datasets.load(tmp_path / "a.parquet")
        return
    options = {"target": "species=iris", "client": "site", "drop": ("id",)}
    table.to_parquet(tmp_path / "a.parquet")
    (read, site), (alike, same) = datasets.load(tmp_path / "a.parquet", **options), _load(tmp_path, FLOWERS, **options)
    for name in ("inputs", "targets", "labels", "numbers"):
        np.testing.assert_array_equal(getattr(read, name), getattr(alike, name))
    np.testing.assert_array_equal(site, same)
    # An index without a name is none of the inputs, one with a name is a column.
    table.set_index(pd.Index([7, 3, 4, 9])).to_parquet(tmp_path / "b.parquet")
    np.testing.assert_array_equal(datasets.load(tmp_path / "b.parquet", **options)[0].inputs, read.inputs)
    table.assign(id=[4, 9, 2, 7]).set_index("id").to_parquet(tmp_path / "c.parquet")
    np.testing.assert_array_equal(datasets.load(tmp_path / "c.parquet", **options)[0].inputs, read.inputs)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-05"]), "drop lacks 'w' of"),
        ([[1], [2], [3], [4]], "which holds no numbers and no texts"),
        ([1.0, None, 2.0, 3.0], "row 2, column 'w' is empty, needs to be a number"),
    ],
)
def test_what_a_parquet_column_may_not_hold_is_said(tmp_path, column, words):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"u": [1.0, 2.0, 3.0, 4.0], "w": column, "target": [1, -1, 1, 2]})
    table.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError) as error:
        datasets.load(tmp_path / "a.parquet")
    assert words in str(error.value)
    (tmp_path / "a.parquet").write_text("no such file")
    with pytest.raises(InputError, match=r"cannot be read as a \.parquet file"):
        datasets.load(tmp_path / "a.parquet")


def test_a_text_among_numbers_is_no_class(tmp_path):
    with pytest.raises(InputError, match="row 2, column 'target' is 'cat'"):
        _load(tmp_path, "u,target\n1,2\n2,cat\n")


def test_repeated_rows_become_one_with_the_mean_of_their_targets(tmp_path):
    text = "u,v,target,client\n1,2,1,a\n3,1,5,a\n2,4,3,b\n1,2,2,b\n6,2,7,b\n0,1,0,c\n"
    with pytest.raises(InputError, match=r"rows 1 and 3 \(counted from 1\) coincide .*; merge_duplicates makes one"):
        _load(tmp_path, text)
    data, held = _load(tmp_path, text, merge_duplicates=True)
    np.testing.assert_array_equal(data.targets, [2, 6, 0])
    np.testing.assert_array_equal(held, ["a", "a", "c"])
    (note,) = data.notes
    assert note.startswith("3 rows merged into others that they repeat")
    assert "(rows 1 and 3 and 4; 2 and 5, from 1)" in note
    np.testing.assert_allclose(data.norms, [np.sqrt(5), np.sqrt(10), 1])


def test_nothing_to_merge_changes_nothing(tmp_path):
    plain, merged = (_load(tmp_path, FLOWERS, target="species=iris", client="site", merge_duplicates=m)[0]
                     for m in (False, True))  # fmt: skip
    np.testing.assert_array_equal(plain.inputs, merged.inputs)
    assert plain.notes == merged.notes


def test_standardised_columns_have_mean_zero_and_deviation_one_before_rows_are_scaled(tmp_path):
    data, _ = _load(tmp_path, "u,v,c,target\n1,2000,7,1\n2,1000,7,2\n6,4000,7,3\n", standardise=True)
    rows = data.inputs * data.norms[:, None]
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(rows.std(axis=0), [1, 1, 0], atol=1e-14)
    assert data.notes == ("columns of the inputs standardised",)


def test_clients_of_an_npz_may_have_names(tmp_path):
    rows = np.random.default_rng(0).standard_normal((4, 3))
    np.savez(tmp_path / "a.npz", inputs=rows, targets=np.ones(4), client=np.array(["b", "a", "b", "a"]))
    _, held = datasets.load(tmp_path / "a.npz")
    assert [part.tolist() for part in clients.from_assignment(held).indices] == [[1, 3], [0, 2]]
    np.savez(tmp_path / "a.npz", inputs=rows, targets=np.ones(4), client=np.array(["b", "a"]))
    with pytest.raises(InputError, match=r"client of .* holds text|client of .* holds str"):
        datasets.load(tmp_path / "a.npz")
    for option in ({"target": "species"}, {"client": "site"}, {"drop": ["a"]}, {"drop_incomplete": True}):
        with pytest.raises(InputError, match=f"^{next(iter(option))} is for tables .* holds arrays and no columns"):
            datasets.load(tmp_path / "a.npz", **option)


def test_what_is_no_data_file_is_refused_with_what_it_is(tmp_path):
    np.savez(tmp_path / "a.npz", y=np.ones(4), x=np.ones((4, 3)))
    with pytest.raises(InputError, match="lacks an array 'inputs', needs inputs and targets; it holds 'x', 'y'"):
        datasets.load(tmp_path / "a.npz")
    with pytest.raises(InputError, match="is a folder, needs to be a file that ends in"):
        datasets.load(tmp_path)
    (tmp_path / "data").write_text("")
    with pytest.raises(InputError, match="has no ending"):
        datasets.load(tmp_path / "data")
