"""The examples of verification, small: what is proved, by whom, and a gate that refuses."""

import csv
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PNG = b"\x89PNG"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def counts(place):
    """How many examples have a verdict, by network, method and radius."""
    with (place / "certified.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {}
    for row in rows:
        key = (row["model_id"].split("/")[0], row["method"], float(row["epsilon"]))
        found.setdefault(key, []).append(row["verdict"])
    return {
        key: {one: verdicts.count(one) for one in ("verified", "violated")}
        for key, verdicts in found.items()
    }


def test_each_bound_proves_what_cheaper_ones_do_and_never_what_an_attack_breaks(make):
    few = ("EPSILONS=0 0.1", "LIMIT=4", "STEPS=200", "NETWORK=mlp:64-12-12-10")
    place = make("certified", *few)
    assert (place / "certified.png").read_bytes().startswith(PNG)
    assert "12 examples of networks, 0 with" in (place / "checked").read_text()
    found = counts(place)
    methods = ("ibp", "crown", "alpha-crown", "sdp", "auto", "attack")
    assert {method for _, method, _ in found} == set(methods)
    for network in ("usual", "attacked", "intervals"):
        clean = found[network, "auto", 0.0]["verified"]
        for epsilon in (0.0, 0.1):
            proved = [found[network, one, epsilon]["verified"] for one in methods[:-1]]
            assert proved == sorted(proved)
            left = min(4 - found[network, one, epsilon]["violated"] for one in ("auto", "attack"))
            assert proved[-1] <= min(left, clean)
    # only who was trained by intervals is proved by them
    assert found["intervals", "ibp", 0.1]["verified"] > 0
    assert found["usual", "ibp", 0.1]["verified"] == 0


def test_verdicts_that_contradict_each_other_are_told(tmp_path):
    table = tmp_path / "certified.csv"
    head = "model_id,instance,epsilon,method,verdict\n"
    for rows, code in (
        ("a,1,0.1,sdp,verified\na,1,0.2,attack,violated\na,2,0.1,attack,violated\n", 0),
        ("a,1,0.1,sdp,verified\na,1,0.05,attack,violated\n", 1),
    ):
        table.write_text(head + rows)
        done = subprocess.run(
            ["awk", "-F,", "-f", EXAMPLES / "certified/checked.awk", table],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code
    assert "a 1: verified at 0.1, broken at 0.05" in done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory, started):
    """The example of the gate, made once."""
    place = tmp_path_factory.mktemp("made") / "gate"
    shutil.copytree(EXAMPLES / "gate", place)
    for _ in range(2):
        done = subprocess.run(
            ["make", "STEPS=300"],
            cwd=place, env=started, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing to be done" in done.stdout
    return place


@pytest.fixture
def gate(made, started, tmp_path):
    """A copy of the gate and of the networks that have come to it, and how to come to it again."""
    place = tmp_path / "gate"
    shutil.copytree(made, place)

    def come(network, *options):
        return subprocess.run(
            ["./gate.sh", network, *options],
            cwd=place, env=started, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    return place, come


def test_the_gate_passes_what_is_proved_and_checks_the_proofs_of_what_has_not_changed(gate):
    place, come = gate
    anew, again = (place / "passed.txt").read_text().splitlines()
    assert anew.endswith("all properties hold, proved anew")
    assert again.endswith("all properties hold, by the proofs beside it")
    assert come("good/seed-0.safetensors").returncode == 0


def test_the_gate_refuses_a_network_with_the_inputs_that_violate(gate):
    place, come = gate
    found = come("bad/seed-0.safetensors")
    assert found.returncode == 1
    assert "refused, it violates a property" in found.stdout
    assert (place / "bad/seed-0.found.safetensors").exists()
    assert not (place / "bad/seed-0.certificate").exists()
    assert (place / "refused.png").read_bytes().startswith(PNG)
    assert "1 × 8 × 8" in (place / "refused.txt").read_text()


def test_the_gate_tells_undecided_from_violated_and_both_from_what_it_cannot_read(gate):
    _, come = gate
    undecided = come("bad/seed-0.safetensors", "--method", "ibp")
    assert undecided.returncode == 4
    assert "neither proved nor violated" in undecided.stdout
    assert come("nowhere.safetensors").returncode == 3


def test_proofs_of_another_network_are_no_pass(gate):
    place, come = gate
    shutil.copy(place / "good/seed-0.certificate", place / "bad/seed-0.certificate")
    found = come("bad/seed-0.safetensors")
    assert found.returncode == 1
    assert "are not of this network" in found.stdout


def test_a_property_that_is_tightened_is_proved_anew_or_refused(gate):
    place, come = gate
    (place / "properties/any.txt").write_text("inputs in [0, 1]\nalways y[*] <= 0\n")
    found = come("good/seed-0.safetensors")
    assert found.returncode == 1
    assert "and these properties" in found.stdout
