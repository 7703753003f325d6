"""`nncli verify --certificate` and `--check`: real command lines, and whatever is tampered with."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from nncli.cli import cli
from nncli.formats.certificates import read_certificate
from nncli.formats.safetensors_header import read_header
from nncli.formats.sources import open_source


def run(*words):
    return CliRunner().invoke(cli, [str(one) for one in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a checkpoint, a property, a table of verdicts and a certificate."""
    folder = tmp_path_factory.mktemp("certificates")
    net = folder / "net.safetensors"
    weights = np.random.default_rng(0)
    sizes = {"block.0.linear": (8, 3), "head": (2, 8)}
    tensors = {}
    for name, shape in sizes.items():
        tensors[f"{name}.weight"] = weights.standard_normal(shape).astype(np.float32)
        tensors[f"{name}.bias"] = weights.standard_normal(shape[0]).astype(np.float32)
    save_file(tensors, net)
    (folder / "limits.txt").write_text("inputs in [0, 1]\nalways y[0] <= 40\n")
    (folder / "halves.txt").write_text("inputs in [0, 1]\nalways y[1] >= -6.7\n")
    found = run(
        "verify", net, "--arch", "mlp:3-8-2", "--specification", folder / "limits.txt",
        "--certificate", folder / "proof.safetensors", "-o", folder / "verdicts.parquet",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    return folder


def check(folder, *words, certificate="proof.safetensors", net="net.safetensors"):
    table = folder / "checked.parquet"
    found = run(
        "verify", "--check", folder / certificate, folder / net, "--arch", "mlp:3-8-2",
        "-o", table, *words,
    )  # fmt: skip
    rows = pq.read_table(table).to_pylist() if found.exit_code in (0, 1) else []
    return found, rows


def header(path):
    with open_source(str(path)) as source:
        return dict(read_header(source).metadata)


def test_an_untampered_certificate_is_accepted_and_says_its_property(made):
    found, rows = check(made)
    assert found.exit_code == 0, found.output
    (row,) = rows
    assert row["verdict"] == "accepted"
    assert (
        row["words"] == "holds if never Y_0 > 40, for X_0 in [0, 1], X_1 in [0, 1], X_2 in [0, 1]"
    )


def test_a_certificate_is_accepted_where_the_question_is_asked_again(made):
    found, rows = check(made, "--specification", made / "limits.txt")
    assert found.exit_code == 0, found.output
    assert rows[0]["instance"].endswith("limits.txt")


def test_a_property_that_the_certificate_does_not_prove_is_rejected(made):
    found, rows = check(made, "--specification", made / "halves.txt")
    assert found.exit_code == 1
    assert "no proof of this property" in rows[0]["reason"]


@pytest.mark.parametrize("name", ["block.0.linear.weight", "block.0.linear.bias", "head.weight"])
def test_a_changed_weight_is_rejected(made, name):
    tensors = load_file(made / "net.safetensors")
    tensors[name].reshape(-1)[0] = np.nextafter(tensors[name].reshape(-1)[0], 9)
    save_file(tensors, made / "other.safetensors")
    found, rows = check(made, net="other.safetensors")
    assert found.exit_code == 1
    assert "other weights" in rows[0]["reason"]
    found, rows = check(made, "--specification", made / "limits.txt", net="other.safetensors")
    assert found.exit_code == 1
    assert "other weights" in rows[0]["reason"]


@pytest.fixture(scope="module")
def searched(made):
    """A certificate with a tree."""
    found = run(
        "verify", made / "net.safetensors", "--arch", "mlp:3-8-2", "--specification",
        made / "limits.txt", "--method", "input-split", "--certificate",
        made / "tree.safetensors", "-o", made / "verdicts.parquet",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    return "tree.safetensors"


def test_any_changed_number_of_the_certificate_is_rejected(made, searched):
    tensors, metadata = load_file(made / searched), header(made / searched)
    assert "proof.0.0.tree.at" in tensors
    for name in tensors:
        changed = {key: one.copy() for key, one in tensors.items()}
        flat = changed[name].reshape(-1)
        flat[0] = flat[0] + 1
        save_file(changed, made / "changed.safetensors", metadata)
        found, rows = check(made, certificate="changed.safetensors")
        assert found.exit_code == 1 or "is damaged" in found.output, name
        assert all(one["verdict"] == "rejected" for one in rows)


def test_a_dropped_tensor_or_an_edited_entry_is_rejected(made, searched):
    tensors, metadata = load_file(made / searched), header(made / searched)
    for name in tensors:
        save_file(
            {key: one for key, one in tensors.items() if key != name},
            made / "changed.safetensors",
            metadata,
        )
        found, _ = check(made, certificate="changed.safetensors")
        assert found.exit_code in (1, 3), name
    entry = json.loads(metadata["nncli"])
    for edit in (
        lambda facts: facts["proofs"][0].update(digest="sha256:0"),
        lambda facts: facts["proofs"][0].update(name="other"),
        lambda facts: facts["proofs"][0]["parts"][0].update(method="crown"),
        lambda facts: facts["proofs"][0]["parts"][0].update(violations=[]),
        lambda facts: facts["networks"][0].update(name="other"),
        lambda facts: facts.update(digest="sha256:0"),
    ):
        changed = json.loads(json.dumps(entry))
        edit(changed["facts"])
        text = json.dumps(changed, sort_keys=True, separators=(",", ":"))
        save_file(tensors, made / "changed.safetensors", {"nncli": text})
        found, rows = check(made, certificate="changed.safetensors")
        assert found.exit_code == 1, found.output
        assert rows[0]["verdict"] == "rejected"


def test_a_forged_property_with_fresh_digests_is_not_proved(made):
    from dataclasses import replace

    from nncli.formats.certificates import write_certificate
    from nncli.verification.certifying.exact_text import digest

    read = read_certificate(str(made / "proof.safetensors"))
    text = read.proofs[0].text.replace('"-40"', '"40"')  # y[0] > -40 never happens
    assert text != read.proofs[0].text
    forged = replace(read.proofs[0], text=text, digest=digest(text))
    bare = {key: one for key, one in read.entry.facts.items() if key != "digest"}
    write_certificate(
        str(made / "forged.safetensors"),
        read.networks,
        [forged],
        replace(read.entry, facts=bare),
    )
    found, rows = check(made, certificate="forged.safetensors")
    assert found.exit_code == 1
    assert "do not prove" in rows[0]["reason"]


def test_equal_calls_give_equal_certificates(made):
    for name in ("one", "two"):
        folder = made / name
        folder.mkdir()
        for file in ("net.safetensors", "limits.txt"):
            shutil.copy(made / file, folder / file)
        found = run(
            "verify", folder / "net.safetensors", "--arch", "mlp:3-8-2", "--specification",
            folder / "limits.txt", "--certificate", folder / "proof.safetensors",
            "-o", folder / "verdicts.parquet",
        )  # fmt: skip
        assert found.exit_code == 0
    first, second = ((made / name / "proof.safetensors").read_bytes() for name in ("one", "two"))
    assert first == second


def test_what_is_no_certificate_is_refused_by_name(made):
    found = run("verify", "--check", made / "net.safetensors", made / "net.safetensors")
    assert found.exit_code == 3
    assert "expected a certificate" in found.output
    found = run("verify", "--check", made / "proof.safetensors", "--method", "ibp")
    assert found.exit_code == 2
    assert "`--method` is for proofs anew" in found.output
    found = run("verify", "--check", made / "proof.safetensors", "--limit", "3")
    assert found.exit_code == 2
    assert "asks nothing without `--epsilon`" in found.output


def test_the_table_and_the_certificate_cannot_go_to_one_place(made):
    found = run(
        "verify", made / "net.safetensors", "--arch", "mlp:3-8-2", "--specification",
        made / "limits.txt", "--certificate", "-",
    )  # fmt: skip
    assert found.exit_code == 2
    assert "both go to standard output" in found.output
