import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from nncli.architectures import build
from nncli.cli import cli
from nncli.formats.datasets import load
from nncli.formats.entry import Entry
from nncli.formats.tensors import write_tensors

FEW = ("--steps", "6", "--refine", "3", "--restarts", "0", "--black-box", "20")


def checkpoint(path, arch, *, seed=0, **changes):
    network = build(arch, seed=seed)
    arrays = {name: one.detach().numpy() for name, one in network.state_dict().items()} | changes
    facts = {"arch": arch, "factors": {"seed": seed, "epsilon": 0.5, "norm": "l2"}, "metrics": {}}
    write_tensors(str(path), arrays, Entry("checkpoint", facts=facts))


def nncli(*arguments, code=0, command="attack", **settings):
    done = CliRunner().invoke(cli, [command, *map(str, arguments)], **settings)
    assert done.exit_code == code, done.stderr
    return done


def read(path, **only):
    rows = pq.read_table(path).to_pylist()
    return [row for row in rows if all(row[name] == value for name, value in only.items())]


def curve(path, metric="error", attack="pgd"):
    rows = read(path, metric=metric, attack=attack)
    return {row["epsilon"]: row["value"] for row in rows}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def least_squares():
    """The least-squares linear classifier of the digits, right on about 93 of 100."""
    train = load("digits", split="train")
    x = train.x.reshape(len(train), -1).astype(np.float64)
    design = np.hstack([x, np.ones((len(x), 1))])
    solution = np.linalg.lstsq(design, 10 * np.eye(10)[train.y], rcond=None)[0].astype(np.float32)
    return {"head.weight": solution[:-1].T.copy(), "head.bias": solution[-1]}


@pytest.fixture
def linear(least_squares):
    checkpoint("linear.safetensors", "mlp:64-10", **least_squares)
    return least_squares


def margins(weights, x, y, norm_order):
    """Of each example the distance to the nearest hyperplane between classes, without a box."""
    weight, bias = weights["head.weight"].astype(float), weights["head.bias"].astype(float)
    logits = x.reshape(len(x), -1) @ weight.T + bias
    found = np.zeros(len(x))
    for at, label in enumerate(y):
        others = np.arange(10) != label
        steep = np.linalg.norm(weight[label] - weight[others], ord=norm_order, axis=1)
        found[at] = max(((logits[at, label] - logits[at, others]) / steep).min(), 0)
    return found


def test_the_linear_response_of_a_linear_network_is_exact_and_nothing_is_nearer(linear):
    given = ["linear.safetensors", "--split", "test", "--norm", "l2", *FEW]
    nncli(*given, "-o", "a.parquet", "--per-example", "p.parquet")
    test = load("digits", split="test")
    expected = margins(linear, test.x, test.y, 2)
    near = pq.read_table("p.parquet")
    assert near["example_id"].to_pylist() == test.example_id.tolist()
    assert near["label"].to_pylist() == test.y.tolist()
    np.testing.assert_allclose(near["linear_epsilon"].to_numpy(), expected, rtol=2e-4, atol=1e-6)
    found = near["minimal_epsilon"].to_numpy()
    assert np.isnan(found).sum() <= 2  # few steps
    found = np.nan_to_num(found, nan=np.inf)
    assert (found >= expected * (1 - 1e-3) - 1e-6).all()  # the box only makes it farther
    assert np.median(found / np.maximum(expected, 1e-9)) < 1.25
    near_l2 = np.nan_to_num(near["l2"].to_numpy(), nan=np.inf)
    np.testing.assert_allclose(near_l2, found, rtol=1e-5, atol=1e-6)
    linear_error = curve("a.parquet", attack="linear-response")
    for epsilon, error in linear_error.items():
        assert error == pytest.approx((expected <= epsilon).mean(), abs=1.1 / 450)
    assert ((near["minimal_epsilon"].to_numpy() == 0) == ~near["correct"].to_numpy()).all()


