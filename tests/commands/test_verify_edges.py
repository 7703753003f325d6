"""Verdicts of properties with edges, through the real command: a wrong one would be trusted."""

import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from nncli.cli import cli

METHODS = ("auto", "crown", "input-split", "relu-split", "milp")
CODES = {"verified": 0, "violated": 1, "unknown": 4, "timeout": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """y_0 = relu(x_0) + relu(x_1), y_1 = relu(x_0) - relu(x_1)."""
    place = tmp_path_factory.mktemp("edges")
    tensors = {
        "block.0.linear.weight": np.eye(2, dtype=np.float32),
        "block.0.linear.bias": np.zeros(2, np.float32),
        "head.weight": np.array([[1, 1], [1, -1]], np.float32),
        "head.bias": np.zeros(2, np.float32),
    }
    save_file(tensors, place / "net.safetensors")
    return place


HEAD = "".join(f"(declare-const X_{i} Real)\n(declare-const Y_{i} Real)\n" for i in range(2))


def box(*limits):
    pairs = zip(range(2), limits, strict=True)
    return "".join(
        f"(assert (>= X_{i} {low}))\n(assert (<= X_{i} {high}))\n" for i, (low, high) in pairs
    )


UNIT = box((-1, 1), (-1, 1))
HALF = box((0.5, 0.5), (-0.25, -0.25))  # y = (1/2, 1/2)


def verdict(folder, text, method):
    """The verdict in the table, which the exit code must tell as well."""
    (folder / "p.vnnlib").write_text(HEAD + text)
    words = ["verify", folder / "net.safetensors", "--arch", "mlp:2-2-2", "--vnnlib",
             folder / "p.vnnlib", "--method", method, "--timeout", "20", "--overwrite",
             "-o", folder / "t.parquet"]  # fmt: skip
    done = CliRunner().invoke(cli, [str(one) for one in words])
    if done.exit_code == 3:
        return re.sub(r"\s+", " ", done.output)
    (found,) = pq.read_table(folder / "t.parquet")["verdict"].to_pylist()
    assert done.exit_code == CODES[found], done.output
    return found


# what holds, and where one of the methods is exact enough to say so
CASES = [
    ("constant inputs, reached", HALF + "(assert (>= Y_0 0.5))", False),
    ("constant inputs, missed", HALF + "(assert (>= Y_0 0.5001))", True),
    ("a tie at constant inputs", HALF + "(assert (>= Y_1 Y_0))", False),
    ("one constant input", box((0.5, 0.5), (-1, 1)) + "(assert (<= Y_0 0.4999))", True),
    ("one constant input, reached", box((0.5, 0.5), (-1, 1)) + "(assert (<= Y_0 0.5))", False),
    ("both signs", UNIT + "(assert (<= Y_0 0)) (assert (>= Y_0 0))", False),
    ("a contradiction", UNIT + "(assert (<= Y_0 0.1)) (assert (>= Y_0 0.2))", True),
    ("no blanks", UNIT + "(assert(and(>= Y_0 1.9)(<= Y_1 0.2)))", False),
    (
        "or, and then one more",  # the second assert limits both alternatives
        UNIT + "(assert (or (<= Y_1 -0.5) (>= Y_1 0.5)))(assert (<= Y_0 0.4))",
        True,
    ),
    (
        "or, and then one more, reached",
        UNIT + "(assert (or (<= Y_1 -0.5) (>= Y_1 0.5)))(assert (<= Y_0 0.6))",
        False,
    ),
    ("never negative", UNIT + "(assert (<= Y_0 -0.001))", True),
    ("at its least value", UNIT + "(assert (<= Y_0 0))", False),
]


@pytest.mark.parametrize(("text", "holds"), [one[1:] for one in CASES], ids=[c[0] for c in CASES])
def test_no_method_errs_and_exact_ones_answer(folder, text, holds):
    for method in METHODS:
        found = verdict(folder, text, method)
        assert found in CODES
        assert found != ("violated" if holds else "verified")
        if method in ("auto", "input-split", "milp"):
            assert found == ("verified" if holds else "violated")


@pytest.mark.parametrize(
    "text",
    [
        box((1, 0), (-1, 1)) + "(assert (>= Y_0 -5))",
        box((0, 1), (0.3, 0.2)) + "(assert (>= Y_0 -5))",
    ],
)
def test_an_empty_box_is_no_ground_for_a_counterexample(folder, text):
    for method in METHODS:
        assert verdict(folder, text, method) == "verified"


def refused(folder, *words):
    """The exit code and what is said."""
    given = ["verify", folder / "net.safetensors", "--arch", "mlp:2-2-2", *words]
    done = CliRunner().invoke(cli, [str(one) for one in given])
    return done.exit_code, re.sub(r"\s+", " ", done.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ("y[0] <= 10 + " + " * ".join(5 * ["1e-999"]), "a limit or factor has more than 3,900"),
        ("x[0] <= 1 + " + " * ".join(5 * ["1e-999"]), "a limit or factor has more than 3,900"),
    ],
)
def test_products_of_thousands_of_digits_are_refused_before_anything_is_proved(folder, words):
    (folder / "s.txt").write_text(f"inputs in [-1, 2]\nalways {words[0]}\n")
    code, said = refused(folder, "--specification", folder / "s.txt")
    assert (code, words[1] in said) == (3, True), said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--epsilon", "1e400"), "epsilon `1e400` is beyond 1.8e308"),
        (
            ("--epsilon", "0.1", "--limits", "1", "0"),
            "value `1` is above the greatest one `0`",
        ),
        (("--epsilon", "0." + 300 * "1" + "x"), "1...` is no number, and no file has that name"),
    ],
)
def test_neighbourhoods_that_are_none_are_refused_by_name(folder, words, said):
    np.savez(folder / "d.npz", x=np.full((1, 2), 0.5, np.float32), y=np.array([0]))
    code, found = refused(folder, "--data", folder / "d.npz", *words)
    assert (code, said in found) == (2, True), found


def test_inputs_beyond_float32_are_no_defect_of_the_program(folder):
    (folder / "s.txt").write_text("inputs in [0, 1e39]\nalways y[0] <= 1\n")
    code, found = refused(folder, "--specification", folder / "s.txt")
    assert code == 3
    assert "puts out numbers that are not finite for inputs that are asked about" in found
    assert "beyond what float32 holds (3.4e38)?" in found


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(folder, number):
    tensors = load_file(folder / "net.safetensors")
    tensors["head.bias"][1] = number
    save_file(tensors, folder / "bad.safetensors")
    (folder / "s.txt").write_text("inputs in [0, 1]\nalways y[0] <= 1\n")
    given = ["verify", folder / "bad.safetensors", "--arch", "mlp:2-2-2",
             "--specification", folder / "s.txt"]  # fmt: skip
    done = CliRunner().invoke(cli, [str(one) for one in given])
    assert done.exit_code == 3
    assert "the weights `head.bias` hold numbers that are not finite" in done.stderr


def test_counterexamples_of_an_earlier_run_are_not_taken_for_those_of_this_one(folder):
    found = folder / "found.safetensors"
    for limit, code in (("1", 1), ("5", 0)):
        (folder / "s.txt").write_text(f"inputs in [-1, 1]\nalways y[0] <= {limit}\n")
        words = "--specification", folder / "s.txt", "--counterexamples", found
        given, said = refused(folder, *words, "-f", "csv")
        assert given == code, said
        assert ("no counterexample was found" in said) == (code == 0)
    assert "found.safetensors` is of an earlier run, and stays" in said
    found.unlink()
    assert refused(folder, *words, "-f", "csv") == (0, "")
