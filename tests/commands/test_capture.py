import json
import os
import pty

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file

from nncli.architectures import build
from nncli.cli import cli
from nncli.commands.capture import REDUCTIONS as OFFERED
from nncli.formats.activations import open_activations
from nncli.formats.entry import Entry
from nncli.formats.safetensors_header import TensorSpec
from nncli.formats.series import MANIFEST
from nncli.formats.tables import write_table
from nncli.formats.tensors import create_tensors, open_tensors, write_tensors
from nncli.reductions import REDUCTIONS

RANDOM = np.random.default_rng(0)


def checkpoint(path, arch, *, seed=0, **changes):
    network = build(arch, seed=seed)
    arrays = {name: one.detach().numpy() for name, one in network.state_dict().items()}
    entry = Entry("checkpoint", facts={"arch": arch, "factors": {"seed": seed}, "metrics": {}})
    write_tensors(str(path), arrays | changes, entry)
    return network.eval()


def nncli(*arguments, code=0, **settings):
    done = CliRunner().invoke(cli, ["capture", *map(str, arguments)], **settings)
    assert done.exit_code == code, done.stderr
    return done


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mlp(here):
    np.savez("x.npz", x=RANDOM.standard_normal((30, 4)).astype(np.float32), y=np.arange(30) % 3)
    return checkpoint("net.safetensors", "mlp:4-5-3")


@pytest.fixture
def cnn(here):
    np.savez("x.npz", x=RANDOM.random((9, 1, 4, 6), np.float32))
    return checkpoint("net.safetensors", "cnn:1x4x6-c2-p-3")


@pytest.fixture
def rnn(here):
    mask = np.arange(5) < np.array([[5], [2], [3], [1]])
    np.savez("x.npz", x=RANDOM.integers(0, 20, (4, 5)), mask=mask)
    return checkpoint("net.safetensors", "rnn:v20x5-6-2")


def facts(path):
    with open_tensors(str(path)) as found:
        return found.entry.facts


def test_activations_are_those_of_the_weights(mlp):
    nncli("net.safetensors", "--data", "x.npz", "--layer", "*", "-o", "a.safetensors")
    found, weights = load_file("a.safetensors"), load_file("net.safetensors")
    x = np.load("x.npz")["x"]
    linear = x @ weights["block.0.linear.weight"].T + weights["block.0.linear.bias"]
    assert np.allclose(found["block.0.linear"], linear, atol=1e-6)
    assert np.allclose(found["block.0"], linear.clip(0), atol=1e-6)
    head = linear.clip(0) @ weights["head.weight"].T + weights["head.bias"]
    assert np.allclose(found["head"], head, atol=1e-6)
    assert np.array_equal(found["output"], found["head"])


def test_examples_and_labels_come_along(mlp):
    nncli("net.safetensors", "--data", "x.npz", "-o", "a.safetensors")
    found = load_file("a.safetensors")
    assert sorted(found) == ["@example_id", "@label", "block.0", "head"]
    assert found["@label"].tolist() == [0, 1, 2] * 10
    assert found["@example_id"].tolist() == list(range(30))


def test_the_entry_says_what_was_captured_of_what(mlp):
    nncli(
        "net.safetensors",
        "--data",
        "x.npz",
        "--limit",
        "8",
        "--reduce",
        "flatten",
        "-o",
        "a.safetensors",
    )
    told = facts("a.safetensors")
    assert told["n"] == 8
    assert told["layers"]["head"] == {
        "at": "output",
        "layout": "vector",
        "masked": False,
        "module": "Linear",
        "order": 1,
        "reduce": "flatten",
        "shape": [3],
    }
    assert (told["data"]["name"], told["data"]["limit"], told["data"]["split"]) == (
        "x.npz",
        8,
        "all",
    )
    assert told["model"]["arch"] == "mlp:4-5-3"
    assert told["model"]["factors"] == {"seed": 0}


def test_two_splits_of_one_source_say_that_their_ids_are_of_one_kind(mlp):
    for split in ("train", "test"):
        nncli("net.safetensors", "--data", "x.npz", "--split", split, "-o", f"{split}.safetensors")
    one, two = (facts(f"{split}.safetensors")["data"] for split in ("train", "test"))
    assert one["digest"] != two["digest"]
    assert one["source"] == two["source"] is not None


