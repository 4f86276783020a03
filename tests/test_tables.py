"""Files of the user's own: texts, names of columns, repeated rows, columns of other units."""

import numpy as np
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
        ({"target": "species=daisy", "client": "site"}, "holds no 'daisy', but iris, rose, tulip"),
        ({"target": "specie", "client": "site"}, "no column 'specie', the nearest is 'species'"),
        ({"target": "species=iris", "client": "sit"}, "no column 'sit', the nearest is 'site'"),
        ({"target": "species=iris", "client": "site", "drop": ("ids",)}, "no column 'ids', the nearest is 'id'"),
        ({"target": "species=iris"}, "row 1, column 'site' is 'north', needs to be a number"),
        ({}, "its column 'species' holds texts: needs to be one of id, width, length, species, site"),
        ({"target": "gone", "client": "site"}, "row 1, column 'gone' is 'n/a', needs to be a number"),
    ],
)
def test_what_columns_cannot_be_is_said(tmp_path, options, words):
    text = FLOWERS.replace("species", "gone").replace("iris", "n/a") if options.get("target") == "gone" else FLOWERS
    with pytest.raises(InputError) as error:
        _load(tmp_path, text, **options)
    assert words in str(error.value)


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
    with pytest.raises(InputError, match="holds arrays and no columns"):
        datasets.load(tmp_path / "a.npz", target="species")
