"""Programs of torch.export: exact layer by layer, of any batch size, and never code."""

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from network_outputs import SPECS, close, images, outputs
from torch import Tensor, nn

from nncli.architectures import build
from nncli.checkpoints import resolve
from nncli.checkpoints.exported_calls import function
from nncli.errors import ArtifactError, MismatchError, NncliWarning


def export(path: Path, module: nn.Module, *given: Tensor, dynamic: bool = True) -> str:
    sizes = tuple({0: torch.export.Dim("n", min=1)} for _ in given) if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module, given, dynamic_shapes=sizes), path)
    return str(path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[nn.Module, str]]:
    folder = tmp_path_factory.mktemp("exported")
    found = {}
    for place, spec in enumerate(SPECS):
        module = build(spec, seed=1).eval()
        found[spec] = module, export(folder / f"{place}.pt2", module, images(4))
    return found


@pytest.mark.parametrize("spec", SPECS)
def test_an_exported_program_computes_what_was_exported_layer_by_layer(
    spec: str, exported: dict[str, tuple[nn.Module, str]]
) -> None:
    module, name = exported[spec]
    model = resolve(name)
    assert (model.kind, model.arch, model.input_shape) == ("torch-export", None, (1, 8, 8))
    expected, found = outputs(module, images()), outputs(model.module, images())
    missed = {name for name in expected if name not in found}
    assert not {name for name in missed if name.startswith(("block.", "head"))}
    for name, tensor in found.items():
        if name in expected:
            assert close(tensor, expected[name]), name
    assert set(model.module.state_dict()) == set(module.state_dict())
    trained = dict(model.module.named_parameters())
    assert set(trained) == set(dict(module.named_parameters()))
    assert model.module.to("meta")(images().to("meta")).shape == (7, 10)