def test_error_begins_at_the_clean_error_and_grows(linear):
    nncli("linear.safetensors", "--split", "test", *FEW, "-o", "a.parquet")
    nncli("linear.safetensors", "--split", "test", "-o", "p.parquet", command="predict")
    table = pq.read_table("p.parquet")
    answers = np.array(table["logits"].to_pylist()).argmax(1)
    error = curve("a.parquet")
    assert len(error) == 16
    assert error[0] == pytest.approx((answers != table["label"].to_numpy()).mean())
    values = [error[epsilon] for epsilon in sorted(error)]
    assert values == sorted(values)
    assert values[-1] == 1
    robust, loss = curve("a.parquet", "robust_accuracy"), curve("a.parquet", "loss")
    assert all(robust[one] == pytest.approx(1 - error[one]) for one in error)
    assert loss[0] == pytest.approx(table["loss"].to_numpy().mean(), rel=1e-5)
    excess = curve("a.parquet", "excess_error")
    assert all(excess[one] == pytest.approx(error[one] - error[0]) for one in excess)
    (exponent,) = read("a.parquet", metric="exponent", attack="pgd")
    assert 0.5 < exponent["low"] < exponent["value"] < exponent["high"] < 3
    assert read("a.parquet", metric="fit_largest", attack="pgd")[0]["value"] < 0.2
    rows = read("a.parquet", metric="error")
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)
    assert {row["n"] for row in rows} == {450}


def test_predict_under_the_same_attack_is_never_more_wrong(linear):
    small = ("linear.safetensors", "--split", "test", "--limit", "150")
    nncli(*small, "--epsilon", "0.05", "-o", "a.parquet")
    for attack in ("fgsm", "pgd", "autopgd"):
        given = ("--attack", attack, "--epsilon", "0.05", "-o", "p.parquet")
        nncli(*small, *given, command="predict")
        table = pq.read_table("p.parquet")
        error = np.array(table["logits"].to_pylist()).argmax(1) != table["label"].to_numpy()
        assert curve("a.parquet")[0] < error.mean() <= curve("a.parquet")[0.05] + 1e-9


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_adversarial_dataset_is_as_wrong_as_the_table_says_and_is_data(linear, norm):
    size = {"linf": ("0.03", "0.06"), "l2": ("0.2", "0.4")}[norm]
    given = ["linear.safetensors", "--split", "test", "--norm", norm, *FEW]
    radii = ["--epsilon", size[0], "--epsilon", size[1]]
    nncli(*given, *radii, "--adversarial", "hard.safetensors", "-o", "a.parquet")
    data, clean = load("hard.safetensors"), load("digits", split="test")
    assert data.x.shape == clean.x.shape
    assert 0 <= data.x.min() <= data.x.max() <= 1
    shift = (data.x.astype(float) - clean.x).reshape(450, -1)
    far = np.linalg.norm(shift, ord=np.inf if norm == "linf" else 2, axis=1)
    assert far.max() <= float(size[1]) + 1e-6
    np.testing.assert_allclose(data.factors["distance"], far, atol=1e-7)
    assert data.example_id.tolist() == clean.example_id.tolist()
    assert data.y.tolist() == clean.y.tolist()
    assert set(data.factors["epsilon"]) == {float(size[1])}
    given = ["linear.safetensors", "--data", "hard.safetensors", "-o", "p.parquet"]
    nncli(*given, command="predict")
    table = pq.read_table("p.parquet")
    wrong = np.array(table["logits"].to_pylist()).argmax(1) != table["label"].to_numpy()
    assert wrong.mean() == pytest.approx(curve("a.parquet")[float(size[1])])
    assert (wrong == data.factors["fooled"].astype(bool)).all()
    entry = data.entry
    assert entry.kind == "dataset"
    assert [one["name"] for one in entry.inputs] == ["linear.safetensors", "digits"]


