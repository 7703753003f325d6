"""ONNX operators that move numbers about: shapes, slices, joins."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nncli.checkpoints.onnx_node import Node
from nncli.checkpoints.onnx_pointwise import Operator


def reshape(node: Node, x: Tensor, target: Tensor | None = None, *, rows: int) -> Tensor:
    """Reshape; where a target starts with the batch size of the graph, it is that of the data."""
    shape = node.whole_numbers("shape", target) or []
    if not node.get("allowzero", 0):
        shape = [x.shape[place] if size == 0 else size for place, size in enumerate(shape)]
    if shape and shape[0] == node.batch and rows != node.batch and x.shape[:1] == (rows,):
        shape[0] = rows
    return x.reshape(shape)


def flatten(node: Node, x: Tensor) -> Tensor:
    """Flatten to two dimensions, the first `axis` ones together and the rest together."""
    axis = node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(torch.Size(x.shape[:axis]).numel(), -1) if x.numel() else x.flatten(1)


def transpose(node: Node, x: Tensor) -> Tensor:
    """Transpose; without `perm` all dimensions are reversed."""
    return x.permute(node.get("perm") or list(range(x.ndim))[::-1])


def squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Squeeze."""
    over = node.whole_numbers("axes", axes)
    return x.squeeze() if over is None else x.squeeze(tuple(over))


def unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Unsqueeze; axes are those of the result."""
    over = node.whole_numbers("axes", axes) or []
    for axis in sorted(one % (x.ndim + len(over)) for one in over):
        x = x.unsqueeze(axis)
    return x


def split(node: Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    """Split, into parts of the given sizes or as many equal ones as are wanted."""
    axis = node.get("axis", 0)
    parts = node.whole_numbers("split", sizes)
    if parts is None:
        number = node.get("num_outputs") or node.results
        return torch.split(x, -(-x.shape[axis] // number), dim=axis)
    return torch.split(x, parts, dim=axis)


def take_slice(node: Node, x: Tensor, *given: Tensor | None) -> Tensor:
    """Slice; limits beyond the ends are cut off, negative steps go backwards."""
    limits: list[Tensor | None] = [*given, None, None, None, None]
    starts, ends, axes, steps = limits[:4]
    begin = node.whole_numbers("starts", starts) or []
    end = node.whole_numbers("ends", ends) or []
    over = node.whole_numbers("axes", axes) or list(range(len(begin)))
    stride = node.whole_numbers("steps", steps) or [1] * len(begin)
    for low, high, axis, step in zip(begin, end, over, stride, strict=True):
        first, last, by = slice(low, high, step).indices(x.shape[axis])
        if by > 0:
            whole = [slice(None)] * (axis % x.ndim)
            x = x[(*whole, slice(first, max(first, last), by))]
        else:
            x = x.index_select(axis, torch.arange(first, last, by, device=x.device))
    return x


def gather(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    """Gather: the dimension `axis` is replaced by those of the indices."""
    axis = node.get("axis", 0) % x.ndim
    places = torch.remainder(indices.long(), x.shape[axis])
    found = x.index_select(axis, places.reshape(-1))
    return found.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def gather_elements(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    """GatherElements."""
    axis = node.get("axis", 0) % x.ndim
    return x.gather(axis, torch.remainder(indices.long(), x.shape[axis]))


def pad(
    node: Node,
    x: Tensor,
    pads: Tensor | None = None,
    value: Tensor | None = None,
    axes: Tensor | None = None,
) -> Tensor:
    """Pad by a constant, by reflection or by the edge; negative pads cut off."""
    amounts = node.whole_numbers("pads", pads) or []
    over = [one % x.ndim for one in node.whole_numbers("axes", axes) or range(x.ndim)]
    both = {axis: (amounts[place], amounts[place + len(over)]) for place, axis in enumerate(over)}
    order = [both.get(axis, (0, 0)) for axis in range(x.ndim)]
    mode = node.get("mode", "constant")
    if mode == "constant":
        filling = node.get("value", 0.0) if value is None else value.item()
        return F.pad(x, [one for pair in reversed(order) for one in pair], value=filling)
    if mode not in ("reflect", "edge"):
        raise node.refuse(f"with mode `{mode}`")
    for axis, (low, high) in enumerate(order):
        x = x.index_select(axis, _padded_places(x.shape[axis], low, high, mode).to(x.device))
    return x


def _padded_places(size: int, low: int, high: int, mode: str) -> Tensor:
    places = torch.arange(-low, size + high)
    if mode == "edge":
        return places.clamp(0, size - 1)
    period = max(2 * (size - 1), 1)
    places = places.remainder(period)
    return torch.minimum(places, period - places)


def expand(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    """Expand: both shapes are broadcast, so a 1 in the target keeps what is there."""
    wanted = node.whole_numbers("shape", shape) or []
    return x.expand(np.broadcast_shapes(tuple(x.shape), tuple(wanted)))


def shape_of(node: Node, x: Tensor) -> Tensor:
    """Shape, kept on the CPU as all whole numbers that shapes are made of."""
    return torch.tensor(x.shape[node.get("start", 0) : node.get("end")], dtype=torch.int64)


def constant_of_shape(node: Node, shape: Tensor) -> Tensor:
    """ConstantOfShape."""
    value = node.get("value")
    filling: Any = 0.0 if value is None else value.item()
    dtype = torch.float32 if value is None else value.dtype
    sizes = node.whole_numbers("shape", shape) or []
    return torch.full(sizes, filling, dtype=dtype, device=shape.device)


def triangle(node: Node, x: Tensor, diagonal: Tensor | None = None) -> Tensor:
    """Trilu."""
    offset = 0 if diagonal is None else int(diagonal.item())
    return x.triu(offset) if node.get("upper", 1) else x.tril(offset)


SHAPES: dict[str, Operator] = {
    "Concat": lambda node, *given: torch.cat(given, dim=node.get("axis", 1)),
    "ConstantOfShape": constant_of_shape,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "GatherElements": gather_elements,
    "Pad": pad,
    "Range": lambda node, start, limit, delta: torch.arange(
        start.item(), limit.item(), delta.item(), dtype=start.dtype, device=start.device
    ),
    "Reshape": reshape,
    "Shape": shape_of,
    "Size": lambda node, x: torch.tensor(x.numel()),
    "Slice": take_slice,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": lambda node, x, repeats: x.repeat(node.whole_numbers("repeats", repeats) or []),
    "Transpose": transpose,
    "Trilu": triangle,
    "Unsqueeze": unsqueeze,
}
