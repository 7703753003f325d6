"""Hugging Face datasets: saved folders, folders of tables, and the Hub played by local files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as Picture

from nncli.errors import ArtifactError, EnvironmentFault, NncliWarning, UsageError
from nncli.formats.datasets import load

datasets = pytest.importorskip("datasets")


def pictures(count, start=0):
    pixels = np.random.default_rng(start).integers(0, 256, (count, 5, 4), np.uint8)
    return [Picture.fromarray(one) for one in pixels], pixels


def labelled(count, start=0):
    """A dataset of grey images with class labels, and its pixels."""
    images, pixels = pictures(count, start)
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog", "owl"])
    )
    rows = {"image": images, "label": [row % 2 for row in range(count)]}
    return datasets.Dataset.from_dict(rows, features=features), pixels


@pytest.fixture
def saved(tmp_path):
    """A saved dataset with 7 training and 4 test images."""
    (train, a), (test, b) = labelled(7), labelled(4, start=1)
    datasets.DatasetDict(train=train, test=test).save_to_disk(tmp_path / "saved")
    return str(tmp_path / "saved"), a, b


def error_of(path, **options):
    with pytest.raises((ArtifactError, EnvironmentFault, UsageError)) as caught:
        load(str(path), **options)
    return caught.value


def scaled(pixels):
    return pixels[:, None].astype(np.float32) / np.float32(255)


def test_a_saved_dataset_is_read_with_its_split_and_class_names(saved):
    path, a, b = saved
    train, test, both = (load(path, split=split) for split in ("train", "test", "all"))
    assert (train.x == scaled(a)).all()
    assert (test.x == scaled(b)).all()
    assert (both.x == scaled(np.concatenate([a, b]))).all()
    assert test.y.tolist() == [0, 1, 0, 1]
    assert test.class_names == ("cat", "dog", "owl")
    assert test.classes == 3
    assert test.example_id.tolist() == [f"test/{row}" for row in range(4)]
    assert both.example_id.tolist()[6:8] == ["train/6", "test/0"]


def test_a_limit_reaches_over_the_parts(saved):
    path, a, b = saved
    assert (load(path, limit=9).x == scaled(np.concatenate([a, b[:2]]))).all()
    assert load(path, limit=3, split="test").example_id.tolist() == ["test/0", "test/1", "test/2"]


def test_one_saved_part_is_divided_like_any_source(tmp_path):
    data, pixels = labelled(8)
    data.save_to_disk(tmp_path / "one")
    test, train = (
        load(str(tmp_path / "one"), split="test"),
        load(str(tmp_path / "one"), split="train"),
    )
    assert sorted([*test.example_id, *train.example_id]) == list(range(8))
    assert test.y.tolist().count(0) == test.y.tolist().count(1) == 1
    assert (test.x == scaled(pixels[test.example_id])).all()


@pytest.mark.parametrize("split", ["all", "train", "test"])
@pytest.mark.parametrize("limit", [None, 3])
def test_batches_do_not_matter(tmp_path, monkeypatch, split, limit):
    labelled(17)[0].save_to_disk(tmp_path / "one")
    whole = load(str(tmp_path / "one"), split=split, limit=limit)
    monkeypatch.setattr("nncli.formats.hub_streams.BATCH", 2)
    assert load(str(tmp_path / "one"), split=split, limit=limit).digest == whole.digest


@pytest.fixture
def tables(tmp_path):
    """A folder of CSV files by split."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "train.csv").write_text("a,b,label\n1,2,dog\n3,4,cat\n5,6,dog\n")
    (tmp_path / "tables" / "test.csv").write_text("a,b,label\n7,8,ant\n")
    return str(tmp_path / "tables")


def test_a_folder_of_tables_is_read_by_the_same_columns(tables):
    data = load(tables)
    assert data.x.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert data.class_names == ("ant", "cat", "dog")
    assert load(tables, split="test").y.tolist() == [0]
    assert load(tables, split="train", limit=2).y.tolist() == [2, 1]


def test_integer_classes_are_counted_over_all_parts(tmp_path):
    (tmp_path / "train.csv").write_text("a,label\n1,0\n2,4\n")
    (tmp_path / "test.csv").write_text("a,label\n1,0\n2,1\n")
    assert load(str(tmp_path), split="test").classes == 5


