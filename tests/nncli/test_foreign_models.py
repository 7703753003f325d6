"""Networks that come as programs or folders: torch.export, ONNX, Hugging Face."""

import builtins
import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nncli.architectures import build
from nncli.checkpoints import Model, resolve
from nncli.checkpoints.exported_calls import function
from nncli.checkpoints.names import Names
from nncli.errors import ArtifactError, EnvironmentFault, MismatchError, NncliWarning

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra `onnx`")
transformers = pytest.importorskip("transformers", reason="needs the extra `huggingface`")
SPECS = [
    "mlp:64-32-16-10,act=tanh",
    "cnn:1x8x8-c4-p-16-10,norm=batch",
    "transformer:8x8-d16-h2-b2-10",
    "rnn:8x8-12-10,cell=lstm",
]


def images(n: int = 7) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def outputs(module: nn.Module, *given: Tensor) -> dict[str, Tensor]:
    """What every module that is called puts out, under its name."""
    seen: dict[str, Tensor] = {}

    def note(name: str) -> Callable[[Any, Any, Any], None]:
        return lambda _module, _given, found: seen.update({name: found})

    hooks = [one.register_forward_hook(note(name)) for name, one in module.named_modules()]
    with torch.no_grad():
        module(*given)
    for hook in hooks:
        hook.remove()
    return seen


def close(one: Tensor, other: Tensor, atol: float = 1e-5) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=atol)


# --- torch.export


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


# --- ONNX


def graph(
    nodes: list[Any],
    *,
    inputs: dict[str, list[Any]],
    outputs: int | list[str] = 1,
    weights: dict[str, np.ndarray[Any, Any]] | None = None,
    version: int = 17,
) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    names = outputs if isinstance(outputs, list) else list(nodes[-1].output)[:outputs]
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in names],
        [numpy_helper.from_array(v, k) for k, v in (weights or {}).items()],
    )
    opset = [helper.make_opsetid("", version)]
    return helper.make_model(made, opset_imports=opset, ir_version=8)


def written(path: Path, model: Any) -> str:
    onnx.save(model, path)
    return str(path)


def peer(model: Any, x: Tensor) -> Tensor:
    """The answer of the reference implementation of ONNX."""
    from onnx.reference import ReferenceEvaluator

    name = model.graph.input[0].name
    (found, *_) = ReferenceEvaluator(model).run(None, {name: x.numpy()})
    return torch.from_numpy(np.array(found))


def node(kind: str, given: str, made: str, **settings: Any) -> Any:
    settings.setdefault("name", "")
    return onnx.helper.make_node(kind, given.split(), made.split(), **settings)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def classifier() -> Any:
    """A small convolutional network with weights of both kinds: initialisers and constants."""
    weights = {
        "conv.weight": normal(4, 1, 3, 3),
        "conv.bias": normal(4),
        "bn.scale": normal(4),
        "bn.shift": normal(4),
        "bn.mean": normal(4),
        "bn.variance": np.abs(normal(4)) + 1,
        "shape": np.array([1, -1]),
        "fc.bias": normal(10),
    }
    kernel = onnx.numpy_helper.from_array(normal(36, 10), "")
    nodes = [
        node("Conv", "x conv.weight conv.bias", "c", name="/conv/Conv", pads=[0, 0, 1, 1]),
        node("BatchNormalization", "c bn.scale bn.shift bn.mean bn.variance", "b", name="/bn/Norm"),
        node("Relu", "b", "r", name="/act/Relu"),
        node("MaxPool", "r", "p", name="/pool/MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", "p shape", "f", name="/flatten"),
        node("Constant", "", "fc.weight", value=kernel),
        node("MatMul", "f fc.weight", "m", name="/fc/MatMul"),
        node("Add", "m fc.bias", "y", name="/fc/Add"),
    ]
    return graph(nodes, inputs={"x": [1, 1, 8, 8]}, weights=weights)


@pytest.fixture
def onnx_model(tmp_path: Path) -> Model:
    return resolve(written(tmp_path / "a.onnx", classifier()))


def test_an_onnx_network_computes_what_the_reference_does(onnx_model: Model) -> None:
    assert (onnx_model.kind, onnx_model.input_shape) == ("onnx", (1, 8, 8))
    expected = torch.cat([peer(classifier(), one[None]) for one in images()])
    with torch.no_grad():
        assert close(onnx_model.module(images()), expected)  # exported for a batch of one


