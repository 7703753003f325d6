"""`nncli verify --float-margin`: real command lines."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from nncli.cli import cli
from nncli.formats.certificates import StoredPart, StoredProof, read_certificate, write_certificate
from nncli.formats.entry import Entry
from nncli.verification.certifying.exact_text import digest


def run(*words):
    return CliRunner().invoke(cli, [str(one) for one in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A network whose outputs are 2e-7 apart, and one question about them."""
    folder = tmp_path_factory.mktemp("float-margin")
    one = {"head.weight": [[1.0], [1.0]], "head.bias": [2e-7, 0.0]}
    save_file(
        {name: np.array(each, np.float32) for name, each in one.items()}, folder / "net.safetensors"
    )
    (folder / "near.txt").write_text("input 0 in [0.5, 1]\nalways y[0] > y[1]\n")
    (folder / "far.txt").write_text("input 0 in [0.5, 1]\nalways y[0] > y[1] - 0.001\n")
    return folder


def verify(folder, name, *words):
    table = folder / "verdicts.parquet"
    found = run(
        "verify", folder / "net.safetensors", "--arch", "mlp:1-2", "--specification",
        folder / name, "--timeout", 1, "-o", table, *words,
    )  # fmt: skip
    return found, pq.read_table(table).to_pylist() if found.exit_code in (0, 1, 4) else []


def check(folder, certificate, *words):
    table = folder / "checked.parquet"
    found = run(
        "verify", "--check", folder / certificate, folder / "net.safetensors", "--arch", "mlp:1-2",
        "-o", table, *words,
    )  # fmt: skip
    assert found.exit_code in (0, 1), found.output
    return found.exit_code, pq.read_table(table).to_pylist()


def test_what_holds_by_less_than_rounding_is_verified_of_real_numbers_alone(made):
    found, (row,) = verify(made, "near.txt")
    assert found.exit_code == 0
    assert (row["verdict"], row["numerics"]) == ("verified", "float64, rounding bounded")
    assert row["bound"] == pytest.approx(2e-7, rel=1e-3)
    assert "float_margin" not in row
    found, (row,) = verify(made, "near.txt", "--float-margin")
    assert found.exit_code == 4
    assert row["verdict"] in ("unknown", "timeout")
    assert row["attacked"] <= 0
    assert row["bound"] < 0
    assert row["bound"] + row["float_margin"] == pytest.approx(2e-7, rel=1e-3)


def test_the_search_ends_at_an_input_that_leaves_too_little_room(made):
    found, (row,) = verify(made, "near.txt", "--float-margin", "--timeout", 600)
    assert found.exit_code == 4
    assert row["verdict"] == "unknown"
    assert "without `--float-margin`" in found.stderr


def test_what_holds_by_more_is_verified_and_says_of_what(made):
    found, (row,) = verify(made, "far.txt", "--float-margin")
    assert found.exit_code == 0, found.output
    assert (row["verdict"], row["numerics"]) == ("verified", "float32 network, rounding bounded")
    assert 1e-7 < row["float_margin"] < 1e-5
    assert row["bound"] == pytest.approx(0.001 + 2e-7 - row["float_margin"], rel=1e-3)


def test_a_proof_of_float32_is_accepted_of_float32_and_of_real_numbers(made):
    found, _ = verify(
        made, "far.txt", "--float-margin", "--certificate", made / "single.safetensors"
    )
    assert found.exit_code == 0, found.output
    for words in ((), ("--float-margin",)):
        asked = ("--specification", made / "far.txt", *words) if words else ()
        code, (row,) = check(made, "single.safetensors", *asked)
        assert (code, row["verdict"]) == (0, "accepted")
        assert row["numerics"] == "float32 network, rounding bounded"
    code, (row,) = check(made, "single.safetensors", "--specification", made / "far.txt")
    assert (code, row["verdict"]) == (0, "accepted")


def test_a_proof_of_real_numbers_is_none_of_float32(made):
    found, _ = verify(made, "near.txt", "--certificate", made / "real.safetensors")
    assert found.exit_code == 0, found.output
    assert check(made, "real.safetensors")[0] == 0
    code, (row,) = check(
        made, "real.safetensors", "--specification", made / "near.txt", "--float-margin"
    )
    assert (code, row["verdict"]) == (1, "rejected")
    assert row["reason"] == "the certificate holds no proof of this property"


