"""One network in the spellings of many exporters: what is verified is what ONNX says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nncli.checkpoints import resolve
from nncli.errors import ArtifactError
from nncli.verification.subjects import subject

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra `onnx`")

GENERATOR = np.random.default_rng(0)
NUMBERS = {
    "W1": GENERATOR.normal(size=(7, 5)),
    "b1": GENERATOR.normal(size=7),
    "W2": GENERATOR.normal(size=(3, 7)),
    "b2": GENERATOR.normal(size=3),
    "A": GENERATOR.normal(size=(7, 7)) / 3,
    "five": np.array([3.0, 4, 5, 6, 7]),
    "two": np.array(2.0),
    "low": np.array(-0.5),
    "high": np.array(0.5),
    "wide": np.array([0.3]),
}
NUMBERS |= {"W1t": NUMBERS["W1"].T, "W2t": NUMBERS["W2"].T, "b1c": NUMBERS["b1"][:, None]}
NUMBERS |= {"means": np.arange(5.0).reshape(1, 1, 1, 5) / 9}
PLACES = {
    "column": [5, 1],
    "row": [1, -1],
    "zero": [0],
    "one": [1],
    "two_": [2],
    "five_": [5],
    "six": [6],
    "rest": [4, 3, 2],
    "parts": [2, 3],
    "ones": [1, 1, 1, 1],
    "least": [-9223372036854775808],
    "minus": [-1],
    "pads": [0, 1, 0, 1],
}
HEAD = ["Gemm H W1 b1 > h transB=1", "Relu h > r", "Gemm r W2 b2 > y transB=1"]


def after(*lines: str) -> list[str]:
    """Lines that make `H`, then the network."""
    return [*lines, *HEAD]


def unrolled() -> list[str]:
    """Four steps of a recurrent network, ReLU and tanh in turn."""
    lines = ["Split x ones > x0 x1 x2 x3 axis=1"]
    for step in range(4):
        made = f"w{step}" if step else "u0"
        lines += [f"Squeeze x{step} one > s{step}", f"Gemm s{step} W1 b1 > u{step} transB=1"]
        if step:
            lines += [f"MatMul h{step - 1} A > v{step}", f"Add u{step} v{step} > w{step}"]
        lines.append(f"{'Tanh' if step % 2 else 'Relu'} {made} > h{step}")
    return [*lines, "Gemm h3 W2 b2 > y transB=1"]


FLAT, DEEP = [1, 5], [1, 1, 1, 5]
SPELLINGS: dict[str, tuple[list[str], list[Any], int]] = {
    "transposed weights": (after("Identity x > H"), FLAT, 13),
    "any batch": (after("Identity x > H"), ["batch", 5], 13),
    "no batch": (["MatMul W1 x > m", "Add b1 m > h", "Relu h > r", "MatMul W2 r > y"], [5], 13),
    "factors": (
        ["Gemm x W1t b1 > h alpha=0.5 beta=2.0", "Relu h > r", "MatMul r W2t > y"],
        FLAT,
        13,
    ),
    "transposed inputs": (
        ["Transpose x > t", "Gemm t W1t b1 > h transA=1", "Relu h > r", "Gemm r W2t > y"],
        FLAT,
        13,
    ),
    "weights on the left": (
        [
            *("Reshape x column > c", "MatMul W1 c > m", "Add m b1c > h", "Relu h > r"),
            *("MatMul W2 r > q", "Reshape q row > y"),
        ],
        FLAT,
        13,
    ),
    "four dimensions": (after("Sub x means > s", "Flatten s > H"), DEEP, 8),
    "constants on the left": (after("Sub two x > s", "Div s five > H"), FLAT, 13),
    "dropout and casts": (after("Dropout x > d", "Cast d > c to=11", "Cast c > H to=1"), FLAT, 12),
    "squeezed by attribute": (after("Squeeze x > H axes=1,2"), DEEP, 11),
    "unsqueezed": (after("Squeeze x zero > s", "Unsqueeze s zero > H"), FLAT, 13),
    "slices and gathers": (
        after("Slice x zero two_ one > a", "Gather x rest > g axis=1", "Concat a g > H axis=-1"),
        FLAT,
        13,
    ),
    "backwards": (after("Slice x minus least minus minus > H"), FLAT, 13),
    "split": (after("Split x parts > a b axis=1", "Concat b a > H axis=1"), FLAT, 13),
    "split by attribute": (
        after("Split x > a b axis=1 split=2,3", "Concat b a > H axis=1"),
        FLAT,
        11,
    ),
    "clipped": (after("Clip x low high > c", "Max c five > m", "Min m two > H"), FLAT, 13),
    "padded": (after("Pad x pads wide > p", "Slice p one six one > H"), FLAT, 13),
    "unrolled": (unrolled(), [1, 4, 5], 13),
}


def model_of(lines: list[str], shape: list[Any], version: int, *, listed: bool = False) -> Any:
    """An ONNX model of lines `Operator inputs > outputs setting=value`.

    Weights stand among the inputs as well if `listed`, as they had to before version 4 of ONNX.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes, used = [], set()
    for line in lines:
        before, _, behind = line.partition(" > ")
        kind, *given = before.split()
        made = [one for one in behind.split() if "=" not in one]
        settings = {}
        for key, _, text in (one.partition("=") for one in behind.split() if "=" in one):
            numbers = [float(one) if "." in one else int(one) for one in text.split(",")]
            settings[key] = numbers if key in ("axes", "split") else numbers[0]
        used.update(given)
        nodes.append(helper.make_node(kind, given, made, **settings))
    weights = {name: one.astype(np.float32) for name, one in NUMBERS.items() if name in used}
    weights |= {name: np.array(one) for name, one in PLACES.items() if name in used}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    for name, one in weights.items() if listed else ():
        kind_of = TensorProto.FLOAT if one.dtype == np.float32 else TensorProto.INT64
        inputs.append(helper.make_tensor_value_info(name, kind_of, one.shape))
    made_graph = helper.make_graph(
        nodes,
        "graph",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(one, name) for name, one in weights.items()],
    )
    opset = [helper.make_opsetid("", version)]
    return helper.make_model(made_graph, opset_imports=opset, ir_version=8)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("name", SPELLINGS)
def test_a_network_is_verified_as_it_runs_however_it_is_spelled(
    name: str, listed: bool, tmp_path: Path
) -> None:
    from onnx.reference import ReferenceEvaluator

    lines, shape, version = SPELLINGS[name]
    model = model_of(lines, shape, version, listed=listed)
    onnx.save(model, tmp_path / "network.onnx")
    read = resolve(str(tmp_path / "network.onnx"))
    assert read.input_shape is not None
    one = subject(name, "", read.module, read.input_shape, drop_softmax=False)
    sizes = [1 if isinstance(size, str) else size for size in shape]
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=sizes).astype(np.float32)
        (found, *_) = ReferenceEvaluator(model).run(None, {"x": x})
        wanted = torch.from_numpy(np.array(found)).flatten().double()
        lowered = one.network(torch.from_numpy(x).flatten().double())
        assert torch.allclose(lowered, wanted, rtol=1e-4, atol=1e-4)
        replayed = one.outputs(torch.from_numpy(x).reshape(1, -1))[0]
        assert torch.allclose(replayed.double(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["Loop", "Scan", "LSTM"])
def test_loops_that_are_not_unrolled_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    model = model_of([f"{kind} x > y"], FLAT, 13)
    onnx.save(model, tmp_path / "network.onnx")
    with pytest.raises(ArtifactError, match=f"operators that nncli does not run: `{kind}`"):
        resolve(str(tmp_path / "network.onnx"))
