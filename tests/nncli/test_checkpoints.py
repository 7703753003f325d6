"""Weights in files: found, checked, and put into their network."""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from checkpoint_files import SPEC, agrees, images, mlp, ours, saved
from torch import Tensor, nn

from nncli.architectures import build
from nncli.checkpoints import pick_device, resolve
from nncli.errors import (
    ArtifactError,
    EnvironmentFault,
    MismatchError,
    NncliWarning,
    UsageError,
)
from nncli.formats.entry import Entry
from nncli.formats.tensors import write_tensors


@pytest.fixture
def network() -> nn.Module:
    return mlp()


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return dict(mlp().state_dict())


# --- our own checkpoints


def test_our_own_checkpoint_says_everything(
    tmp_path: Path, network: nn.Module, weights: dict[str, Tensor]
) -> None:
    name = ours(tmp_path / "a.safetensors", weights, arch=SPEC, factors={"seed": 3, "step": 10})
    model = resolve(name)
    assert agrees(model.module, network)
    assert not model.module.training
    assert (model.name, model.kind, model.arch) == (name, "state-dict", SPEC)
    assert model.input_shape == (64,)
    assert model.factors == {"seed": 3, "step": 10}
    assert model.entry is not None
    assert model.entry.kind == "checkpoint"
    assert model.digest.startswith("sha256:")


def test_arch_on_the_command_line_wins_over_the_recorded_one_and_says_so(
    tmp_path: Path, weights: dict[str, Tensor]
) -> None:
    name = ours(tmp_path / "a.safetensors", weights, arch=SPEC)
    with pytest.warns(NncliWarning, match="it is read as `mlp:64-32-10,act=tanh`"):
        model = resolve(name, f"{SPEC},act=tanh")
    assert model.arch == f"{SPEC},act=tanh"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve(name, f"{SPEC},act=relu")  # the same in other words


def test_code_that_a_checkpoint_names_is_not_run_unless_the_user_names_it(
    tmp_path: Path, weights: dict[str, Tensor]
) -> None:
    code = tmp_path / "mine.py"
    code.write_text(
        "from pathlib import Path\nfrom nncli.architectures import build\n"
        f"Path({str(tmp_path / 'ran')!r}).touch()\ndef net():\n    return build('{SPEC}')\n"
    )
    name = ours(tmp_path / "a.safetensors", weights, arch=f"{code}:net")
    with pytest.raises(UsageError, match="runs only if you name it") as caught:
        resolve(name)
    assert f"--arch {code}:net" in str(caught.value.hint)
    assert not (tmp_path / "ran").exists()
    assert resolve(name, f"{code}:net").arch == f"{code}:net"
    assert (tmp_path / "ran").exists()


def test_an_impossible_recorded_architecture_is_the_fault_of_the_file(
    tmp_path: Path, weights: dict[str, Tensor]
) -> None:
    name = ours(tmp_path / "a.safetensors", weights, arch="mlp:nonsense")
    with pytest.raises(ArtifactError, match="records an architecture that cannot be"):
        resolve(name)


def test_an_artifact_of_another_kind_is_refused_by_its_kind(tmp_path: Path) -> None:
    name = str(tmp_path / "a.safetensors")
    write_tensors(name, {"block.0": np.ones((3, 2), np.float32)}, Entry("activations"))
    with pytest.raises(ArtifactError, match="holds activations, expected checkpoint"):
        resolve(name, SPEC)


# --- bare state dicts of any container


def test_every_container_of_a_state_dict_gives_the_same_network(
    tmp_path: Path, network: nn.Module, weights: dict[str, Tensor]
) -> None:
    safetensors.torch.save_file(weights, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **{name: one.numpy() for name, one in weights.items()})
    saved(tmp_path / "a.pt", weights)
    saved(tmp_path / "legacy.pth", weights, _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "a.npz", "a.pt", "legacy.pth"):
        assert agrees(resolve(str(tmp_path / name), SPEC).module, network), name


