"""`nncli train`: the files it makes, what determines their bytes, and going on where it stopped."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from nncli.formats.tensors import open_tensors

ARCH = "mlp:64-16-10"
QUICK = ("--arch", ARCH, "--steps", "20", "--jobs", "1")


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def manifest(folder):
    return pq.read_table(folder / "manifest.parquet").to_pylist()


def entry(path):
    with open_tensors(str(path)) as file:
        return file.entry


def test_a_series_is_a_folder_of_checkpoints_and_a_manifest(invoke, tmp_path):
    result = invoke("train", *QUICK, "--seed", "0,3", "-o", tmp_path / "new/runs", code=0)
    assert result.output == ""
    runs = tmp_path / "new/runs"
    assert [*contents(runs)] == ["manifest.parquet", "seed-0.safetensors", "seed-3.safetensors"]
    rows = manifest(runs)
    assert [row["path"] for row in rows] == ["seed-0.safetensors", "seed-3.safetensors"]
    assert [(row["seed"], row["step"], row["arch"]) for row in rows] == [
        (0, 20, ARCH),
        (3, 20, ARCH),
    ]
    assert all(0 <= row["test_accuracy"] <= 1 and row["train_loss"] > 0 for row in rows)
    assert not {"part", "norm", "train_true_accuracy", "test_robust_accuracy"} & rows[0].keys()
    made = entry(runs / "seed-3.safetensors")
    assert made.kind == "checkpoint"
    assert made.seed == 3
    assert made.facts["arch"] == ARCH
    factors = {"seed": 3, "step": 20, "epsilon": 0.0, "label_noise": 0.0, "noise": 0.0}
    assert made.facts["factors"] == factors
    assert made.facts["metrics"]["test_accuracy"] == rows[1]["test_accuracy"]
    assert made.facts["training"]["optimizer"] == "adam"
    assert made.facts["data"]["name"] == "digits"
    assert [one["name"] for one in made.inputs] == ["digits", "digits"]
    weights = load_file(runs / "seed-0.safetensors")
    assert weights["head.weight"].shape == (10, 16)


def test_the_command_in_a_checkpoint_makes_that_checkpoint(invoke, tmp_path):
    options = (*QUICK, "--part", "1..2/2", "--seed", "0..1", "--save-steps", "5,10")
    invoke("train", *options, "-o", tmp_path / "many", code=0)
    name = "part-2-seed-1-step-10.safetensors"
    words = entry(tmp_path / "many" / name).command
    assert words[-6:] == ("--seed", "1", "--part", "2/2", "--save-steps", "10")
    invoke(*words, "-o", tmp_path / "one", code=0)
    assert contents(tmp_path / "one")[name] == contents(tmp_path / "many")[name]


def test_a_member_does_not_depend_on_its_company_nor_on_the_jobs(invoke, tmp_path):
    invoke("train", *QUICK, "--seed", "1", "-o", tmp_path / "alone", code=0)
    for jobs in ("1", "2"):
        folder = tmp_path / jobs
        invoke("train", *QUICK, "--seed", "0..4", "--jobs", jobs, "-o", folder, code=0)
    alone, one, two = (contents(tmp_path / name) for name in ("alone", "1", "2"))
    assert one == two
    assert alone["seed-1.safetensors"] == one["seed-1.safetensors"]


def test_more_seeds_train_only_the_new_ones_and_end_with_the_same_bytes(invoke, tmp_path):
    grown, direct = tmp_path / "grown", tmp_path / "direct"
    invoke("train", *QUICK, "--seed", "0..1", "-o", grown, code=0)
    before = {path.name: path.stat().st_mtime_ns for path in grown.glob("*.safetensors")}
    invoke("train", *QUICK, "--seed", "0..4", "-o", grown, code=0)
    after = {path.name: path.stat().st_mtime_ns for path in grown.glob("*.safetensors")}
    assert len(after) == 5
    assert before.items() <= after.items()
    invoke("train", *QUICK, "--seed", "0..4", "-o", direct, code=0)
    assert contents(grown) == contents(direct)


def test_the_manifest_is_a_function_of_the_files_alone(invoke, tmp_path):
    invoke("train", *QUICK, "--seed", "0..2", "-o", tmp_path, code=0)
    before = contents(tmp_path)
    save_file({"foreign": np.zeros(2)}, tmp_path / "foreign.safetensors")
    (tmp_path / "manifest.parquet").unlink()
    invoke("train", *QUICK, "--seed", "1", "-o", tmp_path, code=0)
    assert contents(tmp_path)["manifest.parquet"] == before["manifest.parquet"]


def test_kept_steps_lie_beside_the_final_network_and_do_not_change_it(invoke, tmp_path):
    invoke("train", *QUICK, "-o", tmp_path / "plain", code=0)
    invoke("train", *QUICK, "--save-steps", "0,5,20", "-o", tmp_path / "kept", code=0)
    plain, kept = contents(tmp_path / "plain"), contents(tmp_path / "kept")
    assert [*kept] == [
        "manifest.parquet",
        "seed-0-step-0.safetensors",
        "seed-0-step-5.safetensors",
        "seed-0.safetensors",
    ]
    assert kept["seed-0.safetensors"] == plain["seed-0.safetensors"]
    rows = manifest(tmp_path / "kept")
    assert [row["step"] for row in rows] == [0, 5, 20]
    assert rows[0]["train_loss"] > rows[1]["train_loss"] > rows[2]["train_loss"]
    # Steps asked for later are added, and again nothing else changes.
    invoke("train", *QUICK, "--save-steps", "0,5", "-o", tmp_path / "plain", code=0)
    assert contents(tmp_path / "plain") == kept


def test_each_part_of_the_data_has_a_network(invoke, tmp_path):
    invoke("train", *QUICK, "--part", "1..3/3", "-o", tmp_path, code=0)
    rows = manifest(tmp_path)
    assert [row["path"] for row in rows] == [
        f"part-{part}-seed-0.safetensors" for part in (1, 2, 3)
    ]
    assert [(row["part"], row["parts"], row["partition"]) for row in rows] == [
        (1, 3, 0),
        (2, 3, 0),
        (3, 3, 0),
    ]
    assert len({row["train_loss"] for row in rows}) == 3


def test_label_noise_is_recorded_flip_by_flip(invoke, tmp_path):
    invoke("train", *QUICK, "--label-noise", "0.2", "--data-seed", "4", "-o", tmp_path, code=0)
    flips = pq.read_table(tmp_path / "flips.parquet").to_pylist()
    facts = entry(tmp_path / "seed-0.safetensors").facts
    assert len(flips) == facts["training"]["flipped"] == round(0.2 * 1347)
    assert facts["training"]["data_seed"] == 4
    assert all(row["label"] != row["trained_as"] for row in flips)
    (row,) = manifest(tmp_path)
    assert row["label_noise"] == 0.2
    assert row["train_true_accuracy"] is not None


def test_adversarial_training_records_its_ball_and_its_robustness(invoke, tmp_path):
    invoke("train", *QUICK, "--epsilon", "0.1", "--norm", "l2", "-o", tmp_path, code=0)
    (row,) = manifest(tmp_path)
    assert (row["epsilon"], row["norm"]) == (0.1, "l2")
    assert row["test_robust_accuracy"] <= row["test_accuracy"]
    assert entry(tmp_path / "seed-0.safetensors").facts["training"]["adversary"] == {
        "epsilon": 0.1,
        "norm": "l2",
        "steps": 7,
        "step_size": 2.5 * 0.1 / 7,
        "box": [0.0, 1.0],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--steps", "10"), "its `factors.step` is 20, not 10"),
        (("--learning-rate", "0.1"), "its `training.learning_rate` is 0.001, not 0.1"),
        (("--arch", "mlp:64-8-10"), f"its `arch` is {ARCH}, not mlp:64-8-10"),
    ],
)
def test_a_checkpoint_of_another_kind_is_not_replaced_unasked(invoke, tmp_path, change, message):
    invoke("train", *QUICK, "-o", tmp_path, code=0)
    before = contents(tmp_path)
    result = invoke("train", *QUICK, *change, "--seed", "0..1", "-o", tmp_path, code=3)
    assert "seed-0.safetensors` is there already, and " + message in result.stderr
    assert "--overwrite" in result.stderr
    assert contents(tmp_path) == before
    invoke("train", *QUICK, *change, "-o", tmp_path, "--overwrite", code=0)
    assert contents(tmp_path)["seed-0.safetensors"] != before["seed-0.safetensors"]


def test_somebody_elses_file_is_not_replaced_unasked(invoke, tmp_path):
    save_file({"theirs": np.zeros(2)}, tmp_path / "seed-0.safetensors")
    result = invoke("train", *QUICK, "-o", tmp_path, code=3)
    assert "is no checkpoint of `nncli train`" in result.stderr
    (tmp_path / "seed-0.safetensors").unlink()
    (tmp_path / "manifest.parquet").write_bytes(b"theirs")
    result = invoke("train", *QUICK, "-o", tmp_path, code=3)
    assert "was not written by nncli" in result.stderr
    invoke("train", *QUICK, "-o", tmp_path, "--overwrite", code=0)


def test_a_member_that_diverges_is_named_and_the_others_are_kept(invoke, tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "def net():\n"
        "    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
        "    if torch.initial_seed() == 1:\n"
        "        net[1].weight.data[0, 0] = float('inf')\n"
        "    return net\n"
    )
    runs = tmp_path / "runs"
    options = ("--arch", f"{tmp_path / 'net.py'}:net", "--steps", "5", "--seed", "0..2")
    for _ in range(2):  # what diverged does so again
        result = invoke("train", *options, "-o", runs, code=4)
        assert "1 of 3 networks diverged: seed 1 (the loss is nan at step 0)" in result.stderr
        assert [row["seed"] for row in manifest(runs)] == [0, 2]


def test_training_goes_on_from_another_checkpoint(invoke, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    invoke("train", *QUICK, "--seed", "4", "-o", first, code=0)
    init = first / "seed-4.safetensors"
    options = ("--init", init, "--steps", "5", "--save-steps", "0", "--seed", "0..1", "-o", second)
    invoke("train", *options, code=0)
    start, ends = (
        load_file(init),
        [load_file(second / f"seed-{seed}.safetensors") for seed in (0, 1)],
    )
    for seed in (0, 1):
        step = load_file(second / f"seed-{seed}-step-0.safetensors")
        assert all(np.array_equal(step[name], start[name]) for name in start)
    assert not np.array_equal(ends[0]["head.weight"], ends[1]["head.weight"])  # batches differ
    made = entry(second / "seed-0.safetensors")
    assert made.facts["arch"] == ARCH
    assert made.inputs[-1]["name"] == init.name
    assert made.facts["training"]["init"] == made.inputs[-1]["digest"]


def test_code_of_the_user_that_has_changed_is_another_network(invoke, tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    options = ("--arch", f"{path}:net", "--steps", "5", "-o", tmp_path / "runs")
    invoke("train", *options, code=0)
    assert entry(tmp_path / "runs/seed-0.safetensors").facts["arch"] == "net.py:net"
    path.write_text(path.read_text() + "# changed\n")
    assert "its `training.code` is" in invoke("train", *options, code=3).stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--arch", "mlp:60-16-10"), "takes 60 inputs, an example of `digits` has 64 (1x8x8)"),
        (("--arch", "mlp:64-16-9"), "has 9 outputs, `digits` has 10 classes"),
    ],
)
def test_an_architecture_that_does_not_fit_fails_before_the_first_step(
    invoke, tmp_path, change, message
):
    result = invoke("train", *QUICK, *change, "-o", tmp_path, code=3)
    assert message in result.stderr
    assert "hint: for example `--arch mlp:64-16-10`" in result.stderr
    assert not contents(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--arch", ARCH), "missing option `-o`"),
        (("-o", "runs"), "`--arch` is missing"),
        (("--arch", ARCH, "-o", "-"), "a series of checkpoints is a folder"),
        (("--arch", ARCH, "-o", "runs", "--seed", "4..1"), "`4..1` is empty"),
        (("--arch", ARCH, "-o", "runs", "--seed", "x"), "`x` is neither a whole number nor"),
        (
            ("--arch", ARCH, "-o", "runs", "--part", "3/2"),
            "`3/2` asks for a part that there is not",
        ),
        (("--arch", ARCH, "-o", "runs", "--steps", "3", "--epochs", "1"), "say the same twice"),
        (("--arch", ARCH, "-o", "runs", "--steps", "3", "--save-steps", "9"), "step 9 is beyond"),
        (("--arch", ARCH, "-o", "runs", "--momentum", "0.9"), "`--momentum` is for sgd"),
        (("--arch", ARCH, "-o", "runs", "--norm", "l2"), "need a ball"),
        (("--arch", ARCH, "-o", "runs", "--optimizer", "adan"), "adam"),
        (("--arch", ARCH, "-o", "runs", "--part", "1/9999"), "do not make 9999 parts"),
    ],
)
def test_wrong_usage_says_what_is_wrong(invoke, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    result = invoke("train", *options, code=2)
    assert message in result.stderr.replace("'", "`")
    assert not list(tmp_path.glob("**/*.*"))


def test_data_from_a_pipe_equal_data_from_a_file(invoke, tmp_path):
    random = np.random.default_rng(0)
    x = random.standard_normal((40, 5)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    options = ("--arch", "mlp:5-2", "--steps", "5", "--jobs", "1")
    invoke("train", *options, "--data", tmp_path / "data.npz", "-o", tmp_path / "file", code=0)
    with (tmp_path / "data.npz").open("rb") as stream:
        invoke("train", *options, "--data", "-", "-o", tmp_path / "pipe", input=stream, code=0)
    first, second = (load_file(tmp_path / name / "seed-0.safetensors") for name in ("file", "pipe"))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_real_targets_have_a_squared_error_and_no_accuracy(invoke, tmp_path):
    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=x.sum(1).astype(np.float64))
    options = ("--data", tmp_path / "data.npz", "--arch", "mlp:3-1", "-o", tmp_path / "runs")
    invoke("train", *options, "--jobs", "1", "--steps", "5", code=0)
    (row,) = manifest(tmp_path / "runs")
    assert row["test_accuracy"] is None
    assert row["test_loss"] > 0
    result = invoke("train", *options, "--label-noise", "0.1", code=2)
    assert "needs classes" in result.stderr


def start(folder, *options, env=None):
    return subprocess.Popen(
        [sys.executable, "-m", "nncli", "train", "--arch", ARCH, "-o", str(folder), *options],
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **(env or {})},
    )


def wait_for(what, *, seconds=60):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_run_that_is_killed_goes_on_where_it_was_and_leaves_no_process(invoke, tmp_path):
    # The second member of each process takes much longer than the first wait.
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    options = ("--seed", "0..9", "--steps", "200", "--jobs", "2")
    run = start(killed, *options)
    wait_for(lambda: len(list(killed.glob("seed-*.safetensors"))) >= 2)
    run.kill()
    run.wait()
    run.stderr.close()
    wait_for(lambda: not is_alive(run.pid))
    kept = {path: path.stat().st_mtime_ns for path in killed.glob("seed-*.safetensors")}
    assert not (killed / "manifest.parquet").exists()
    assert len(kept) < 10
    for folder in (killed, whole):
        invoke("train", "--arch", ARCH, *options, "-o", folder, code=0)
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    made = {name: one for name, one in contents(killed).items() if not name.startswith(".")}
    assert made == contents(whole)


def test_an_interrupt_ends_all_processes_quietly(tmp_path):
    run = start(
        tmp_path, "--seed", "0..1", "--steps", "10000000", "--jobs", "2", "--save-steps", "0"
    )
    wait_for(lambda: len(list(tmp_path.glob("seed-*.safetensors"))) == 2)
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(20) in (130, -signal.SIGINT)
    assert b"Traceback" not in run.stderr.read()
    run.stderr.close()
    wait_for(lambda: not is_alive(run.pid), seconds=10)


def test_the_defaults_give_a_good_network_of_digits(invoke, tmp_path):
    invoke("train", "--arch", "mlp:64-128-64-10", "-o", tmp_path, code=0)
    (row,) = manifest(tmp_path)
    assert row["test_accuracy"] >= 0.95
    assert row["step"] == 1000


def test_training_with_noise_is_recorded_with_its_accuracies(invoke, tmp_path):
    invoke("train", *QUICK, "--noise", "0.3", "-o", tmp_path, code=0)
    (row,) = manifest(tmp_path)
    assert row["noise"] == 0.3
    assert 0 < row["train_noisy_accuracy"] < 1
    assert "test_noisy_accuracy" in row
    assert "test_robust_accuracy" not in row
    assert entry(tmp_path / "seed-0.safetensors").facts["training"]["noise"] == 0.3


def test_noise_is_for_numbers_and_not_beside_an_attack(invoke, tmp_path):
    found = invoke("train", *QUICK, "--noise", "0.1", "--epsilon", "0.1", "-o", tmp_path, code=2)
    assert "`--noise` and `--epsilon` exclude each other" in found.stderr
    found = invoke("train", *QUICK, "--noise", "inf", "-o", tmp_path, code=2)
    assert "`--epsilon` and `--noise` are finite numbers" in found.stderr
    np.savez(tmp_path / "t.npz", input_ids=np.ones((8, 3), np.int64), y=np.arange(8) % 2)
    arch = ("--arch", "transformer:v2x3-d4-h1-b1-2", "--data", tmp_path / "t.npz")
    found = invoke("train", *arch, "--noise", "0.1", "-o", tmp_path / "x", code=2)
    assert "`--noise` needs real numbers" in found.stderr
