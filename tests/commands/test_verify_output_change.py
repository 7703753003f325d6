"""`nncli verify` on how far outputs move, on radii of each feature, and on quadratic demands."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from nncli.cli import cli

WEIGHTS = np.array([[2.0, 0.0], [1.0, 1.0], [1.0, -1.0]], np.float32)


def run(*words):
    return CliRunner().invoke(cli, [str(one) for one in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A decoder y = W relu(x) of two numbers to three, where relu does nothing near the codes."""
    place = tmp_path_factory.mktemp("decoder")
    tensors = {
        "block.0.linear.weight": np.eye(2, dtype=np.float32),
        "block.0.linear.bias": np.zeros(2, np.float32),
        "head.weight": WEIGHTS,
        "head.bias": np.full(3, 0.5, np.float32),
    }
    save_file(tensors, place / "net.safetensors")
    np.savez(place / "codes.npz", x=np.array([[0.5, 0.5], [0.75, 0.25]], np.float32))
    (place / "radii.csv").write_text("0.1, 0\n")
    return place


def verify(folder, *words):
    """The exit code and the rows."""
    table = folder / "t.parquet"
    table.unlink(missing_ok=True)
    done = run(
        "verify", folder / "net.safetensors", "--arch", "mlp:2-2-3", "-o", table, *words
    )  # fmt: skip
    return done, pq.read_table(table).to_pylist() if table.exists() else []


def near(folder, *words):
    return verify(folder, "--data", folder / "codes.npz", "--limits", "0", "1", *words)


def farthest(*radii):
    """|W d|^2 = 6 d_0^2 + 2 d_1^2 is greatest at the corners of the box, all of them."""
    return float(np.linalg.norm(WEIGHTS @ np.array(radii)))


@pytest.mark.parametrize("method", ["auto", "sdp", "input-split"])
def test_outputs_move_as_far_as_at_the_worst_corner(folder, method):
    most = farthest(0.1, 0.1)
    for change, verdict, code in ((most * 1.01, "verified", 0), (most * 0.99, "violated", 1)):
        if method == "sdp" and verdict == "violated":
            continue
        words = ("--epsilon", "0.1", "--output-change", f"{change:.6f}", "--method", method)
        done, rows = near(folder, *words)
        assert done.exit_code == code, done.output
        assert [row["verdict"] for row in rows] == [verdict] * 2
        assert all(row["output_change"] == pytest.approx(change, abs=1e-6) for row in rows)
        if method == "sdp":
            assert all(0 < row["bound"] <= change - most + 1e-6 for row in rows)
        if method == "auto":
            assert all(
                row["attacked"] == pytest.approx(change - most, rel=0.2)
                for row in rows
                if verdict == "verified"
            )


def test_each_feature_has_its_own_epsilon(folder):
    most = farthest(0.1, 0.0)
    for change, verdict in ((most * 1.01, "verified"), (most * 0.99, "violated")):
        words = ("--epsilon", folder / "radii.csv", "--output-change", f"{change:.6f}")
        _, rows = near(folder, *words)
        assert [row["verdict"] for row in rows] == [verdict] * 2
        assert rows[0]["epsilon"] == pytest.approx(0.1)
        assert "within 0 to 0.1, by feature, of the example (linf)" in rows[0]["words"]


def test_classes_too_are_kept_or_lost_by_the_features_that_may_change(folder):
    """y_0 - y_1 = x_0 - x_1 is 1/2 at the second code, and moves by the radii together."""
    for radii, verdict in (("0.3, 0.1", "verified"), ("0.3, 0.25", "violated")):
        (folder / "own.csv").write_text(radii)
        _, rows = near(folder, "--epsilon", folder / "own.csv", "--truth", "answer")
        assert rows[1]["verdict"] == verdict


def test_a_certificate_of_outputs_is_accepted_and_an_altered_one_is_not(folder):
    proof, change = folder / "proof.safetensors", f"{farthest(0.1, 0.1) * 1.05:.4f}"
    asked = ("--epsilon", "0.1", "--output-change", change)
    done, rows = near(folder, *asked, "--method", "sdp", "--certificate", proof, "--overwrite")
    assert done.exit_code == 0, done.output
    assert [row["stage"] for row in rows] == ["sdp", "sdp"]
    done, rows = verify(folder, "--check", proof)
    assert (done.exit_code, [row["verdict"] for row in rows]) == (0, ["accepted"] * 2)
    assert "^2 <= " in rows[0]["words"]
    done, rows = near(folder, "--check", proof, *asked)
    assert (done.exit_code, [row["verdict"] for row in rows]) == (0, ["accepted"] * 2)
    done, rows = near(folder, "--check", proof, "--epsilon", "0.1", "--output-change", "0.2")
    assert (done.exit_code, [row["verdict"] for row in rows]) == (1, ["rejected"] * 2)
    done, rows = near(folder, "--check", proof, "--epsilon", folder / "radii.csv", *asked[2:])
    assert (done.exit_code, [row["verdict"] for row in rows]) == (1, ["rejected"] * 2)


