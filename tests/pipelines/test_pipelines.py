"""The documented pipelines as they stand: real processes, real pipes, real data."""

import json
import shutil
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def here(tmp_path_factory, pipe):
    folder = tmp_path_factory.mktemp("pipelines")
    pipe("nncli train --arch mlp:64-128-64-10 --data digits --seed 0..1 -o runs/", folder)
    for name, seed in (("a", 0), ("b", 1)):
        pipe(
            f"nncli capture runs/seed-{seed}.safetensors --data digits --split test "
            f"-o {name}.safetensors",
            folder,
        )
    return folder


def test_train_makes_a_series_of_two_good_networks(here):
    manifest = pq.read_table(here / "runs/manifest.parquet").to_pydict()
    assert manifest["path"] == ["seed-0.safetensors", "seed-1.safetensors"]
    assert min(manifest["test_accuracy"]) > 0.95


def test_capture_joins_compare_joins_show(here, pipe):
    done = pipe(
        "nncli capture runs/seed-0.safetensors --data digits --split test "
        "| nncli compare - b.safetensors --metric svcca | nncli show -",
        here,
    )
    assert b"svcca" in done.stdout
    assert b"block.0" in done.stdout


def test_a_capture_through_a_pipe_compares_as_the_file_does(here, pipe):
    line = "nncli compare {} b.safetensors -f csv"
    piped = pipe("cat a.safetensors | " + line.format("-"), here).stdout
    substituted = pipe(line.format("<(cat a.safetensors)"), here).stdout
    assert piped == substituted == pipe(line.format("a.safetensors"), here).stdout


def test_compare_joins_plot(here, pipe):
    pipe("nncli compare a.safetensors b.safetensors | nncli plot - -o grid.png", here)
    assert (here / "grid.png").read_bytes().startswith(b"\x89PNG")


def test_predict_reads_a_whole_series(here, pipe):
    pipe("nncli predict runs/ --data digits --split test -o predictions.parquet", here)
    table = pq.read_table(here / "predictions.parquet")
    assert table.num_rows == 2 * 450
    assert set(table["seed"].to_pylist()) == {0, 1}


def test_show_speaks_json_about_a_stream(here, pipe):
    done = pipe("cat a.safetensors | nncli show - -f json | python -m json.tool", here)
    assert json.loads(done.stdout)["kind"] == "activations"


def test_head_may_close_the_pipe(here, pipe):
    done = pipe("nncli compare a.safetensors b.safetensors -f csv | head -1; true", here)
    assert done.stdout.startswith(b"layer_a,layer_b,metric,value")
    assert done.stderr == b""


def test_an_upstream_failure_is_named_as_such(here, pipe):
    done = pipe("nncli capture nowhere.safetensors | nncli compare - b.safetensors", here, code=3)
    assert b"there is no file `nowhere.safetensors`" in done.stderr
    assert b"standard input is empty" in done.stderr


def test_the_same_pipeline_twice_gives_the_same_bytes(here, pipe):
    line = (
        "nncli capture runs/seed-0.safetensors --data digits --split test "
        "| nncli compare - b.safetensors -o {}.parquet"
    )
    pipe(line.format("one"), here)
    pipe(line.format("two"), here)
    assert (here / "one.parquet").read_bytes() == (here / "two.parquet").read_bytes()


def test_make_does_nothing_twice_and_redoes_only_what_depends_on_a_change(tmp_path, pipe):
    shutil.copy(ROOT / "examples/seeds/Makefile", tmp_path)
    pipe("make", tmp_path)
    assert b"Nothing to be done" in pipe("make", tmp_path).stdout
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    time.sleep(0.01)
    (tmp_path / "runs/seed-2.safetensors").touch()
    pipe("make", tmp_path)
    changed = {
        str(path.relative_to(tmp_path))
        for path, was in before.items()
        if path.stat().st_mtime_ns != was
    }
    assert changed == {
        "runs/seed-2.safetensors",
        "captures/seed-2.safetensors",
        "grids/0-2.parquet",
        "grids/0-2.png",
    }


def test_a_long_text_table_is_read_from_a_pipe(tmp_path, pipe):
    """One longer than what a reader takes ahead, so that its end is not where reading stopped."""
    lines = ["step,value", *(f"{step},{step * 0.5}" for step in range(5000))]
    (tmp_path / "long.csv").write_text("\n".join(lines) + "\n")
    pipe("cat long.csv | nncli plot - -o long.png", tmp_path)
    assert (tmp_path / "long.png").read_bytes().startswith(b"\x89PNG")