def test_the_suffix_does_not_matter(
    tmp_path: Path, network: nn.Module, weights: dict[str, Tensor]
) -> None:
    name = saved(tmp_path / "weights.safetensors", weights)
    assert agrees(resolve(name, SPEC).module, network)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (lambda w: {"state_dict": w, "epoch": 3}, "state_dict"),
        (lambda w: {"model_state_dict": w, "optimizer_state_dict": {}}, "model_state_dict"),
        (lambda w: {"model_state": w, "num_edges": 4}, "model_state"),
        (lambda w: {"model": {"state_dict": w}, "step": 1}, "model/state_dict"),
        (lambda w: {"checkpoint": {"net": w}}, "checkpoint/net"),
        (lambda w: {"ema": {name: one + 1 for name, one in w.items()}, "model": w}, "model"),
        (lambda w: {"teacher": {"a.weight": torch.ones(2, 2)}, "student": w}, "student"),
        (lambda w: {"args": argparse.Namespace(lr=1), "loss": np.float64(1), "net": w}, "net"),
    ],
)
def test_a_nested_state_dict_is_found_and_its_key_is_said(
    tmp_path: Path, network: nn.Module, weights: dict[str, Tensor], content: object, key: str
) -> None:
    assert callable(content)
    optimizer = torch.optim.Adam(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    network.zero_grad()
    held = content(weights) | {"optimizer": optimizer.state_dict()}
    with pytest.warns(NncliWarning) as told:
        model = resolve(saved(tmp_path / "a.pt", held), SPEC)
    assert any(f"those under `{key}`" in str(one.message) for one in told)
    assert any("`optimizer`" in str(one.message) for one in told)
    assert agrees(model.module, network)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model."])
def test_the_prefix_of_a_wrapper_is_taken_off_and_said(
    tmp_path: Path, network: nn.Module, weights: dict[str, Tensor], prefix: str
) -> None:
    name = saved(tmp_path / "a.pt", {prefix + key: one for key, one in weights.items()})
    with pytest.warns(NncliWarning, match=f"`{prefix}` was taken off"):
        assert agrees(resolve(name, SPEC).module, network)


def test_weights_under_other_names_are_matched_by_order_and_that_is_said(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = nn.Sequential(nn.Linear(64, 9), nn.ReLU(), *[nn.Linear(9, 9), nn.ReLU()] * 10)
    theirs.append(nn.Linear(9, 10))
    spec = "mlp:64-" + "9-" * 11 + "10"
    safetensors.torch.save_file(
        {name: one.clone() for name, one in theirs.state_dict().items()}, tmp_path / "a.safetensors"
    )  # which sorts `10.weight` before `2.weight`
    with pytest.warns(NncliWarning, match=r"by their order.*0\.weight as block\.0\.linear\.weight"):
        model = resolve(str(tmp_path / "a.safetensors"), spec)
    assert torch.allclose(model.module(images()), theirs(images()), atol=1e-6)


def test_the_weights_of_torchs_own_lstm_are_matched_by_order(tmp_path: Path) -> None:
    torch.manual_seed(0)

    class Theirs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 12, num_layers=2, batch_first=True)
            self.out = nn.Linear(12, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.lstm(x.reshape(-1, 8, 8))[0][:, -1])

    theirs = Theirs()
    name = saved(tmp_path / "a.pt", theirs.state_dict())
    with pytest.warns(NncliWarning, match="matched by their order"):
        model = resolve(name, "rnn:8x8-12-12-10,cell=lstm")
    assert torch.allclose(model.module(images()), theirs(images()), atol=1e-6)


def test_weights_saved_on_a_gpu_load_without_one(
    tmp_path: Path,
    network: nn.Module,
    weights: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    for zipped in (True, False):
        name = saved(tmp_path / "a.pt", weights, _use_new_zipfile_serialization=zipped)
        if not torch.cuda.is_available():
            with pytest.raises(RuntimeError, match="CUDA"):  # the simulation is a good one
                torch.load(name, weights_only=True)
        assert agrees(resolve(name, SPEC).module, network)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_narrow_weights_are_widened_exactly_and_wide_ones_stay_wide(
    tmp_path: Path, weights: dict[str, Tensor], dtype: torch.dtype, suffix: str
) -> None:
    cast = {name: one.to(dtype) for name, one in weights.items()}
    path = tmp_path / f"a.{suffix}"
    if suffix == "pt":
        saved(path, cast)
    else:
        safetensors.torch.save_file(cast, path)
    state = resolve(str(path), SPEC).module.state_dict()
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    for name, one in cast.items():
        assert torch.equal(state[name], one.to(wide))
        assert state[name].dtype == wide


def test_views_and_shared_storages_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    whole = torch.arange(200.0).reshape(10, 20)
    content = {"head.weight": whole.T[::2, 1:9], "head.bias": whole[3, :10]}
    for zipped in (True, False):
        name = saved(tmp_path / "a.pt", content, _use_new_zipfile_serialization=zipped)
        expected = torch.load(name, weights_only=True)
        state = resolve(name, "mlp:8-10").module.state_dict()
        assert all(torch.equal(state[key], one) for key, one in expected.items())


def test_batch_norm_statistics_come_along(tmp_path: Path) -> None:
    module = build("cnn:1x8x8-c4-10,norm=batch", seed=0)
    module(torch.rand(16, 1, 8, 8))
    module.eval()
    name = saved(tmp_path / "a.pt", module.state_dict())
    assert torch.equal(
        resolve(name, "cnn:1x8x8-c4-10,norm=batch").module(images()), module(images())
    )


# --- what does not fit


def test_without_an_architecture_the_shapes_are_told_and_one_is_suggested(
    tmp_path: Path, weights: dict[str, Tensor]
) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(saved(tmp_path / "a.pt", weights))
    assert "`block.0.linear.weight` 32x64" in caught.value.message
    assert f"--arch {SPEC}" in str(caught.value.hint)
    assert "model.py:Name" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("mlp:64-16-10", ["`block.0.linear.weight` is 32x64 in the file and 16x64 there"]),
        ("mlp:64-32-32-10", ["lacks", "`block.1.linear.weight`"]),
        ("mlp:64-10", ["no place for", "`block.0.linear.weight`"]),
        ("mlp:64-32-10,norm=batch", ["lacks", "`block.0.norm.running_mean`"]),
        ("cnn:1x8x8-c4-10", ["lacks", "`block.0.conv.weight`", "closest: `block.0.linear.weight`"]),
    ],
)
def test_weights_of_another_architecture_are_refused_by_name(
    tmp_path: Path, weights: dict[str, Tensor], spec: str, words: list[str]
) -> None:
    with pytest.raises(MismatchError) as caught:
        resolve(saved(tmp_path / "a.pt", weights), spec)
    for word in words:
        assert word in caught.value.message
    assert "--arch" in str(caught.value.hint)