def test_nodes_of_onnx_are_layers_and_its_weights_parameters(onnx_model: Model) -> None:
    seen = {name: tuple(one.shape) for name, one in outputs(onnx_model.module, images()).items()}
    assert seen["conv.Conv"] == (7, 4, 7, 7)
    assert seen["pool.MaxPool"] == (7, 4, 3, 3)
    assert seen["fc.Add"] == (7, 10)
    names = set(dict(onnx_model.module.named_parameters()))
    assert names == {"conv.weight", "conv.bias", "bn.scale", "bn.shift", "fc.weight", "fc.bias"}
    assert set(onnx_model.module.state_dict()) - names == {"bn.mean", "bn.variance"}
    onnx_model.module(images()).sum().backward()
    assert onnx_model.module.get_parameter("conv.weight").grad is not None


@pytest.mark.parametrize("spec", SPECS[:3])
def test_a_network_has_the_same_layers_as_onnx_as_it_has_in_pytorch(
    tmp_path: Path, spec: str
) -> None:
    module = build(spec, seed=1).eval()
    path = tmp_path / "a.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (images(1),), path, dynamo=False, input_names=["x"])
    model = resolve(str(path))
    expected, found = outputs(module, images()), outputs(model.module, images())
    blocks = [name for name in expected if name.startswith(("block.", "head"))]
    assert {"block.0", "head"} <= {name for name in blocks if name in found}
    for name in blocks:
        if name in found:
            assert close(found[name], expected[name]), name
    assert {f"block.{place}" for place in range(len(module.block))} <= set(found)
    # the device `meta` refuses to be mixed with another and cannot be read: a GPU without a GPU
    assert model.module.to("meta")(images().to("meta")).shape == (7, 10)


def test_the_newer_exporter_tells_modules_in_a_list_beside_each_node(tmp_path: Path) -> None:
    nodes = [
        node("Relu", "x", "a", name="node_relu"),
        node("Shape", "a", "s", name="node_shape"),
        node("Exp", "a", "b", name="node_exp"),
        node("Neg", "b", "y", name="node_neg"),
    ]
    scopes = [["", "one", "one.act", "relu"], ["", "one", "shape"], ["", "one", "exp"], ["", "neg"]]
    for made, scope in zip(nodes, scopes, strict=True):
        made.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=repr(scope))
    model = graph(nodes, inputs={"x": [None, 4]})
    x = torch.from_numpy(normal(2, 4))
    found = outputs(resolve(written(tmp_path / "a.onnx", model)).module, x)
    assert set(found) == {*("", "one", "one.act", "one.act.node_relu", "one.node_exp", "node_neg")}
    assert close(found["one.act"], x.relu())
    assert close(found["one"], x.relu().exp())


