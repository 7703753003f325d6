"""The graph of an ONNX file, from its nodes to steps.

A small reader of a stated set of operators (`OPERATORS`), with no ONNX run time: so the network is
an ordinary PyTorch module that can be captured, differentiated and attacked. What it does not know
is refused, and every such node is named before anything runs.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from nncli.checkpoints.graph import ROWS, Graph, Input, Step, Value, Weight
from nncli.checkpoints.names import Names
from nncli.checkpoints.onnx_layers import LAYERS
from nncli.checkpoints.onnx_node import Node
from nncli.checkpoints.onnx_pointwise import POINTWISE, TYPES, Operator
from nncli.checkpoints.onnx_scopes import layer_names, title_of
from nncli.checkpoints.onnx_shapes import SHAPES
from nncli.checkpoints.onnx_values import attributes, constant, tensor_of
from nncli.errors import ArtifactError

OPERATORS: dict[str, Operator] = POINTWISE | SHAPES | LAYERS
NATIVE = ("", "ai.onnx")
MANY = ("Split",)
READING = {kind for kind in OPERATORS if kind.startswith("Reduce")} | {
    *("Clip", "Expand", "Pad", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Trilu", "Unsqueeze")
}


class Reader:
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
            self._keep(tensor.name, tensor_of(tensor))
        inputs = tuple(
            self._input(one)
            for one in self.model.graph.input
            if one.name not in self.weights and one.name not in self.constants
        )
        if not inputs:
            raise ArtifactError(f"`{self.source}` takes no input")
        outputs = tuple(one.name for one in self.model.graph.output)
        if not outputs:
            raise ArtifactError(f"`{self.source}` has no result")
        nodes = []
        for node in self.model.graph.node:
            if node.op_type == "Constant":
                self._keep(node.output[0], constant(attributes(node)))
            else:
                nodes.append(node)
        batch = next(iter(inputs[0].shape), None)
        layers = layer_names(nodes, [one.name for one in inputs], outputs, self.names)
        steps = (
            self._step(node, title_of(node, place), batch, layers[place])
            for place, node in enumerate(nodes)
        )
        return _with_batch(Graph(inputs, outputs, tuple(steps), self.weights))

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

    def _step(self, node: Any, title: str, batch: int | None, layers: tuple[str, ...]) -> Step:
        label = f"`{self.source}`: node `{title}`"
        about = Node(label, node.op_type, attributes(node), self.version, len(node.output), batch)
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
            layers=layers,
        )


def _with_batch(graph: Graph) -> Graph:
    """A graph of matrices that takes one vector, as one that takes a batch of one of them."""
    given, *others = graph.inputs
    matrices = any(one.tensor.ndim > 1 for one in graph.weights.values())
    if others or not matrices or len(given.shape) != 1 or given.shape[0] in (None, 1):
        return graph
    batch = replace(given, name=f"{given.name}:batch", shape=(1, *given.shape))
    first = Step(
        label=f"`{given.name}`",
        function=lambda x: x.squeeze(0),
        positional=(Value(batch.name),),
        results=(given.name,),
    )
    made = graph.outputs[0]
    last = Step(
        label=f"`{made}`",
        function=lambda y: y.reshape(1, -1),
        positional=(Value(made),),
        results=(f"{made}:batch",),
    )
    outputs = (f"{made}:batch", *graph.outputs[1:])
    return replace(graph, inputs=(batch,), outputs=outputs, steps=(first, *graph.steps, last))


def _on_one_device(operator: Operator, node: Node, *given: Tensor | None, **named: Any) -> Any:
    """Call an operator; whole numbers that stayed on the CPU are brought to the data.

    Not where they are read as sizes and places: that would wait for the device.
    """
    devices = {one.device for one in given if one is not None}
    if len(devices) > 1 and node.kind not in READING:
        away = next(one for one in devices if one.type != "cpu")
        given = tuple(None if one is None else one.to(away) for one in given)
    return operator(node, *given, **named)


def _title(node: Any) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain not in NATIVE else str(node.op_type)
