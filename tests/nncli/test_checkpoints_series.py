"""Series of checkpoints: the members that a manifest names."""

from pathlib import Path

import pyarrow as pa
import pytest
from checkpoint_files import SPEC, agrees, mlp, ours, saved
from torch import Tensor, nn

from nncli.checkpoints import Member, expand, resolve
from nncli.errors import (
    ArtifactError,
)
from nncli.formats.entry import Entry
from nncli.formats.series import MANIFEST
from nncli.formats.tables import write_table


@pytest.fixture
def network() -> nn.Module:
    return mlp()


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return dict(mlp().state_dict())


def test_a_series_becomes_its_members_in_the_order_of_its_manifest(
    tmp_path: Path, weights: dict[str, Tensor]
) -> None:
    names = ["b.safetensors", "a.safetensors"]
    for name in names:
        ours(tmp_path / name, weights, arch=SPEC, factors={"seed": 1})
    columns = {"seed": [1, 2], "epsilon": [None, 0.5], "test_accuracy": [0.5, 0.6]}
    write_table(str(tmp_path / MANIFEST), pa.table({"path": names} | columns), Entry("series"))
    expected = [
        Member(str(tmp_path / "b.safetensors"), {"seed": 1}),
        Member(str(tmp_path / "a.safetensors"), {"seed": 2, "epsilon": 0.5}),
    ]
    assert expand([str(tmp_path)]) == expected
    assert expand([str(tmp_path / MANIFEST)]) == expected
    alone = str(tmp_path / "a.safetensors")
    assert expand([alone, str(tmp_path), "-"]) == [Member(alone), *expected, Member("-")]
    assert resolve(expected[1]).factors == {"seed": 2, "epsilon": 0.5}
    with pytest.raises(ArtifactError, match="is a series") as caught:
        resolve(str(tmp_path))
    assert "b.safetensors" in str(caught.value.hint)


def test_a_manifest_written_by_hand_brings_architecture_and_factors(
    tmp_path: Path, network: nn.Module, weights: dict[str, Tensor]
) -> None:
    saved(tmp_path / "theirs.pt", weights)
    (tmp_path / "list.csv").write_text(f"path,arch,width\ntheirs.pt,{SPEC},32\n")
    (member,) = expand([str(tmp_path / "list.csv")])
    model = resolve(member)
    assert agrees(model.module, network)
    assert model.factors == {"width": 32}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"path": ["gone.pt"]}, "row 0 .* names `.*gone.pt`, which is not there"),
        ({"path": [None]}, "row 0 .* names no file"),
        ({"file": ["a.pt"]}, "path"),
        ({"path": []}, "is empty"),
    ],
)
def test_a_manifest_that_cannot_be_followed_is_refused(
    tmp_path: Path, columns: dict[str, list[object]], words: str
) -> None:
    data = {key: pa.array(values, pa.string()) for key, values in columns.items()}
    write_table(str(tmp_path / MANIFEST), pa.table(data), Entry("series"))
    with pytest.raises(ArtifactError, match=words):
        expand([str(tmp_path)])
