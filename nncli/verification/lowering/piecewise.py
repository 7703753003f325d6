"""Functions of single numbers, and of two: all by ReLU, sigmoid and tanh.

Constants such as `1 - slope` are rounded once to float64.
"""

from typing import Any

import torch

from nncli.verification.lowering.arithmetic import add, kinked, numbers, subtract, times
from nncli.verification.lowering.values import Value, broadcast, shifted
from nncli.verification.lowering.work import Handler, Work


def named(name: str) -> Handler:
    """A function that networks have as it is."""
    return lambda work, func, x: work.builder.function(name, x)


def leaky_relu(work: Work, func: Any, x: Value, slope: float = 0.01) -> Value:
    """`s x + (1 - s) relu(x)`."""
    return kinked(work, x, slope, 1.0)


def prelu(work: Work, func: Any, x: Value, weight: Any) -> Value:
    """A leaky ReLU whose slopes are weights."""
    if isinstance(weight, Value):
        raise work.refuse("prelu", " whose slopes depend on the input")
    return kinked(work, x, weight, 1.0)


def absolute(work: Work, func: Any, x: Value) -> Value:
    """`2 relu(x) - x`."""
    return kinked(work, x, -1.0, 1.0)


def at_least(work: Work, func: Any, x: Value, low: Any) -> Value:
    """`low + relu(x - low)`, or of two values `x + relu(low - x)`."""
    if isinstance(low, Value):
        over = work.builder.function("relu", subtract(work, func, low, x))
        return add(work, func, x, over)
    x, limits = broadcast(x, numbers(low))
    if bool((limits == -torch.inf).all()):
        return x
    return shifted(work.builder.function("relu", shifted(x, -limits)), limits)


def at_most(work: Work, func: Any, x: Value, high: Any) -> Value:
    """`high - relu(high - x)`, or of two values `x - relu(x - high)`."""
    if isinstance(high, Value):
        over = work.builder.function("relu", subtract(work, func, x, high))
        return subtract(work, func, x, over)
    x, limits = broadcast(x, numbers(high))
    if bool((limits == torch.inf).all()):
        return x
    under = work.builder.function("relu", shifted(times(work, x, -1.0), limits))
    return shifted(times(work, under, -1.0), limits)


def pairwise(function: Handler) -> Handler:
    """The larger or the smaller of two, either of which may be constant."""

    def extreme(work: Work, func: Any, one: Any, other: Any) -> Any:
        return function(work, func, *((one, other) if isinstance(one, Value) else (other, one)))

    return extreme


def clip(work: Work, func: Any, x: Any, low: Any = None, high: Any = None) -> Value:
    """One limit after the other, so that bounds stay within both."""
    if not isinstance(x, Value):
        raise work.refuse("clamp", " whose limits depend on the input")
    x = x if low is None else at_least(work, func, x, low)
    return x if high is None else at_most(work, func, x, high)


def hard_tanh(work: Work, func: Any, x: Value, low: float = -1.0, high: float = 1.0) -> Value:
    """Also ReLU6."""
    return clip(work, func, x, low, high)


def hard_sigmoid(work: Work, func: Any, x: Value) -> Value:
    """`clip(x / 6 + 1/2, 0, 1)`."""
    scaled = times(work, x, 1 / 6)
    return clip(work, func, shifted(scaled, torch.full(x.shape, 0.5).double()), 0.0, 1.0)


def soft_shrink(work: Work, func: Any, x: Value, by: float = 0.5) -> Value:
    """`relu(x - by) - relu(-x - by)`."""
    less = torch.full(x.shape, -by, dtype=torch.float64)
    above = work.builder.function("relu", shifted(x, less))
    below = work.builder.function("relu", shifted(times(work, x, -1.0), less))
    return subtract(work, func, above, below)


def threshold(work: Work, func: Any, x: Value, limit: float, value: float) -> Value:
    """Where it does not jump."""
    if limit != value:
        raise work.refuse("threshold", " that jumps")
    return at_least(work, func, x, limit)


HANDLERS: dict[str, Handler] = {
    "_prelu_kernel": prelu,
    "abs": absolute,
    "clamp": clip,
    "clamp_max": at_most,
    "clamp_min": at_least,
    "fmax": pairwise(at_least),
    "fmin": pairwise(at_most),
    "hardsigmoid": hard_sigmoid,
    "hardtanh": hard_tanh,
    "leaky_relu": leaky_relu,
    "maximum": pairwise(at_least),
    "minimum": pairwise(at_most),
    "relu": named("relu"),
    "sigmoid": named("sigmoid"),
    "softshrink": soft_shrink,
    "tanh": named("tanh"),
    "threshold": threshold,
}
SETTLING = dict.fromkeys(HANDLERS, True)
