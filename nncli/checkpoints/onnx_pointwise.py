"""ONNX operators that work number by number, and those that reduce.

Each takes the node and its inputs (`None` where an optional one is missing). Definitions:
https://onnx.ai/onnx/operators/.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nncli.checkpoints.onnx_node import Node, only

Operator = Callable[..., Any]


def plain(function: Callable[..., Any]) -> Operator:
    """An operator without attributes."""
    return lambda node, *given: function(*given)


def folded(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """An operator over any number of inputs."""
    return lambda node, *given: functools.reduce(function, given)


def divide(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """Div: whole numbers are cut off towards zero."""
    if x.is_floating_point():
        return x / y
    return torch.div(x, y, rounding_mode="trunc")


def power(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """Pow: the result has the type of the base."""
    return torch.pow(x, y).to(x.dtype)


def modulo(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """Mod: the sign of the divisor, or with `fmod` that of the dividend."""
    return torch.fmod(x, y) if node.get("fmod", 0) else torch.remainder(x, y)


def gelu(node: Node, x: Tensor) -> Tensor:
    """Gelu, exact or by tanh."""
    return F.gelu(x, approximate=node.get("approximate", "none"))


def clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Clip; before version 11 the limits are attributes."""
    bounds = [
        node.get(key) if given is None else given for key, given in (("min", low), ("max", high))
    ]
    for bound, function in zip(bounds, (torch.maximum, torch.minimum), strict=True):
        if bound is not None:
            x = function(x, torch.as_tensor(bound, dtype=x.dtype, device=x.device))
    return x


def prelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    """PRelu: the slope is spread over the input; before version 7 it is one a channel."""
    if node.version < 7 and slope.ndim == 1 and x.ndim > 1:
        slope = slope.reshape(-1, *[1] * (x.ndim - 2))
    return torch.where(x < 0, slope * x, x)


def softmax(node: Node, x: Tensor) -> Tensor:
    """Softmax and LogSoftmax; before version 13 all dimensions from `axis` on count as one."""
    function = {"Softmax": torch.softmax, "LogSoftmax": torch.log_softmax}[node.kind]
    if node.version >= 13:
        return function(x, dim=node.get("axis", -1))
    axis = node.get("axis", 1) % x.ndim
    return function(x.flatten(axis), dim=-1).reshape(x.shape)


def cast(node: Node, x: Tensor) -> Tensor:
    """Cast."""
    to = TYPES.get(node.get("to"))
    if to is None:
        raise node.refuse(f"to type {node.get('to')}")
    return x.to(to)


def dropout(node: Node, x: Tensor, *rest: Tensor) -> Tensor:
    """Dropout in inference: nothing."""
    if len(rest) > 1 and bool(rest[1].item()):
        raise node.refuse("in training mode")
    return x


def reduction(function: Callable[..., Tensor]) -> Operator:
    """A reduction; the axes are an attribute or, in newer versions, an input."""

    def reduce(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        over = node.whole_numbers("axes", axes)
        if not over:
            if node.get("noop_with_empty_axes", 0):
                return x
            over = list(range(x.ndim))
        keep = bool(node.get("keepdims", 1))
        return function(x, dim=tuple(over), keepdim=keep) if over else function(x[None], dim=(0,))

    return reduce


def _product(x: Tensor, dim: tuple[int, ...], *, keepdim: bool = False) -> Tensor:
    for axis in sorted((one % x.ndim for one in dim), reverse=True):
        x = x.prod(dim=axis, keepdim=keepdim)
    return x


def _mean(x: Tensor, dim: tuple[int, ...], *, keepdim: bool = False) -> Tensor:
    return x.mean(dim=dim, keepdim=keepdim)


def extreme(node: Node, x: Tensor) -> Tensor:
    """ArgMax and ArgMin; of equal ones the first."""
    only(node, "select_last_index", 0)
    function = {"ArgMax": torch.argmax, "ArgMin": torch.argmin}[node.kind]
    return function(x, dim=node.get("axis", 0), keepdim=bool(node.get("keepdims", 1)))


TYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}

POINTWISE: dict[str, Operator] = {
    "Abs": plain(torch.abs),
    "Add": plain(torch.add),
    "And": plain(torch.logical_and),
    "ArgMax": extreme,
    "ArgMin": extreme,
    "Cast": cast,
    "Ceil": plain(torch.ceil),
    "Celu": lambda node, x: F.celu(x, node.get("alpha", 1.0)),
    "Clip": clip,
    "Cos": plain(torch.cos),
    "Div": divide,
    "Dropout": dropout,
    "Elu": lambda node, x: F.elu(x, node.get("alpha", 1.0)),
    "Equal": plain(torch.eq),
    "Erf": plain(torch.erf),
    "Exp": plain(torch.exp),
    "Floor": plain(torch.floor),
    "Gelu": gelu,
    "Greater": plain(torch.gt),
    "GreaterOrEqual": plain(torch.ge),
    "HardSigmoid": lambda node, x: torch.clamp(
        node.get("alpha", 0.2) * x + node.get("beta", 0.5), 0, 1
    ),
    "HardSwish": plain(F.hardswish),
    "Identity": plain(lambda x: x),
    "LeakyRelu": lambda node, x: F.leaky_relu(x, node.get("alpha", 0.01)),
    "Less": plain(torch.lt),
    "LessOrEqual": plain(torch.le),
    "Log": plain(torch.log),
    "LogSoftmax": softmax,
    "Max": folded(torch.maximum),
    "Mean": lambda node, *given: functools.reduce(torch.add, given) / len(given),
    "Min": folded(torch.minimum),
    "Mish": plain(F.mish),
    "Mod": modulo,
    "Mul": plain(torch.mul),
    "Neg": plain(torch.neg),
    "Not": plain(torch.logical_not),
    "Or": plain(torch.logical_or),
    "PRelu": prelu,
    "Pow": power,
    "Reciprocal": plain(torch.reciprocal),
    "ReduceL1": reduction(lambda x, dim, keepdim=False: x.abs().sum(dim=dim, keepdim=keepdim)),
    "ReduceL2": reduction(
        lambda x, dim, keepdim=False: x.square().sum(dim=dim, keepdim=keepdim).sqrt()
    ),
    "ReduceLogSum": reduction(lambda x, dim, keepdim=False: x.sum(dim=dim, keepdim=keepdim).log()),
    "ReduceLogSumExp": reduction(torch.logsumexp),
    "ReduceMax": reduction(torch.amax),
    "ReduceMean": reduction(_mean),
    "ReduceMin": reduction(torch.amin),
    "ReduceProd": reduction(_product),
    "ReduceSum": reduction(torch.sum),
    "ReduceSumSquare": reduction(
        lambda x, dim, keepdim=False: x.square().sum(dim=dim, keepdim=keepdim)
    ),
    "Relu": plain(torch.relu),
    "Round": plain(torch.round),
    "Selu": lambda node, x: (
        node.get("gamma", 1.0507009873554805) * F.elu(x, node.get("alpha", 1.6732632423543772))
    ),
    "Sigmoid": plain(torch.sigmoid),
    "Sign": plain(torch.sign),
    "Sin": plain(torch.sin),
    "Softmax": softmax,
    "Softplus": plain(F.softplus),
    "Softsign": plain(F.softsign),
    "Sqrt": plain(torch.sqrt),
    "Sub": plain(torch.sub),
    "Sum": folded(torch.add),
    "Tanh": plain(torch.tanh),
    "ThresholdedRelu": lambda node, x: torch.where(x > node.get("alpha", 1.0), x, 0.0),
    "Where": plain(torch.where),
    "Xor": plain(torch.logical_xor),
}
