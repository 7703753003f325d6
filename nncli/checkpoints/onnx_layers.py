"""ONNX operators with weights or windows: linear maps, convolutions, pools, norms."""

import torch
from torch import Tensor
from torch.nn import functional as F

from nncli.checkpoints.onnx_node import Node, only
from nncli.checkpoints.onnx_pointwise import Operator

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
MAX_POOLS = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
AVERAGE_POOLS = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


def gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """Gemm: alpha a b + beta c, each of a and b transposed if it says so."""
    a = a.T if node.get("transA", 0) else a
    b = b.T if node.get("transB", 0) else b
    product: Tensor = node.get("alpha", 1.0) * (a @ b)
    return product if c is None else product + node.get("beta", 1.0) * c


def pads_of(node: Node, x: Tensor, kernel: list[int]) -> tuple[list[int], list[int]]:
    """The padding before and after each spatial dimension."""
    places = len(kernel)
    rule = node.get("auto_pad", "NOTSET")
    if rule == "NOTSET":
        pads = node.get("pads") or [0] * 2 * places
        return list(pads[:places]), list(pads[places:])
    if rule == "VALID":
        return [0] * places, [0] * places
    strides = node.get("strides") or [1] * places
    dilations = node.get("dilations") or [1] * places
    if any(gap != 1 for gap in dilations):  # ONNX Runtime leaves the gaps out, or refuses
        raise node.refuse(f"with `auto_pad` {rule} and `dilations`, which runtimes differ about")
    low, high = [], []
    for size, width, by in zip(x.shape[2:], kernel, strides, strict=True):
        out = -(-size // by)
        total = max((out - 1) * by + width - size, 0)
        small, large = total // 2, total - total // 2
        low.append(small if rule == "SAME_UPPER" else large)
        high.append(large if rule == "SAME_UPPER" else small)
    return low, high


def _padded(x: Tensor, low: list[int], high: list[int], value: float) -> Tensor:
    amounts = [one for pair in zip(reversed(low), reversed(high), strict=True) for one in pair]
    return F.pad(x, amounts, value=value)


def convolution(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Conv."""
    kernel = list(weight.shape[2:])
    low, high = pads_of(node, x, kernel)
    if low != high:
        x, low = _padded(x, low, high, 0.0), [0] * len(kernel)
    return CONVOLUTIONS[_places(node, kernel)](
        x,
        weight,
        bias,
        stride=node.get("strides") or 1,
        padding=low,
        dilation=node.get("dilations") or 1,
        groups=node.get("group", 1),
    )


def _places(node: Node, kernel: list[int]) -> int:
    """Where the function for a number of spatial dimensions stands in a table."""
    if not 1 <= len(kernel) <= 3:
        raise node.refuse(f"over {len(kernel)} dimensions")
    return len(kernel) - 1


def transposed_convolution(
    node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """ConvTranspose with the same padding on both sides."""
    only(node, "auto_pad", "NOTSET", "VALID")
    only(node, "output_shape")
    kernel = list(weight.shape[2:])
    low, high = pads_of(node, x, kernel)
    if low != high:
        raise node.refuse(f"with uneven pads {node.get('pads')}")
    return TRANSPOSED[_places(node, kernel)](
        x,
        weight,
        bias,
        stride=node.get("strides") or 1,
        padding=low,
        output_padding=node.get("output_padding") or 0,
        groups=node.get("group", 1),
        dilation=node.get("dilations") or 1,
    )


def max_pool(node: Node, x: Tensor) -> Tensor:
    """MaxPool, values only."""
    only(node, "storage_order", 0)
    kernel = node.get("kernel_shape")
    low, high = pads_of(node, x, kernel)
    if low != high or any(2 * pad > width for pad, width in zip(low, kernel, strict=True)):
        if node.get("ceil_mode", 0):
            raise node.refuse("with uneven pads and `ceil_mode`")
        x, low = _padded(x, low, high, -torch.inf), [0] * len(kernel)
    return MAX_POOLS[_places(node, kernel)](
        x,
        kernel,
        stride=node.get("strides") or [1] * len(kernel),
        padding=low,
        dilation=node.get("dilations") or 1,
        ceil_mode=bool(node.get("ceil_mode", 0)),
    )


def average_pool(node: Node, x: Tensor) -> Tensor:
    """AveragePool; padded places count only with `count_include_pad`."""
    kernel = node.get("kernel_shape")
    only(node, "dilations", [1] * len(kernel))
    low, high = pads_of(node, x, kernel)
    strides = node.get("strides") or [1] * len(kernel)
    pool = AVERAGE_POOLS[_places(node, kernel)]
    ceil, counted = bool(node.get("ceil_mode", 0)), bool(node.get("count_include_pad", 0))
    if low == high and all(2 * pad <= width for pad, width in zip(low, kernel, strict=True)):
        return pool(x, kernel, strides, low, ceil, counted)
    if ceil:
        raise node.refuse("with uneven pads and `ceil_mode`")
    sums = pool(_padded(x, low, high, 0.0), kernel, strides)
    if counted:
        return sums
    return sums / pool(_padded(torch.ones_like(x), low, high, 0.0), kernel, strides)


def global_pool(node: Node, x: Tensor) -> Tensor:
    """GlobalAveragePool and GlobalMaxPool."""
    places = tuple(range(2, x.ndim))
    if node.kind == "GlobalMaxPool":
        return x.amax(dim=places, keepdim=True)
    return x.mean(dim=places, keepdim=True)


def batch_norm(node: Node, x: Tensor, *given: Tensor) -> Tensor:
    """BatchNormalization with its running statistics."""
    scale, shift, *statistics = given
    mean, variance = (one.detach() for one in statistics)  # exporters merge them with weights
    only(node, "training_mode", 0)
    only(node, "spatial", 1)
    return F.batch_norm(x, mean, variance, scale, shift, False, eps=node.get("epsilon", 1e-5))


def layer_norm(node: Node, x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    """LayerNormalization over the dimensions from `axis` on."""
    axis = node.get("axis", -1) % x.ndim
    over = x.shape[axis:]
    normal = F.layer_norm(x, over, eps=node.get("epsilon", 1e-5)) * scale
    return normal if shift is None else normal + shift


def instance_norm(node: Node, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """InstanceNormalization."""
    return F.instance_norm(x, weight=scale, bias=shift, eps=node.get("epsilon", 1e-5))


def group_norm(node: Node, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """GroupNormalization; before version 21 scale and shift are those of the groups."""
    groups = node.get("num_groups")
    if len(scale) == groups != x.shape[1]:
        scale, shift = (one.repeat_interleave(x.shape[1] // groups) for one in (scale, shift))
    return F.group_norm(x, groups, scale, shift, eps=node.get("epsilon", 1e-5))


def local_response_norm(node: Node, x: Tensor) -> Tensor:
    """LRN over an odd number of channels."""
    size = node.get("size")
    if size % 2 == 0:
        raise node.refuse(f"over an even number of channels ({size})")
    return F.local_response_norm(
        x, size, alpha=node.get("alpha", 1e-4), beta=node.get("beta", 0.75), k=node.get("bias", 1.0)
    )


LAYERS: dict[str, Operator] = {
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "Einsum": lambda node, *given: torch.einsum(node.get("equation"), *given),
    "Gemm": gemm,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LRN": local_response_norm,
    "LayerNormalization": layer_norm,
    "MatMul": lambda node, a, b: torch.matmul(a, b),
    "MaxPool": max_pool,
}
