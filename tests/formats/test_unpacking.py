"""Checkpoints packed with gzip load like what they hold, and never without bound."""

import gzip

import pytest
import torch

from nncli.checkpoints import resolve
from nncli.errors import ArtifactError
from nncli.formats import unpacking
from nncli.formats.sources import open_source
from nncli.formats.unpacking import unpacked


def packed(tmp_path, data, name="file.gz"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(data))
    return str(path)


def test_a_packed_file_is_its_content_and_has_its_digest(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"0123456789" * 1000)
    name = packed(tmp_path, plain.read_bytes())
    with open_source(name) as source, unpacked(source) as inner, open_source(str(plain)) as other:
        assert inner.digest == other.digest
        assert inner.name == name


def test_a_file_that_is_not_packed_is_left_alone(tmp_path):
    path = tmp_path / "plain"
    path.write_bytes(b"plain text")
    with open_source(str(path)) as source:
        assert unpacked(source) is source


def test_a_packed_file_that_is_cut_short_is_refused_by_name(tmp_path):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(bytes(range(256)) * 100)[:-20])
    with (
        open_source(str(path)) as source,
        pytest.raises(ArtifactError, match="damaged or cut short"),
    ):
        unpacked(source)


def test_a_small_file_cannot_unpack_to_a_huge_one(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "ALWAYS", 100_000)
    name = packed(tmp_path, bytes(5_000_000))
    with open_source(name) as source, pytest.raises(ArtifactError, match="no checkpoint does"):
        unpacked(source)


def test_a_packed_checkpoint_is_the_checkpoint(tmp_path):
    torch.manual_seed(0)
    from safetensors.torch import save_file

    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    names = ("block.0.linear", "head")
    state = {
        f"{name}.{kind}": getattr(layer, kind).detach()
        for name, layer in zip(names, (module[0], module[2]), strict=True)
        for kind in ("weight", "bias")
    }
    save_file(state, tmp_path / "net.safetensors")
    name = packed(tmp_path, (tmp_path / "net.safetensors").read_bytes(), "net.safetensors.gz")
    model = resolve(name, "mlp:3-4-2")
    x = torch.rand(5, 3)
    assert torch.equal(model.module(x), resolve(name[:-3], "mlp:3-4-2").module(x))
    assert torch.allclose(model.module(x), module(x))
    assert model.digest == resolve(name[:-3], "mlp:3-4-2").digest
