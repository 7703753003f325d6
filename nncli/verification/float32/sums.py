"""How sums of products round in float32: matrices, convolutions, pools, batch norm.

References:
    Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor

from nncli.verification.float32.numbers import LEAST, UNIT, Found, Given, Numbers, Rule
from nncli.verification.lowering.tape import Operation
from nncli.verification.lowering.values import Value


def _products(terms: Callable[[Operation], int], additive: int | None = None) -> Rule:
    """Sums of products of a value with constants, perhaps with a further summand.

    Args:
        terms: How many products there are for a number.
        additive: Which argument is only added.
    """

    def rule(operation: Operation, given: Given, made: Numbers) -> Found:
        count = terms(operation)
        passed = _absolute(operation, [_errors(one) for one in given], without=additive)
        sizes = _absolute(operation, [_sizes(one) for one in given])
        share = (count + (10 if operation.named else 3)) * UNIT
        if share >= 0.5:
            return Found(passed, torch.full_like(sizes, torch.inf), sizes)
        largest = sum(_greatest(one) for one in given)
        factors = [abs(float(operation.named.get(name, 1))) for name in ("alpha", "beta")]
        # what is flushed to zero: products, their factors, and the result
        least = LEAST * (count + 2) * (4 + 2 * largest) * (1 + sum(factors))
        own = share / (1 - share) * sizes + least
        lengths = None
        if any(isinstance(one, Tensor) for one in given):
            ones = [torch.ones_like(one.low) if isinstance(one, Numbers) else one for one in given]
            lengths = _absolute(operation, ones, without=additive, squared=True).sqrt()
        # a mean is of a sum, which may overflow first
        return Found(passed, own, sizes * (count if operation.name in MEANS else 1), (), lengths)

    return rule


def _errors(one: Any) -> Any:
    return one.error if isinstance(one, Numbers) else one


def _greatest(one: Any) -> float:
    if isinstance(one, Numbers):
        one = one.size
    return float(one.abs().max()) if isinstance(one, Tensor) and one.numel() else 0.0


def _sizes(one: Any) -> Any:
    return one.size if isinstance(one, Numbers) else one


def _absolute(
    operation: Operation, given: Given, *, without: int | None = None, squared: bool = False
) -> Tensor:
    """The operator with absolute or squared constants, perhaps without a constant summand."""
    power = 2 if squared else 1
    arguments = []
    for place, one in enumerate(given):
        if not (isinstance(one, Tensor) and one.is_floating_point()):
            arguments.append(one)
            continue
        is_left_out = place == without and not isinstance(operation.given[place], Value)
        arguments.append(0 * one.double() if is_left_out else one.double().abs() ** power)
    named = {
        name: abs(one) ** power if name in ("alpha", "beta") else one
        for name, one in operation.named.items()
        if name != "dtype"
    }
    found: Tensor = operation.function(*arguments, **named)
    return found


def _batch_norm(operation: Operation, given: Given, made: Numbers) -> Found:
    """By running statistics: with the mean taken off first, or with a factor and a constant."""
    one, weight, bias, mean, variance = given[:5]
    shape = (1, -1, *[1] * (one.low.ndim - 2))
    base = variance.double() + given[-1]
    usual = (base > 2.0**-100) & (base < 2.0**100)
    spread = torch.where(usual, 1 / base.sqrt(), torch.inf).reshape(shape)
    ones = torch.ones_like(mean).double()
    weight = (ones if weight is None else weight.double().abs()).reshape(shape)
    bias = (0 * ones if bias is None else bias.double().abs()).reshape(shape)
    mean = mean.double().abs().reshape(shape)
    factor = weight * spread
    inner = one.size + mean
    tiny = LEAST * (4 + factor + weight + (2 + spread) * (1 + inner))
    own = 24 * UNIT * (factor * inner + bias) + tiny
    sizes = (one.whole + mean) * spread.clamp_min(1.0) * weight.clamp_min(1.0) + bias
    return Found(factor * one.error, own, sizes, (float(factor.max()),))


def _inner(place: int) -> Callable[[Operation], int]:
    """The length of the last dimension of an argument."""
    return lambda operation: operation.given[place].shape[-1]


def _kernel(operation: Operation) -> int:
    weight, transposed, groups = (operation.given[place] for place in (1, 6, 8))
    shape = weight.shape
    return int((shape[0] // groups if transposed else shape[1]) * prod(shape[2:]))


def _pooled(operation: Operation) -> int:
    dimensions = int(next(one for one in operation.name if one.isdigit()))
    kernel = list(operation.given[1])
    if "adaptive" not in operation.name:
        return int(prod(kernel * dimensions if len(kernel) == 1 else kernel))
    sizes = operation.given[0].shape[-dimensions:]
    return prod(-(-size // count) + 1 for size, count in zip(sizes, kernel, strict=True))


def _share(operation: Operation) -> int:
    return int(operation.given[0].size // max(operation.made.size, 1))


def _all(operation: Operation) -> int:
    return int(operation.given[0].size)


POOLS = (
    *("avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d"),
)
MEANS = (*POOLS, "mean")
BATCH_NORMS = (
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "native_batch_norm",
)
LINEAR: dict[str, Rule] = {
    **dict.fromkeys(("col2im", "cumsum", "trace"), _products(_all)),
    **dict.fromkeys(("mean", "sum"), _products(_share)),
    **dict.fromkeys(POOLS, _products(_pooled)),
    "addmm": _products(_inner(1), additive=0),
    "baddbmm": _products(_inner(1), additive=0),
    "bmm": _products(_inner(0)),
    "convolution": _products(_kernel, additive=2),
    "dot": _products(_inner(0)),
    "mm": _products(_inner(0)),
    "mv": _products(_inner(0)),
}
RULES = {**LINEAR, **dict.fromkeys(BATCH_NORMS, _batch_norm)}