@pytest.mark.parametrize(
    ("kind", "settings", "extra", "version"),
    [
        *[
            (kind, {}, {}, 20)
            for kind in (
                *("Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid"),
                *("HardSwish", "Identity", "LeakyRelu", "LogSoftmax", "Mish", "Neg", "Reciprocal"),
                *("Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softmax", "Softplus"),
                *("Softsign", "Tanh", "Transpose", "GlobalAveragePool", "GlobalMaxPool"),
                *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2"),
                *("ReduceProd", "ReduceLogSumExp", "ReduceSumSquare", "ThresholdedRelu", "Celu"),
            )
        ],
        ("Gelu", {"approximate": "tanh"}, {}, 20),
        ("Softmax", {"axis": 1}, {}, 13),
        ("Flatten", {"axis": 2}, {}, 13),
        ("Transpose", {"perm": [0, 2, 3, 1]}, {}, 13),
        ("Clip", {}, {"low": np.float32(-0.5), "high": np.float32(0.5)}, 13),
        ("Clip", {"min": -0.5}, {}, 6),
        ("ReduceMean", {"axes": [1, 3], "keepdims": 0}, {}, 13),
        ("ReduceSum", {"keepdims": 0}, {"axes": np.array([-1])}, 13),
        ("Squeeze", {}, {"axes": np.array([1])}, 13),
        ("Unsqueeze", {}, {"axes": np.array([0, -1])}, 13),
        ("Unsqueeze", {"axes": [2]}, {}, 11),
        ("Gather", {"axis": 2}, {"places": np.array([[0, -1], [2, 2]])}, 13),
        ("Gather", {"axis": 3}, {"place": np.array(1)}, 13),
        ("Slice", {}, {"a": np.array([1, -1]), "b": np.array([99, -99]), "c": np.array([2, 3]),
                       "d": np.array([2, -1])}, 13),
        ("Tile", {}, {"times": np.array([1, 2, 1, 3])}, 13),
        ("Expand", {}, {"shape": np.array([2, 1, 1, 1, 5])}, 13),
        ("Pad", {}, {"pads": np.array([0, 0, 1, 2, 0, 0, 3, 0]), "with": np.float32(3)}, 13),
        ("Pad", {"mode": "reflect"}, {"pads": np.array([0, 0, 1, 2, 0, 0, 2, 1])}, 13),
        ("Pad", {"mode": "edge"}, {"pads": np.array([0, 0, 1, 2, 0, 0, 2, 1])}, 13),
        ("Concat", {"axis": 1}, {"other": normal(3, 2, 4, 5)}, 13),
        ("Mul", {}, {"scale": normal(5)}, 13),
        ("Pow", {}, {"power": np.float32(2)}, 13),
        ("Mod", {"fmod": 1}, {"by": np.float32(0.3)}, 13),
        ("Max", {}, {"one": normal(4, 5), "two": normal(5)}, 13),
        ("PRelu", {}, {"slope": normal(4, 1)}, 13),
        ("Where", {}, {}, 0),
        ("MatMul", {}, {"weight": normal(5, 6)}, 13),
        ("Einsum", {"equation": "ncij,jk->nik"}, {"weight": normal(5, 6)}, 13),
        ("LayerNormalization", {"axis": -2}, {"scale": normal(4, 5), "shift": normal(4, 5)}, 17),
        ("InstanceNormalization", {}, {"scale": normal(1), "shift": normal(1)}, 17),
        ("Trilu", {"upper": 0}, {"from": np.array(1)}, 17),
        ("ArgMax", {"axis": 3, "keepdims": 0}, {}, 13),
        ("AveragePool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [1, 2]}, {}, 17),
        ("AveragePool", {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}, {}, 17),
        ("AveragePool", {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}, {},
         17),
        ("MaxPool", {"kernel_shape": [2, 3], "pads": [0, 2, 1, 0], "strides": [2, 1]}, {}, 17),
        ("MaxPool", {"kernel_shape": [3, 3], "ceil_mode": 1, "strides": [2, 2]}, {}, 17),
        ("Conv", {"strides": [2, 1], "auto_pad": "SAME_LOWER"}, {"w": normal(3, 1, 3, 2)}, 17),
        ("Conv", {"dilations": [1, 2], "pads": [1, 0, 1, 2]}, {"w": normal(3, 1, 3, 2),
                                                             "b": normal(3)}, 17),
        ("ConvTranspose", {"strides": [2, 2], "pads": [1, 1, 1, 1]}, {"w": normal(1, 3, 3, 3)}, 17),
    ],
)  # fmt: skip
def test_an_operator_of_onnx_equals_the_reference(
    tmp_path: Path,
    kind: str,
    settings: dict[str, Any],
    extra: dict[str, np.ndarray[Any, Any]],
    version: int,
) -> None:
    x = torch.from_numpy(normal(3, 1, 4, 5))
    nodes = [node(kind, " ".join(["x", *extra]), "y", **settings)]
    if kind == "Where":
        nodes = [node("Less", "x zero", "c"), node("Where", "c x zero", "y")]
        extra, version = {"zero": np.float32(0)}, 13
    weights = {name: np.asarray(one) for name, one in extra.items()}
    model = graph(nodes, inputs={"x": [None, 1, 4, 5]}, weights=weights, version=version)
    found = resolve(written(tmp_path / "a.onnx", model)).module(x)
    expected = peer(model, x)
    assert found.shape == expected.shape
    assert torch.allclose(found.to(expected.dtype), expected, rtol=1e-4, atol=1e-5)


def test_gemm_split_and_shape_arithmetic_equal_the_reference(tmp_path: Path) -> None:
    weights = {
        "w": normal(6, 8),
        "b": normal(6),
        "zero": np.array([0]),
        "rest": np.array([-1]),
        "sizes": np.array([2, 4]),
    }
    nodes = [
        node("Gemm", "x w b", "g", transB=1, alpha=0.5, beta=2.0),
        node("Split", "g sizes", "one two", axis=1),
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Concat", "n rest", "t", axis=0),
        node("Concat", "two one", "j", axis=1),
        node("Reshape", "j t", "y"),
    ]
    model = graph(nodes, inputs={"x": [None, 8]}, weights=weights)
    x = torch.from_numpy(normal(5, 8))
    assert close(resolve(written(tmp_path / "a.onnx", model)).module(x), peer(model, x))


def shipped() -> list[Any]:
    """The networks that the package onnx ships with their answers, those of one input."""
    base = Path(onnx.__file__).parent / "backend/test/data"
    return [one.parent for one in sorted(base.glob("pytorch-*/*/model.onnx"))]


def read_tensor(path: Path) -> Any:
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return torch.from_numpy(np.array(onnx.numpy_helper.to_array(tensor)))


def test_the_networks_that_ship_with_onnx_give_their_recorded_answers() -> None:
    agreed = 0
    for folder in shipped():
        data = folder / "test_data_set_0"
        if len(list(data.glob("input_*.pb"))) > 1:
            continue
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NncliWarning)  # some have several results
            found = resolve(str(folder / "model.onnx")).module(read_tensor(data / "input_0.pb"))
        expected = read_tensor(data / "output_0.pb")
        assert found.shape == expected.shape, folder.name
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-5, equal_nan=True), folder.name
        agreed += 1
    assert agreed >= 90


