"""`nncli verify --bounds` and `--ranges` on real command lines."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file

from nncli.architectures import build
from nncli.cli import cli
from nncli.formats.entry import Entry
from nncli.formats.tensors import write_tensors


def run(*words, code=0):
    found = CliRunner().invoke(cli, [str(one) for one in words])
    assert found.exit_code == code, found.output
    return found


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """An untrained network for digits, and its module."""
    path = tmp_path_factory.mktemp("ranges") / "net.safetensors"
    module = build("mlp:64-12-10", seed=0)
    arrays = {name: one.detach().numpy() for name, one in module.state_dict().items()}
    write_tensors(str(path), arrays, Entry("checkpoint", facts={"arch": "mlp:64-12-10"}))
    return path, module


def ask(net, *words):
    near = ("--limit", "2", "--epsilon", "0.001", "--epsilon", "0.01", "--truth", "answer")
    run("verify", net, *near, "--method", "crown", *words)


def test_bounds_have_a_row_for_each_region_and_hold_the_values_at_the_examples(net, tmp_path):
    path, module = net
    ask(path, "--bounds", tmp_path / "b.safetensors", "-o", tmp_path / "v.parquet")
    held = load_file(tmp_path / "b.safetensors")
    names = {f"{layer}/{side}" for layer in ("block.0.linear", "output") for side in SIDES}
    assert set(held) == names
    assert held["block.0.linear/lower"].shape == (4, 12)
    from nncli.formats.datasets import load

    x = torch.from_numpy(load("digits", limit=2).x)
    y = module(x).detach().numpy().repeat(2, axis=0)
    assert (held["output/lower"] <= y + 1e-5).all()
    assert (held["output/upper"] >= y - 1e-5).all()
    width = held["output/upper"] - held["output/lower"]
    assert (width[1] > 5 * width[0]).all()  # ten times the epsilon


SIDES = ("lower", "upper")


def test_ranges_are_proved_around_what_is_reached(net, tmp_path):
    path, _ = net
    ask(path, "--ranges", tmp_path / "r.parquet", "-o", tmp_path / "v.parquet")
    rows = pq.read_table(tmp_path / "r.parquet").to_pydict()
    assert len(rows["output"]) == 2 * 2 * 10
    for low, least, most, high in zip(
        *(rows[one] for one in ("low", "attacked_low", "attacked_high", "high")), strict=True
    ):
        assert low <= least <= most <= high
    assert np.array(rows["high"]).max() > np.array(rows["attacked_high"]).min()


def test_a_place_that_cannot_be_written_is_refused_before_the_work(net, tmp_path):
    path, _ = net
    (tmp_path / "mine.safetensors").write_bytes(b"somebody's file")
    found = run(
        "verify", path, "--epsilon", "0.1", "--bounds", tmp_path / "mine.safetensors",
        "-o", tmp_path / "v.parquet", code=3,
    )  # fmt: skip
    assert "was not written by nncli" in found.output
    assert not (tmp_path / "v.parquet").exists()


@pytest.mark.parametrize(
    ("option", "name", "what"),
    [
        ("--ranges", "r.safetensors", "a table"),
        ("--bounds", "b.csv", "a safetensors file"),
        ("--certificate", "c.parquet", "a safetensors file"),
        ("--counterexamples", "x.npz", "a safetensors file"),
    ],
)
def test_a_suffix_of_another_format_is_refused_before_the_work(net, tmp_path, option, name, what):
    path, _ = net
    place, verdicts = tmp_path / name, tmp_path / "v.parquet"
    found = run("verify", path, "--epsilon", "0.1", option, place, "-o", verdicts, code=2)
    assert f"but {what} is to be written" in found.output
    assert not verdicts.exists()


def test_ranges_as_text_are_replaced_by_ranges_and_replace_nothing_else(net, tmp_path):
    path, _ = net
    words = ("--ranges", tmp_path / "r.csv", "-o", tmp_path / "v.parquet")
    ask(path, *words)
    first = (tmp_path / "r.csv").read_bytes()
    ask(path, *words)
    assert (tmp_path / "r.csv").read_bytes() == first
    (tmp_path / "r.csv").write_text("my notes\n")
    assert "exists" in run("verify", path, "--epsilon", "0.1", *words, code=3).output


def test_bounds_of_two_networks_do_not_go_into_one_file(net, tmp_path):
    path, module = net
    other = tmp_path / "other.safetensors"
    arrays = {name: 2 * one.detach().numpy() for name, one in module.state_dict().items()}
    write_tensors(str(other), arrays, Entry("checkpoint", facts={"arch": "mlp:64-12-10"}))
    found = run(
        "verify", path, other, "--limit", "1", "--epsilon", "0.001", "--truth", "answer",
        "--bounds", tmp_path / "b.safetensors", "-o", tmp_path / "v.parquet", code=3,
    )  # fmt: skip
    assert "is about one network" in found.output
