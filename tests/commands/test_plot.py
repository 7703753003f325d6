"""`nncli plot`, as people and Makefiles call it."""

import io
import re

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from safetensors.numpy import save_file

from nncli.formats.entry import Entry
from nncli.formats.tables import write_table
from nncli.formats.tensors import write_tensors

LAYERS = ("block.0", "block.1", "head")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """One artifact of every kind that has a picture."""
    folder = tmp_path_factory.mktemp("artifacts")
    rng = np.random.default_rng(0)
    inputs = tuple({"name": f"{one}.safetensors", "digest": f"sha256:{one * 64}"} for one in "ab")
    rows = [
        {"layer_a": a, "layer_b": b, "metric": "linear-cka", "value": rng.random(), "n": 9}
        for a in LAYERS
        for b in LAYERS
    ]
    entry = Entry("table", command=("compare", "a", "b"), version="0.1.0", inputs=inputs)
    write_table(str(folder / "grid.parquet"), pa.Table.from_pylist(rows), entry)
    (folder / "runs").mkdir()
    rows = [
        {"path": f"{seed}-{step}", "seed": seed, "step": step, "test_accuracy": rng.random()}
        for seed in range(3)
        for step in (0, 10, 100)
    ]
    manifest = pa.Table.from_pylist(rows)
    write_table(str(folder / "runs" / "manifest.parquet"), manifest, Entry("series"))
    activations = {name: rng.standard_normal((20, 4)).astype(np.float32) for name in LAYERS}
    write_tensors(str(folder / "a.safetensors"), activations, Entry("activations", facts={"n": 20}))
    save_file({"fc.weight": rng.standard_normal((8, 4))}, folder / "net.safetensors")
    np.savez(folder / "data.npz", x=rng.random((12, 1, 4, 4)), y=np.arange(12) % 3)
    logits = rng.standard_normal((30, 3)).astype(np.float32)
    predictions = pa.table(
        {
            "example_id": np.arange(30),
            "model_id": ["m"] * 30,
            "label": pa.array(np.arange(30) % 3, pa.int32()),
            "logits": pa.FixedSizeListArray.from_arrays(logits.ravel(), 3),
        }
    )
    write_table(str(folder / "predictions.parquet"), predictions, Entry("predictions"))
    return folder


@pytest.fixture
def here(artifacts, monkeypatch):
    monkeypatch.chdir(artifacts)
    return artifacts


KINDS = [
    "grid.parquet",
    "runs",
    "a.safetensors",
    "net.safetensors",
    "data.npz",
    "predictions.parquet",
    "digits",
]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_a_picture_in_dots_and_in_characters(here, invoke, name):
    png = invoke("plot", name, code=0).stdout_bytes
    image = Image.open(io.BytesIO(png))
    assert min(image.size) > 200
    assert len(np.unique(np.asarray(image.convert("L")))) > 10
    text = invoke("plot", name, "-f", "text", code=0).stdout
    assert len(text.splitlines()) >= 5
    assert "\x1b" not in text


def test_the_suffix_says_the_format_and_a_figure_replaces_itself(here, invoke, tmp_path):
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    for suffix, start in starts.items():
        contents = []
        for _ in range(2):
            invoke("plot", "grid.parquet", "-o", tmp_path / f"g.{suffix}", code=0)
            contents.append((tmp_path / f"g.{suffix}").read_bytes())
        assert contents[0].startswith(start)
        assert contents[0] == contents[1]


def test_the_option_says_the_format_and_may_not_contradict_the_suffix(here, invoke, tmp_path):
    invoke("plot", "grid.parquet", "-o", tmp_path / "g.txt", code=0)
    assert (tmp_path / "g.txt").read_text().startswith("linear-cka")
    assert invoke("plot", "grid.parquet", "-f", "svg", code=0).stdout.startswith("<?xml")
    contradiction = invoke("plot", "grid.parquet", "-o", "g.png", "-f", "svg", code=2)
    assert "`g.png` ends in `.png`, but `--format svg` was asked for" in contradiction.stderr
    unknown = invoke("plot", "grid.parquet", "-o", "g.jpg", code=2)
    assert "no figure is written as `.jpg`" in unknown.stderr
    assert not (here / "g.jpg").exists()


def test_a_picture_of_somebody_else_is_not_replaced(here, invoke, tmp_path):
    Image.new("L", (3, 3)).save(tmp_path / "g.png")
    result = invoke("plot", "grid.parquet", "-o", tmp_path / "g.png", code=3)
    assert "was not written by nncli" in result.stderr


def test_a_figure_says_how_it_was_made(here, invoke, tmp_path):
    invoke("plot", "grid.parquet", "-o", tmp_path / "g.png", code=0)
    lines = invoke("show", tmp_path / "g.png", code=0).stdout.splitlines()
    assert lines[0].split(": ")[1].startswith("figure in a PNG image")
    assert lines[1].startswith("nncli plot grid.parquet")
    assert lines[2].startswith("└── grid.parquet ")
    assert lines[2].endswith("table: nncli compare a b")


