"""Networks that came as graphs (ONNX, torch.export) are lowered, and their nodes are named."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nncli.checkpoints import resolve
from nncli.errors import ArtifactError
from nncli.verification.lowering import demand_same, lower
from nncli.verification.network import Activation, Network

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra `onnx`")


def normal(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def node(kind: str, given: str, made: str, **settings: Any) -> Any:
    settings.setdefault("name", made)
    return onnx.helper.make_node(kind, given.split(), made.split(), **settings)


def written(
    path: Path, nodes: list[Any], shape: list[Any], weights: dict[str, Any], version: int = 13
) -> str:
    from onnx import TensorProto, helper, numpy_helper

    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(one), name) for name, one in weights.items()],
    )
    opset = [helper.make_opsetid("", version)]
    onnx.save(helper.make_model(made, opset_imports=opset, ir_version=8), path)
    return str(path)


def peer(name: str, x: Tensor) -> Tensor:
    """The answers of the reference implementation of ONNX, one example after the other."""
    from onnx.reference import ReferenceEvaluator

    model = ReferenceEvaluator(onnx.load(name))
    return torch.stack(
        [torch.from_numpy(np.array(model.run(None, {"x": one[None].numpy()})[0])) for one in x]
    )


def assert_same(name: str, shape: tuple[int, ...]) -> Network:
    module = resolve(name).module
    found = lower(module, shape, source=name)
    x = 2 * torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))
    wanted = peer(name, x).reshape(4, -1).double()
    torch.testing.assert_close(found(x.reshape(4, -1).double()), wanted, rtol=1e-4, atol=1e-4)
    limit = torch.full((found.inputs,), 2.0).double()
    demand_same(found, module, -limit, limit, source=name)
    return found


def kinds(network: Network) -> list[str]:
    return [
        one.function
        if isinstance(one, Activation)
        else "+".join(type(each).__name__ for each in one.maps)
        for one in network.nodes
    ]


def test_a_chain_of_controllers_is_a_matrix_a_layer(tmp_path: Path) -> None:
    """The layout of the ACAS Xu networks: a shift, and layers of a product and a sum."""
    weights = {"mean": np.zeros((1, 1, 1, 5), np.float32), "W0": normal(5, 6), "W1": normal(6, 6)}
    weights |= {"W2": normal(6, 5), **{f"b{k}": normal(n) for k, n in enumerate((6, 6, 5))}}
    nodes = [node("Sub", "x mean", "centred"), node("Flatten", "centred", "h0", axis=1)]
    for layer in range(3):
        nodes.append(node("MatMul", f"h{layer} W{layer}", f"product{layer}"))
        nodes.append(node("Add", f"product{layer} b{layer}", f"sum{layer}"))
        if layer < 2:
            nodes.append(node("Relu", f"sum{layer}", f"h{layer + 1}"))
    found = assert_same(written(tmp_path / "a.onnx", nodes, [1, 1, 1, 5], weights), (1, 1, 5))
    assert kinds(found) == ["Dense", "relu", "Dense", "relu", "Dense"]
    assert [one.label for one in found.nodes] == ["sum0", "h1", "sum1", "h2", "sum2"]


def test_layouts_with_the_channels_last_agree(tmp_path: Path) -> None:
    """Such files come from Keras: transposes, uneven pads, a flattening of the other order."""
    weights = {"W": normal(4, 2, 3, 3), "b": normal(4), "V": normal(4 * 3 * 2, 3), "c": normal(3)}
    weights["flat"] = np.array([-1, 24])
    nodes = [
        node("Transpose", "x", "first", perm=[0, 3, 1, 2]),
        node("Conv", "first W b", "conv", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Relu", "conv", "relu"),
        node("Transpose", "relu", "last", perm=[0, 2, 3, 1]),
        node("Reshape", "last flat", "flattened"),
        node("Gemm", "flattened V c", "y"),
    ]
    found = assert_same(written(tmp_path / "k.onnx", nodes, ["n", 6, 4, 2], weights), (6, 4, 2))
    assert kinds(found) == ["Select", "Convolution", "relu", "Dense"]


def test_operators_of_public_benchmarks_agree(tmp_path: Path) -> None:
    weights = {
        "W": normal(3, 2, 3, 3),
        **{name: np.abs(normal(3, seed=k)) for k, name in enumerate("gbmv")},
        "low": np.float32(-0.5),
        "slope": normal(3, 1, 1),
        "two": np.float32(2),
        "pads": np.array([0, 0, 1, 0, 0, 0, 0, 1]),
        "V": normal(2, 18),
        "c": normal(2),
    }
    nodes = [
        node("Pad", "x pads two", "padded"),
        node("Conv", "padded W", "conv", pads=[1, 0, 0, 0]),
        node("BatchNormalization", "conv g b m v", "norm"),
        node("PRelu", "norm slope", "prelu"),
        node("Clip", "prelu low two", "clip"),
        node("MaxPool", "clip", "max", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        node("Div", "max two", "half"),
        node("LeakyRelu", "half", "leaky", alpha=0.1),
        node("AveragePool", "leaky", "mean", kernel_shape=[2, 2], pads=[1, 1, 0, 0]),
        node("Flatten", "mean", "flat"),
        node("Concat", "flat flat", "both", axis=1),
        node("Split", "both", "left right", axis=1),
        node("Max", "left right", "larger"),
        node("Gemm", "larger V c", "dense", transB=1),
        node("Sigmoid", "dense", "y"),
    ]
    name = written(tmp_path / "b.onnx", nodes, [1, 2, 6, 5], weights, 15)
    assert_same(name, (2, 6, 5))


def test_a_graph_of_a_fixed_batch_is_lowered_for_its_first_example(tmp_path: Path) -> None:
    weights = {"shape": np.array([6, 2]), "back": np.array([3, 4]), "W": normal(2, 2)}
    nodes = [
        node("Reshape", "x shape", "tall"),
        node("MatMul", "tall W", "product"),
        node("Reshape", "product back", "y"),
    ]
    name = written(tmp_path / "f.onnx", nodes, [3, 4], weights)
    module = resolve(name).module
    found = lower(module, (4,), source=name)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(found(x.double()), module(x).double(), rtol=1e-5, atol=1e-5)


def test_a_refused_operator_names_its_node(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "fine"), node("Elu", "fine", "y", name="block/elu")]
    name = written(tmp_path / "r.onnx", nodes, [1, 3], {})
    with pytest.raises(ArtifactError) as caught:
        lower(resolve(name).module, (3,), source=name)
    assert caught.value.message.startswith(f"`{name}`: node `block/elu` has the operator `elu`")
    assert "leaky ReLU" in str(caught.value.hint)


def test_an_exported_program_is_lowered_like_its_module(tmp_path: Path) -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.LeakyReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(8, 3), nn.Softmax(1),
    ).eval()  # fmt: skip
    path = tmp_path / "net.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network, (torch.zeros(1, 1, 6, 6),)), path)
    module = resolve(str(path)).module
    with pytest.raises(ArtifactError, match=r"softmax.*`softmax`"):
        lower(module, (1, 6, 6), source=str(path))
    found = lower(module, (1, 6, 6), source=str(path), drop_softmax=True)
    same = lower(network, (1, 6, 6), source="net", drop_softmax=True)
    x = torch.randn(5, 36, generator=torch.Generator().manual_seed(1)).double()
    assert torch.equal(found(x), same(x))
    limit = torch.ones(36).double()
    demand_same(found, module, -limit, limit, source=str(path), drop_softmax=True)


def test_lowering_imports_nothing_that_takes_long() -> None:
    """Torch imports its compiler, sympy or its distributed tensors on the least occasion."""
    lines = (
        "import sys, torch",
        "from nncli.verification.lowering import demand_same, lower",
        "network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU())",
        "low = lower(network, (3,), source='net')",
        "limit = torch.ones(3).double()",
        "demand_same(low, network, -limit, limit, source='net')",
        "slow = ('torch._dynamo', 'sympy', 'torch.distributed.tensor')",
        "print([name for name in slow if name in sys.modules])",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
