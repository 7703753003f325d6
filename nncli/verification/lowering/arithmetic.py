"""Sums, differences, and products with constants: they make no nodes, but change values."""

from typing import Any

import torch
from torch import Tensor

from nncli.verification.lowering.values import (
    Part,
    Value,
    added,
    broadcast,
    common_shape,
    expanded,
    is_exact,
    moved,
    scaled,
    shifted,
)
from nncli.verification.lowering.work import Handler, Mark, Marked, Work

MOST_PARTS = 8  # of a value, before its sum becomes a node


def add(work: Work, func: Any, one: Any, other: Any, *, alpha: float = 1) -> Value:
    """`one + alpha * other`; either may be constant."""
    if not isinstance(one, Value):
        return add(work, func, times(work, other, alpha), one)
    if not isinstance(other, Value):
        return shifted(*broadcast(one, numbers(other) * alpha))
    shape = common_shape(one, other)
    total = added(expanded(one, shape), expanded(times(work, other, alpha), shape))
    return total if len(total.parts) <= MOST_PARTS else work.builder.settled(total)


def subtract(work: Work, func: Any, one: Any, other: Any, *, alpha: float = 1) -> Value:
    """`one - alpha * other`."""
    return add(work, func, one, other, alpha=-alpha)


def subtract_from(work: Work, func: Any, one: Any, other: Any, alpha: float = 1) -> Value:
    """`other - alpha * one`."""
    return add(work, func, other, one, alpha=-alpha)


def multiply(work: Work, func: Any, one: Any, other: Any) -> Value:
    """A product with a constant."""
    if isinstance(one, Value) and isinstance(other, Value):
        raise work.refuse("mul", " of two values that depend on the input")
    return times(work, one, other) if isinstance(one, Value) else times(work, other, one)


def divide(work: Work, func: Any, one: Any, other: Any, *, rounding_mode: Any = None) -> Value:
    """A quotient by a constant: the product with its reciprocal, rounded once."""
    if rounding_mode is not None:
        raise work.refuse("div", f" that rounds ({rounding_mode})")
    if isinstance(other, Value):
        raise work.refuse("div", " by a value that depends on the input")
    return times(work, one, 1 / numbers(other))


def negate(work: Work, func: Any, x: Value) -> Value:
    """The negative."""
    return times(work, x, -1.0)


def times(work: Work, value: Value, factor: Any) -> Value:
    """A value times constants. A second factor that would round is left to a node of its own."""
    if not isinstance(factor, Tensor) and factor == 1:
        return value
    value, factors = broadcast(value, numbers(factor))
    held = any(one.factor is not None and not is_exact(one.factor) for one in value.parts)
    if held and not is_exact(factors):
        value = work.builder.settled(value)
    return scaled(value, factors)


def compare(work: Work, func: Any, x: Any, limit: Any) -> Marked:
    """A comparison with zero, which only `where` may take."""
    name = func._schema.name.partition("::")[2]
    message = work.message(name, " of what depends on the input")
    if isinstance(x, Value) and not isinstance(limit, Value) and not numbers(limit).any():
        return Marked(x, Mark(name, message))
    return Marked(x if isinstance(x, Value) else limit, Mark("compare", message))


def choose(work: Work, func: Any, condition: Any, one: Any, other: Any) -> Any:
    """`where`: by a constant mask; or by the sign of x between two multiples of x."""
    if isinstance(condition, Tensor):
        return _chosen(condition, one, other)
    if not isinstance(condition, Marked):
        raise work.refuse("where")
    if condition.mark.operator not in ("lt", "le", "gt", "ge"):
        raise work.refusal(condition.mark.message)
    slopes = [_multiple(condition.value, one), _multiple(condition.value, other)]
    if slopes[0] is None or slopes[1] is None:
        raise work.refuse("where", " that is no leaky ReLU")
    negative, positive = slopes if condition.mark.operator in ("lt", "le") else slopes[::-1]
    return kinked(work, condition.value, negative, positive)


def kinked(work: Work, x: Value, negative: Any, positive: Any) -> Value:
    """The multiples of x with one slope below zero and another one above."""
    negative, positive = numbers(negative), numbers(positive)
    straight = times(work, x, negative) if bool(negative.any()) else None
    bent = times(work, work.builder.function("relu", x), positive - negative)
    return bent if straight is None else add(work, None, straight, bent)


def numbers(given: Any) -> Tensor:
    """Constants in float64, which holds those of all smaller types."""
    return (
        given.double()
        if isinstance(given, Tensor)
        else torch.tensor(float(given), dtype=torch.float64)
    )


def _chosen(mask: Tensor, one: Any, other: Any) -> Any:
    pair = [x if isinstance(x, Value) else numbers(x) for x in (one, other)]
    return moved(lambda a, b: torch.where(mask, a, b), *pair)


def _multiple(x: Value, given: Any) -> Tensor | None:
    """The factors by which a value is x, which is numbers of one node; `None` if it is not."""
    if not isinstance(given, Value):
        return torch.zeros(()) if not bool(numbers(given).any()) else None
    if len(given.parts) != 1 or given.constant is not None or x.pure is None:
        return None
    part: Part = given.parts[0]
    if part.place != x.pure.place or not torch.equal(part.index, x.pure.index):
        return None
    return torch.ones(()) if part.factor is None else part.factor


HANDLERS: dict[str, Handler] = {
    "add": add,
    "div": divide,
    "ge": compare,
    "gt": compare,
    "le": compare,
    "lt": compare,
    "mul": multiply,
    "neg": negate,
    "rsub": subtract_from,
    "sub": subtract,
    "where": choose,
}
SETTLING = dict.fromkeys(("ge", "gt", "le", "lt"), True)
MARKED = ("where",)