def test_examples_named_by_text_keep_their_names(linear):
    digits = load("digits", split="test", limit=20)
    ids = np.array([f"picture-{n}" for n in range(20)])
    np.savez("x.npz", x=digits.x, y=digits.y, example_id=ids)
    given = ["linear.safetensors", "--data", "x.npz", "--epsilon", "0.1", *FEW]
    nncli(*given, "--adversarial", "h.safetensors", "--per-example", "p.parquet", "-o", "a.csv")
    assert load("h.safetensors").example_id.tolist() == ids.tolist()
    assert pq.read_table("p.parquet")["example_id"].to_pylist() == ids.tolist()
    assert load_file("h.safetensors")["x"].dtype == np.float32


def test_networks_and_attacks_stand_side_by_side_with_their_factors(linear):
    checkpoint("other.safetensors", "mlp:64-10", seed=1)
    given = ["linear.safetensors", "other.safetensors", "--limit", "30", "--epsilon", "0.1", *FEW]
    nncli(*given, "--attack", "fgsm", "--attack", "pgd", "-o", "a.parquet")
    rows = read("a.parquet", metric="error", epsilon=0.1)
    assert [(row["model_id"], row["attack"]) for row in rows if row["attack"] != "black-box"] == [
        (model, attack)
        for model in ("linear", "other")
        for attack in ("fgsm", "linear-response", "pgd")
    ]
    assert {row["train_epsilon"] for row in rows} == {0.5}
    assert {row["train_norm"] for row in rows} == {"l2"}
    assert {row["norm"] for row in rows} == {"linf"}
    assert {row["seed"] for row in rows if row["model_id"] == "other"} == {1}


def test_another_network_is_tried_as_a_source_of_attacks(linear):
    checkpoint("other.safetensors", "mlp:64-16-10", seed=1)
    given = ["linear.safetensors", "--limit", "60", "--epsilon", "0.1", *FEW]
    nncli(*given, "--transfer-from", "other.safetensors", "-o", "a.parquet")
    (row,) = read("a.parquet", attack="transfer")
    assert curve("a.parquet")[0] <= row["value"] < curve("a.parquet")[0.1]
    entry = json.loads(pq.read_metadata("a.parquet").metadata[b"nncli"])
    names = [one["name"] for one in entry["inputs"]]
    assert names == ["linear.safetensors", "other.safetensors", "digits"]


def test_hidden_gradients_are_warned_of(linear):
    with open("hidden.py", "w") as file:
        file.write(
            "import torch\n"
            "class Hidden(torch.nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.head = torch.nn.Linear(64, 10)\n"
            "    def forward(self, x):\n"
            "        return torch.round(10 * self.head(x.flatten(1)))\n"
        )
    given = ["--arch", "hidden.py:Hidden", "--limit", "60", "--epsilon", "0.1", *FEW]
    done = nncli("linear.safetensors", *given, "-o", "a.parquet")
    assert "`linear` may be less robust than it looks under pgd: the gradient is exactly 0" in (
        done.stderr
    )
    assert "the black-box attack" in done.stderr
    given.remove("--epsilon")
    given.remove("0.1")
    done = nncli("linear.safetensors", *given, "--black-box", "0", "-q", "-o", "b.parquet")
    assert done.stderr == ""
    assert read("b.parquet", attack="black-box") == []


@pytest.mark.parametrize("target", ["3", "least-likely"])
def test_targets_leave_out_their_own_class(linear, target):
    given = ["linear.safetensors", "--split", "test", "--epsilon", "0.3", *FEW]
    nncli(*given, "--target", target, "-o", "a.parquet", "--per-example", "p.parquet")
    name = f"pgd-to-{target}"
    (success,) = read("a.parquet", attack=name, metric="success", epsilon=0.3)
    assert success["value"] > 0.5
    labels = pq.read_table("p.parquet")["label"].to_pylist()
    assert len(labels) == success["n"]
    if target == "3":
        assert 3 not in labels
        reached = pq.read_table("p.parquet").to_pylist()
        there = [row["nearest_answer"] for row in reached if row["minimal_epsilon"]]
        assert set(there) == {3}