def test_positions_of_maps_are_rows_one_example_after_another(cnn):
    nncli(
        "net.safetensors",
        "--data",
        "x.npz",
        "--reduce",
        "positions",
        "--layer",
        "block.0.conv",
        "--layer",
        "head",
        "-o",
        "a.safetensors",
    )
    found = load_file("a.safetensors")
    maps = cnn.block[0].conv(torch.from_numpy(np.load("x.npz")["x"])).detach().numpy()
    expected = maps.transpose(0, 2, 3, 1).reshape(9 * 24, 2)
    assert np.allclose(found["block.0.conv"], expected, atol=1e-6)
    assert found["head"].shape == (9, 3)
    read = open_activations("a.safetensors")
    assert read.positions("block.0.conv") == 24
    read.file.close()


def test_the_mean_of_maps_is_over_places(cnn):
    nncli("net.safetensors", "--data", "x.npz", "--reduce", "mean", "-o", "a.safetensors")
    maps = cnn.block[0](torch.from_numpy(np.load("x.npz")["x"])).detach().numpy()
    assert np.allclose(load_file("a.safetensors")["block.0"], maps.mean(axis=(2, 3)), atol=1e-6)


@pytest.mark.parametrize("how", ["mean", "last", "cls", "positions"])
def test_padding_enters_no_reduction(rnn, how):
    nncli(
        "net.safetensors",
        "--data",
        "x.npz",
        "--reduce",
        how,
        "--layer",
        "block.0",
        "-o",
        "a.safetensors",
    )
    data = np.load("x.npz")
    tokens = rnn.block[0](rnn.embed(torch.from_numpy(data["x"]))).detach().numpy()
    real = [one[keep] for one, keep in zip(tokens, data["mask"], strict=True)]
    expected = {
        "mean": np.stack([one.mean(axis=0) for one in real]),
        "last": np.stack([one[-1] for one in real]),
        "cls": np.stack([one[0] for one in real]),
        "positions": np.concatenate(real),
    }[how]
    assert np.allclose(load_file("a.safetensors")["block.0"], expected, atol=1e-6)
    assert facts("a.safetensors")["layers"]["block.0"]["masked"] == (how == "positions")


def test_a_mask_is_kept_where_positions_are(rnn):
    for how in ("none", "mean"):
        nncli("net.safetensors", "--data", "x.npz", "--reduce", how, "-o", f"{how}.safetensors")
    assert np.array_equal(load_file("none.safetensors")["@mask"], np.load("x.npz")["mask"])
    assert "@mask" not in load_file("mean.safetensors")


def test_the_input_of_a_layer_can_be_kept(mlp):
    nncli(
        "net.safetensors",
        "--data",
        "x.npz",
        "--at",
        "input",
        "--layer",
        "head",
        "--layer",
        "block.0",
        "-o",
        "a.safetensors",
    )
    nncli("net.safetensors", "--data", "x.npz", "-o", "b.safetensors")
    found = load_file("a.safetensors")
    assert np.array_equal(found["block.0"], np.load("x.npz")["x"])
    assert np.array_equal(found["head"], load_file("b.safetensors")["block.0"])


def test_layers_are_listed_without_reading_any_data(mlp):
    done = nncli("net.safetensors", "--data", "nowhere.npz", "--list-layers", "-f", "csv")
    assert done.stdout.splitlines() == [
        "layer,module,shape,layout,parameters,chosen",
        "block.0.linear,Linear,5,vector,25,False",
        "block.0.act,ReLU,5,vector,0,False",
        "block.0,Sequential,5,vector,25,True",
        "flatten,Flatten,5,vector,0,False",
        "head,Linear,3,vector,18,True",
        "output,Chain,3,vector,43,False",
    ]


def test_the_list_shows_which_layers_a_pattern_chooses(cnn):
    done = nncli("net.safetensors", "--list-layers", "--layer", "**.conv", "-f", "json")
    rows = {one["layer"]: one for one in json.loads(done.stdout)}
    assert [name for name, one in rows.items() if one["chosen"]] == ["block.0.conv"]
    assert rows["block.0.conv"]["shape"] == "2x4x6"
    assert rows["block.0.conv"]["layout"] == "maps"


def test_a_mistyped_layer_leaves_nothing_and_names_the_closest(mlp, here):
    done = nncli(
        "net.safetensors", "--data", "x.npz", "--layer", "blok.0", "-o", "a.safetensors", code=3
    )
    assert "no layer of `net.safetensors` matches `blok.0`; closest: `block.0`" in done.stderr
    assert sorted(os.listdir()) == ["net.safetensors", "x.npz"]