def test_a_specification_speaks_of_the_network_at_hand(folder):
    """The distance from the centre differs between two networks, and so does the question."""
    (folder / "p.txt").write_text("inputs in [0.25, 0.75]\nalways |y - y at centre| <= 0.8\n")
    other = folder / "other.safetensors"
    tensors = {
        "block.0.linear.weight": np.eye(2, dtype=np.float32),
        "block.0.linear.bias": np.zeros(2, np.float32),
        "head.weight": -WEIGHTS / 2,
        "head.bias": np.zeros(3, np.float32),
    }
    save_file(tensors, other)
    done, rows = verify(folder, other, "--specification", folder / "p.txt")
    assert done.exit_code == 0, done.output
    assert [row["verdict"] for row in rows] == ["verified"] * 2
    assert rows[0]["words"].startswith("holds if |(Y_0 - 1.5, Y_1 - 1.5, Y_2 - 0.5)|^2 <= 0.64,")
    assert rows[1]["words"].startswith("holds if |(Y_0 + 0.5, Y_1 + 0.5, Y_2)|^2 <= 0.64")
    assert rows[0]["bound"] <= 0.64 - farthest(0.25, 0.25) ** 2 + 1e-6
    assert rows[0]["attacked"] == pytest.approx(0.64 - farthest(0.25, 0.25) ** 2, abs=1e-3)


def test_a_violated_specification_shows_an_input_in_its_box(folder):
    (folder / "p.txt").write_text("inputs in [0, 1]\nalways y[0]^2 - y[1] * y[2] <= 4\n")
    found = folder / "found.safetensors"
    done, rows = verify(
        folder, "--specification", folder / "p.txt", "--counterexamples", found, "--overwrite"
    )
    assert (done.exit_code, rows[0]["verdict"]) == (1, "violated")
    shown = run("show", found, "-f", "json")
    assert shown.exit_code == 0
    assert json.loads(shown.output)
    assert rows[0]["words"].startswith("holds if Y_1 Y_2 + 4 >= Y_0^2, for X_0 in [0, 1]")


def test_milp_says_that_it_is_not_for_quadratic_demands(folder):
    done, rows = near(
        folder, "--epsilon", "0.1", "--output-change", "0.3", "--method", "milp", "--limit", "1"
    )
    assert (done.exit_code, rows[0]["verdict"]) == (4, "unknown")
    assert "decides linear conditions" in " ".join(done.output.split())


def test_equal_questions_give_equal_tables(folder):
    words = ("--epsilon", folder / "radii.csv", "--output-change", "0.3")
    near(folder, *words)
    first = (folder / "t.parquet").read_bytes()
    near(folder, *words)
    assert (folder / "t.parquet").read_bytes() == first
    entry = json.loads(pq.read_schema(folder / "t.parquet").metadata[b"nncli"])
    assert any("radii.csv" in json.dumps(one) for one in entry["inputs"])


REFUSED = [
    (["--output-change", "1"], 2, "`--epsilon 0.1` says how near"),
    (["--epsilon", "0.1", "--output-change", "-1"], 2, "`-1` is negative"),
    (["--epsilon", "0.1", "--output-change", "much"], 2, "`much` is no number"),
    (["--epsilon", "0.1", "--output-change", "nan"], 2, "`nan` is no number"),
    (["--epsilon", "-0.1", "--output-change", "1"], 2, "epsilon `-0.1` is negative"),
    (["--epsilon", "nan", "--output-change", "1"], 2, "no file has that name"),
    (["--epsilon", "{}/none.csv", "--truth", "answer"], 2, "no file has that name"),
    (["--epsilon", "{}/long.csv", "--output-change", "1"], 3, "of shape [3], inputs have [2]"),
    (["--epsilon", "{}/below.csv", "--output-change", "1"], 3, "`-0.2` is negative"),
    (
        ["--epsilon", "{}/radii.csv", "--norm", "l2", "--output-change", "1"],
        2,
        "one number for all",
    ),
    (["--epsilon", "0.1", "--output-change", "1", "--truth", "label"], 2, "it has no `--truth`"),
    (["--epsilon", "0.1", "--output-change", "1", "--lipschitz"], 2, "has no `--output-change`"),
    (["--epsilon", "0.1", "--output-change", "1", "--float-margin"], 3, "linear conditions"),
    (["--epsilon", "0.1"], 3, "`--output-change D` how far"),
    (["--epsilon", "{}/radii.csv", "--truth", "answer", "--lipschitz"], 2, "is one number"),
]


@pytest.mark.parametrize(("words", "code", "told"), REFUSED)
def test_what_cannot_be_asked_is_refused(folder, words, code, told):
    (folder / "long.csv").write_text("0.1 0.1 0.1")
    (folder / "below.csv").write_text("0.1 -0.2")
    done, _ = near(folder, *(one.format(folder) for one in words))
    assert done.exit_code == code
    assert told in " ".join(done.output.split())