def test_a_mask_goes_to_the_input_of_that_name(tmp_path: Path) -> None:
    module = build("transformer:v50x16-d16-h2-b1-10", seed=0).eval()
    tokens = torch.randint(50, (6, 16), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(16) < torch.tensor([[3], [16], [9], [1], [5], [2]])
    model = resolve(export(tmp_path / "a.pt2", module, tokens[:4], mask[:4]))
    with torch.no_grad():
        assert close(model.module(tokens, mask), module(tokens, mask))
        assert close(model.module(tokens), module(tokens))


@pytest.mark.parametrize("spec", SPECS[2:])
def test_a_program_for_one_batch_size_does_any(tmp_path: Path, spec: str) -> None:
    module = build(spec, seed=1).eval()
    model = resolve(export(tmp_path / "a.pt2", module, images(4), dynamic=False))
    for n in (1, 3, 4, 5, 8, 9):
        expected, found = outputs(module, images(n)), outputs(model.module, images(n))
        assert all(close(one, expected[name]) for name, one in found.items() if name in expected)


def test_what_a_hook_changes_is_what_the_rest_of_a_program_sees(tmp_path: Path) -> None:
    module = build("mlp:64-16-12-10", seed=1).eval()
    for dynamic in (True, False):
        model = resolve(export(tmp_path / "a.pt2", module, images(4), dynamic=dynamic))
        for one in (module, model.module):
            one.get_submodule("block.0").register_forward_hook(lambda _m, _i, found: found * 2 + 1)
        with torch.no_grad():
            assert close(model.module(images()), module(images()))


def test_weights_of_a_program_are_parameters_with_gradients(tmp_path: Path) -> None:
    module = build("mlp:64-8-10", seed=1).eval()
    model = resolve(export(tmp_path / "a.pt2", module, images(4)))
    for one in (module, model.module):
        one(images()).square().sum().backward()
    expected = {name: one.grad for name, one in module.named_parameters()}
    for name, parameter in model.module.named_parameters():
        assert parameter.grad is not None
        assert close(parameter.grad, expected[name])  # type: ignore[arg-type]


def test_a_program_with_several_results_gives_the_first_and_says_so(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
            self.register_buffer("scale", torch.full((2,), 3.0), persistent=False)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            found = self.inner(x).mean((2, 3)) * self.scale
            return {"logits": found + torch.tensor([1.0, 2.0]), "hidden": self.inner(x)}

    module = Two().eval()
    with pytest.warns(NncliWarning, match="has 2 results"):
        model = resolve(export(tmp_path / "a.pt2", module, images(4)))
    with torch.no_grad():
        assert close(model.module(images()), module(images())["logits"])


@pytest.mark.parametrize(
    "target",
    [
        "torch.hub.load",
        "torch.load",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.aten.set_.source_Storage",
        "torch.ops.aten.add.out",
        "torch.ops.higher_order.cond",
        "torch.ops.aten._foreach_add.List",
        "torch.ops.mine.evil.default",
        "torch.ops.aten.__class__.mro",
        "_operator.methodcaller",
        "_operator.attrgetter",
        "math.__loader__",
        "torch.sym_int.__globals__",
        "os.system",
        "builtins.eval",
        "#evil:thing",
    ],
)
def test_a_program_calls_only_what_computes(target: str) -> None:
    with pytest.raises(ArtifactError, match="does not run"):
        function("a.pt2", target)


def rewritten(name: str, out: Path, part: str, change: Callable[[Any], Any]) -> str:
    """A copy of an archive with one JSON file of it changed."""
    with zipfile.ZipFile(name) as old, zipfile.ZipFile(out, "w") as new:
        for one in old.namelist():
            data = old.read(one)
            if one.endswith(part):
                data = json.dumps(change(json.loads(data))).encode()
            new.writestr(one, data)
    return str(out)


def test_a_program_that_wants_to_unpickle_or_evaluate_is_refused_or_ignored(
    tmp_path: Path, exported: dict[str, tuple[nn.Module, str]]
) -> None:
    module, name = exported[SPECS[0]]

    def pickled(config: Any) -> Any:
        next(iter(config["config"].values()))["use_pickle"] = True
        return config

    def evaluated(model: Any) -> Any:
        evil = f"__import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()"
        for values in model["graph_module"]["graph"]["tensor_values"].values():
            for size in values["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = evil
        model["guards_code"] = [evil]
        return model

    def called(model: Any) -> Any:
        model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.hub.load"
        return model

    out = tmp_path / "a.pt2"
    with pytest.raises(ArtifactError, match="does not unpickle"):
        resolve(rewritten(name, out, "weights_config.json", pickled))
    with pytest.raises(ArtifactError, match=r"calls `torch\.hub\.load`"):
        resolve(rewritten(name, out, "model.json", called))
    model = resolve(rewritten(name, out, "model.json", evaluated))
    with torch.no_grad():
        assert close(model.module(images()), module(images()))
    assert not (tmp_path / "ran").exists()


def test_a_damaged_program_is_one_clear_error(
    tmp_path: Path, exported: dict[str, tuple[nn.Module, str]]
) -> None:
    _, name = exported[SPECS[1]]
    whole = Path(name).read_bytes()
    out = tmp_path / "a.pt2"
    for share in (0.3, 0.9):
        out.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ArtifactError, match=r"a\.pt2"):
            resolve(str(out))
    for change in (
        lambda model: {},
        lambda model: model | {"graph_module": []},
        lambda model: json.loads(json.dumps(model).replace('"conv2d"', '"gone"', 1)),
        lambda model: json.loads(json.dumps(model).replace("as_tensor", "as_thing")),
    ):
        with pytest.raises(ArtifactError, match=r"a\.pt2"):
            resolve(rewritten(name, out, "model.json", change))


def test_a_program_of_an_old_torch_is_told_apart_from_any_archive(tmp_path: Path) -> None:
    out = tmp_path / "a.pt2"
    for member, words in (
        ("serialized_exported_program.json", "torch before 2.8"),
        ("notes.txt", "zip archive"),
    ):
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(member, "{}")
        with pytest.raises(ArtifactError, match=words):
            resolve(str(out))


def test_gradients_of_single_examples_come_out_of_vmap_for_programs_too(
    exported: dict[str, tuple[nn.Module, str]],
) -> None:
    for spec in (SPECS[0], SPECS[2]):
        module, name = exported[spec]
        program = resolve(name).module

        def total(weights: dict[str, Tensor], one: Tensor, network: nn.Module) -> Tensor:
            return torch.func.functional_call(network, weights, (one[None],)).square().sum()

        weights = {name: one.detach() for name, one in module.named_parameters()}
        each = [
            torch.func.vmap(torch.func.grad(total), in_dims=(None, 0, None))(
                weights, images(3), network
            )
            for network in (program, module)
        ]
        assert all(close(each[0][name], each[1][name]) for name in weights)


def test_data_that_a_program_cannot_take_are_named(
    exported: dict[str, tuple[nn.Module, str]],
) -> None:
    model = resolve(exported[SPECS[0]][1])
    with pytest.raises(MismatchError, match="takes 1x8x8 an example, the data has 28x28"):
        model.module(torch.zeros(2, 28, 28))
    assert close(model.module(images().flatten(1)), model.module(images()))
