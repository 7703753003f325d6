"""How operators on single numbers round in float32, and those that pick one of several."""

from typing import Any

import torch
from torch import Tensor

from nncli.verification.float32.numbers import LEAST, ULPS, UNIT, Found, Given, Numbers, Rule, term
from nncli.verification.lowering.tape import Operation


def _sum(operation: Operation, given: Given, made: Numbers) -> Found:
    first, second = given[:2]
    alpha = abs(float(operation.named.get("alpha", given[2] if len(given) > 2 else 1)))
    by = (alpha, 1.0) if operation.name == "rsub" else (1.0, alpha)
    (error, size), (other_error, other_size) = term(first), term(second)
    passed = by[0] * error + by[1] * other_error
    sizes = by[0] * size + by[1] * other_size
    own = UNIT * (made.reach + passed) + LEAST * (3 + alpha)
    if alpha != 1:
        own = 1.01 * own + 3 * UNIT * sizes
    stretches = tuple(
        factor for factor, one in zip(by, (first, second), strict=True) if isinstance(one, Numbers)
    )
    constant = 0.0 if len(stretches) > 1 else _constant_error(first, second, by)
    return Found(passed, own + constant, sizes, stretches)


def _constant_error(first: Any, second: Any, by: tuple[float, float]) -> Tensor:
    """What a constant summand is off by, which is no error of a value."""
    one, factor = (second, by[1]) if isinstance(first, Numbers) else (first, by[0])
    return factor * term(one)[0]


def _product(operation: Operation, given: Given, made: Numbers) -> Found:
    one, factor = given[:2] if isinstance(given[0], Numbers) else (given[1], given[0])
    missing, size = term(factor)
    factors = size + missing
    own = (missing + 2 * UNIT * factors) * one.size + LEAST * (2 + one.size + factors)
    return Found(factors * one.error, own, factors * one.whole, (_most(factors),))


def _quotient(operation: Operation, given: Given, made: Numbers) -> Found:
    one, divisor = given[:2]
    missing, size = term(divisor)
    least = size - missing
    usual = (least > 2.0**-120) & (size < 2.0**120)
    factors = torch.where(usual, 1 / least, torch.inf)
    own = (missing * factors + 4 * UNIT) * factors * one.size + LEAST * (2 + factors + one.size)
    return Found(factors * one.error, own, factors * one.whole, (_most(factors),))


def _most(factors: Tensor) -> float:
    return float(factors.max()) if factors.numel() else 0.0


def _even(one: Numbers, passed: Tensor, own: Tensor | float, sizes: Tensor) -> Found:
    """The result of what is steep nowhere."""
    return Found(passed, torch.as_tensor(own) + LEAST, sizes, (1.0,))


def _moved(operation: Operation, given: Given, made: Numbers) -> Found:
    """What rounds nothing: signs and absolute values."""
    return _even(given[0], given[0].error, 0.0, given[0].whole)


def _converted(operation: Operation, given: Given, made: Numbers) -> Found:
    """To another type of floating point with as many digits at least."""
    return _even(given[0], given[0].error, UNIT * given[0].size, given[0].whole)


def _relu(operation: Operation, given: Given, made: Numbers) -> Found:
    one = given[0]
    dead = one.high + one.error <= 0
    own = torch.where(dead, 0.0, LEAST)
    return Found(torch.where(dead, 0.0, one.error), own, one.whole, (1.0,))


def _selected(operation: Operation, given: Given, made: Numbers) -> Found:
    """One of several numbers, the largest or the smallest."""
    limits = [one for one in given if one is not None and not _is_infinite(one)]
    passed, sizes, off = torch.zeros(()), torch.zeros(()), torch.zeros(())
    for one in limits:
        error, size = term(one)
        sizes = sizes + size
        if isinstance(one, Numbers):
            passed = torch.maximum(passed, error)
        else:
            off = torch.maximum(off, error)
    count = sum(isinstance(one, Numbers) for one in limits)
    return Found(passed, off + LEAST, sizes, (1.0,) * count)


def _is_infinite(limit: Any) -> bool:
    return isinstance(limit, float) and abs(limit) == float("inf")


