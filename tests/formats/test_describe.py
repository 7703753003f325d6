"""What is said of files and folders: true, complete, harmless, and no more read than needed."""

import io
import json
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from nncli.errors import ArtifactError
from nncli.formats.describe import TensorLine, describe
from nncli.formats.describe_json import KEYS, as_json
from nncli.formats.describe_text import description_text
from nncli.formats.entry import Entry
from nncli.formats.kinds import kind_of
from nncli.formats.sources import Source, open_source
from nncli.formats.tables import from_rows, read_table, write_table
from nncli.formats.tensor_groups import grouped
from nncli.formats.tensors import write_tensors

DIGITS = {"name": "digits", "digest": "sha256:" + "d" * 64}
TRAINED = Entry(
    "checkpoint", command=("train", "--seed", "3"), version="0.1.0", inputs=(DIGITS,), seed=3
)
CAPTURED = Entry(
    "activations",
    command=("capture", "net.safetensors"),
    version="0.1.0",
    inputs=(
        {"name": "net.safetensors", "digest": "sha256:" + "a" * 64, "entry": TRAINED.as_parent()},
        DIGITS,
    ),
    facts={"n": 4, "layers": {"block.0": {"reduce": "mean", "order": 0, "masked": False}}},
)


def described(path, **settings):
    with open_source(str(path)) as source:
        return describe(source, **settings)


def text_of(path, **settings):
    return description_text(described(path), **settings)


def object_of(path, **settings):
    told = as_json(described(path), **settings)
    return json.loads(json.dumps(told, allow_nan=False))


@pytest.fixture
def activations(tmp_path):
    arrays = {"block.0": np.zeros((4, 3), np.float32), "@label": np.arange(4)}
    write_tensors(str(tmp_path / "a.safetensors"), arrays, CAPTURED)
    return tmp_path / "a.safetensors"


def table(path, rows, **entry):
    schema = pa.Table.from_pylist(rows).schema
    write_table(str(path), from_rows(rows, schema), Entry("table", **entry))
    return path


def test_tensors_are_listed_with_type_shape_and_size(activations):
    assert set(described(activations).tensors) == {
        TensorLine("@label", "I64", (4,), 32),
        TensorLine("block.0", "F32", (4, 3), 48),
    }


def test_the_lineage_is_a_tree_of_commands_and_inputs(activations):
    lines = text_of(activations).splitlines()
    assert lines[0] == f"{activations}: activations in a safetensors file, {size(activations)}"
    assert lines[1:5] == [
        "nncli capture net.safetensors  (nncli 0.1.0)",
        "├── net.safetensors aaaaaaaaaaaa checkpoint: nncli train --seed 3  (seed 3)",
        "│   └── digits dddddddddddd",
        "└── digits dddddddddddd",
    ]


def size(path):
    return f"{path.stat().st_size:,} bytes"


def test_an_entry_that_nobody_has_checked_is_no_trouble(tmp_path):
    odd = {"kind": 3, "command": 7, "inputs": "none", "seed": [], "version": {}}
    inputs = ({"name": None, "digest": 5, "entry": odd}, {"entry": "text"})
    facts = {"layers": {"a": 1}, "metrics": "none", "value": float("nan")}
    text = Entry("table", command=("x",), inputs=inputs).to_json()
    text = text.replace('"facts":{}', f'"facts":{json.dumps(facts)}')
    data = pa.table({"layer_a": ["x"], "layer_b": ["x"], "value": [0.5]})
    pq.write_table(data.replace_schema_metadata({"nncli": text}), tmp_path / "t.parquet")
    assert "made without a command" in text_of(tmp_path / "t.parquet")
    assert object_of(tmp_path / "t.parquet")["entry"]["facts"]["value"] is None


def test_of_many_inputs_the_first_three_are_shown_and_all_on_demand(tmp_path):
    inputs = tuple({"name": f"{n}.safetensors", "digest": "sha256:0"} for n in range(9))
    path = table(tmp_path / "t.parquet", [{"a": 1}], command=("pool",), inputs=inputs)
    assert "and 6 more; `--all` lists them" in text_of(path)
    assert "8.safetensors" in text_of(path, everything=True)


