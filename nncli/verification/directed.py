"""Exact numbers to floating point, rounded in one direction."""

import math
from collections.abc import Collection, Iterable, Sequence
from fractions import Fraction

import torch
from torch import Tensor


def below(value: Fraction) -> float:
    """The greatest float64 that is at most a number; minus infinity if there is none."""
    near = _nearest(value)
    return near if _compare(near, value) <= 0 else math.nextafter(near, -math.inf)


def above(value: Fraction) -> float:
    """The least float64 that is at least a number; infinity if there is none."""
    near = _nearest(value)
    return near if _compare(near, value) >= 0 else math.nextafter(near, math.inf)


def is_exact(value: Fraction) -> bool:
    """Whether a number is one of float64."""
    return _compare(_nearest(value), value) == 0


def nearest(value: Fraction) -> float:
    """The nearest float64; infinite beyond its range."""
    return _nearest(value)


def _nearest(value: Fraction) -> float:
    try:
        return value.numerator / value.denominator  # of whole numbers, so correctly rounded
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _compare(number: float, value: Fraction) -> int:
    """The sign of `number - value`."""
    if math.isinf(number):
        return 1 if number > 0 else -1
    over, under = number.as_integer_ratio()
    difference = over * value.denominator - value.numerator * under
    return (difference > 0) - (difference < 0)


def outwards(low: Iterable[Fraction], high: Iterable[Fraction]) -> tuple[Tensor, Tensor]:
    """Limits in float64 that hold whatever lies within the exact ones.

    Args:
        low: n lower limits.
        high: n upper limits.

    Returns:
        Two tensors (n,) float64.
    """
    return (
        torch.tensor([below(one) for one in low], dtype=torch.float64),
        torch.tensor([above(one) for one in high], dtype=torch.float64),
    )


def inwards(
    low: Sequence[Fraction],
    high: Sequence[Fraction],
    above_low: Collection[int] = (),
    below_high: Collection[int] = (),
) -> tuple[Tensor, Tensor]:
    """Limits in float32 that hold nothing outside of the exact ones.

    Args:
        low: n lower limits.
        high: n upper limits.
        above_low: Places whose lower limit itself lies outside.
        below_high: Places whose upper limit itself lies outside.

    Returns:
        Two tensors (n,) float64 of float32 numbers. Where no float32 number lies within the exact
        limits both are the one nearest to their middle.
    """
    least = _to_float32([above(one) for one in low], low, above_low, 1)
    most = _to_float32([below(one) for one in high], high, below_high, -1)
    none = (least > most).nonzero().flatten().tolist()
    for place in none:
        middle = torch.tensor(nearest((low[place] + high[place]) / 2), dtype=torch.float64)
        limit = torch.finfo(torch.float32).max
        least[place] = most[place] = middle.clamp(-limit, limit).float().double()
    return least, most


def _to_float32(
    numbers: list[float], exact: Sequence[Fraction], outside: Collection[int], sign: int
) -> Tensor:
    """Float64 numbers to float32, upwards (sign 1) or downwards (-1).

    The float32 nearest above an exact number is also the nearest above its float64 from above.
    """
    for place in outside:
        if _compare(numbers[place], exact[place]) == 0:
            numbers[place] = math.nextafter(numbers[place], sign * math.inf)
    wide = torch.tensor(numbers, dtype=torch.float64)
    narrow = wide.float()
    beyond = sign * narrow.double() < sign * wide
    next_one = torch.nextafter(narrow, torch.full_like(narrow, sign * math.inf))
    return torch.where(beyond, next_one, narrow).double()
