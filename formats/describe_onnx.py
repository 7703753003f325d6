"""What is in an ONNX model: inputs, outputs, weights and operators (needs the extra `onnx`)."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from nncli.errors import ArtifactError
from nncli.formats.describe import Description, TensorLine
from nncli.formats.sources import DESCRIPTIONS, Source
from nncli.formats.torch_files import ITEM_SIZE

DTYPES = {
    "BFLOAT16": "BF16",
    "BOOL": "BOOL",
    "COMPLEX128": "C128",
    "COMPLEX64": "C64",
    "DOUBLE": "F64",
    "FLOAT": "F32",
    "FLOAT16": "F16",
    "FLOAT8E4M3FN": "F8_E4M3",
    "FLOAT8E5M2": "F8_E5M2",
    "INT16": "I16",
    "INT32": "I32",
    "INT64": "I64",
    "INT8": "I8",
    "UINT16": "U16",
    "UINT32": "U32",
    "UINT64": "U64",
    "UINT8": "U8",
}


def describe_onnx(source: Source) -> Description:
    """Describe an ONNX model; weights in files beside it are named, not read.

    Args:
        source: The opened file.

    Raises:
        ArtifactError: It is cut short or damaged.
    """
    source.file.seek(0)
    try:
        return _described(source, onnx.load_model(source.file, load_external_data=False))
    except (DecodeError, ValueError, TypeError) as error:
        raise ArtifactError(
            f"`{source.name}` is no sound ONNX model: {error}",
            hint="did the command or the copy that made it fail?",
        ) from error


def _described(source: Source, model: Any) -> Description:
    graphs = list(_graphs("", model.graph))
    lines = tuple(line for path, graph in graphs for line in _weights(path, graph))
    if not graphs[0][1].node and not lines:
        raise ValueError("it holds no operators")
    operators = Counter(node.op_type for _, graph in graphs for node in graph.node)
    said = {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "ir version": model.ir_version,
        "opset": {one.domain or "ai.onnx": one.version for one in model.opset_import},
        "inputs": dict(_values(model.graph.input, model.graph.initializer)),
        "outputs": dict(_values(model.graph.output, ())),
        "operators": dict(operators.most_common()),
    }
    outside = sum(one.data_location == onnx.TensorProto.EXTERNAL for one in model.graph.initializer)
    notes = (f"{outside} weights lie in other files",) if outside else ()
    return Description(
        source.name,
        "onnx",
        DESCRIPTIONS["onnx"],
        source.size,
        metadata=said,
        tensors=lines,
        notes=notes,
    )


def _graphs(path: str, graph: Any) -> Iterator[tuple[str, Any]]:
    """A graph and the ones inside its operators (`If`, `Loop`), each with a path of its own."""
    yield path, graph
    for place, node in enumerate(graph.node):
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
            for one in inner:
                label = node.name or f"{node.op_type}_{place}"
                yield from _graphs(f"{path}{label}/{attribute.name}/", one)


def _weights(path: str, graph: Any) -> Iterator[TensorLine]:
    """The initializers of a graph, and its constants of one dimension or more."""
    for one in graph.initializer:
        yield _line(path + one.name, one)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].t.dims:
            yield _line(path + (node.output[0] if node.output else node.name), node.attribute[0].t)


def _line(name: str, tensor: Any) -> TensorLine:
    spelled = onnx.TensorProto.DataType.Name(tensor.data_type)
    dtype, shape = DTYPES.get(spelled, spelled), tuple(tensor.dims)
    return TensorLine(name, dtype, shape, ITEM_SIZE.get(dtype, 0) * math.prod(shape))


def _values(values: Any, but: Any) -> Iterator[tuple[str, str]]:
    known = {one.name for one in but}
    for value in values:
        if value.name in known:
            continue
        tensor = value.type.tensor_type
        spelled = onnx.TensorProto.DataType.Name(tensor.elem_type)
        sizes = [str(one.dim_param or one.dim_value or "?") for one in tensor.shape.dim]
        yield value.name, f"{DTYPES.get(spelled, spelled)} {'×'.join(sizes)}"