def test_a_clone_of_a_hub_dataset_is_read_with_class_names_and_images(tmp_path):
    data, pixels = labelled(6)
    (tmp_path / "data").mkdir()
    data.to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    data.select([5]).to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    test = load(str(tmp_path), split="test")
    assert (test.x == scaled(pixels[5:])).all()
    assert test.class_names == ("cat", "dog", "owl")
    alone = load(str(tmp_path / "data" / "train-00000-of-00001.parquet"))
    assert (alone.x == scaled(pixels)).all()
    assert alone.class_names == ("cat", "dog", "owl")


def test_arrays_and_token_lists_are_read(tmp_path):
    features = datasets.Features(
        x=datasets.Array2D((2, 3), "uint8"), y=datasets.Value("int64"), tag=datasets.Value("string")
    )
    x = np.arange(18, dtype=np.uint8).reshape(3, 2, 3)
    rows = {"x": list(x), "y": [0, 1, 1], "tag": ["u", "v", "w"]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "d")
    data = load(str(tmp_path / "d"))
    assert (data.x == scaled(x)).all()
    assert data.factors["tag"].tolist() == ["u", "v", "w"]


def test_text_is_read_as_text(tmp_path):
    rows = {"sentence": ["good", "bad"], "idx": [0, 1], "label": [1, 0]}
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "d")
    assert load(str(tmp_path / "d")).text == ("good", "bad")


def test_labels_that_are_all_minus_one_are_none(tmp_path):
    parts = {
        "train": datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}),
        "test": datasets.Dataset.from_dict({"text": ["c"], "label": [-1]}),
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "d")
    assert load(str(tmp_path / "d"), split="test").y is None
    assert load(str(tmp_path / "d"), split="train").y.tolist() == [0, 1]
    assert "row test/0 has the label -1" in str(error_of(tmp_path / "d"))


def test_a_bad_row_is_named_by_its_part(tmp_path):
    parts = {
        "train": datasets.Dataset.from_dict({"a": [1.0], "label": [0]}),
        "test": datasets.Dataset.from_dict({"a": [1.0, None], "label": [0, 1]}),
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "d")
    assert str(error_of(tmp_path / "d")) == f"row test/1 of `{tmp_path}/d` has no `a`"


def test_a_damaged_saved_dataset_is_an_error(saved):
    path, _, _ = saved
    (target,) = Path(path, "test").glob("*.arrow")
    target.write_bytes(target.read_bytes()[:100])
    assert f"`{path}` cannot be read by the Hugging Face library" in str(error_of(path))