def test_a_stream_is_titled_by_the_command_that_wrote_it(here, invoke):
    content = (here / "runs" / "manifest.parquet").read_bytes()
    text = invoke("plot", "-", "-f", "text", input=content, code=0).stdout
    assert text.splitlines()[0] == "nncli"
    text = invoke(
        "plot", "-", "-f", "text", input=(here / "grid.parquet").read_bytes(), code=0
    ).stdout
    assert text.splitlines()[0] == "linear-cka: a.safetensors and b.safetensors"


def test_data_may_come_through_a_pipe(here, invoke):
    text = invoke("plot", "-", "-f", "text", input=(here / "data.npz").read_bytes(), code=0).stdout
    assert "n = 12" in text


def test_layers_and_metrics_are_chosen_by_name(here, invoke):
    text = invoke("plot", "grid.parquet", "--layer", "block.*", "-f", "text", code=0).stdout
    assert "block.1" in text
    assert "head" not in text
    assert "w" in invoke("plot", "net.safetensors", "--layer", "fc.*", "-f", "text", code=0).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("grid.parquet", "--metric", "linear-ck"), 3, "closest: `linear-cka`"),
        (("runs", "--x", "stp"), 3, "no column `stp`; closest: `step`"),
        (("runs", "--y", "accuracy"), 3, "no column `accuracy`; closest: `test_accuracy`"),
        (("runs", "--y", "path"), 3, "`path` in `runs` is string, no number"),
        (("a.safetensors", "--layer", "blok.0"), 3, "closest: `block.0`"),
        (("a.safetensors", "--x", "step"), 2, "`--x` does not fit `a.safetensors`"),
        (("predictions.parquet", "--layer", "x"), 2, "`--layer` does not fit"),
        (("grid.parquet", "--kind", "tabel"), 2, "closest: `table`"),
        (("nowhere.parquet",), 3, "there is no file `nowhere.parquet`"),
    ],
)
def test_what_does_not_fit_is_said_with_the_way_out(here, invoke, arguments, code, said):
    result = invoke("plot", *arguments, "-f", "text", code=code)
    assert said in result.stderr
    assert result.stdout == ""


def test_what_has_no_picture_says_what_has(here, invoke, tmp_path):
    write_tensors(str(tmp_path / "k.safetensors"), {"k": np.eye(2)}, Entry("kernel"))
    result = invoke("plot", tmp_path / "k.safetensors", code=3)
    assert "holds kernel: there is no picture of that" in result.stderr
    assert "activations, checkpoint, dataset, predictions, series, table" in result.stderr
    (tmp_path / "notes.txt").write_text("just words\nand more\n")
    result = invoke("plot", tmp_path / "notes.txt", code=3)
    assert "is text: there is no picture of that" in result.stderr


def test_a_foreign_file_can_be_taken_for_another_kind(here, invoke):
    text = invoke("plot", "a.safetensors", "--kind", "checkpoint", "-f", "text", code=0).stdout
    assert "standard deviation" in text


def test_an_empty_table_and_one_of_nulls_are_told_apart(here, invoke, tmp_path):
    schema = pa.schema([(n, pa.string()) for n in ("layer_a", "layer_b", "metric")])
    schema = schema.append(pa.field("value", pa.float64())).append(pa.field("note", pa.string()))
    write_table(str(tmp_path / "e.parquet"), schema.empty_table(), Entry("table"))
    assert "has no rows" in invoke("plot", tmp_path / "e.parquet", code=3).stderr
    rows = [
        {"layer_a": a, "layer_b": b, "metric": "svcca", "value": None, "note": "constant"}
        for a in "xy"
        for b in "xy"
    ]
    write_table(str(tmp_path / "n.parquet"), pa.Table.from_pylist(rows, schema), Entry("table"))
    text = invoke("plot", tmp_path / "n.parquet", "-f", "text", code=0).stdout
    assert "– none: constant" in text
    assert invoke("plot", tmp_path / "n.parquet", code=0).stdout_bytes.startswith(b"\x89PNG")


def test_a_terminal_gets_a_drawing_that_fits(here, terminal):
    code, shown = terminal("nncli", "plot", "grid.parquet", cwd=here)
    assert code == 0
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "block.0" in plain
    assert max(map(len, plain.splitlines())) <= 100


def test_the_same_activations_in_another_format_give_the_same_picture(here, invoke, tmp_path):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((30, 5)).astype(np.float32)
    save_file({"layer": x}, tmp_path / "x.safetensors")
    np.save(tmp_path / "x.npy", x)
    found = [
        invoke("plot", tmp_path / name, "-f", "text", code=0).stdout.replace(name, "x")
        for name in ("x.safetensors", "x.npy")
    ]
    assert found[0].splitlines()[3:12] == found[1].replace("array", "layer").splitlines()[3:12]
