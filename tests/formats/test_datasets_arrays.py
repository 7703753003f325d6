"""Datasets in files of arrays: names, layouts, labels, splits, and what is refused."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from nncli.errors import ArtifactError, NncliWarning
from nncli.formats.datasets import load
from nncli.formats.entry import Entry
from nncli.formats.stored_rows import StoredRows, take_rows
from nncli.formats.tensors import open_tensors, write_tensors


def save(folder, **arrays):
    np.savez(folder / "data.npz", **arrays)
    return str(folder / "data.npz")


def error_of(path, **options) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        load(str(path), **options)
    return caught.value


X = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
Y = np.arange(12) % 3


@pytest.mark.parametrize("x", ["x", "X", "images", "data", "features", "inputs", "arr_0"])
@pytest.mark.parametrize("y", ["y", "Y", "labels", "label", "targets", "target"])
def test_inputs_and_labels_are_found_by_their_usual_names(tmp_path, x, y):
    data = load(save(tmp_path, **{x: X, y: Y}))
    assert (data.x == X).all()
    assert (data.y == Y).all()


def test_an_npy_file_is_unlabelled_inputs(tmp_path):
    np.save(tmp_path / "x.npy", X)
    data = load(str(tmp_path / "x.npy"))
    assert (data.x == X).all()
    assert data.y is None


def test_safetensors_of_another_program_are_read(tmp_path):
    save_file({"x": X, "y": Y}, tmp_path / "data.bin")
    assert (load(str(tmp_path / "data.bin")).x == X).all()


def test_a_dataset_artifact_comes_back_with_everything(tmp_path):
    tokens, mask = np.arange(24).reshape(6, 4), np.arange(24).reshape(6, 4) % 4 < 3
    arrays = {
        "x": tokens,
        "y": np.arange(6) % 2,
        "example_id": np.arange(6) * 10,
        "mask": mask,
        "hue": np.linspace(0, 1, 6),
        "factor_place": np.arange(12).reshape(6, 2),
    }
    entry = Entry("dataset", facts={"class_names": ["no", "yes"]})
    write_tensors(str(tmp_path / "data"), arrays, entry)
    data = load(str(tmp_path / "data"))
    assert (data.x == tokens).all()
    assert data.x.dtype == np.int64
    assert (data.mask == mask).all()
    assert data.example_id.tolist() == [0, 10, 20, 30, 40, 50]
    assert data.source_digest is None
    assert data.class_names == ("no", "yes")
    assert sorted(data.factors) == ["hue", "place"]
    assert (data.factors["place"] == arrays["factor_place"]).all()
    assert data.entry == entry


def test_another_artifact_is_refused(tmp_path):
    write_tensors(str(tmp_path / "a"), {"x": X}, Entry("activations"))
    assert "holds activations, expected" in str(error_of(tmp_path / "a"))


def test_pairs_of_arrays_are_the_own_split_of_the_source(tmp_path):
    path = save(tmp_path, x_train=X[:7], y_train=Y[:7], x_test=X[7:], y_test=Y[7:])
    train, test, both = (load(path, split=split) for split in ("train", "test", "all"))
    assert (train.x == X[:7]).all()
    assert (test.x == X[7:]).all()
    assert (both.x == X).all()
    assert (both.y == Y).all()
    assert test.example_id.tolist() == both.example_id[7:].tolist() == [7, 8, 9, 10, 11]
    assert load(path, limit=9).digest == load(save(tmp_path, x=X[:9], y=Y[:9])).digest


def test_names_of_medmnist_are_understood(tmp_path):
    arrays = {
        f"{part}_{what}": array[rows]
        for part, rows in {"train": slice(6), "val": slice(6, 8), "test": slice(8, 12)}.items()
        for what, array in {"images": X, "labels": Y[:, None]}.items()
    }
    path = save(tmp_path, **arrays)
    assert (load(path, split="test").x == X[8:]).all()
    assert (load(path).x == X).all()
    assert (load(path).y == Y).all()


def test_classes_are_counted_over_all_parts(tmp_path):
    path = save(tmp_path, x_train=X[:6], y_train=Y[:6] % 2, x_test=X[6:], y_test=Y[6:] % 2 + 3)
    assert load(path, split="train").classes == 5
    named = np.array(["dog", "cat", "owl"])
    path = save(tmp_path, x_train=X[:1], y_train=named[:1], x_test=X[1:3], y_test=named[1:])
    assert load(path, split="train").y.tolist() == [1]
    assert load(path, split="test").y.tolist() == [0, 2]
    assert load(path, split="test").class_names == ("cat", "dog", "owl")


def test_an_own_split_may_lack_a_part(tmp_path):
    path = save(tmp_path, x_train=X, y_train=Y)
    assert len(load(path, split="train")) == len(load(path)) == 12
    assert str(error_of(path, split="test")) == f"`{path}` has no test rows"


def test_a_part_without_labels_is_read_alone_but_not_with_the_others(tmp_path):
    path = save(tmp_path, x_train=X[:7], y_train=Y[:7], x_test=X[7:])
    assert load(path, split="test").y is None
    assert f"some parts of `{path}` have `y` and others have not" in str(error_of(path))


def test_parts_of_different_shapes_are_not_joined(tmp_path):
    path = save(tmp_path, x_train=X, x_test=X[:, :4])
    assert "rows of `x` differ between the parts" in str(error_of(path))
    assert "[4] and [5]" in str(error_of(path))


def test_a_split_array_is_believed(tmp_path):
    own = np.array(["train", "test", "val"] * 4)
    data = load(save(tmp_path, x=X, y=Y, split=own), split="test")
    assert data.example_id.tolist() == [1, 4, 7, 10]


def test_bytes_are_scaled_to_one_and_get_a_channel(tmp_path):
    pixels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4) * 10
    data = load(save(tmp_path, images=pixels))
    assert data.x.shape == (2, 1, 3, 4)
    assert data.x.dtype == np.float32
    assert (data.x[:, 0] == pixels.astype(np.float32) / np.float32(255)).all()
    assert data.x.flags.c_contiguous


@pytest.mark.parametrize(
    ("shape", "kind", "expected"),
    [
        ((2, 5, 6, 3), np.uint8, (2, 3, 5, 6)),
        ((2, 5, 6, 1), np.float32, (2, 1, 5, 6)),
        ((2, 5, 6, 4), np.uint8, (2, 4, 5, 6)),
        ((2, 8, 6, 4), np.float32, (2, 8, 6, 4)),
        ((2, 3, 5, 6), np.uint8, (2, 3, 5, 6)),
        ((2, 3, 5, 3), np.uint8, (2, 3, 5, 3)),
        ((2, 1, 5, 3), np.float32, (2, 1, 5, 3)),
        ((2, 5, 6), np.float32, (2, 5, 6)),
        ((2, 5), np.uint8, (2, 5)),
        ((2,), np.float64, (2, 1)),
    ],
)
def test_channels_that_stand_last_are_moved_to_the_front(tmp_path, shape, kind, expected):
    stored = np.random.default_rng(0).integers(0, 255, shape).astype(kind)
    data = load(save(tmp_path, x=stored))
    assert data.x.shape == expected
    if len(shape) == 4 and shape != expected:
        scale = 255 if kind == np.uint8 else 1
        np.testing.assert_allclose(data.x[1, 0], stored[1, :, :, 0] / scale, rtol=1e-6)


def test_the_layout_of_our_own_artifacts_is_kept(tmp_path):
    maps = np.ones((2, 8, 6, 1), np.float32)
    write_tensors(str(tmp_path / "maps"), {"x": maps}, Entry("dataset"))
    assert load(str(tmp_path / "maps")).x.shape == (2, 8, 6, 1)


def test_integers_in_two_dimensions_are_token_ids(tmp_path):
    assert load(save(tmp_path, input_ids=np.ones((3, 4), np.int32))).x.dtype == np.int64
    assert load(save(tmp_path, x=np.ones((3, 4, 2), np.int32))).x.dtype == np.float32
    error = error_of(save(tmp_path, x=np.array([[1, 2], [3, -1]])))
    assert "row 1 of" in str(error)
    assert "negative integer" in str(error)
    assert "store features as floats" in error.hint


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.bool_])
def test_other_numbers_become_float32(tmp_path, kind):
    stored = (X > 0).astype(kind)
    data = load(save(tmp_path, x=stored))
    assert data.x.dtype == np.float32
    assert (data.x == stored).all()


@pytest.mark.parametrize(("bad", "shown"), [(np.nan, "nan"), (-np.inf, "-inf"), (1e300, "inf")])
def test_inputs_that_are_not_finite_name_their_row(tmp_path, bad, shown):
    stored = X.astype(np.float64)
    stored[9, 2] = bad
    path = save(tmp_path, x=stored, y=Y)
    error = error_of(path)
    assert str(error) == f"row 9 of `{path}` holds {shown} among its inputs"
    assert "only factor columns" in error.hint


def test_factors_may_hold_missing_values(tmp_path):
    hue = np.where(np.arange(12) == 4, np.nan, 1.0)
    assert np.isnan(load(save(tmp_path, x=X, hue=hue)).factors["hue"][4])


def test_text_labels_are_numbered_in_their_order(tmp_path):
    data = load(save(tmp_path, x=X[:4], y=np.array(["cat", "ant", "dog", "ant"])))
    assert data.y.tolist() == [1, 0, 2, 0]
    assert data.class_names == ("ant", "cat", "dog")
    assert data.classes == 3


def test_floats_are_targets_unless_the_column_is_called_label(tmp_path):
    data = load(save(tmp_path, x=X, y=Y.astype(np.float32)))
    assert data.y.dtype == np.float64
    assert data.classes is None
    data = load(save(tmp_path, x=X, label=Y.astype(np.float32)))
    assert data.y.dtype == np.int64
    assert data.classes == 3


def test_labels_that_are_not_integers_name_their_row(tmp_path):
    error = error_of(save(tmp_path, x=X, labels=Y + np.where(Y == 2, 0.5, 0)))
    assert "row 2 has the label 2.5 `labels` in" in str(error)
    assert "which is no integer" in str(error)
    assert "`target`" in error.hint


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_targets_that_are_not_finite_name_their_row(tmp_path, bad):
    target = np.where(np.arange(12) == 3, bad, 0.0)
    assert f"row 3 has the label {bad} `target` in" in str(
        error_of(save(tmp_path, x=X, target=target))
    )


def test_negative_labels_name_their_row_but_all_minus_one_is_unlabelled(tmp_path):
    error = error_of(save(tmp_path, x=X, y=np.where(Y == 1, -1, Y)))
    assert "row 1 has the label -1" in str(error)
    assert "classes count from 0" in str(error)
    assert load(save(tmp_path, x=X, y=np.full(12, -1))).y is None


def test_one_hot_labels_are_refused_with_a_way_out(tmp_path):
    error = error_of(save(tmp_path, x=X, y=np.eye(3)[Y]))
    assert "have the shape (12, 3), expected one number a row" in str(error)
    assert "argmax" in error.hint


def test_labels_beyond_the_class_names_name_their_row(tmp_path):
    entry = Entry("dataset", facts={"class_names": ["a", "b"]})
    write_tensors(str(tmp_path / "data"), {"x": X, "y": Y}, entry)
    assert "row 2 has the label 2" in str(error_of(tmp_path / "data"))
    assert "only 2 classes have names" in str(error_of(tmp_path / "data"))


@pytest.mark.parametrize("name", ["y", "mask", "example_id", "split"])
def test_columns_of_other_lengths_are_refused(tmp_path, name):
    column = np.array(["test"] * 11) if name == "split" else np.arange(11)
    path = save(tmp_path, x=X, **{name: column})
    assert str(error_of(path)) == f"`{name}` in `{path}` has 11 rows, `x` has 12"


def test_further_arrays_of_other_lengths_are_left_out_with_a_warning(tmp_path):
    path = save(tmp_path, x=X, mean=np.zeros(5))
    with pytest.warns(NncliWarning, match="`mean` in .* left out: not as many rows"):
        assert load(path).factors == {}


def test_a_repeated_example_id_is_named_with_its_first_rows(tmp_path):
    ids = np.array([0, 1, 2, 3, 1, 3, 6, 7, 8, 9, 10, 11])
    path = save(tmp_path, x=X, example_id=ids)
    assert str(error_of(path)) == f"rows 1 and 4 of `{path}` have the same example_id `1`"


def test_ids_that_are_neither_integers_nor_text_are_refused(tmp_path):
    path = save(tmp_path, x=X, example_id=np.linspace(0, 1, 12))
    assert "`example_id` in" in str(error_of(path))
    assert "expected one integer or text a row" in str(error_of(path))


def test_a_mask_must_fit_the_tokens(tmp_path):
    path = save(tmp_path, x=np.ones((3, 4), int), mask=np.ones((3, 5)))
    assert "has the shape [3, 5], the inputs have [3, 4]" in str(error_of(path))


def test_a_file_without_inputs_lists_what_it_holds(tmp_path):
    error = error_of(save(tmp_path, weight=X, bias=X[0]))
    assert "holds no inputs; it holds `weight` F32 [12, 5], `bias` F32 [5]" in str(error)
    assert "call the inputs `x`" in error.hint


def test_two_arrays_for_one_role_are_refused(tmp_path):
    error = error_of(save(tmp_path, x=X, data=X))
    assert "holds `x` and `data`, either could be `x`" in str(error)
    assert "factor_" in error.hint


def test_numbers_where_arrays_should_be_are_refused(tmp_path):
    assert "`x` in" in str(error_of(save(tmp_path, x=np.float32(3))))
    assert "is a single number" in str(error_of(save(tmp_path, x=np.float32(3))))
    assert "rows are empty" in str(error_of(save(tmp_path, x=np.empty((3, 0)))))


def test_complex_and_text_inputs_are_refused(tmp_path):
    assert "are complex64, expected numbers" in str(error_of(save(tmp_path, x=X.astype("c8"))))


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_scattered_rows_are_read_in_blocks(tmp_path, monkeypatch, block):
    monkeypatch.setattr("nncli.formats.stored_rows.BLOCK_BYTES", block * X[0].nbytes)
    save_file({"x": X}, tmp_path / "x")
    with open_tensors(str(tmp_path / "x")) as file:
        for rows in ([0, 3, 4, 11], [2], [4, 5, 6], []):
            assert (take_rows(file, "x", np.array(rows, int)) == X[np.array(rows, int)]).all()


def test_nothing_behind_the_limit_is_read(tmp_path, monkeypatch):
    save_file({"x": X, "y": Y}, tmp_path / "data")
    with open_tensors(str(tmp_path / "data")) as file:
        kind = type(file)
    true_rows, read = kind.rows, []

    def spy(self, name, start, stop):
        read.append((name, start, stop))
        return true_rows(self, name, start, stop)

    monkeypatch.setattr(kind, "rows", spy)
    load(str(tmp_path / "data"), limit=4)
    assert [one for one in read if one[0] == "x"] == [("x", 0, 4)]


def same(one, other):
    assert one.digest == other.digest
    assert (np.asarray(one.x) == np.asarray(other.x)).all()
    assert (one.x[2:5] == other.x[2:5]).all()
    assert one.x.shape == other.x.shape
    assert (one.y == other.y).all()


@pytest.mark.parametrize("suffix", ["safetensors", "npy"])
def test_large_inputs_stay_in_their_file_and_are_the_same(tmp_path, monkeypatch, suffix):
    path = str(tmp_path / f"data.{suffix}")
    x = np.random.default_rng(0).standard_normal((40, 2, 3, 4)).astype(np.float32)
    y = np.arange(40) % 4
    if suffix == "npy":
        np.save(path, x)
    else:
        save_file({"x": x, "y": y}, path)
    for settings in ({}, {"split": "test"}, {"split": "train", "limit": 7}):
        read = load(path, **settings)
        with monkeypatch.context() as patch:
            patch.setattr("nncli.formats.stored_rows.LARGE", 0)
            stored = load(path, **settings)
        assert isinstance(stored.x, StoredRows)
        assert isinstance(read.x, np.ndarray)
        if suffix == "safetensors":
            same(read, stored)
        assert (np.asarray(stored.x) == read.x).all()
        assert stored.digest == read.digest


def test_a_row_that_is_not_finite_is_named_though_it_stays_in_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr("nncli.formats.stored_rows.LARGE", 0)
    x = np.zeros((9, 3), np.float32)
    x[7, 1] = np.nan
    assert "row 7 of" in str(error_of(save(tmp_path, x=x)))


def test_images_with_their_channels_last_do_not_stay_in_their_file(tmp_path, monkeypatch):
    monkeypatch.setattr("nncli.formats.stored_rows.LARGE", 0)
    x = np.random.default_rng(0).random((5, 4, 6, 3)).astype(np.float32)
    data = load(save(tmp_path, x=x))
    assert (data.x == x.transpose(0, 3, 1, 2)).all()