def test_local_data_leave_nothing_behind_and_print_nothing(tables, saved, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    code = (
        "from nncli.formats.datasets import load\n"
        f"for one in {[tables, saved[0]]!r}: load(one, split='test')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"HF_HOME": str(tmp_path / "home"), "HOME": str(tmp_path / "home"), "PATH": ""},
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert sorted(tmp_path.rglob("*")) == before


def test_progress_bars_of_the_library_are_left_as_they_were(tables):
    assert not datasets.are_progress_bars_disabled()
    load(tables)
    assert not datasets.are_progress_bars_disabled()


@pytest.mark.parametrize("spec", ["hf:mnist", "hf:", "hf:a/b/c/d", "hf:a/"])
def test_a_malformed_hub_name_is_a_usage_error(spec):
    error = error_of(spec)
    assert isinstance(error, UsageError)
    assert str(error) == f"`{spec}` is no name on the Hugging Face Hub"
    assert "hf:owner/name/configuration" in error.hint


def test_without_a_network_the_hub_is_an_environment_fault(tmp_path):
    code = "from nncli.formats.datasets import load; load('hf:no/such')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": ""},
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "nncli.errors.EnvironmentFault: cannot reach the Hugging Face Hub for `hf:no/such`"
    )


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub of local folders: the real library opens them as streams in place of downloads."""
    true_load = datasets.load_dataset
    monkeypatch.chdir(tmp_path)

    def open_local(path, name=None, **options):
        assert options == {"streaming": True}
        cache = str(tmp_path / "cache")
        return true_load(str(tmp_path / "hub" / path), name, streaming=True, cache_dir=cache)

    monkeypatch.setattr(datasets, "load_dataset", open_local)
    (tmp_path / "hub" / "me" / "set").mkdir(parents=True)
    return tmp_path / "hub" / "me" / "set"


def test_a_hub_dataset_is_streamed_up_to_the_limit(hub):
    pq.write_table(
        pa.table({"a": np.arange(5000.0), "y": np.arange(5000) % 3}), hub / "train.parquet"
    )
    pq.write_table(pa.table({"a": np.arange(50.0), "y": np.arange(50) % 3}), hub / "test.parquet")
    assert load("hf:me/set", split="test", limit=9).x[:, 0].tolist() == list(range(9))
    assert load("hf:me/set", limit=9).example_id[0] == "train/0"
    assert len(load("hf:me/set")) == 5050


def test_a_hub_dataset_without_a_split_is_divided_by_all_its_labels(hub):
    table = pa.table({"a": np.arange(3000.0), "label": ["u", "v", "w"] * 1000})
    pq.write_table(table, hub / "train.parquet")
    test = load("hf:me/set", split="test", limit=20)
    assert test.class_names == ("u", "v", "w")
    assert (test.x[:, 0] == test.example_id).all()
    alone = load(str(hub / "train.parquet"), split="test", limit=20)
    assert test.digest == alone.digest


def test_configurations_are_chosen_by_name_and_a_wrong_one_lists_them(hub):
    for name in ("one", "two"):
        (hub / name).mkdir()
        (hub / name / "train.csv").write_text(f"a,label\n{len(name)},0\n{ord(name[0])},1\n")
    (hub / "README.md").write_text(
        "---\nconfigs:\n- config_name: one\n  data_files: one/*\n"
        "- config_name: two\n  data_files: two/*\n---\n"
    )
    assert load("hf:me/set/two").x.tolist() == [[3], [ord("t")]]
    assert "['one', 'two']" in str(error_of("hf:me/set/three"))
    assert "['one', 'two']" in str(error_of("hf:me/set"))


def test_images_that_the_hub_keeps_as_files_are_opened(hub):
    images, pixels = pictures(4)
    for row, image in enumerate(images):
        path = hub / "train" / "ab"[row % 2] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    data = load("hf:me/set")
    assert data.class_names == ("a", "b")
    assert sorted(data.x.sum((1, 2, 3))) == pytest.approx(sorted(pixels.sum((1, 2)) / 255))


def test_many_rows_from_the_hub_are_warned_of(hub, monkeypatch):
    monkeypatch.setattr("nncli.formats.hub_streams.MANY_ROWS", 1500)
    pq.write_table(pa.table({"a": np.arange(3000.0)}), hub / "train.parquet")
    with pytest.warns(NncliWarning, match="has more than 1,500 rows, all are being read"):
        load("hf:me/set")
    load("hf:me/set", limit=100)


def test_unusual_splits_are_left_out_with_a_warning_or_refused(hub):
    for name in ("train", "test", "unsupervised"):
        (hub / f"{name}.csv").write_text("a,label\n1,0\n2,1\n")
    (hub / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n"
        "  - split: train\n    path: train.csv\n"
        "  - split: unsupervised\n    path: unsupervised.csv\n"
        "  - split: test\n    path: test.csv\n"
        "- config_name: odd\n  data_files:\n"
        "  - split: left\n    path: train.csv\n  - split: right\n    path: test.csv\n---\n"
    )
    with pytest.warns(NncliWarning, match="the splits `unsupervised` of `hf:me/set` left out"):
        assert len(load("hf:me/set")) == 4
    assert "has the splits `left`, `right`, expected train or test" in str(
        error_of("hf:me/set/odd")
    )


def test_a_missing_or_private_dataset_is_named(hub, monkeypatch):
    def refuse(*_, **__):
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'me/no' doesn't exist on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    error = error_of("hf:me/no")
    assert str(error).startswith("there is no dataset `hf:me/no` on the Hugging Face Hub")
    assert "HF_TOKEN" in error.hint


def test_a_broken_connection_is_an_environment_fault(hub, monkeypatch):
    def break_off(*_, **__):
        raise ConnectionError("Couldn't reach 'me/set' on the Hub (ConnectTimeout)")

    monkeypatch.setattr(datasets, "load_dataset", break_off)
    error = error_of("hf:me/set")
    assert isinstance(error, EnvironmentFault)
    assert "cannot reach the Hugging Face Hub for `hf:me/set`" in str(error)
    assert "save_to_disk" in error.hint


def test_a_local_folder_does_not_pass_for_the_hub(hub, tmp_path):
    os.makedirs(tmp_path / "me" / "set")
    assert str(error_of("hf:me/set")).startswith("the folder `me/set` hides `hf:me/set`")