def test_on_spheres_the_distance_to_the_nearest_error_is_below_the_optimum():
    # a quadratic network that ignores 20 of 40 coordinates, as code with a fixed weight
    with open("quadratic.py", "w") as file:
        file.write(
            "import torch\n"
            "class Quadratic(torch.nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.alphas = torch.nn.Parameter(torch.zeros(40))\n"
            "    def forward(self, x):\n"
            "        z = (x.square() * self.alphas).sum(1)\n"
            "        return torch.stack([1 - z, z - 1], 1)\n"
        )
    alphas = np.r_[np.full(20, 1.6), np.zeros(20)].astype(np.float32)
    write_tensors("q.safetensors", {"alphas": alphas}, Entry("checkpoint"))
    given = [
        "--arch",
        "quadratic.py:Quadratic",
        "--data",
        "spheres:40:count=120",
        "--norm",
        "sphere",
    ]
    few = ["--radii", "0.1", "2.6", "5", "--black-box", "0"]
    nncli("q.safetensors", *given, *few, "--per-example", "p.parquet", "-o", "a.parquet")
    data = load("spheres:40:count=120")
    squares = data.x.astype(float)[:, :20] ** 2
    for label, radius in ((0, 1.0), (1, 1.3)):
        rows = data.y == label
        share = squares[rows].sum(1)
        wrong = (1.6 * share > 1) == (label == 0)
        # the way along the sphere to where 1.6 times the first half of the squares is 1
        angle = np.arcsin(np.sqrt(share) / radius) - np.arcsin(np.sqrt(1 / 1.6) / radius)
        expected = np.where(wrong, 0, 2 * radius * np.sin(np.abs(angle) / 2))
        (mean,) = read("a.parquet", metric="mean_distance", label=label)
        assert mean["value"] == pytest.approx(expected.mean(), rel=2e-3)
        (error,) = read("a.parquet", metric="sphere_error", label=label)
        assert error["value"] == pytest.approx(wrong.mean())
        (best,) = read("a.parquet", metric="optimal_distance", label=label)
        assert mean["value"] < best["high"]
        found = np.array([row["l2"] for row in read("p.parquet", label=label)])
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_no_errors_on_a_sphere_leave_the_optimum_open():
    checkpoint("c.safetensors", "mlp:6-2")
    weights = {"head.weight": np.zeros((2, 6), np.float32), "head.bias": np.array([1, 0], "f4")}
    checkpoint("c.safetensors", "mlp:6-2", **weights)
    given = ["--data", "spheres:6:count=60", "--norm", "sphere", *FEW, "-q"]
    nncli("c.safetensors", *given, "-o", "a.parquet")
    (best,) = read("a.parquet", metric="optimal_distance", label=0)
    assert best["value"] is None
    assert best["low"] > 0
    assert "no errors" in best["note"]
    (mean,) = read("a.parquet", metric="mean_distance", label=0)
    assert mean["value"] is None
    assert mean["note"] == "no error was found from 30 of 30 examples"
    (exponent,) = read("a.parquet", metric="exponent", attack="pgd")
    assert exponent["value"] is None
    assert "fewer than 40 right examples" in exponent["note"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epsilon", "nan"], "finite"),
        (["--epsilon", "0"], "`--epsilon 0` is no attack"),
        (["--radii", "0", "1", "5"], "is no grid"),
        (["--radii", "0.1", "1", "1"], "is no grid"),
        (["--radii", "0.1", "1", "5", "--epsilon", "1"], "exclude each other"),
        (["--attack", "pdg"], "closest: `pgd`"),
        (["--per-example", "a.csv", "-o", "a.csv"], "two outputs"),
        (["--target", "-1"], "-1"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_loaded(arguments, message):
    done = nncli("nowhere.safetensors", *arguments, code=2)
    assert message in done.stderr


def test_what_cannot_be_attacked_is_refused_by_name(linear):
    np.savez("numbers.npz", x=np.ones((5, 64), np.float32), y=np.linspace(0, 1, 5))
    np.savez("bare.npz", x=np.ones((5, 64), np.float32))
    np.savez("tokens.npz", x=np.ones((5, 64), np.int64), y=np.arange(5))
    for data, message in (
        ("numbers.npz", "`numbers.npz` has numbers for labels"),
        ("bare.npz", "`bare.npz` has no labels"),
        ("tokens.npz", "`tokens.npz` holds texts or token ids"),
        ("spheres:5", "takes 64 an example, the data has 5"),
    ):
        done = nncli("linear.safetensors", "--data", data, "-o", "a.parquet", code=3)
        assert message in done.stderr
        assert not os.path.exists("a.parquet")
    done = nncli("linear.safetensors", "--target", "10", "-o", "a.parquet", code=3)
    assert "has no class 10: they are 0 to 9" in done.stderr
    given = ["linear.safetensors", "linear.safetensors", "--adversarial", "h.safetensors"]
    assert "one network and one attack" in nncli(*given, "-o", "a.parquet", code=2).stderr
    given = ["linear.safetensors", "--adversarial", "linear.safetensors", "-o", "a.parquet"]
    assert "is an input" in nncli(*given, code=2).stderr


def test_against_its_own_answers_a_network_makes_no_errors_until_it_is_attacked(linear):
    digits = load("digits", split="test", limit=80)
    np.savez("bare.npz", x=digits.x)
    given = [*FEW, "--truth", "answer", "--epsilon", "0.02", "--epsilon", "0.2"]
    nncli("linear.safetensors", "--data", "bare.npz", *given, "-o", "a.parquet")
    test = ("linear.safetensors", "--split", "test", "--limit", "80")
    nncli(*test, *given, "-o", "b.parquet")
    assert curve("a.parquet") == curve("b.parquet")
    assert curve("a.parquet")[0] == 0 < curve("a.parquet")[0.02] < curve("a.parquet")[0.2]
    nncli(*test, *given[:-6], *given[-4:], "-o", "c.parquet")
    assert curve("c.parquet")[0] > 0


def test_seeds_change_random_starts_and_equal_ones_change_nothing(linear):
    given = ["linear.safetensors", "--limit", "40", "--epsilon", "0.05", "--steps", "1"]
    for name, more in (("a", []), ("b", []), ("c", ["--seed", "1"])):
        near = ["--per-example", f"{name}-near.parquet"]
        nncli(*given, *more, *near, "-o", f"{name}.parquet")
    assert pq.read_table("a.parquet").equals(pq.read_table("b.parquet"))
    first, other = (pq.read_table(f"{name}-near.parquet") for name in ("a", "c"))
    assert not first["l2"].equals(other["l2"])


def test_a_network_that_nncli_trained_is_attacked_with_all_its_factors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    done = run.invoke(cli, ["train", "--arch", "mlp:64-10", "--steps", "1", "-o", "runs/"])
    assert done.exit_code == 0, done.stderr
    small = ["--limit", "5", "--steps", "1", "--radii", "0.1", "0.2", "2", "--refine", "1"]
    done = run.invoke(cli, ["attack", "runs/seed-0.safetensors", *small, "-f", "csv"])
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("name", ["h.csv", "h.png", "h.npz"])
def test_a_dataset_of_another_name_is_refused_before_the_work(linear, name):
    done = nncli("linear.safetensors", "--limit", 2, "--adversarial", name, code=2)
    assert "but a safetensors file is to be written" in done.stderr
    assert not done.stdout_bytes


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--epsilon", "nan"), "nan is no finite number"),
        (("--epsilon", "1e300"), "1e+300 is farther than 1e+15"),
        (("--radii", "0.1", "1e300", "3"), "0 < LOW < HIGH <= 1e+15"),
        (("--target", "cat"), "`cat` is no class: 0, 1, ... or `least-likely`"),
    ],
)
def test_what_no_network_can_answer_is_wrong_usage(linear, option, message):
    assert message in nncli("linear.safetensors", "--limit", "2", *option, code=2).stderr


def test_predictions_are_no_checkpoints(linear):
    nncli("linear.safetensors", "--limit", "4", "-o", "p.parquet", command="predict")
    assert "`p.parquet` holds predictions, expected series" in nncli("p.parquet", code=3).stderr