def test_what_an_artifact_says_of_its_layers_stands_beside_them(activations):
    lines = text_of(activations).splitlines()
    assert lines[-3].split() == ["@label", "I64", "4", "4"]
    assert lines[-2].split() == ["block.0", "F32", "4", "×", "3", "mean", "12"]
    assert lines[-1] == "2 tensors, 16 numbers, 80 bytes"


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl", "json"])
def test_a_table_in_any_format_has_columns_rows_and_first_rows(tmp_path, form):
    rows = [{"layer": f"block.{n}", "value": n / 4} for n in range(5)]
    path = table(tmp_path / f"t.{form}", rows)
    found = object_of(path)
    assert found["columns"] == [
        {"name": "layer", "type": "string"},
        {"name": "value", "type": "double"},
    ]
    assert found["rows"] == 5
    assert found["first_rows"] == rows
    assert found["kind"] == ("table" if form == "parquet" else None)


@pytest.mark.parametrize(("rows", "shown"), [(0, 0), (40, 40), (41, 10)])
def test_forty_rows_are_shown_whole_and_ten_of_more(tmp_path, rows, shown):
    data = pa.table({"value": pa.array(np.arange(float(rows)))})
    write_table(str(tmp_path / "t.parquet"), data, Entry("table"))
    assert described(tmp_path / "t.parquet").head.num_rows == shown
    assert ("more rows" in text_of(tmp_path / "t.parquet")) == (shown < rows)
    assert described(tmp_path / "t.parquet", rows=3).head.num_rows == min(rows, 3)


def test_every_input_has_the_same_keys(tmp_path, activations):
    np.save(tmp_path / "x.npy", np.zeros(3))
    (tmp_path / "notes.txt").write_text("just words\nand more words\n")
    for path in (activations, tmp_path / "x.npy", tmp_path / "notes.txt", tmp_path):
        assert list(object_of(path)) == list(KEYS)


def test_json_holds_no_number_that_json_cannot_say(tmp_path):
    path = table(tmp_path / "t.parquet", [{"value": float("nan")}, {"value": 0.5}])
    assert object_of(path)["first_rows"] == [{"value": None}, {"value": 0.5}]