def test_missing_and_superfluous_indices_are_a_warning(tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text(
        "import torch\nclass Net(torch.nn.Linear):\n    def __init__(self):\n"
        "        super().__init__(4, 2)\n"
        "        self.register_buffer('position_ids', torch.arange(4))\n"
    )
    bare = {"weight": torch.ones(2, 4), "bias": torch.ones(2)}
    with pytest.warns(NncliWarning, match="lacks `position_ids`; these are no weights"):
        module = resolve(saved(tmp_path / "a.pt", bare), f"{code}:Net").module
    assert torch.equal(module.position_ids, torch.arange(4))  # type: ignore[arg-type]
    more = bare | {"position_ids": torch.arange(4), "steps": torch.tensor(7)}
    with pytest.warns(NncliWarning, match="holds more than is needed: `steps`"):
        resolve(saved(tmp_path / "b.pt", more), f"{code}:Net")


def test_tied_weights_need_to_be_there_once(tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text(
        "import torch\nclass Net(torch.nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.a = torch.nn.Linear(3, 3, bias=False)\n"
        "        self.b = torch.nn.Linear(3, 3, bias=False)\n"
        "        self.b.weight = self.a.weight\n"
    )
    name = saved(tmp_path / "a.pt", {"a.weight": torch.eye(3)})
    module = resolve(name, f"{code}:Net").module
    assert torch.equal(module.state_dict()["b.weight"], torch.eye(3))


# --- devices


def test_devices_are_checked_before_anything_is_read() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(UsageError, match="no device `gpu`"):
        resolve("nowhere.pt", SPEC, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(EnvironmentFault, match="0 CUDA devices"):
            resolve("nowhere.pt", SPEC, device="cuda")