def test_what_is_not_finite_is_named_by_layer_and_row_and_leaves_nothing(here):
    x = np.full((20, 4), 1.0, np.float32)
    x[13] = 1e30
    np.savez("x.npz", x=x)
    checkpoint(
        "net.safetensors",
        "mlp:4-5-3",
        **{
            "head.weight": np.full((3, 5), 1e30, np.float32),
            "block.0.linear.weight": np.full((5, 4), 1.0, np.float32),
        },
    )
    done = nncli(
        "net.safetensors", "--data", "x.npz", "--batch-size", "8", "-o", "a.safetensors", code=3
    )
    assert "layer `head` of `net.safetensors` is inf for row 13 of `x.npz`" in done.stderr
    assert sorted(os.listdir()) == ["net.safetensors", "x.npz"]


def test_what_does_not_fit_float16_says_so(here):
    np.savez("x.npz", x=np.full((3, 4), 1e6, np.float32))
    checkpoint("net.safetensors", "mlp:4-5-3", **{"head.bias": np.full(3, 1e6, np.float32)})
    done = nncli(
        "net.safetensors", "--data", "x.npz", "--dtype", "float16", "-o", "a.safetensors", code=3
    )
    assert "try `--dtype float32`" in done.stderr


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_numbers_are_rounded_to_the_type_asked_for(mlp, dtype):
    nncli("net.safetensors", "--data", "x.npz", "-o", "a.safetensors")
    nncli("net.safetensors", "--data", "x.npz", "--dtype", dtype, "-o", "b.safetensors")
    whole = torch.from_numpy(load_file("a.safetensors")["block.0"])
    with open_tensors("b.safetensors") as found:
        kept = found.read("block.0")
    assert np.array_equal(kept, whole.to(getattr(torch, dtype)).to(torch.float64).numpy())


def test_the_result_does_not_depend_on_batches_or_threads(cnn, monkeypatch):
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ):
        monkeypatch.setenv(name, "1")
    before = torch.get_num_threads()
    try:
        nncli("net.safetensors", "--data", "x.npz", "-o", "a.safetensors")
        nncli("net.safetensors", "--data", "x.npz", "--batch-size", "2", "-o", "b.safetensors")
        nncli("net.safetensors", "--data", "x.npz", "--threads", "2", "-o", "c.safetensors")
    finally:
        torch.set_num_threads(before)
    one, *others = (load_file(f"{name}.safetensors") for name in "abc")
    for other in others:
        assert all(np.allclose(one[name], other[name], atol=1e-6) for name in one)


def test_the_same_command_gives_the_same_bytes(mlp, here):
    for name in "ab":
        nncli("net.safetensors", "--data", "x.npz", "-o", f"{name}.safetensors")
    assert (here / "a.safetensors").read_bytes() == (here / "b.safetensors").read_bytes()


def test_a_capture_through_a_pipe_has_the_bytes_of_the_file(mlp, here):
    nncli("net.safetensors", "--data", "x.npz", "-o", "a.safetensors")
    done = nncli("net.safetensors", "--data", "x.npz")
    assert done.stdout_bytes == (here / "a.safetensors").read_bytes()


def test_a_checkpoint_may_come_through_a_pipe(mlp, here):
    given = (here / "net.safetensors").read_bytes()
    nncli("-", "--data", "x.npz", "-o", "a.safetensors", input=given)
    nncli("net.safetensors", "--data", "x.npz", "-o", "b.safetensors")
    one, two = load_file("a.safetensors"), load_file("b.safetensors")
    assert all(np.array_equal(one[name], two[name]) for name in two)


def test_a_series_gives_a_file_for_each_member(mlp, here):
    import pyarrow as pa

    (here / "runs").mkdir()
    for seed in (0, 1):
        checkpoint(f"runs/seed-{seed}.safetensors", "mlp:4-5-3", seed=seed)
    paths = pa.table({"path": ["seed-0.safetensors", "seed-1.safetensors"], "seed": [0, 1]})
    write_table(f"runs/{MANIFEST}", paths, Entry("series"))
    nncli("runs/", "--data", "x.npz", "-o", "captures/")
    assert sorted(os.listdir("captures")) == ["seed-0.safetensors", "seed-1.safetensors"]
    nncli("runs/seed-1.safetensors", "--data", "x.npz", "-o", "a.safetensors")
    one, two = load_file("a.safetensors"), load_file("captures/seed-1.safetensors")
    assert all(np.array_equal(one[name], two[name]) for name in two)
    assert facts("captures/seed-1.safetensors")["model"]["factors"]["seed"] == 1
    done = nncli("runs", "--data", "x.npz", code=2)
    assert "name a folder for them" in done.stderr