def test_nested_and_binary_cells_become_json(tmp_path):
    rows = [{"bytes": b"abc", "list": [1.5, float("inf")], "struct": {"a": None}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    found = object_of(tmp_path / "t.parquet")["first_rows"]
    assert found == [{"bytes": "<3 bytes>", "list": [1.5, None], "struct": {"a": None}}]
    assert "(3 bytes)" in text_of(tmp_path / "t.parquet")


def test_nothing_in_a_file_can_reach_the_terminal(tmp_path):
    evil = "\x1b[2Jx\rname\n"
    save_file({evil: np.zeros(2)}, tmp_path / "t.safetensors", metadata={evil: evil})
    path = table(tmp_path / "t.parquet", [{evil: evil}], command=(evil,))
    for text in (text_of(tmp_path / "t.safetensors"), text_of(path)):
        assert "\x1b" not in text
        assert "\r" not in text
        assert "\\x1b[2Jx" in text


def test_layer_2_comes_before_layer_10(tmp_path):
    names = [f"layer.{n}.w" for n in (10, 2, 1)]
    save_file({name: np.zeros(n) for n, name in enumerate(names)}, tmp_path / "t.safetensors")
    lines = text_of(tmp_path / "t.safetensors").splitlines()
    assert [line.split()[0] for line in lines[-4:-1]] == names[::-1]


def test_equal_blocks_become_one_line():
    names = [f"layer.{n}.{part}" for n in range(12) for part in ("weight", "bias")]
    lines = [TensorLine(name, "F32", (3,) if "bias" in name else (3, 3), 0) for name in names]
    found = grouped([*lines, TensorLine("head", "F32", (3, 3), 36)])
    assert [(one.line.name, one.count) for one in found] == [
        ("layer.{0-11}.weight", 12),
        ("layer.{0-11}.bias", 12),
        ("head", 1),
    ]


def test_blocks_with_gaps_stay_apart():
    names = ["a.0.0.w", "a.0.1.w", "a.1.0.w"]
    found = grouped([TensorLine(name, "F32", (1,), 4) for name in names])
    assert [one.line.name for one in found] == names


def test_no_long_list_is_cut_silently(tmp_path):
    save_file({f"name_{n}": np.zeros(1) for n in range(60)}, tmp_path / "t.safetensors")
    text = text_of(tmp_path / "t.safetensors")
    assert "and 20 more; `--all` lists them" in text
    assert "60 tensors, 60 parameters, 480 bytes" in text
    assert "name_59" in text_of(tmp_path / "t.safetensors", everything=True)
    assert len(object_of(tmp_path / "t.safetensors")["tensors"]) == 60


class Counting(io.FileIO):
    """A file, with its reads counted."""

    total = 0

    def readinto(self, buffer):
        found = super().readinto(buffer)
        self.total += found
        return found


@pytest.mark.parametrize("form", ["safetensors", "npy", "parquet"])
def test_of_a_large_file_only_the_beginning_and_the_end_are_read(tmp_path, form):
    path = tmp_path / f"t.{form}"
    numbers = np.random.default_rng(0).random(1 << 19)
    if form == "safetensors":
        save_file({"w": numbers}, path)
    elif form == "npy":
        np.save(path, numbers)
    else:
        pq.write_table(pa.table({"value": numbers}), path, row_group_size=1 << 14)
    raw = Counting(path)
    with io.BufferedReader(raw) as file:
        describe(Source(path.name, file, path=None))
    assert raw.total < 0.1 * path.stat().st_size


def test_a_header_that_claims_a_gigabyte_is_refused_without_reading_one(tmp_path):
    claim = struct.pack("<Q", 90_000_000) + b'{"w": '
    (tmp_path / "t.safetensors").write_bytes(claim)
    with pytest.raises(ArtifactError, match="claims 90,000,000 bytes"):
        described(tmp_path / "t.safetensors")
    header = {"w": {"dtype": "F32", "shape": [1 << 28], "data_offsets": [0, 1 << 30]}}
    text = json.dumps(header).encode()
    (tmp_path / "t.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ArtifactError, match="cut short"):
        described(tmp_path / "t.safetensors")


@pytest.fixture
def whole(tmp_path, activations):
    """One file of each format that has an end of its own."""
    np.savez(tmp_path / "t.npz", x=np.arange(100.0))
    np.save(tmp_path / "t.npy", np.arange(100.0))
    table(tmp_path / "t.parquet", [{"value": 1.5}])
    data = pa.table({"value": np.arange(100.0)})
    with pa.ipc.new_file(str(tmp_path / "t.arrow"), data.schema) as writer:
        writer.write(data)
    with pa.ipc.new_stream(str(tmp_path / "s.arrow"), data.schema) as writer:
        writer.write(data)
    table(tmp_path / "t.json", [{"value": 1.5}, {"value": 2.5}])
    return tmp_path


FILES = ["a.safetensors", "t.npz", "t.npy", "t.parquet", "t.arrow", "s.arrow", "t.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_an_input_cut_short_is_refused(whole, name, share):
    content = (whole / name).read_bytes()
    (whole / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ArtifactError):
        described(whole / name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02\x03garbage", "begins with the bytes 00 01 02 03"),
        (b"PK\x03\x04nothing", "zip archive that is cut short"),
        (b"\x89PNG\r\n\x1a\nnothing", "PNG image that is cut short"),
        (b'{"a": ', "damaged JSON"),
    ],
)
def test_what_is_nothing_is_refused(tmp_path, content, said):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ArtifactError, match=said):
        described(tmp_path / "x")


@pytest.mark.parametrize(
    ("content", "form", "note"),
    [
        (b"\x1f\x8b\x08rest", "gzip", "gunzip"),
        (b"\x89HDF\r\n\x1a\n", "hdf5", "convert"),
        (b"GGUF\x03\x00", "gguf", "gguf_file"),
    ],
)
def test_a_format_that_is_only_recognised_comes_with_the_way_on(tmp_path, content, form, note):
    (tmp_path / "x").write_bytes(content)
    found = described(tmp_path / "x")
    assert found.format == form
    assert note in found.notes[0]


def test_text_that_is_no_utf_8_is_damage(tmp_path):
    data = pa.array([b"fine", b"\xff\xfe"]).cast(pa.string(), safe=False)
    broken = pa.StringArray.from_buffers(2, *data.buffers()[1:])
    pq.write_table(pa.table({"name": broken}), tmp_path / "t.parquet")
    with pytest.raises(ArtifactError, match="damaged table"):
        described(tmp_path / "t.parquet")


def test_an_onnx_model_lists_weights_operators_and_shapes(tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    inside = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros(4), "c"))],
        "then",
        [],
        [helper.make_tensor_value_info("c", TensorProto.DOUBLE, [4])],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("If", ["b"], ["z"], name="branch", then_branch=inside, else_branch=inside),
    ]
    sides = (
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
    )
    model = helper.make_model(helper.make_graph(nodes, "net", *sides, [weight]))
    onnx.save(model, tmp_path / "m.onnx")
    found = described(tmp_path / "m.onnx")
    assert found.format == "onnx"
    assert found.tensors == (
        TensorLine("w", "F32", (3, 2), 24),
        TensorLine("branch/else_branch/c", "F64", (4,), 32),
        TensorLine("branch/then_branch/c", "F64", (4,), 32),
    )
    assert found.metadata["inputs"] == {"x": "F32 N×3"}
    assert found.metadata["operators"] == {"Constant": 2, "MatMul": 1, "If": 1}
    content = (tmp_path / "m.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(content[:-5])
    with pytest.raises(ArtifactError, match="no sound ONNX"):
        described(tmp_path / "m.onnx")


def test_a_hugging_face_folder_lists_the_tensors_of_all_its_shards(tmp_path):
    save_file({"a": np.zeros((2, 3), np.float32)}, tmp_path / "model-1-of-2.safetensors")
    save_file({"b": np.zeros(5, np.float16)}, tmp_path / "model-2-of-2.safetensors")
    places = {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 3}')
    found = described(tmp_path)
    assert found.what == "a Hugging Face model (bert)"
    assert found.metadata["hidden_size"] == 3
    assert found.tensors == (TensorLine("a", "F32", (2, 3), 24), TensorLine("b", "F16", (5,), 10))
    for shard in ("../model.safetensors", "missing.safetensors", "/etc/passwd"):
        index.write_text(json.dumps({"weight_map": {"a": shard}}))
        with pytest.raises(ArtifactError, match="names the shard"):
            described(tmp_path)


def test_a_series_shows_its_manifest(tmp_path):
    rows = [{"path": f"seed-{n}.safetensors", "seed": n, "test_accuracy": 0.9} for n in range(3)]
    schema = pa.Table.from_pylist(rows).schema
    write_table(str(tmp_path / "manifest.parquet"), from_rows(rows, schema), Entry("series"))
    found = described(tmp_path)
    assert (found.kind, found.what) == ("series", "a folder of 3 checkpoints")
    assert found.head.to_pylist() == rows


def test_a_saved_dataset_is_counted_without_being_loaded(tmp_path):
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"x": [[1.0, 2.0]] * 5, "y": [0, 1, 0, 1, 0]})
    parts = {"train": data, "test": data.select([0, 1])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    found = described(tmp_path / "saved")
    assert found.metadata == {
        "rows of train": 5,
        "columns": {"x": "List of float64", "y": "int64"},
        "rows of test": 2,
    }


def test_a_folder_of_images_is_counted_by_class(tmp_path):
    from PIL import Image

    for place, name in enumerate(["cat", "cat", "dog"]):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name / f"{place}.png")
    assert described(tmp_path).metadata["images by class"] == {"cat": 2, "dog": 1}


