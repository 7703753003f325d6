"""Lines below and above an activation on an interval.

Of a line of a given slope, the best offset has a closed form: the extreme of `f(y) - slope y` is at
an end of the interval or where the slope of f is that of the line. So every slope gives a valid
line, and slopes can be chosen by rule or by gradient with nothing left to check.

The offsets are found for the slopes as they are in floating point, so slopes need no exactness.
Of a ReLU `1 + 8 u` covers the three operations of an offset, and the slope of the upper line is at
most 1, as `high - low` is not rounded below `high`. Of an S-shaped function the point of greatest
distance need not be exact, because the distance is stationary there: an error d of the point costs
f''/2 d^2 at most, where d is about u / slope and f'' no more than twice the slope, so u^2 / slope.
Slopes below 10 u touch where the function is that near to its limit. `LIBRARY` covers both, the
error of the library's functions and the rounding of `slope y`.

References:
    Zhang et al. 2018, Efficient neural network robustness certification with general activation
    functions (CROWN).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.network import FUNCTIONS
from nncli.verification.rounding import TINY, UNIT

STEEPEST = {"sigmoid": 0.25, "tanh": 1.0}
LIBRARY = 32 * UNIT  # how far library functions may be from the real ones, relative to one


@dataclass(frozen=True)
class Lines:
    """For each number y in its interval: `below y + under <= f(y) <= above y + over`.

    Attributes:
        below: (B, 1 or R, n) slopes of the lower lines.
        under: Their offsets; `None` where they are 0.
        above: Slopes of the upper lines.
        over: Their offsets; for a ReLU not negative.
    """

    below: Tensor
    under: Tensor | None
    above: Tensor
    over: Tensor


@dataclass(frozen=True)
class Slopes:
    """Chosen slopes; `None` stands for the rule of CROWN.

    Attributes:
        below: (B, 1 or R, n) of the lower lines. For ReLU in [0, 1].
        above: Of the upper lines; of no use for ReLU, whose upper line is the chord.
    """

    below: Tensor | None = None
    above: Tensor | None = None


def lines(function: str, low: Tensor, high: Tensor, slopes: Slopes | None = None) -> Lines:
    """Lines below and above an activation.

    Args:
        function: `relu`, `sigmoid`, `tanh` or `square`.
        low: (B, n) least values of what goes in.
        high: (B, n) greatest values, nowhere below `low`.
        slopes: Slopes to take; by default those of CROWN.

    Returns:
        The lines; where an interval holds no kink of a ReLU, the function itself.
    """
    low, high = low[:, None], high[:, None]
    slopes = slopes or Slopes()
    if function == "relu":
        return _relu(low, high, slopes.below)
    if function == "square":
        return _square(low, high)
    below, above = slopes.below, slopes.above
    if below is None or above is None:
        ruled = _rule(function, low, high)
        below, above = ruled[0] if below is None else below, ruled[1] if above is None else above
    return _curved(function, low, high, below, above)


def unstable(low: Tensor, high: Tensor) -> Tensor:
    """Where an interval holds the kink of a ReLU inside."""
    return (low < 0) & (high > 0)


def _relu(low: Tensor, high: Tensor, below: Tensor | None) -> Lines:
    bent = unstable(low, high)
    active = ((low >= 0) & ~bent).to(low.dtype)
    width = torch.where(bent, high - low, 1.0)
    chord = torch.where(bent, high / width, active)
    over = torch.maximum(-chord * low, high * (1 - chord)) * (1 + 8 * UNIT) + TINY
    over = torch.where(bent, over, 0.0)
    if below is None:
        below = (high > -low).to(low.dtype)
    below = torch.where(bent, below, active)
    return Lines(below, None, chord, over)


def _square(low: Tensor, high: Tensor) -> Lines:
    """The tangent in the middle and the chord, which have one slope.

    Neither is chosen: the chord is the best line above, and intervals become narrow by division.
    """
    slope = low + high
    middle = torch.minimum(torch.maximum(slope / 2, low), high)
    ends = torch.maximum(low.abs(), high.abs())
    room = 8 * UNIT * ends * (ends + slope.abs()) + TINY
    under = middle * (middle - slope) - room
    over = torch.maximum(low * (low - slope), high * (high - slope)) + room
    return Lines(slope, under, slope, over)


def _turning(function: str, slope: Tensor) -> Tensor:
    """The y >= 0 at which an S-shaped function has a slope; it has the same one at -y."""
    if function == "sigmoid":
        share = torch.sqrt((1 - 4 * slope).clamp(0, 1 - 1e-15))
        return torch.log1p(share) - torch.log1p(-share)
    return torch.atanh(torch.sqrt((1 - slope).clamp(0, 1 - 1e-15)))


def _curved(function: str, low: Tensor, high: Tensor, below: Tensor, above: Tensor) -> Lines:
    """The best offsets of given slopes.

    f(y) - slope y has its inner maximum where f is concave, at y >= 0, and its inner minimum at -y.
    Where that point is outside the interval, an end is the extreme.
    """
    value = FUNCTIONS[function]
    ends = torch.maximum(low.abs(), high.abs())

    def gaps(slope: Tensor, inner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inner = torch.minimum(torch.maximum(inner, low), high)
        return tuple(value(y) - slope * y for y in (low, high, inner))  # type: ignore[return-value]

    with torch.no_grad():
        most, least = _turning(function, above), -_turning(function, below)
    first, second, third = gaps(above, most)
    over = torch.maximum(torch.maximum(first, second), third) + LIBRARY * (1 + above.abs() * ends)
    first, second, third = gaps(below, least)
    under = torch.minimum(torch.minimum(first, second), third) - LIBRARY * (1 + below.abs() * ends)
    return Lines(below, under, above, over)


def _rule(function: str, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes of the lower and upper lines: chords and tangents at the middle where f bends one way.

    Across zero the upper line is the tangent from the lower end, or the chord where that tangent
    would touch beyond the upper end; the lower line is its mirror image.
    """
    value = FUNCTIONS[function]
    width = (high - low).clamp_min(1e-9)
    middle = (low + high) / 2
    chord = torch.where(
        high - low > 1e-6, (value(high) - value(low)) / width, _slope(function, middle)
    )
    tangent = _slope(function, middle)
    upper_touch = _touching(function, low)
    lower_touch = -_touching(function, -high)
    across_above = torch.where(upper_touch < high, _slope(function, upper_touch), chord)
    across_below = torch.where(lower_touch > low, _slope(function, lower_touch), chord)
    above = torch.where(low >= 0, tangent, torch.where(high <= 0, chord, across_above))
    below = torch.where(high <= 0, tangent, torch.where(low >= 0, chord, across_below))
    return below, above


def _slope(function: str, y: Tensor) -> Tensor:
    f = FUNCTIONS[function](y)
    return f * (1 - f) if function == "sigmoid" else 1 - f * f


def _touching(function: str, start: Tensor) -> Tensor:
    """The y >= 0 at which the tangent meets the function at a start below 0, by bisection."""
    value = FUNCTIONS[function]
    anchor = value(start)
    near, far = torch.zeros_like(start), (2 - start).clamp(2, 40)
    for _ in range(24):
        middle = (near + far) / 2
        meets = value(middle) + _slope(function, middle) * (start - middle) < anchor
        near, far = torch.where(meets, middle, near), torch.where(meets, far, middle)
    return far
