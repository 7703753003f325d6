"""How errors reach later numbers: passed back with signs, as derivatives are.

What a network gives in float32 is off by the own rounding of each operator times how much the
number in question changes with its result. Operators are linear, or change by a slope that lies in
a known interval over all that is between the real number and the one in float32; so these factors
are passed back as intervals, kept as a middle and a radius. Positive and negative paths cancel as
far as slopes are known, where absolute factors from layer to layer would multiply.

Operators without an adjoint here end the paths that go through them: there all errors count that
were found going forwards.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nncli.verification.float32.numbers import Numbers
from nncli.verification.lowering.tape import Operation
from nncli.verification.lowering.values import Value
from nncli.verification.maps import Map

ROUNDING = 2.0**-30  # of the middles, far more than sums in float64 round
Factors = tuple[Tensor, Tensor]  # (R, n) middles and radii


class Link(NamedTuple):
    """How factors of an operator's results become factors of one of its arguments.

    Attributes:
        value: The argument.
        back: From (R, *shape of the results) to (R, numbers of the argument).
    """

    value: Value
    back: Callable[[Tensor, Tensor], Factors]


class Passage(NamedTuple):
    """An operator on the way back.

    Attributes:
        traced: Where its results stand on the tape.
        links: One for each argument; `None` if paths end here.
        is_bent: Whether it is no linear function.
    """

    traced: Tensor
    links: tuple[Link, ...] | None
    is_bent: bool


def passed_back(
    passages: Sequence[Passage], own: Tensor, errors: Tensor, places: Tensor, rows: Tensor
) -> Tensor:
    """How far sums of numbers may be off.

    Args:
        passages: The operators, in order.
        own: (count,) the own rounding of each number.
        errors: (count,) the errors found so far.
        places: (k,) numbers, -1 for constants.
        rows: (R, k) their factors.

    Returns:
        (R,) the errors of the sums.
    """
    there = places >= 0
    middle = torch.zeros(len(rows), len(own), dtype=torch.float64)
    middle.index_add_(1, places[there], rows[:, there])
    radius = torch.zeros_like(middle)
    total = torch.zeros(len(rows), dtype=torch.float64)
    for one in reversed(passages):
        flat = one.traced.flatten()
        shape = (len(rows), *one.traced.shape)
        along, around = middle[:, flat], radius[:, flat]
        ends = errors if one.links is None else own
        total = total + _weighed(along.abs() + around, ends[flat])
        if one.links is None:
            continue
        for link in one.links:
            found = link.back(along.reshape(shape), around.reshape(shape))
            traced = link.value.traced
            assert traced is not None, "what is taken down has places"
            kept = traced.flatten() >= 0
            where = traced.flatten()[kept]
            middle.index_add_(1, where, found[0][:, kept])
            radius.index_add_(1, where, found[1][:, kept])
    return total


def _weighed(factors: Tensor, errors: Tensor) -> Tensor:
    """Sums of products, infinite where one is no number: zero times an infinite one is none."""
    return torch.nan_to_num((factors * errors).sum(dim=1), torch.inf, torch.inf)


def sloped(value: Value, low: Tensor, high: Tensor) -> Link:
    """A function of each number, which changes by slopes between two limits.

    Args:
        value: Its argument, spread to the shape of the results.
        low: The least slopes, of that shape or spread to it.
        high: The greatest.
    """
    middle = (low + high) / 2
    half = (high - low) / 2 + ROUNDING * middle.abs()

    def back(along: Tensor, around: Tensor) -> Factors:
        around = around * (middle.abs() + half) + along.abs() * half
        return _summed(along * middle, value.shape), _summed(around, value.shape)

    return Link(value, back)


def _summed(factors: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Over the dimensions along which an argument (*shape) was spread."""
    rows = len(factors)
    extra = factors.ndim - 1 - len(shape)
    if extra:
        factors = factors.sum(dim=tuple(range(1, 1 + extra)))
    for place, size in enumerate(shape, 1):
        if size == 1 and factors.shape[place] != 1:
            factors = factors.sum(dim=place, keepdim=True)
    return factors.reshape(rows, -1)


def mapped(value: Value, made: Value, one: Map) -> Link | None:
    """A linear map of all numbers of a value, in their order; `None` if they are in another."""
    given, part = value.pure, made.parts[0]
    if given is None or not torch.equal(given.index.flatten(), torch.arange(one.inputs)):
        return None
    there = part.index.flatten() >= 0
    where = part.index.flatten()[there]
    absolute = one.magnitude()

    def back(along: Tensor, around: Tensor) -> Factors:
        around = around + ROUNDING * along.abs()
        placed = [
            each.new_zeros(len(each), one.outputs).index_add(1, where, each.flatten(1)[:, there])
            for each in (along, around)
        ]
        middle = one.adjoint(placed[0])
        return middle, absolute.adjoint(placed[1]) + ROUNDING * middle.abs()

    return Link(value, back)