def test_any_other_folder_lists_its_files_and_an_empty_one_is_refused(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "notes.txt").write_text("words")
    found = described(tmp_path)
    assert [(one.name, one.bytes) for one in found.files] == [("deep/notes.txt", 5)]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="is empty"):
        described(tmp_path / "empty")


def kind(path):
    with open_source(str(path)) as source:
        return kind_of(source)


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"fc.weight": (10, 4), "fc.bias": (10,)}, "checkpoint"),
        ({"layer1": (9, 4), "layer2": (9, 6)}, "activations"),
        ({"a": (9, 4), "b": (3, 3)}, "checkpoint"),
        ({"x": (9, 4), "y": (9,)}, "dataset"),
        ({"logits": (2, 9, 3), "label": (9,)}, "predictions"),
    ],
)
def test_a_foreign_file_of_tensors_has_the_kind_of_its_contents(tmp_path, arrays, wanted):
    np.savez(tmp_path / "f.npz", **{name: np.zeros(shape) for name, shape in arrays.items()})
    assert kind(tmp_path / "f.npz") == wanted


def test_an_artifact_has_the_kind_it_says(tmp_path, activations):
    assert kind(activations) == "activations"
    assert kind(table(tmp_path / "t.parquet", [{"a": 1}])) == "table"
    (tmp_path / "t.csv").write_text("logits,label\n0.5,1\n")
    assert kind(tmp_path / "t.csv") == "predictions"


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet", "t.arrow"])
def test_a_table_whose_kind_was_asked_for_is_read_once_from_its_beginning(tmp_path, name):
    lines = {"t.csv": "a,b\n1,2\n3,4\n", "t.jsonl": '{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n'}
    data, path = pa.table({"a": [1, 3], "b": [2, 4]}), tmp_path / name
    if name in lines:
        path.write_text(lines[name])
    elif name == "t.parquet":
        pq.write_table(data, path)
    else:
        with pa.ipc.new_file(path, data.schema) as file:
            file.write(data)
    with open_source(str(path)) as source:
        assert kind_of(source) == "table"
        assert read_table(source).data.to_pydict() == {"a": [1, 3], "b": [2, 4]}
