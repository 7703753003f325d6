"""Whether a point violates a property, decided in exact numbers."""

from collections.abc import Sequence
from fractions import Fraction

from torch import Tensor

from nncli.verification.exact import Asked, ExactBox, ExactCase, ExactCondition, Near
from nncli.verification.properties import Region


def violates(question: Asked, x: Tensor, y: Tensor, *, nearest: bool = True) -> bool:
    """Whether an input and the output that a network gave for it violate a property.

    Args:
        question: The property.
        x: (n,) the input, of floating point: what is stored is meant, exactly.
        y: (m,) the output, likewise.
        nearest: See `violated`.

    Returns:
        Whether some case holds.
    """
    return violated(question, x, y, nearest=nearest) is not None


def violated(question: Asked, x: Tensor, y: Tensor, *, nearest: bool = True) -> int | None:
    """Which case of a property an input and its output meet.

    Args:
        question: The property.
        x: (n,) the input.
        y: (m,) the output.
        nearest: Where the exact limits of an input have no float32 number between them (`0.1` and
            `0.1`), the nearest one, which is the one in `Region.inner_low`, counts as inside. No
            network of float32 could be given anything else.

    Returns:
        The place of the first such case, `None` if there is none.
    """
    inputs, outputs = _exact(x), _exact(y)
    if inputs is None or outputs is None:
        return None
    inside: dict[tuple[int, int], bool] = {}
    pairs = zip(question.cases, question.violations, strict=True)
    for place, (case, violation) in enumerate(pairs):
        if not all(_holds(one, inputs, outputs) for one in case.conditions):
            continue
        key = id(case.box), id(case.near)
        if key not in inside:
            inside[key] = _within(case, violation.region if nearest else None, inputs)
        if inside[key]:
            return place
    return None


def _exact(numbers: Tensor) -> list[Fraction] | None:
    """The exact numbers of a tensor, `None` if some are not finite."""
    if not bool(numbers.isfinite().all()):
        return None
    return [Fraction(one) for one in numbers.detach().double().flatten().tolist()]


def _holds(
    condition: ExactCondition, inputs: Sequence[Fraction], outputs: Sequence[Fraction]
) -> bool:
    total = condition.constant
    total += sum(factor * outputs[place] for place, factor in condition.outputs)
    total += sum(factor * inputs[place] for place, factor in condition.inputs)
    for one, other, factor in condition.products:
        first, second = (inputs[at] if at >= 0 else outputs[~at] for at in (one, other))
        total += factor * first * second
    return total > 0 if condition.strict else total >= 0


def _within(case: ExactCase, region: Region | None, inputs: Sequence[Fraction]) -> bool:
    outside = [place for place, value in enumerate(inputs) if not _between(case.box, place, value)]
    if outside and (region is None or not _nearest(region, outside, inputs)):
        return False
    return case.near is None or _is_near(case.near, inputs)


def _between(box: ExactBox, place: int, value: Fraction) -> bool:
    low, high = box.low[place], box.high[place]
    if not low <= value <= high:
        return False
    return not (value == low and place in box.above) and not (value == high and place in box.below)


def _nearest(region: Region, places: Sequence[int], inputs: Sequence[Fraction]) -> bool:
    """Whether inputs outside of the box are where no float32 number is in it, and the nearest.

    The two inner limits are equal there; were that one inside, the input would be outside no more.
    """
    low, high = (one[list(places)].tolist() for one in (region.inner_low, region.inner_high))
    return all(
        least == most and Fraction(least) == inputs[place]
        for place, least, most in zip(places, low, high, strict=True)
    )


def _is_near(near: Near, inputs: Sequence[Fraction]) -> bool:
    steps = [value - at for value, at in zip(inputs, near.centre, strict=True)]
    if near.norm == 1:
        return sum(abs(step) for step in steps) <= near.radius
    return sum(step * step for step in steps) <= near.radius**2