def test_a_reduction_that_a_layer_has_not_leaves_nothing(cnn, here):
    done = nncli(
        "net.safetensors", "--data", "x.npz", "--reduce", "last", "-o", "a.safetensors", code=3
    )
    assert "`block.0` of `net.safetensors` puts out maps" in done.stderr
    assert not os.path.exists("a.safetensors")


def test_a_format_is_for_the_list_only(mlp):
    assert "`--list-layers`" in nncli("net.safetensors", "-f", "csv", code=2).stderr


def test_a_terminal_is_refused_before_anything_is_loaded(here, process):
    ours, theirs = pty.openpty()
    try:
        done = process("capture", "nowhere.safetensors", "--data", "nowhere.npz", stdout=theirs)
    finally:
        os.close(theirs)
        os.close(ours)
    assert done.returncode == 3
    assert b"refusing to write a binary artifact to a terminal" in done.stderr


def test_the_options_offer_the_reductions_there_are():
    assert list(REDUCTIONS) == OFFERED


MEMORY = """
import resource, sys
from nncli.cli import cli

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

def capture(limit, target):
    try:
        cli(["capture", "net.safetensors", "--data", sys.argv[1], "--limit", limit, "-o", target])
    except SystemExit as done:
        assert done.code == 0, done.code

capture("500", "a.safetensors")
before = peak()
capture("12000", "b.safetensors")
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_rows(here, python):
    np.savez("x.npz", x=np.zeros((12_000, 16), np.float32))
    checkpoint("net.safetensors", "mlp:16-4096-3")
    done = python(MEMORY, "x.npz", cwd=here)
    assert done.returncode == 0, done.stderr
    assert os.path.getsize("b.safetensors") > 190e6
    assert int(done.stdout) < 60  # MiB


def test_memory_does_not_grow_with_large_inputs(here, python):
    with create_tensors(
        "x.data", {"x": TensorSpec("F32", (12_000, 8192))}, Entry("dataset")
    ) as file:
        for _ in range(12):  # 393 MB that are never in memory at once
            file.append("x", np.zeros((1000, 8192), np.float32))
    checkpoint("net.safetensors", "mlp:8192-8-3")
    done = python(MEMORY, "x.data", cwd=here)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 120  # MiB


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "sat", "on", "the", "mat"]
    (folder / "vocab.txt").write_text("\n".join(words))
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    torch.manual_seed(0)
    network = transformers.BertModel(config).eval()
    network.save_pretrained(folder)
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder, network


def test_texts_go_through_the_tokenizer_of_the_folder(bert, here):
    folder, network = bert
    (here / "texts.csv").write_text("text,label\na cat sat,0\nthe cat sat on the mat,1\n")
    nncli(folder, "--data", "texts.csv", "--reduce", "mean", "-o", "a.safetensors")
    found = load_file("a.safetensors")
    assert {"embeddings", "encoder.layer.0", "encoder.layer.1", "pooler"} <= set(found)
    ids = torch.tensor([[2, 5, 6, 7, 3]])  # [CLS] a cat sat [SEP], without any padding
    expected = network(ids).last_hidden_state.mean(dim=1).detach().numpy()
    assert np.allclose(found["encoder.layer.1"][:1], expected, atol=1e-5)


def test_an_exported_program_has_the_layers_its_graph_names(mlp):
    batch = torch.export.Dim("rows")
    example = torch.zeros(2, 4)
    program = torch.export.export(mlp, (example,), dynamic_shapes=({0: batch},))
    torch.export.save(program, "net.pt2")
    nncli("net.pt2", "--data", "x.npz", "-o", "a.safetensors")
    nncli("net.safetensors", "--data", "x.npz", "-o", "b.safetensors")
    one, two = load_file("a.safetensors"), load_file("b.safetensors")
    assert set(one) == set(two)
    assert all(np.allclose(one[name], two[name], atol=1e-6) for name in two)
    done = nncli("net.pt2", "--data", "x.npz", "--at", "input", code=2)
    assert "have no input of their own" in done.stderr


def test_the_batch_size_may_be_left_to_the_command_by_name(mlp, here):
    for name, size in (("a", ["--batch-size", "auto"]), ("b", []), ("c", ["--batch-size", "3"])):
        nncli("net.safetensors", "--data", "x.npz", *size, "-o", f"{name}.safetensors")
    auto, default, three = (load_file(f"{name}.safetensors") for name in "abc")
    for layer, values in auto.items():
        assert (values == default[layer]).all()
        np.testing.assert_allclose(three[layer], values, rtol=1e-5, atol=1e-6)
    for wrong in ("0", "many"):
        nncli("net.safetensors", "--batch-size", wrong, "-o", "d.safetensors", code=2)
