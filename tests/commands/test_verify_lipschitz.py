"""`nncli verify --lipschitz` on real command lines."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from nncli.architectures import build
from nncli.cli import cli
from nncli.formats.entry import Entry
from nncli.formats.tensors import write_tensors


def run(*words, code=0):
    found = CliRunner().invoke(cli, [str(one) for one in words])
    assert found.exit_code == code, found.output
    return found


def checkpoint(path, arch):
    module = build(arch, seed=0)
    arrays = {name: one.detach().numpy() for name, one in module.state_dict().items()}
    write_tensors(str(path), arrays, Entry("checkpoint", facts={"arch": arch}))
    return arrays


def table(path, *words):
    run("verify", path, "--lipschitz", "--limit", "3", "--truth", "answer", *words)


@pytest.mark.parametrize(("norm", "order"), [("l2", 2), ("linf", np.inf), ("l1", 1)])
def test_of_a_linear_classifier_the_constant_is_the_norm_of_its_weights(tmp_path, norm, order):
    arrays = checkpoint(tmp_path / "net.safetensors", "mlp:64-10")
    (weight,) = (one for one in arrays.values() if one.ndim == 2)
    true = np.linalg.norm(weight.astype(np.float64), order)
    table(tmp_path / "net.safetensors", "--norm", norm, "-o", tmp_path / "t.parquet")
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert len(rows) == 3
    for row in rows:
        assert row["lipschitz"] == pytest.approx(true, rel=1e-12)
        assert row["sampled"] == pytest.approx(true, rel=1e-12)
        assert row["radius"] >= row["margin"] / (2 * true) > 0


def test_within_a_neighbourhood_the_constant_is_no_greater_than_everywhere(tmp_path):
    checkpoint(tmp_path / "net.safetensors", "mlp:64-20-10")
    table(tmp_path / "net.safetensors", "--norm", "l2", "-o", tmp_path / "all.parquet")
    near = ("--epsilon", "0.001", "--epsilon", "0.1")
    table(tmp_path / "net.safetensors", "--norm", "l2", *near, "-o", tmp_path / "near.parquet")
    (everywhere,) = set(pq.read_table(tmp_path / "all.parquet")["lipschitz"].to_pylist())
    rows = pq.read_table(tmp_path / "near.parquet").to_pylist()
    assert len(rows) == 6
    for row in rows:
        assert row["sampled"] <= row["lipschitz"] <= everywhere
        assert 0 < row["radius"] <= row["epsilon"]
    assert rows[0]["lipschitz"] < everywhere


def test_what_has_no_meaning_for_rates_of_change_is_refused(tmp_path):
    checkpoint(tmp_path / "net.safetensors", "mlp:64-10")
    found = run("verify", tmp_path / "net.safetensors", "--lipschitz", "--method", "ibp", code=2)
    assert "it has no `--method`" in found.output
    found = run("verify", "--lipschitz", code=2)
    assert "no checkpoint is given" in found.output
