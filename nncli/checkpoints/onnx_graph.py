"""ONNX files as programs.

A small reader of a stated set of operators (`OPERATORS`), with no ONNX run time: so the network is
an ordinary PyTorch module that can be captured, differentiated and attacked. What it does not know
is refused, and every such node is named before anything runs.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nncli.checkpoints.graph import ROWS, Graph, Input, Step, Value, Weight
from nncli.checkpoints.names import Names
from nncli.checkpoints.onnx_layers import LAYERS
from nncli.checkpoints.onnx_node import Node
from nncli.checkpoints.onnx_pointwise import POINTWISE, TYPES, Operator
from nncli.checkpoints.onnx_shapes import SHAPES
from nncli.checkpoints.program import Program, program
from nncli.errors import ArtifactError, EnvironmentFault, NncliError, NncliWarning
from nncli.formats.sources import Source

OPERATORS: dict[str, Operator] = POINTWISE | SHAPES | LAYERS
NATIVE = ("", "ai.onnx")
MANY = ("Split",)


def load_onnx(source: Source) -> Program:
    """Read an ONNX file.

    Args:
        source: The opened file.

    Returns:
        The program. Its layers are the nodes by name, slashes turned into dots; its weights have
        the names of the initialisers.

    Raises:
        ArtifactError: It is damaged, or has operators that nncli does not know.
        EnvironmentFault: The package `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise EnvironmentFault(
            f"`{source.name}` is an ONNX file, and the package `onnx` is not installed",
            hint="pip install 'nncli[onnx]'",
        ) from None
    source.file.seek(0)
    try:
        model = onnx.load_model_from_string(source.file.read())
        _load_external(model, source)
        if model.functions:
            from onnx import inliner

            model = inliner.inline_local_functions(model)
        return program(_Reader(model, source.name).graph(), source=source.name)
    except (NncliError, NncliWarning):
        raise
    except Exception as error:  # protobuf, NumPy and torch each have their own on damaged bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtifactError(
            f"`{source.name}` is a damaged ONNX file: {reason}",
            hint="was the download or the export cut short?",
        ) from error


def _load_external(model: Any, source: Source) -> None:
    """Read weights that lie in files of their own beside the model."""
    from onnx import external_data_helper as external

    if any(external.uses_external_data(one) for one in model.graph.initializer):
        if source.path is None:
            raise ArtifactError(
                f"`{source.name}` keeps its weights in another file, which a pipe does not bring",
                hint="name the file itself",
            )
        external.load_external_data_for_model(model, str(source.path.resolve().parent))


class _Reader:
    """The state of one reading: what has been named and what has been made so far."""

    def __init__(self, model: Any, source: str) -> None:
        self.model, self.source = model, source
        versions = {one.domain: one.version for one in model.opset_import}
        self.version = next((versions[one] for one in NATIVE if one in versions), 1)
        self.weights: dict[str, Weight] = {}
        self.constants: dict[str, Tensor] = {}
        self.names = Names()
        self.needed = {name for node in model.graph.node for name in node.input if name}
        self.statistics = {
            name
            for node in model.graph.node
            for name in node.input[3:]
            if node.op_type == "BatchNormalization"
        }
        self.needed.update(one.name for one in model.graph.output)

    def graph(self) -> Graph:
        """Turn the model into steps."""
        self._demand_known()
        for tensor in self.model.graph.initializer:
            self._keep(tensor.name, _tensor(tensor))
        inputs = tuple(
            self._input(one)
            for one in self.model.graph.input
            if one.name not in self.weights and one.name not in self.constants
        )
        if not inputs:
            raise ArtifactError(f"`{self.source}` takes no input")
        batch = next(iter(inputs[0].shape), None)
        moving = {one.name for one in inputs}
        steps = []
        for place, node in enumerate(self.model.graph.node):
            if node.op_type == "Constant":
                self._keep(node.output[0], _constant(_attributes(node)))
                continue
            follows = not moving.isdisjoint(node.input)
            steps.append(self._step(node, place, batch, follows=follows))
            moving.update(node.output if follows else ())
        outputs = tuple(one.name for one in self.model.graph.output)
        if not outputs:
            raise ArtifactError(f"`{self.source}` has no result")
        return Graph(inputs, outputs, tuple(steps), self.weights)

    def _demand_known(self) -> None:
        """Refuse operators that are not in the table, all of them at once."""
        unknown = {
            _title(node): node.name or node.output[0]
            for node in self.model.graph.node
            if node.op_type != "Constant"
            and (node.domain not in NATIVE or node.op_type not in OPERATORS)
        }
        if unknown:
            named = ", ".join(f"`{kind}` (node `{name}`)" for kind, name in unknown.items())
            raise ArtifactError(
                f"`{self.source}` has operators that nncli does not run: {named}",
                hint="run it with ONNX Runtime and give nncli the activations as .npz or "
                "safetensors, or give the weights with `--arch model.py:Name`",
            )

    def _input(self, given: Any) -> Input:
        kind = given.type.tensor_type
        dtype = TYPES.get(kind.elem_type)
        if dtype is None:
            raise ArtifactError(f"`{self.source}`: input `{given.name}` is no tensor of numbers")
        sizes = tuple(
            one.dim_value if one.HasField("dim_value") and one.dim_value > 0 else None
            for one in kind.shape.dim
        )
        return Input(given.name, sizes, dtype)

    def _keep(self, name: str, tensor: Tensor) -> None:
        """Keep a constant: numbers of floating point are weights, whole ones shapes and places."""
        if tensor.is_floating_point():
            fixed = tensor.ndim == 0 or name in self.statistics
            path = self.names.weight(name)
            self.weights[name] = Weight(tensor, path, "buffer" if fixed else "parameter")
        else:
            self.constants[name] = tensor

    def _step(self, node: Any, place: int, batch: int | None, *, follows: bool) -> Step:
        title = node.name or f"{node.op_type.lower()}_{place}"
        label = f"`{self.source}`: node `{title}`"
        about = Node(label, node.op_type, _attributes(node), self.version, len(node.output), batch)
        many = node.op_type in MANY
        if not many and not self.needed.isdisjoint(node.output[1:]):
            raise about.refuse("with a second result")
        return Step(
            label=f"{label} ({node.op_type})",
            function=partial(_on_one_device, OPERATORS[node.op_type], about),
            positional=tuple(
                None if not name else self.constants.get(name, Value(name)) for name in node.input
            ),
            results=tuple(node.output) if many else (node.output[0],),
            keywords={"rows": Value(ROWS)} if node.op_type == "Reshape" else {},
            spread=many,
            layers=(self.names.layer(title),) if follows else (),
        )


def _on_one_device(operator: Operator, node: Node, *given: Tensor | None, **named: Any) -> Any:
    """Call an operator; whole numbers that stayed on the CPU are brought to the data."""
    devices = {one.device for one in given if one is not None}
    if len(devices) > 1:
        away = next(one for one in devices if one.type != "cpu")
        given = tuple(None if one is None else one.to(away) for one in given)
    return operator(node, *given, **named)


def _title(node: Any) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain not in NATIVE else str(node.op_type)


def _tensor(tensor: Any) -> Tensor:
    """An ONNX tensor as a torch tensor of its own memory; bfloat16 and smaller become float32."""
    import numpy as np
    from onnx import numpy_helper

    array = np.asarray(numpy_helper.to_array(tensor))
    if array.dtype.kind not in "fiub" or array.dtype.isbuiltin != 1:
        array = array.astype(np.float32)
    return torch.from_numpy(np.array(array, copy=True))


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import TensorProto, helper

    found = {}
    for one in node.attribute:
        value = helper.get_attribute_value(one)
        if isinstance(value, TensorProto):
            value = _tensor(value)
        elif isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, Iterable) and not isinstance(value, str):
            value = list(value)
        found[one.name] = value
    return found


def _constant(attributes: dict[str, Any]) -> Tensor:
    """The tensor of a `Constant` node."""
    for key, dtype in (("float", torch.float32), ("int", torch.int64)):
        for name in (f"value_{key}", f"value_{key}s"):
            if name in attributes:
                return torch.tensor(attributes[name], dtype=dtype)
    value: Tensor = attributes["value"]
    return value
