"""`nncli verify --results`: the words of the competitions, and checkpoints packed with gzip."""

import gzip

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import save_file

from nncli.checkpoints import resolve
from nncli.cli import cli


def run(*words, code=0):
    found = CliRunner().invoke(cli, [str(one) for one in words])
    assert found.exit_code == code, found.output
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A network y = x_0 - x_1, packed, with a property that holds and one that does not."""
    folder = tmp_path_factory.mktemp("results")
    tensors = {
        "head.weight": np.array([[1, -1], [0, 1]], np.float32),
        "head.bias": np.zeros(2, np.float32),
    }
    save_file(tensors, folder / "net.safetensors")
    data = (folder / "net.safetensors").read_bytes()
    (folder / "net.safetensors.gz").write_bytes(gzip.compress(data))
    box = "".join(f"(declare-const X_{i} Real)\n(declare-const Y_{i} Real)\n" for i in range(2))
    box += "".join(f"(assert (>= X_{i} 0))\n(assert (<= X_{i} 1))\n" for i in range(2))
    (folder / "safe.vnnlib").write_text(box + "(assert (>= Y_0 1.5))\n")
    (folder / "unsafe.vnnlib").write_text(box + "(assert (>= Y_0 0.5))\n")
    (folder / "list.csv").write_text(
        "net.safetensors.gz,safe.vnnlib,60\nnet.safetensors.gz,unsafe.vnnlib,60\n"
    )
    return folder


def test_a_single_answer_has_its_counterexample_with_the_outputs_of_the_network(made, read_answer):
    net, place = made / "net.safetensors.gz", made / "answer.txt"
    run(
        "verify", net, "--arch", "mlp:2-2", "--vnnlib", made / "unsafe.vnnlib",
        "--results", place, "-o", made / "t.parquet", code=1,
    )  # fmt: skip
    word, x, y = read_answer(place)
    assert word == "sat"
    module = resolve(str(net), "mlp:2-2").module
    assert module(torch.tensor([x]))[0].tolist() == list(y)
    assert y[0] >= 0.5
    assert all(0 <= one <= 1 for one in x)


def test_an_answer_replaces_an_answer_and_nothing_else(made):
    place = made / "again.txt"
    words = (
        "verify", made / "net.safetensors", "--arch", "mlp:2-2", "--vnnlib",
        made / "safe.vnnlib", "--results", place, "-o", made / "t.parquet",
    )  # fmt: skip
    run(*words)
    run(*words)
    assert place.read_text() == "unsat\n"
    place.write_text("my notes\n")
    assert "exists" in run(*words, code=3).output
    assert place.read_text() == "my notes\n"


def test_a_list_has_a_line_for_each_instance(made):
    place = made / "results.csv"
    run(
        "verify", "--instances", made / "list.csv", "--arch", "mlp:2-2",
        "--results", place, "-o", made / "t.parquet", code=1,
    )  # fmt: skip
    lines = [line.split(",") for line in place.read_text().splitlines()]
    assert [line[1:5] for line in lines] == [
        ["net.safetensors.gz", "safe.vnnlib", "0", "unsat"],
        ["net.safetensors.gz", "unsafe.vnnlib", "0", "sat"],
    ]
    assert all(float(line[5]) >= 0 for line in lines)


def test_the_answers_to_a_list_replace_themselves_and_no_other_table(made):
    place = made / "many.csv"
    words = (
        "verify", "--instances", made / "list.csv", "--arch", "mlp:2-2",
        "--results", place, "-o", made / "t.parquet",
    )  # fmt: skip
    run(*words, code=1)
    run(*words, code=1)
    assert len(place.read_text().splitlines()) == 2
    place.write_text("a,b,c,d,e,f\n")
    assert "exists" in run(*words, code=3).output
    assert place.read_text() == "a,b,c,d,e,f\n"
