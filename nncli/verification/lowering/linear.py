"""Operators with weights: matrix products, convolutions, batch norm."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nncli.verification.lowering.arithmetic import add, multiply, numbers, times
from nncli.verification.lowering.values import Value, broadcast, moved, reshaped, shifted
from nncli.verification.lowering.work import Handler, Work
from nncli.verification.maps import (
    Convolution,
    Dense,
    Map,
    Positions,
    TransposedConvolution,
    sparse,
)

BOTH = " of two values that depend on the input"


def at_positions(work: Work, x: Value, weight: Tensor) -> Value:
    """A matrix (m, n) for the last dimension of a value (..., n)."""
    if x.shape[-1] != weight.shape[1]:
        raise RuntimeError(f"{x.shape[-1]} numbers for a matrix of {weight.shape[1]} columns")
    count = x.size // weight.shape[1]
    weight = numbers(weight).contiguous()
    one: Map = Dense(weight) if count == 1 else Positions(weight, count)
    return work.builder.linear(x, one, (*x.shape[:-1], weight.shape[0]), None)


def product(work: Work, func: Any, one: Any, other: Any) -> Value:
    """mm: (k, n) by (n, p)."""
    if isinstance(one, Value) and isinstance(other, Value):
        raise work.refuse("mm", BOTH)
    if isinstance(one, Value):
        return at_positions(work, one, other.T)
    result: Value = _turned(at_positions(work, _turned(other), one))
    return result


def product_and_sum(
    work: Work, func: Any, bias: Any, one: Any, other: Any, *, beta: float = 1, alpha: float = 1
) -> Value:
    """addmm: beta bias + alpha one other. A factor of the product goes into the constant matrix."""
    if isinstance(one, Tensor):
        one = numbers(one) * alpha
    elif isinstance(other, Tensor):
        other = numbers(other) * alpha
    total = bias if beta == 1 else _times(work, bias, beta)
    return add(work, func, product(work, func, one, other), total)


def batched_product(work: Work, func: Any, one: Any, other: Any) -> Value:
    """bmm: (b, k, n) by (b, n, p)."""
    if isinstance(one, Value) and isinstance(other, Value):
        raise work.refuse("bmm", BOTH)
    if isinstance(one, Tensor):
        return _turned(batched_product(work, func, _turned(other), one.mT))
    batch, inner = other.shape[0], other.shape[2]
    if batch == 1 or other.stride(0) == 0 or bool((other == other[:1]).all()):
        return at_positions(work, one, other[0].T)
    shape = (*one.shape[:2], inner)
    return work.builder.linear(one, _blocks(numbers(other), one.shape[1]), shape, None)


def _blocks(weight: Tensor, rows: int) -> Map:
    """A matrix of its own (n, p) for each of b blocks of rows."""
    batch, into, out = weight.shape
    b, k, n, p = torch.meshgrid(
        *(torch.arange(size) for size in (batch, rows, into, out)), indexing="ij"
    )
    spread = weight[:, None].expand(batch, rows, into, out)
    return sparse(
        ((b * rows + k) * out + p).flatten(),
        ((b * rows + k) * into + n).flatten(),
        spread.flatten(),
        (batch * rows * out, batch * rows * into),
    )


def batched_product_and_sum(
    work: Work, func: Any, bias: Any, one: Any, other: Any, *, beta: float = 1, alpha: float = 1
) -> Value:
    """As it says: baddbmm."""
    made = times(work, batched_product(work, func, one, other), alpha)
    return add(work, func, made, bias if beta == 1 else _times(work, bias, beta))


def product_with_vector(work: Work, func: Any, one: Any, other: Any) -> Value:
    """mv: (k, n) by (n,)."""
    if isinstance(one, Value) and isinstance(other, Value):
        raise work.refuse("mv", BOTH)
    if isinstance(one, Tensor):
        return at_positions(work, other, one)
    made = at_positions(work, one, other[None])
    return reshaped(made, made.shape[:-1])


def inner_product(work: Work, func: Any, one: Any, other: Any) -> Value:
    """Of two vectors: dot."""
    if isinstance(one, Value) and isinstance(other, Value):
        raise work.refuse("dot", BOTH)
    value, weight = (one, other) if isinstance(one, Value) else (other, one)
    return reshaped(at_positions(work, value, weight[None]), ())


def convolution(work: Work, func: Any, x: Any, weight: Any, bias: Any, *rest: Any) -> Value:
    """A convolution over one to three dimensions, or a transposed one."""
    stride, padding, dilation, transposed, output_padding, groups = rest
    if isinstance(weight, Value) or isinstance(bias, Value):
        raise work.refuse("convolution", " whose weights depend on the input")
    batch, channels, *sizes = x.shape
    weight = numbers(weight)
    if channels != (weight.shape[0] if transposed else weight.shape[1] * groups):
        raise RuntimeError(f"{channels} channels for weights of {tuple(weight.shape)}")
    if batch > 1:  # several maps of one example: each is a group of its own
        weight = weight.repeat(batch, *[1] * (weight.ndim - 1))
    spread = [_spread(one, len(sizes)) for one in (stride, padding, dilation, output_padding)]
    by, pad, gap, extra = spread
    one: Convolution | TransposedConvolution
    if transposed:
        out = [
            (size - 1) * step - 2 * p + d * (width - 1) + more + 1
            for size, width, step, p, d, more in zip(
                sizes, weight.shape[2:], by, pad, gap, extra, strict=True
            )
        ]
        shape = (weight.shape[1] * groups * batch, *out)
        one = TransposedConvolution(weight, shape, by, pad, gap, groups * batch)
    else:
        one = Convolution(weight, (batch * channels, *sizes), by, pad, gap, groups * batch)
        shape = one.out_shape
    made = work.builder.linear(x, one, (batch, shape[0] // batch, *shape[1:]), None)
    return made if bias is None else shifted(*_along_channels(made, bias))


def batch_norm(work: Work, func: Any, x: Value, *rest: Any) -> tuple[Any, ...]:
    """Batch norm by its running statistics: one factor and one constant a channel.

    Both are rounded to float64, and what is verified is the network with those.
    """
    weight, bias, mean, variance = rest[:4]
    training = isinstance(rest[4], bool) and rest[4]
    if training or mean is None or variance is None:
        raise work.refuse("batch_norm", " that takes its statistics from the data")
    factor = 1 / torch.sqrt(numbers(variance) + rest[-1])
    factor = factor if weight is None else factor * numbers(weight)
    constant = -numbers(mean) * factor
    constant = constant if bias is None else constant + numbers(bias)
    made = times(work, x, _along_channels(x, factor)[1])
    return shifted(*_along_channels(made, constant)), torch.empty(0), torch.empty(0)


def _along_channels(x: Value, one: Tensor) -> tuple[Value, Tensor]:
    """A value, and a number a channel spread to its shape."""
    return broadcast(x, numbers(one).reshape(-1, *[1] * (x.ndim - 2)))


def _spread(sizes: Sequence[int], dimensions: int) -> tuple[int, ...]:
    return tuple(sizes) * dimensions if len(sizes) == 1 else tuple(sizes)


def _turned(x: Value) -> Value:
    result: Value = moved(lambda y: y.mT, x)
    return result


def _times(work: Work, one: Any, factor: float) -> Any:
    return multiply(work, None, one, factor) if isinstance(one, Value) else one * factor


HANDLERS: dict[str, Handler] = {
    "_native_batch_norm_legit": batch_norm,
    "_native_batch_norm_legit_no_training": batch_norm,
    "addmm": product_and_sum,
    "baddbmm": batched_product_and_sum,
    "bmm": batched_product,
    "convolution": convolution,
    "dot": inner_product,
    "mm": product,
    "mv": product_with_vector,
    "native_batch_norm": batch_norm,
}
SETTLING = dict.fromkeys(("addmm", "baddbmm", "bmm", "convolution", "dot", "mm", "mv"), False)