def test_operators_that_are_not_known_are_named_with_their_nodes(tmp_path: Path) -> None:
    nodes = [
        node("LSTM", "x w r", "l", name="memory", hidden_size=2),
        node("Relu", "l", "r"),
        onnx.helper.make_node("Mine", ["r"], ["y"], name="special", domain="com.me"),
    ]
    model = graph(nodes, inputs={"x": [1, 1, 2]}, weights={"w": normal(1, 8, 2)})
    with pytest.raises(ArtifactError) as caught:
        resolve(written(tmp_path / "a.onnx", model))
    assert "`LSTM` (node `memory`)" in caught.value.message
    assert "`com.me.Mine` (node `special`)" in caught.value.message
    assert "Relu" not in caught.value.message


def test_a_form_of_an_operator_that_is_not_known_is_named(tmp_path: Path) -> None:
    nodes = [node("Pad", "x pads", "y", mode="wrap", name="round")]
    model = graph(nodes, inputs={"x": [None, 4]}, weights={"pads": np.array([0, 1, 0, 1])})
    with pytest.raises(ArtifactError, match="node `round`: nncli cannot run `Pad` with mode"):
        resolve(written(tmp_path / "a.onnx", model)).module(torch.ones(2, 4))


def test_a_second_result_matters_only_if_somebody_needs_it(tmp_path: Path) -> None:
    nodes = [node("Dropout", "x", "d mask"), node("Relu", "d", "y")]
    model = graph(nodes, inputs={"x": [None, 4]})
    assert torch.equal(
        resolve(written(tmp_path / "a.onnx", model)).module(-torch.ones(2, 4)), torch.zeros(2, 4)
    )
    nodes = [node("MaxPool", "x", "y places", kernel_shape=[2])]
    model = graph(nodes, inputs={"x": [None, 1, 4]}, outputs=["y", "places"])
    with pytest.raises(ArtifactError, match="with a second result"):
        resolve(written(tmp_path / "a.onnx", model))


def test_a_damaged_onnx_file_is_one_clear_error(tmp_path: Path) -> None:
    whole = classifier().SerializeToString()
    path = tmp_path / "a.onnx"
    for share in (0.2, 0.5, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ArtifactError, match=r"a\.onnx"):
            resolve(str(path))
    broken = classifier()
    broken.graph.node[2].input[0] = "nowhere"
    with pytest.raises(ArtifactError, match="needs `nowhere`, which nothing before it computes"):
        resolve(written(path, broken))


def test_weights_beside_an_onnx_file_are_read(tmp_path: Path) -> None:
    model = classifier()
    path = tmp_path / "a.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with torch.no_grad():
        found = resolve(str(path)).module(images(1))
    assert close(found, peer(classifier(), images(1)))
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ArtifactError, match=r"a\.onnx"):
        resolve(str(path))


def test_names_of_graphs_become_paths_that_can_stand_side_by_side() -> None:
    names = Names()
    assert names.weight("fc.weight") == "fc.weight"
    assert names.layer("/fc/Gemm") == "fc.Gemm"
    assert names.layer("/fc") == "fc"
    assert names.layer("fc") == "fc_"
    assert names.layer("fc.weight") == "fc.weight_"
    assert names.layer("fc/weight/Transpose") == "fc.weight_.Transpose"
    assert names.weight("fc") == "fc__"
    assert names.layer("forward") == "forward_"
    assert names.layer("") == "_"


def test_a_missing_extra_is_said_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bert: str
) -> None:
    path = written(tmp_path / "a.onnx", classifier())
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name in ("onnx", "transformers"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for name, extra in ((path, "onnx"), (bert, "huggingface")):
        with pytest.raises(EnvironmentFault) as caught:
            resolve(name)
        assert caught.value.hint == f"pip install 'nncli[{extra}]'"


# --- Hugging Face


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=20,
        num_labels=3,
    )
    folder = str(tmp_path_factory.mktemp("bert"))
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def changed(folder: str, out: Path, **settings: Any) -> str:
    shutil.copytree(folder, out)
    config = json.loads((out / "config.json").read_text()) | settings
    (out / "config.json").write_text(json.dumps(config))
    return str(out)


