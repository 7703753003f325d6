"""Hostile and damaged files: one clear error, and nothing in a file is ever run."""

import io
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from checkpoint_files import SPEC, agrees, mlp, saved
from torch import Tensor, nn

from nncli.checkpoints import resolve
from nncli.errors import (
    ArtifactError,
    NncliError,
    NncliWarning,
    UsageError,
)


@pytest.fixture
def network() -> nn.Module:
    return mlp()


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return dict(mlp().state_dict())


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_never_executed(
    tmp_path: Path, network: nn.Module, weights: dict[str, Tensor], zipped: bool
) -> None:
    fuse = tmp_path / "ran"
    name = saved(
        tmp_path / "a.pt",
        {"state_dict": weights, "extra": Bomb(fuse)},
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.warns(NncliWarning) as told:
        assert agrees(resolve(name, SPEC).module, network)
    assert any("names Python code" in str(one.message) for one in told)
    assert any("which was not run" in str(one.message) for one in told)
    assert not fuse.exists()
    for content in (Bomb(fuse), [Bomb(fuse)], {"state_dict": Bomb(fuse)}):
        with pytest.raises(ArtifactError):
            resolve(saved(tmp_path / "b.pt", content), SPEC)
        (tmp_path / "c.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(ArtifactError):
            resolve(str(tmp_path / "c.pkl"), SPEC)
    assert not fuse.exists()


def test_a_whole_pickled_module_gives_its_weights_but_never_its_code(
    tmp_path: Path, network: nn.Module
) -> None:
    name = saved(tmp_path / "a.pt", network)
    with pytest.raises(UsageError, match="names Python code"):
        resolve(name)
    with pytest.warns(NncliWarning, match="was not run: only its tensors were read"):
        assert agrees(resolve(name, SPEC).module, network)


def test_a_pickle_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    for content in ({"a": 1}, [1, 2], "text", {"x": [np.float64(1)]}):
        path = tmp_path / "a.pt"
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(ArtifactError, match="holds no tensors"):
            resolve(str(path), SPEC)


@pytest.mark.parametrize("suffix", ["pt", "legacy", "safetensors"])
def test_a_file_cut_short_anywhere_is_one_clear_error(
    tmp_path: Path, weights: dict[str, Tensor], suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "safetensors":
        safetensors.torch.save_file(weights, path)
    else:
        saved(path, weights, _use_new_zipfile_serialization=suffix == "pt")
    whole = path.read_bytes()
    for share in (0, 0.01, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ArtifactError, match="`.*a." + suffix):
            resolve(str(path), SPEC)


def test_bytes_overwritten_anywhere_never_crash(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    buffer = io.BytesIO()
    torch.save({"state_dict": weights}, buffer)
    whole, random = buffer.getvalue(), np.random.default_rng(0)
    path = tmp_path / "a.pt"
    for _ in range(60):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 20):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NncliWarning)
            try:
                resolve(str(path), SPEC)
            except NncliError:
                continue


def test_a_file_of_another_kind_is_told_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello there")
    with pytest.raises(ArtifactError, match="text starting `hello there`, expected a checkpoint"):
        resolve(str(tmp_path / "a.txt"), SPEC)
    with pytest.raises(ArtifactError, match="there is no file"):
        resolve(str(tmp_path / "nothing.pt"), SPEC)


def test_folders_that_are_no_checkpoint_are_told_apart(
    tmp_path: Path, weights: dict[str, Tensor]
) -> None:
    with pytest.raises(ArtifactError, match="it holds nothing"):
        resolve(str(tmp_path))
    saved(tmp_path / "a.pt", weights)
    with pytest.raises(ArtifactError, match="is no checkpoint") as caught:
        resolve(str(tmp_path))
    assert str(tmp_path / "a.pt") in str(caught.value.hint)
