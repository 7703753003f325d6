import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file

from nncli.architectures import build
from nncli.cli import cli
from nncli.corruptions import corrupt
from nncli.formats.datasets import load
from nncli.formats.entry import Entry
from nncli.formats.predictions import open_predictions
from nncli.formats.series import MANIFEST
from nncli.formats.tables import write_table
from nncli.formats.tensors import write_tensors

RANDOM = np.random.default_rng(0)


def checkpoint(path, arch, *, seed=0, **changes):
    network = build(arch, seed=seed)
    arrays = {name: one.detach().numpy() for name, one in network.state_dict().items()} | changes
    entry = Entry("checkpoint", facts={"arch": arch, "factors": {"seed": seed}, "metrics": {}})
    write_tensors(str(path), arrays, entry)
    network.load_state_dict({name: torch.from_numpy(one) for name, one in arrays.items()})
    return network.eval()


def nncli(*arguments, code=0, **settings):
    done = CliRunner().invoke(cli, ["predict", *map(str, arguments)], **settings)
    assert done.exit_code == code, done.stderr
    return done


def answers(network, x):
    with torch.no_grad():
        return network(torch.from_numpy(x)).numpy()


def logits(table):
    return np.array(table["logits"].to_pylist(), np.float32)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data():
    x = RANDOM.standard_normal((30, 4)).astype(np.float32)
    np.savez("x.npz", x=x, y=np.arange(30) % 3, factor_group=np.arange(30) // 10)
    return x


@pytest.fixture
def images():
    x = RANDOM.random((10, 1, 6, 6)).astype(np.float32)
    np.savez("x.npz", x=x, y=np.arange(10) % 3)
    return x


@pytest.fixture(scope="module")
def classifier():
    """The least-squares linear classifier of the digits, which is right on about 93 of 100."""
    train = load("digits", split="train")
    x = train.x.reshape(len(train), -1).astype(np.float64)
    design = np.hstack([x, np.ones((len(x), 1))])
    solution = np.linalg.lstsq(design, 10 * np.eye(10)[train.y], rcond=None)[0].astype(np.float32)
    return {"head.weight": solution[:-1].T.copy(), "head.bias": solution[-1]}


def test_predictions_are_the_answers_of_the_network(data):
    network = checkpoint("net.safetensors", "mlp:4-5-3")
    nncli("net.safetensors", "--data", "x.npz", "-o", "p.parquet")
    table = pq.read_table("p.parquet")
    expected = answers(network, data)
    assert np.allclose(logits(table), expected, atol=1e-6)
    losses = torch.nn.functional.cross_entropy(
        torch.from_numpy(expected).double(), torch.arange(30) % 3, reduction="none"
    )
    assert np.allclose(table["loss"].to_numpy(), losses.numpy(), atol=1e-6)
    assert table["example_id"].to_pylist() == list(range(30))
    assert table["label"].to_pylist() == [0, 1, 2] * 10
    assert table["group"].to_pylist() == [0] * 10 + [1] * 10 + [2] * 10
    assert set(table["model_id"].to_pylist()) == {"net"}
    assert set(table["split"].to_pylist()) == {"all"}
    assert table["perturbation"].null_count == 30


def test_a_series_brings_its_factors_as_columns(data):
    os.mkdir("runs")
    rows = {"path": [], "seed": [], "step": [], "noise": [], "norm": [], "test_accuracy": []}
    for seed in (0, 1):
        for step in (0, 10):
            name = f"seed-{seed}-step-{step}.safetensors"
            checkpoint(f"runs/{name}", "mlp:4-5-3", seed=2 * seed + step)
            for key, value in zip(rows, (name, seed, step, 0.5, "l2", 1.0), strict=True):
                rows[key].append(value)
    write_table(f"runs/{MANIFEST}", pa.table(rows), Entry("series"))
    nncli("runs/", "--data", "x.npz", "-o", "p.parquet")
    table = pq.read_table("p.parquet")
    firsts = table.take(np.arange(0, 120, 30))
    assert firsts["model_id"].to_pylist() == [
        "seed-0-step-0",
        "seed-0-step-10",
        "seed-1-step-0",
        "seed-1-step-10",
    ]
    assert firsts["seed"].to_pylist() == [0, 0, 1, 1]
    assert firsts["step"].to_pylist() == [0, 10, 0, 10]
    assert firsts["noise"].to_pylist() == [0.5] * 4
    assert firsts["norm"].to_pylist() == ["l2"] * 4
    assert "test_accuracy" not in table.column_names
    network = build("mlp:4-5-3", seed=12).eval()
    assert np.allclose(logits(table)[90:], answers(network, data), atol=1e-6)


def test_the_dense_form_holds_the_same(data):
    networks = [checkpoint(f"{seed}.safetensors", "mlp:4-5-3", seed=seed) for seed in (0, 1)]
    nncli("0.safetensors", "1.safetensors", "--data", "x.npz", "-o", "p.safetensors")
    found = load_file("p.safetensors")
    expected = np.stack([answers(one, data) for one in networks])
    assert np.allclose(found["logits"], expected, atol=1e-6)
    assert found["seed"].tolist() == [[0, -1], [1, -1]]
    with open_predictions("p.safetensors") as read:
        assert [one["model_id"] for one in read.members] == ["0", "1"]


def test_models_of_one_name_go_by_their_paths(data):
    for folder in ("one", "two"):
        os.mkdir(folder)
        checkpoint(f"{folder}/net.safetensors", "mlp:4-5-3")
    nncli("one/net.safetensors", "two/net.safetensors", "--data", "x.npz", "-o", "p.parquet")
    found = pq.read_table("p.parquet")["model_id"].to_pylist()
    assert list(dict.fromkeys(found)) == ["one/net", "two/net"]


def test_a_column_of_targets_makes_it_a_regression():
    x = RANDOM.standard_normal((20, 4)).astype(np.float32)
    y = RANDOM.standard_normal(20)
    np.savez("x.npz", x=x, y=y)
    network = checkpoint("net.safetensors", "mlp:4-5-1")
    nncli("net.safetensors", "--data", "x.npz", "-o", "p.parquet")
    table = pq.read_table("p.parquet")
    expected = answers(network, x)[:, 0].astype(np.float64)
    assert np.allclose(table["pred"].to_numpy(), expected, atol=1e-6)
    assert np.array_equal(table["label"].to_numpy(), y)
    assert np.allclose(table["loss"].to_numpy(), (expected - y) ** 2, atol=1e-6)
    assert "logits" not in table.column_names


def test_examples_without_labels_have_no_loss():
    np.savez("x.npz", x=RANDOM.standard_normal((5, 4)).astype(np.float32))
    checkpoint("net.safetensors", "mlp:4-5-3")
    nncli("net.safetensors", "--data", "x.npz", "-o", "p.parquet")
    table = pq.read_table("p.parquet")
    assert table["label"].null_count == table["loss"].null_count == 5


def test_an_attack_lowers_the_accuracy_and_0_is_clean(classifier):
    checkpoint("net.safetensors", "mlp:64-10", **classifier)
    for attack in ("fgsm", "pgd", "autopgd"):
        nncli(
            "net.safetensors",
            "--split",
            "test",
            "--attack",
            attack,
            "--epsilon",
            "0",
            "--epsilon",
            "0.05",
            "-o",
            "p.parquet",
        )
        table = pq.read_table("p.parquet")
        assert table.num_rows == 900
        kinds = table["perturbation"].to_pylist()
        assert kinds == [None] * 450 + [f"{attack}-linf-0.05"] * 450
        assert table["strength"].to_pylist() == [None] * 450 + [0.05] * 450
        right = logits(table).argmax(axis=1) == table["label"].to_numpy()
        assert right[:450].mean() > 0.9
        assert right[450:].mean() < 0.6
        losses = table["loss"].to_numpy()
        assert (losses[450:] >= losses[:450] - 1e-9).all()


def test_a_corruption_is_done_before_the_network(images):
    network = checkpoint("net.safetensors", "cnn:1x6x6-c4-3")
    nncli(
        "net.safetensors",
        "--data",
        "x.npz",
        "--corruption",
        "gaussian-noise",
        "--corruption",
        "blur",
        "--severity",
        "0",
        "--severity",
        "4",
        "--seed",
        "5",
        "--batch-size",
        "3",
        "-o",
        "p.parquet",
    )
    table = pq.read_table("p.parquet")
    kinds = list(dict.fromkeys(table["perturbation"].to_pylist()))
    assert kinds == [None, "gaussian-noise-4", "blur-4"]
    parts = [images, corrupt(images, "gaussian-noise", 4, seed=5), corrupt(images, "blur", 4)]
    expected = np.concatenate([answers(network, one) for one in parts])
    assert np.allclose(logits(table), expected, atol=1e-5)


def test_the_result_does_not_depend_on_the_batch_size(images):
    checkpoint("net.safetensors", "cnn:1x6x6-c4-3")
    for size in (1, 4):
        nncli("net.safetensors", "--data", "x.npz", "--batch-size", size, "-o", f"{size}.parquet")
    one, two = (logits(pq.read_table(f"{size}.parquet")) for size in (1, 4))
    assert np.allclose(one, two, atol=1e-6)


def test_the_same_command_gives_the_same_bytes(data, here):
    checkpoint("net.safetensors", "mlp:4-5-3")
    for suffix in ("parquet", "safetensors"):
        for name in "ab":
            nncli("net.safetensors", "--data", "x.npz", "-o", f"{name}.{suffix}")
        assert (here / f"a.{suffix}").read_bytes() == (here / f"b.{suffix}").read_bytes()


def test_a_table_can_be_text(data):
    checkpoint("net.safetensors", "mlp:4-5-3")
    done = nncli("net.safetensors", "--data", "x.npz", "--limit", "2", "-f", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["example_id"] for one in rows] == [0, 1]
    assert len(rows[0]["logits"]) == 3
    nncli("net.safetensors", "--data", "x.npz", "-o", "p.csv")
    assert pyarrow.csv.read_csv("p.csv").num_rows == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attack", "pgd"], "`--attack pgd` needs a radius"),
        (["--epsilon", "0.1"], "`--epsilon` needs an attack"),
        (["--target", "1"], "`--target` needs an attack"),
        (["--epsilon", "nan", "--attack", "pgd"], "finite"),
        (["--severity", "3"], "`--severity` needs a corruption"),
        (["--attack", "fgsm", "--epsilon", "1", "--corruption", "blur"], "exclude each other"),
        (["--corruption", "blurr"], "closest: `blur`"),
        (["-o", "p.parquet", "-f", "csv"], "ends in `.parquet`"),
        (["-o", "p.csv", "-f", "safetensors"], "ends in `.csv`"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_loaded(arguments, message):
    done = nncli("nowhere.safetensors", "--data", "nowhere.npz", *arguments, code=2)
    assert message in done.stderr


def test_a_label_that_is_no_class_is_named(data):
    checkpoint("net.safetensors", "mlp:4-5-2")
    done = nncli("net.safetensors", "--data", "x.npz", "-o", "p.parquet", code=3)
    assert (
        "row 2 of `x.npz` has the label 2, `net.safetensors` answers with 2 classes" in done.stderr
    )
    assert not os.path.exists("p.parquet")


def test_what_is_not_finite_is_named_by_model_and_row(data):
    x = data.copy()
    x[17] = 1e30
    np.savez("x.npz", x=x)
    checkpoint("good.safetensors", "mlp:4-5-3")
    checkpoint(
        "bad.safetensors",
        "mlp:4-5-3",
        **{
            "head.weight": np.full((3, 5), 1e30, np.float32),
            "block.0.linear.weight": np.ones((5, 4), np.float32),
        },
    )
    done = nncli(
        "good.safetensors",
        "bad.safetensors",
        "--data",
        "x.npz",
        "--batch-size",
        "8",
        "-o",
        "p.parquet",
        code=3,
    )
    assert "`bad.safetensors` answers row 17 of `x.npz` with inf" in done.stderr
    assert not os.path.exists("p.parquet")


def test_models_of_different_classes_do_not_share_a_file(data):
    checkpoint("a.safetensors", "mlp:4-5-3")
    checkpoint("b.safetensors", "mlp:4-5-4")
    done = nncli("a.safetensors", "b.safetensors", "--data", "x.npz", "-o", "p.parquet", code=3)
    assert "`b` answers with 4 numbers, `a` with 3" in done.stderr


def test_a_network_over_positions_is_no_classifier():
    np.savez("x.npz", x=RANDOM.integers(0, 20, (4, 5)))
    checkpoint("net.safetensors", "transformer:v20x5-d8-h2-b1-20,pool=none")
    done = nncli("net.safetensors", "--data", "x.npz", "-o", "p.parquet", code=3)
    assert "answers an example with (5, 20), expected a logit for each class" in done.stderr


def test_every_checkpoint_is_opened_before_the_first_is_run(data):
    checkpoint("good.safetensors", "mlp:4-5-3")
    done = nncli(
        "good.safetensors", "gone.safetensors", "--data", "x.npz", "-o", "p.parquet", code=3
    )
    assert "there is no file `gone.safetensors`" in done.stderr


def test_only_one_input_can_be_standard_input():
    assert "standard input" in nncli("-", "-", code=2).stderr


def test_the_lineage_is_complete(data):
    checkpoint("net.safetensors", "mlp:4-5-3")
    nncli("net.safetensors", "--data", "x.npz", "-o", "p.parquet")
    entry = Entry.from_json(
        pq.read_metadata("p.parquet").metadata[b"nncli"].decode(), source="p.parquet"
    )
    assert entry.kind == "predictions"
    assert [one["name"] for one in entry.inputs] == ["net.safetensors", "x.npz"]
    assert entry.inputs[0]["entry"]["kind"] == "checkpoint"
    assert entry.facts["models"][0]["arch"] == "mlp:4-5-3"


def test_smoothed_answers_come_with_certificates_that_dense_tensors_have_too(data):
    checkpoint("net.safetensors", "mlp:4-8-3")
    how = ("--data", "x.npz", "--smoothing", 0, "--smoothing", 0.5, "--samples", 100, "--seed", 3)
    nncli("net.safetensors", *how, "-o", "p.parquet")
    nncli("net.safetensors", *how, "-o", "p.safetensors")
    table, dense = pq.read_table("p.parquet").to_pydict(), load_file("p.safetensors")
    assert table["perturbation"] == [None] * 30 + ["smoothing-0.5"] * 30
    assert table["strength"] == [None] * 30 + [0.5] * 30
    assert table["certified_class"][:30] == table["certified_radius"][:30] == [None] * 30
    assert np.allclose(np.exp(np.array(table["logits"][30:], np.float64)).sum(axis=1), 1)
    for place, label in enumerate(table["label"][30:], start=30):
        assert table["loss"][place] == pytest.approx(-table["logits"][place][label], abs=1e-5)
    for name, none in (("certified_class", -1), ("certified_radius", 0)):
        told = [none if one is None else one for one in table[name]]
        assert np.array_equal(dense[name].ravel(), told)
    assert dense["certified_radius"].max() > 0
    assert dense["certified_class"].shape == (2, 30)
    assert np.array_equal(dense["logits"].reshape(60, 3), np.array(table["logits"], np.float32))
    with open_predictions("p.parquet") as found:
        assert found.score == "logits"


def test_without_smoothing_there_are_no_certificates(data):
    checkpoint("net.safetensors", "mlp:4-3")
    nncli("net.safetensors", "--data", "x.npz", "-o", "p.parquet")
    assert not [one for one in pq.read_schema("p.parquet").names if "certified" in one]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--samples", 10), "`--samples` needs noise"),
        (("--smoothing", 0.1, "--corruption", "blur"), "`--corruption` and `--smoothing` exclude"),
        (("--smoothing", 0.1, "--attack", "pgd", "--epsilon", 1), "`--attack` and `--smoothing`"),
        (("--smoothing", "inf"), "the standard deviation of noise is a finite number"),
        (("--smoothing", -1), "-1"),
    ],
)
def test_smoothing_that_means_nothing_is_refused(data, options, message):
    checkpoint("net.safetensors", "mlp:4-3")
    assert message in nncli("net.safetensors", "--data", "x.npz", *options, code=2).stderr


def test_smoothing_is_for_numbers_and_classes():
    checkpoint("net.safetensors", "mlp:4-1")
    np.savez("x.npz", x=RANDOM.standard_normal((6, 4)).astype(np.float32), y=np.arange(6) / 2)
    found = nncli("net.safetensors", "--data", "x.npz", "--smoothing", 0.1, code=3)
    assert "`x.npz` has numbers for labels; smoothing is for classes" in found.stderr
    checkpoint("t.safetensors", "transformer:v9x3-d4-h1-b1-2")
    np.savez("t.npz", input_ids=np.ones((6, 3), np.int64), y=np.arange(6) % 2)
    found = nncli("t.safetensors", "--data", "t.npz", "--smoothing", 0.1, code=3)
    assert "`t.npz` holds token ids, which take no noise" in found.stderr
