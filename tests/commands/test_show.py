"""`nncli show`, as people and scripts call it."""

import hashlib
import json
import pickle
import re

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file

from nncli.formats.describe_json import KEYS
from nncli.formats.entry import Entry
from nncli.formats.tables import read_table, write_table


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    weights = {
        "block.0.weight": rng.standard_normal((40, 30)).astype(np.float32),
        "head.weight": rng.standard_normal((3, 40)),
        "count": np.array(7),
    }
    weights["head.weight"][0, 0] = np.nan
    save_file(weights, "net.safetensors")
    data = pa.table({"layer": [f"block.{n}" for n in range(50)], "value": np.arange(50) / 4})
    write_table("t.parquet", data, Entry("table", command=("compare", "a", "b"), version="0.1.0"))
    return tmp_path


def told(invoke, *arguments, **settings):
    return json.loads(invoke("show", *arguments, "-f", "json", code=0, **settings).stdout)


def test_json_is_one_object_with_the_documented_keys(here, invoke):
    found = told(invoke, "net.safetensors")
    assert list(found) == list(KEYS)
    assert found["totals"] == {"tensors": 3, "numbers": 1321, "bytes": 40 * 30 * 4 + 120 * 8 + 8}
    assert found["digest"] is None


@pytest.mark.parametrize("form", ["csv", "jsonl", "markdown"])
def test_rows_of_a_table_are_written_as_the_command_that_made_it_would_have(here, invoke, form):
    suffix = {"markdown": "md"}.get(form, form)
    write_table(f"t.{suffix}", read_table("t.parquet").data, Entry("table"), format=form)
    wanted = (here / f"t.{suffix}").read_bytes()
    assert invoke("show", "t.parquet", "-f", form, code=0).stdout_bytes == wanted
    data = (here / "t.parquet").read_bytes()
    assert invoke("show", "-", "-f", form, input=data, code=0).stdout_bytes == wanted


def test_as_many_rows_are_written_as_are_asked_for(here, invoke):
    said = invoke("show", "t.parquet", "-f", "csv", "--rows", "2", code=0).stdout
    assert said.splitlines() == ["layer,value", "block.0,0.0", "block.1,0.25"]
    assert invoke("show", "t.parquet", "-f", "csv", "--rows", "0", code=0).stdout == "layer,value\n"


def test_rows_are_those_of_a_table_and_nothing_is_beside_them(here, invoke):
    said = invoke("show", "net.safetensors", "-f", "csv", code=3).stderr
    assert "expected a table" in said
    assert "the rows of a table and nothing else" in (
        invoke("show", "t.parquet", "-f", "csv", "--digest", code=2).stderr
    )


def test_statistics_are_those_of_numpy(here, invoke):
    from safetensors.numpy import load_file

    tensors = {
        one["name"]: one["statistics"]
        for one in told(invoke, "net.safetensors", "--stats")["tensors"]
    }
    for name, values in load_file("net.safetensors").items():
        there = values[np.isfinite(values)].astype(np.float64)
        found = tensors[name]
        wanted = [there.min(), there.max(), there.mean(), there.std()]
        keys = ("minimum", "maximum", "mean", "std")
        np.testing.assert_allclose([found[key] for key in keys], wanted, rtol=1e-12)
    assert tensors["head.weight"]["nan"] == 1
    text = invoke("show", "net.safetensors", "--stats", code=0).stdout
    assert "1 nan" in text


def test_statistics_of_a_table_are_those_of_its_columns(here, invoke):
    columns = {one["name"]: one for one in told(invoke, "t.parquet", "--stats")["columns"]}
    assert columns["value"]["statistics"]["maximum"] == 12.25
    assert columns["value"]["statistics"]["mean"] == 6.125
    assert "statistics" not in columns["layer"]


def test_the_digest_is_that_of_the_bytes(here, invoke):
    wanted = hashlib.sha256((here / "t.parquet").read_bytes()).hexdigest()
    assert told(invoke, "t.parquet", "--digest")["digest"] == f"sha256:{wanted}"
    assert f"sha256:{wanted}" in invoke("show", "t.parquet", "--digest", code=0).stdout


def test_a_folder_has_no_digest(here, invoke):
    result = invoke("show", ".", "--digest", code=2)
    assert "a folder has no digest" in result.stderr


def test_a_table_from_a_pipe_shows_its_rows_below_its_lineage(here, invoke):
    result = invoke("show", "-", "--rows", "2", input=(here / "t.parquet").read_bytes(), code=0)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("-: table in a Parquet file, 50 rows, ")
    assert lines[1] == "nncli compare a b  (nncli 0.1.0)"
    assert lines[-3:] == [
        "block.0       0",
        "block.1    0.25",
        "and 48 more rows; `--rows N` shows N",
    ]


def test_json_of_a_stream_is_read_by_other_tools(here, shell):
    done = shell("cat t.parquet | nncli show - -f json | python -m json.tool | wc -l", here)
    assert done.returncode == 0
    assert int(done.stdout) > 50


def test_layers_are_chosen_by_glob_and_mistyped_ones_named(here, invoke):
    found = told(invoke, "net.safetensors", "--layer", "**.weight")
    assert [one["name"] for one in found["tensors"]] == ["head.weight", "block.0.weight"]
    assert found["totals"]["tensors"] == 2
    result = invoke("show", "net.safetensors", "--layer", "hed.weight", code=3)
    assert "closest: `head.weight`" in result.stderr
    result = invoke("show", "t.parquet", "--layer", "x", code=3)
    assert "holds no tensors" in result.stderr


class Touch:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        import os

        return os.system, ("touch touched",)


def test_a_hostile_pickle_is_shown_and_does_nothing(here, process):
    (here / "evil.pt").write_bytes(pickle.dumps({"weights": [1.0, 2.0], "run": Touch()}))
    done = process("show", "evil.pt", cwd=here)
    assert done.returncode == 0
    assert b"holds Python objects, which are not loaded: `posix.system`" in done.stdout
    assert not (here / "touched").exists()


def test_torch_is_not_needed_to_show_its_files(here, python):
    import torch

    torch.save({"w": torch.ones(3)}, here / "t.pt")
    script = """
import sys
from nncli.cli import main
sys.argv[1:] = ["show", "t.pt", "--stats"]
try:
    main()
finally:
    assert "torch" not in sys.modules
"""
    done = python(script, cwd=here)
    assert done.returncode == 0, done.stderr.decode()
    assert b"w        F32     3" in done.stdout


def test_a_terminal_sees_colours_and_nothing_wider_than_itself(here, terminal):
    code, shown = terminal("nncli", "show", "net.safetensors", "--stats", cwd=here)
    assert code == 0
    assert "\x1b[1m" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(map(len, plain.splitlines())) <= 100


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
@pytest.mark.parametrize("name", ["net.safetensors", "t.parquet"])
def test_a_truncated_input_is_3(here, invoke, name, share):
    content = (here / name).read_bytes()
    (here / "cut").write_bytes(content[: int(len(content) * share)])
    assert invoke("show", "cut", code=3).stderr.startswith("nncli: error: `cut`")


def test_what_is_not_there_is_3_with_a_way_out(here, invoke):
    result = invoke("show", "net.safetensor", code=3)
    assert "did you mean `net.safetensors`?" in result.stderr