def _flat(number: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(number, dtype=torch.float64).expand(like.shape)


def _sum(operation: Operation, given: Sequence[Any], made: Numbers) -> list[Link]:
    arguments = operation.given
    alpha = float(operation.named.get("alpha", arguments[2] if len(arguments) > 2 else 1))
    by = {"add": (1.0, alpha), "sub": (1.0, -alpha), "rsub": (-alpha, 1.0)}[operation.name]
    return [
        sloped(one, *(2 * (_flat(factor, made.low),)))
        for one, factor in zip(arguments[:2], by, strict=True)
        if isinstance(one, Value)
    ]


def _product(operation: Operation, given: Sequence[Any], made: Numbers) -> list[Link]:
    one, factor = operation.given[:2]
    if not isinstance(one, Value):
        one, factor = factor, one
    factor = _flat(factor, made.low)
    return [sloped(one, factor, factor)]


def _quotient(operation: Operation, given: Sequence[Any], made: Numbers) -> list[Link]:
    factor = 1 / _flat(operation.given[1], made.low)
    return [sloped(operation.given[0], factor, factor)]


def _between(low: float, high: float) -> Any:
    def links(operation: Operation, given: Sequence[Any], made: Numbers) -> list[Link]:
        ends = _flat(low, made.low), _flat(high, made.low)
        return [sloped(operation.given[0], *ends)]

    return links


def _clipped(operation: Operation, given: Sequence[Any], made: Numbers) -> list[Link]:
    """Between constants."""
    if sum(isinstance(one, Value) for one in operation.given) != 1:
        return []
    value = next(one for one in operation.given if isinstance(one, Value))
    return [sloped(value, _flat(0.0, made.low), _flat(1.0, made.low))]


def _relu(operation: Operation, given: Sequence[Any], made: Numbers) -> list[Link]:
    one = given[0]
    low = (one.low - one.error >= 0).double()
    high = (one.high + one.error > 0).double()
    return [sloped(operation.given[0], low, high)]


def _leaky(operation: Operation, given: Sequence[Any], made: Numbers) -> list[Link]:
    one = given[0]
    slope = _flat(given[1] if len(given) > 1 else 0.01, made.low)
    ones = torch.ones_like(slope)
    below = torch.where(one.low - one.error >= 0, ones, slope)
    above = torch.where(one.high + one.error > 0, ones, slope)
    ends = torch.minimum(below, above), torch.maximum(below, above)
    return [sloped(operation.given[0], *ends)]


def _curved(operation: Operation, given: Sequence[Any], made: Numbers) -> list[Link]:
    """Slopes are least at the end that is farther from zero, and greatest nearest to it."""
    one = given[0]
    low, high = one.low - one.error, one.high + one.error
    farthest = torch.maximum(low.abs(), high.abs())
    nearest = torch.maximum(low, -high).clamp_min(0)
    ends = [_slope(operation.name, where) for where in (farthest, nearest)]
    room = 2.0**-40
    return [sloped(operation.given[0], ends[0] - room, ends[1] + room)]


def _slope(name: str, where: Tensor) -> Tensor:
    if name == "sigmoid":
        value = torch.sigmoid(where)
        return value * (1 - value)
    return 1 - torch.tanh(where) ** 2


def _batch_norm(operation: Operation, given: Sequence[Any], made: Numbers) -> list[Link]:
    one, weight, _, _, variance = operation.given[:5]
    factor = 1 / (variance.double() + operation.given[-1]).sqrt()
    factor = factor if weight is None else factor * weight.double()
    factor = factor.reshape(1, -1, *[1] * (made.low.ndim - 2)).expand(made.low.shape)
    return [sloped(one, factor, factor)]


LINKS: dict[str, Callable[[Operation, Sequence[Any], Numbers], list[Link]]] = {
    **dict.fromkeys(("add", "rsub", "sub"), _sum),
    **dict.fromkeys(("clamp", "clamp_max", "clamp_min", "fmax", "fmin"), _clipped),
    **dict.fromkeys(("hardtanh", "maximum", "minimum", "threshold"), _clipped),
    **dict.fromkeys(("_prelu_kernel", "leaky_relu"), _leaky),
    **dict.fromkeys(("sigmoid", "tanh"), _curved),
    **dict.fromkeys(
        (
            "_native_batch_norm_legit",
            "_native_batch_norm_legit_no_training",
            "native_batch_norm",
        ),
        _batch_norm,
    ),
    "_to_copy": _between(1.0, 1.0),
    "abs": _between(-1.0, 1.0),
    "div": _quotient,
    "hardsigmoid": _between(0.0, 1 / 6),
    "mul": _product,
    "neg": _between(-1.0, -1.0),
    "relu": _relu,
    "softshrink": _between(0.0, 1.0),
}
STRAIGHT = frozenset(("_to_copy", "add", "div", "mul", "neg", "rsub", "sub"))
