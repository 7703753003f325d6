"""`load`: the embedded digits, what every kind of data has in common, and the digest."""

import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from nncli.errors import ArtifactError, NncliError, NncliWarning, UsageError
from nncli.formats.content_digest import content_digest
from nncli.formats.datasets import load


def save(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture
def points(tmp_path):
    """40 points of 4 classes, as the arrays and as a file."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)).astype(np.float32), rng.integers(0, 4, 40)
    return x, y, save(tmp_path / "points.npz", x=x, y=y)


def test_digits_are_those_of_scikit_learn():
    peer, digits = load_digits(), load("digits")
    assert digits.x.dtype == np.float32
    assert (digits.x == (peer.images / 16).astype(np.float32)[:, None]).all()
    assert (digits.y == peer.target).all()
    assert digits.y.dtype == np.int64
    assert digits.classes == 10
    assert digits.example_id.tolist() == list(range(1797))


def test_digits_are_divided_into_1347_and_450_rows():
    train, test = load("digits", split="train"), load("digits", split="test")
    assert (len(train), len(test)) == (1347, 450)
    ids = np.concatenate([train.example_id, test.example_id])
    assert sorted(ids.tolist()) == list(range(1797))
    sizes = np.bincount(load("digits").y)
    assert (abs(np.bincount(test.y) - sizes / 4) < 1).all()


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_of_the_digits_holds_the_rows_that_its_ids_name(split):
    whole, part = load("digits"), load("digits", split=split)
    assert (part.x == whole.x[part.example_id]).all()
    assert (part.y == whole.y[part.example_id]).all()


def test_a_limit_takes_the_first_rows_of_the_split():
    whole, first = load("digits", split="test"), load("digits", split="test", limit=7)
    assert (first.x == whole.x[:7]).all()
    assert first.example_id.tolist() == whole.example_id[:7].tolist()
    assert first.classes == 10


def test_digits_need_no_heavy_import():
    code = (
        "import sys; from nncli.formats.datasets import load; load('digits');"
        "print(sorted({'pyarrow', 'datasets', 'PIL', 'torch', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_dataset_cannot_be_changed(points):
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(points[2]).x = None


def test_arrays_come_back_as_they_were_saved(points):
    x, y, path = points
    data = load(path)
    assert (data.x == x).all()
    assert (data.y == y).all()
    assert (data.name, data.split, data.classes, len(data)) == (path, "all", 4, 40)
    assert data.source_digest == load(path, split="test", limit=3).source_digest
    assert data.example_id.tolist() == list(range(40))


def test_standard_input_is_read_where_it_is_named(points, monkeypatch):
    with open(points[2], "rb") as file:
        piped = io.TextIOWrapper(io.BytesIO(file.read()))
    monkeypatch.setattr(sys, "stdin", piped)
    assert load("-", split="test").digest == load(points[2], split="test").digest


def test_equal_rows_have_equal_digests_in_other_files_and_processes(points, tmp_path):
    x, y, path = points
    again = save(tmp_path / "again.npz", labels=y, X=x.astype(np.float64))
    assert load(again).digest == load(path).digest
    code = f"from nncli.formats.datasets import load; print(load({path!r}, limit=9).digest)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == load(path, limit=9).digest


def test_a_limit_beyond_the_end_changes_nothing(points):
    assert load(points[2], limit=10**6).digest == load(points[2]).digest


def test_other_rows_inputs_labels_or_ids_have_other_digests(points, tmp_path):
    x, y, path = points
    flipped, relabelled = x.copy(), y.copy()
    flipped[5, 1] += 1e-3
    relabelled[5] = (y[5] + 1) % 4
    others = [
        load(save(tmp_path / "1.npz", x=flipped, y=y)),
        load(save(tmp_path / "2.npz", x=x, y=relabelled)),
        load(save(tmp_path / "3.npz", x=x, y=y, example_id=np.arange(40)[::-1])),
        load(save(tmp_path / "4.npz", x=x, y=y, hue=np.arange(40))),
        load(save(tmp_path / "5.npz", x=x)),
        load(path, split="train"),
        load(path, split="test"),
        load(path, limit=39),
        load(path),
    ]
    assert len({one.digest for one in others}) == len(others)


def test_the_digest_is_the_sha256_of_a_described_layout():
    import hashlib

    content = {"x": np.array([[1.0, 2.0]], ">f4"), "y": None, "text": ("é",)}
    expected = b'["x", "<f4", 1, 2]\n' + np.array([1.0, 2.0], "<f4").tobytes()
    expected += b'["text", "text", 1]\n' + (2).to_bytes(8, "little") + "é".encode()
    assert content_digest(content) == "sha256:" + hashlib.sha256(expected).hexdigest()


def test_the_digest_of_the_digits_never_changes():
    """Captures made by older versions and on other machines must stay comparable."""
    peer = load_digits()
    expected = content_digest(
        {
            "x": (peer.images / 16).astype(np.float32)[:, None],
            "y": peer.target.astype(np.int64),
            "example_id": np.arange(1797),
        }
    )
    assert load("digits").digest == expected


def error_of(spec, **options) -> NncliError:
    with pytest.raises(NncliError) as caught:
        load(str(spec), **options)
    return caught.value


def test_a_name_near_digits_is_corrected(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = error_of("digit")
    assert isinstance(error, ArtifactError)
    assert str(error) == "there is no data `digit`"
    assert error.hint == "did you mean `digits`, the embedded data?"


def test_a_missing_file_is_corrected_to_the_one_there_is(points):
    error = error_of(points[2].replace("points", "point"))
    assert "did you mean" in error.hint
    assert "points.npz" in error.hint


def test_a_name_of_the_hub_is_told_its_prefix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert error_of("ylecun/mnist").hint.startswith("write `hf:ylecun/mnist`")


def test_a_name_that_is_nothing_is_told_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert error_of("zzz").hint == "give a file, a folder, `digits` or `hf:owner/name`"


def test_wrong_splits_and_limits_are_usage_errors():
    assert isinstance(error_of("digits", split="tset"), UsageError)
    assert isinstance(error_of("digits", limit=0), UsageError)


def test_an_empty_file_and_an_empty_dataset_are_errors(tmp_path):
    (tmp_path / "nothing").touch()
    assert "is empty (0 bytes)" in str(error_of(tmp_path / "nothing"))
    rowless = save(tmp_path / "rowless.npz", x=np.empty((0, 3)), y=np.empty(0, int))
    assert str(error_of(rowless)) == f"`{rowless}` has no rows"


def test_an_empty_split_is_an_error_with_a_way_out(tmp_path):
    alone = save(tmp_path / "alone.npz", x=np.ones((1, 3), np.float32))
    error = error_of(alone, split="test")
    assert str(error) == f"`{alone}` has no test rows"
    assert error.hint == "`--split all` takes every row"


@pytest.mark.parametrize("cut", [30, 200, 400])
def test_a_truncated_npz_is_an_error(points, tmp_path, cut):
    with open(points[2], "rb") as file:
        whole = file.read()
    (tmp_path / "cut.npz").write_bytes(whole[:cut])
    message = str(error_of(tmp_path / "cut.npz"))
    assert "cut short" in message
    assert "expected a dataset" in message


def test_a_file_of_another_format_is_named(tmp_path):
    (tmp_path / "page.npz").write_text("<html>not found</html>")
    assert "is text starting `<html>not found</html>`" in str(error_of(tmp_path / "page.npz"))


def test_a_folder_that_is_no_dataset_says_what_was_looked_for(tmp_path):
    message = str(error_of(tmp_path))
    assert message.startswith(f"the folder `{tmp_path}` is empty: it holds neither class folders")
    (tmp_path / "notes").write_text("-")
    assert "is no dataset" in str(error_of(tmp_path))


def test_first_rows_of_one_class_are_warned_of(tmp_path):
    path = save(tmp_path / "sorted.npz", x=np.eye(30, dtype=np.float32), y=np.repeat([0, 1], 15))
    with pytest.warns(NncliWarning, match="first 12 rows of .* are all of class 0"):
        load(path, limit=12)
    load(path, limit=16)
    load(path, limit=2)