def test_a_certificate_that_claims_float32_for_real_numbers_is_rejected(made):
    verify(made, "near.txt", "--certificate", made / "real.safetensors")
    held = read_certificate(str(made / "real.safetensors"))
    (proof,) = held.proofs
    text = json.dumps(
        {**json.loads(proof.text), "arithmetic": "float32"}, sort_keys=True, separators=(",", ":")
    )
    parts = tuple(StoredPart(one.method, one.violations, one.tensors) for one in proof.parts)
    claimed = StoredProof(proof.name, 0, digest(text), text, parts)
    write_certificate(
        str(made / "forged.safetensors"), held.networks, [claimed], Entry("certificate", 1)
    )
    code, (row,) = check(made, "forged.safetensors")
    assert (code, row["verdict"]) == (1, "rejected")
    assert "do not prove" in row["reason"]


def test_an_arithmetic_that_is_not_known_is_rejected(made):
    verify(made, "far.txt", "--float-margin", "--certificate", made / "single.safetensors")
    held = read_certificate(str(made / "single.safetensors"))
    (proof,) = held.proofs
    text = proof.text.replace('"float32"', '"float8"')
    claimed = StoredProof(proof.name, 0, digest(text), text, proof.parts)
    write_certificate(
        str(made / "forged.safetensors"), held.networks, [claimed], Entry("certificate", 1)
    )
    code, (row,) = check(made, "forged.safetensors")
    assert (code, row["verdict"]) == (1, "rejected")
    assert "there is no arithmetic `float8`" in row["reason"]


def test_a_counterexample_is_one_of_the_property_and_not_of_the_room(made):
    (made / "false.txt").write_text("input 0 in [0.5, 1]\nalways y[0] > 0.75\n")
    points = made / "points.safetensors"
    found, (row,) = verify(made, "false.txt", "--float-margin", "--counterexamples", points)
    assert (found.exit_code, row["verdict"]) == (1, "violated")
    (x,) = load_file(points)["x"].ravel()
    assert np.float32(x) + np.float32(2e-7) <= 0.75


def test_networks_whose_numbers_may_overflow_are_not_verified(made):
    weights = {
        "block.0.linear.weight": np.array([[1e19], [1e19]], np.float32),
        "block.0.linear.bias": np.zeros(2, np.float32),
        "head.weight": np.array([[1.5e19, -1.5e19]], np.float32),
        "head.bias": np.zeros(1, np.float32),
    }
    save_file(weights, made / "great.safetensors")
    (made / "positive.txt").write_text("input 0 in [0.5, 1]\nalways y[0] >= -1e35\n")
    words = (
        "verify", made / "great.safetensors", "--arch", "mlp:1-2-1", "--specification",
        made / "positive.txt", "-f", "jsonl", "--timeout", 10,
    )  # fmt: skip
    assert json.loads(run(*words).stdout)["verdict"] == "verified"
    found = run(*words, "--float-margin")
    assert found.exit_code == 4
    row = json.loads(found.stdout.splitlines()[0])
    assert (row["verdict"], row["float_margin"], row["bound"]) == ("unknown", None, None)


@pytest.mark.parametrize("option", ["--bounds", "--ranges"])
def test_what_is_about_real_numbers_has_no_float_margin(made, option):
    found, _ = verify(made, "far.txt", "--float-margin", option, made / "beside")
    assert found.exit_code == 2
    assert f"`{option}` is about real numbers" in found.output


def test_what_cannot_be_bounded_is_refused_with_the_layer(made):
    (made / "soft.py").write_text(
        "from torch import nn\n\n\ndef Net():\n    return nn.Sequential(nn.Linear(1, 2),"
        " nn.Softmax(-1))\n"
    )
    save_file(
        {"0.weight": np.ones((2, 1), np.float32), "0.bias": np.zeros(2, np.float32)},
        made / "soft.safetensors",
    )
    np.savez(made / "data.npz", x=np.full((2, 1), 0.5, np.float32), y=np.zeros(2, np.int64))
    found = run(
        "verify", made / "soft.safetensors", "--arch", f"{made / 'soft.py'}:Net", "--data",
        made / "data.npz", "--epsilon", "0.1", "--float-margin", "-f", "csv",
    )  # fmt: skip
    assert found.exit_code == 3
    assert "ends in a softmax" in found.output
    assert "hint: `--float-margin` needs the network up to there" in found.output


def test_a_parquet_of_many_verdicts_has_one_row_group_and_lines_go_out_at_once(made):
    np.savez(
        made / "many.npz",
        x=np.linspace(0.5, 1, 60, dtype=np.float32)[:, None],
        y=np.zeros(60, np.int64),
    )
    table = made / "many.parquet"
    found = run(
        "verify", made / "net.safetensors", "--arch", "mlp:1-2", "--data", made / "many.npz",
        "--epsilon", "0", "--method", "ibp", "-o", table,
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert pq.ParquetFile(table).metadata.num_row_groups == 1
    assert table.stat().st_size < 20_000
