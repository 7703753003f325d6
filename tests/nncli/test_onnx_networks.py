"""Networks in ONNX against the reference implementation, their layers, and hostile files."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from network_outputs import SPECS, close, images, outputs
from torch import Tensor

from nncli.architectures import build
from nncli.checkpoints import Model, resolve
from nncli.checkpoints.names import Names
from nncli.errors import ArtifactError, NncliWarning

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra `onnx`")


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


def test_padding_that_runtimes_differ_about_is_refused(tmp_path: Path) -> None:
    settings = {"kernel_shape": [2], "dilations": [2], "auto_pad": "SAME_UPPER"}
    model = graph([node("MaxPool", "x", "y", name="wide", **settings)], inputs={"x": [1, 1, 7]})
    with pytest.raises(ArtifactError, match="node `wide`: nncli cannot run `MaxPool` with `auto_"):
        resolve(written(tmp_path / "a.onnx", model)).module(torch.ones(1, 1, 7))


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


def test_a_network_that_takes_one_vector_takes_a_batch_of_examples(tmp_path: Path) -> None:
    weights = {"first": normal(7, 5), "bias": normal(7), "second": normal(3, 7)}
    nodes = [
        node("MatMul", "first x", "m"),  # weights on the left: no batch fits in between
        node("Add", "m bias", "a"),
        node("Relu", "a", "r"),
        node("MatMul", "second r", "y"),
    ]
    model = graph(nodes, inputs={"x": [5]}, weights=weights)
    read = resolve(written(tmp_path / "vector.onnx", model))
    assert read.input_shape == (5,)
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = read.module(x)
    assert close(found, torch.stack([peer(model, one) for one in x]))