def _leaky(operation: Operation, given: Given, made: Numbers) -> Found:
    one = given[0]
    missing, slope = term(given[1] if len(given) > 1 else 0.01)
    slope = slope + missing
    below = (-one.low).clamp_min(0) + one.error
    is_positive = one.low - one.error >= 0
    own = (missing + 2 * UNIT * slope) * below + LEAST * (2 + slope + below)
    own = torch.where(is_positive, 0.0, own) + LEAST
    steepest = torch.where(is_positive, 1.0, slope.clamp_min(1.0))
    return Found(steepest * one.error, own, (1 + slope) * one.whole, (_most(steepest),))


def _hard_sigmoid(operation: Operation, given: Given, made: Numbers) -> Found:
    one = given[0]
    own = (2 * UNIT * (one.size + 3)) / 6 + 4 * UNIT
    return _even(one, one.error / 6, own, one.whole + 1)


def _soft_shrink(operation: Operation, given: Given, made: Numbers) -> Found:
    one = given[0]
    missing, by = term(given[1] if len(given) > 1 else 0.5)
    return _even(one, one.error, missing + UNIT * (one.size + by), one.whole + 2 * by)


def _curved(operation: Operation, given: Given, made: Numbers) -> Found:
    """Sigmoid and tanh, whose slopes fall on both sides of zero."""
    one = given[0]
    flattest = torch.maximum(one.low - one.error, -one.high - one.error).clamp_min(0)
    if operation.name == "sigmoid":
        value = torch.sigmoid(flattest)
        slope = value * (1 - value)
    else:
        slope = 1 - torch.tanh(flattest) ** 2
    slope = slope + 2.0**-40
    off = slope * one.error
    own = 2 * ULPS * UNIT * (made.reach + off).clamp_max(1.0) + 4 * LEAST
    return Found(off, own, one.whole, (_most(slope),))


def _window(operation: Operation, given: Given, made: Numbers) -> Found:
    """The greatest number of each window."""

    def greatest(numbers: Tensor) -> Tensor:
        found: Any = operation.function(numbers, *given[1:], **operation.named)
        return found if isinstance(found, Tensor) else found[0]

    one = given[0]
    own = torch.full_like(made.low, LEAST)
    stretches = (1.0,) if _are_apart(operation) else ()
    # edges of minus infinity are never the greatest
    whole = torch.where(one.constants.isinf(), 0.0, one.whole)
    return Found(greatest(one.error), own, greatest(whole), stretches)


def _are_apart(operation: Operation) -> bool:
    """Whether no number is in two windows, as far as that is plain."""
    given = operation.given
    if "adaptive" in operation.name or any(isinstance(one, bool) and one for one in given):
        return False
    kernel = list(given[1])
    stride = list(given[2]) if len(given) > 2 and given[2] else kernel
    dilation = list(given[4]) if len(given) > 4 else [1]
    if any(gap != 1 for gap in dilation):
        return False
    size = max(len(kernel), len(stride))
    spread = [one * size if len(one) == 1 else one for one in (kernel, stride)]
    return all(by >= width for width, by in zip(*spread, strict=True))


def _extreme(operation: Operation, given: Given, made: Numbers) -> Found:
    """The greatest or the least number over dimensions."""
    over = given[1] if len(given) > 1 else None
    one = given[0]
    if over is None or over == []:
        return _even(one, one.error.max(), 0.0, one.whole.max())
    keep = len(given) > 2 and bool(given[2])
    return _even(one, one.error.amax(over, keep), 0.0, one.whole.amax(over, keep))


WINDOWS = ("max_pool1d", "max_pool2d", "max_pool3d")
RULES: dict[str, Rule] = {
    **dict.fromkeys(("abs", "neg"), _moved),
    **dict.fromkeys(("add", "rsub", "sub"), _sum),
    **dict.fromkeys(("amax", "amin", "max", "min"), _extreme),
    **dict.fromkeys(
        ("clamp", "clamp_max", "clamp_min", "fmax", "fmin", "hardtanh", "maximum", "minimum"),
        _selected,
    ),
    **dict.fromkeys(("sigmoid", "tanh"), _curved),
    **dict.fromkeys((*WINDOWS, *(f"{one}_with_indices" for one in WINDOWS)), _window),
    **dict.fromkeys(("adaptive_max_pool2d", "adaptive_max_pool3d"), _window),
    **dict.fromkeys(("_prelu_kernel", "leaky_relu"), _leaky),
    "_to_copy": _converted,
    "div": _quotient,
    "hardsigmoid": _hard_sigmoid,
    "mul": _product,
    "relu": _relu,
    "softshrink": _soft_shrink,
    "threshold": _selected,
}
