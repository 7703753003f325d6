"""`nncli attack` as a real process, with real pipes, and its example, small."""

import csv
import shutil
import subprocess
from pathlib import Path

import pytest

from nncli.architectures import build
from nncli.formats.entry import Entry
from nncli.formats.tensors import write_tensors

EXAMPLE = Path(__file__).parents[2] / "examples" / "adversarial-error"
SMALL = (
    "ARCH=mlp:64-16-10", "STEPS=60", "RANDOM_STEPS=60", "EXAMPLES=80", "RADII=0.005 0.2 4",
    "ATTACK=--steps 3 --refine 2 --restarts 0 --black-box 10",
)  # fmt: skip


def test_an_adversarial_dataset_flows_from_attack_to_predict(shell, tmp_path):
    arch = "mlp:64-10"
    state = {name: one.detach().numpy() for name, one in build(arch, seed=0).state_dict().items()}
    entry = Entry("checkpoint", facts={"arch": arch})
    write_tensors(str(tmp_path / "net.safetensors"), state, entry)
    done = shell(
        "mkfifo hard && nncli predict net.safetensors --data hard -f csv -o answers.csv & "
        "sleep 0.5; nncli attack net.safetensors --split test --limit 60 --epsilon 0.1 --steps 4 "
        "--adversarial hard -f csv -o curve.csv && wait",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert {row["epsilon"] for row in rows} == {"0.1"}
    fooled = sum(row["fooled"] == "1" for row in rows)
    with (tmp_path / "curve.csv").open() as file:
        (error,) = (
            row["value"]
            for row in csv.DictReader(file)
            if (row["attack"], row["metric"], row["epsilon"]) == ("pgd", "error", "0.1")
        )
    assert fooled == round(60 * float(error)) > 10


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_example_on_power_laws_is_made_once_and_grows_with_epsilon(tmp_path):
    place = tmp_path / "example"
    shutil.copytree(EXAMPLE, place)
    for _ in range(2):
        done = subprocess.run(
            ["make", *SMALL], cwd=place, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing to be done" in done.stdout
    assert (place / "error.png").read_bytes().startswith(b"\x89PNG")
    with (place / "error.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "excess_error"]
    for network in ("trained", "random", "robust"):
        found = [
            float(row["value"])
            for row in rows
            if row["model_id"] == network and row["attack"] == "pgd"
        ]
        assert len(found) == 4
        assert found == sorted(found)
        assert found[-1] > 0.5
    with (place / "exponents.csv").open() as file:
        laws = list(csv.DictReader(file))
    assert {(row["model_id"], row["attack"]) for row in laws} == {
        (network, attack)
        for network in ("trained", "random", "robust")
        for attack in ("pgd", "linear-response")
    }