def test_a_folder_of_hugging_face_is_the_model_that_was_saved(bert: str) -> None:
    model = resolve(bert)
    expected = transformers.BertForSequenceClassification.from_pretrained(bert).eval()
    tokens = torch.randint(50, (4, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(7) < torch.tensor([[3], [7], [2], [5]])
    with torch.no_grad():
        found = model.module(input_ids=tokens, attention_mask=mask.long()).logits
        wanted = expected(input_ids=tokens, attention_mask=mask.long()).logits
    assert close(found, wanted)
    assert (model.kind, model.arch, model.input_shape) == ("huggingface", None, None)
    assert not model.module.training
    assert resolve(bert).digest == model.digest


def test_shards_are_put_together(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=20)
    module = transformers.GPT2LMHeadModel(config).eval()
    module.save_pretrained(tmp_path, max_shard_size="10KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    model = resolve(str(tmp_path))
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        assert close(model.module(tokens).logits, module(tokens).logits)
    shard = next(tmp_path.glob("model-00002*"))
    digest = model.digest
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    assert resolve(str(tmp_path)).digest != digest
    shard.unlink()
    with pytest.raises(ArtifactError, match="names the shard"):
        resolve(str(tmp_path))


def test_an_image_model_knows_its_input_and_half_precision_is_widened(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=8,
        patch_size=4,
        num_channels=1,
    )
    transformers.ViTForImageClassification(config).half().save_pretrained(tmp_path)
    model = resolve(str(tmp_path))
    assert model.input_shape == (1, 8, 8)
    assert {one.dtype for one in model.module.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"architectures": ["Nonsense"]}, ["`Nonsense`", "lacks"]),
        ({"architectures": ["BertForMaskedLM"]}, ["lacks weights", "`cls.predictions.bias`"]),
        ({"hidden_size": 32}, ["lacks weights", "`bert."]),
        ({"architectures": ["pipeline"]}, ["`pipeline`"]),
        (
            {"architectures": ["Mine"], "auto_map": {"AutoModel": "mine.Mine"}},
            ["needs Python code that lies in its folder", "not run"],
        ),
    ],
)
def test_a_folder_that_contradicts_itself_or_wants_to_run_code_is_refused(
    tmp_path: Path, bert: str, settings: dict[str, Any], words: list[str]
) -> None:
    name = changed(bert, tmp_path / "model", **settings)
    (tmp_path / "model/mine.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
    )
    with pytest.raises(ArtifactError) as caught:
        resolve(name)
    for word in words:
        assert word in caught.value.message
    assert not (tmp_path / "ran").exists()


def test_a_damaged_folder_is_one_clear_error(tmp_path: Path, bert: str) -> None:
    name = changed(bert, tmp_path / "model")
    weights = tmp_path / "model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="transformers cannot load"):
        resolve(name)
    weights.unlink()
    with pytest.raises(ArtifactError, match=r"no `model\.safetensors`"):
        resolve(name)
    (tmp_path / "model/config.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"config\.json` is damaged"):
        resolve(name)


def test_weights_without_a_place_are_a_warning(tmp_path: Path, bert: str) -> None:
    name = changed(bert, tmp_path / "model", architectures=["BertModel"])
    with pytest.warns(NncliWarning, match=r"no place for: `classifier\.bias`"):
        resolve(name)


def test_texts_become_tokens_with_the_tokenizer_of_the_folder(tmp_path: Path, bert: str) -> None:
    from nncli.checkpoints.huggingface import tokenize

    with pytest.raises(ArtifactError, match="no tokenizer"):
        tokenize(Path(bert), ["a"], name=bert)
    name = changed(bert, tmp_path / "model")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(name)
    ids, mask = tokenize(Path(name), ["good", "good bad good"], name=name)
    assert ids.tolist() == [[2, 5, 3, 0, 0], [2, 5, 6, 5, 3]]
    assert mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert tokenize(Path(name), ["good bad good"], name=name, length=4)[0].shape == (1, 4)


def test_an_architecture_beside_a_network_is_not_needed_and_that_is_said(
    tmp_path: Path, bert: str
) -> None:
    for name in (written(tmp_path / "a.onnx", classifier()), bert):
        with pytest.warns(NncliWarning, match="brings its own network"):
            resolve(name, "mlp:64-10")
