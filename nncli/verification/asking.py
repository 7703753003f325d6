"""From exact cases to what proofs and attacks work on: tensors, rounded to the safe side.

Proofs must hold for the exact property, so its boxes are rounded outwards and its conditions so
that they are met at more points. Factors of outputs are scaled to be exact where that is possible
(`0.1 Y_0 >= 0.3 Y_1` as `Y_0 >= 3 Y_1`, up to a power of two); else each is the nearest float64,
off by at most 2^-53 of itself, which the error bound of the backward pass covers.

Quadratic conditions speak of squares as if these were more outputs (`nncli.verification.squares`).
They are not scaled: their margins are in the units in which they were asked.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import gcd, isinf, lcm
from typing import NamedTuple

import torch
from torch import Tensor

from nncli.errors import ArtifactError, MismatchError
from nncli.verification.directed import above, inwards, is_exact, nearest, outwards
from nncli.verification.exact import (
    Asked,
    ExactBox,
    ExactCase,
    ExactCondition,
    GivenCase,
    Near,
)
from nncli.verification.maps import Dense, Map, sparse
from nncli.verification.properties import Ball, Region, Squares, Violation
from nncli.verification.squares import Form, completed
from nncli.verification.wording import case_words, property_words

LARGEST = 2.0**1000  # factors and constants beyond would overflow in sums
LONGEST = 13_000  # bits of a whole number: 3,900 digits, and certificates hold 4,000
DENSE = 1_000_000  # numbers up to which squares are a dense matrix


class Row(NamedTuple):
    """A condition in float64: places and factors of inputs and of outputs, and a constant."""

    inputs: tuple[tuple[int, float], ...]
    outputs: tuple[tuple[int, float], ...]
    constant: float


def asked(
    name: str, cases: Iterable[GivenCase], *, inputs: int, outputs: int, words: str | None = None
) -> Asked:
    """What must never happen, from the exact cases of a file.

    Args:
        name: What the instance is called.
        cases: The cases.
        inputs: Numbers that go into the network.
        outputs: Numbers that come out.
        words: What it is in words, found from the cases if not given.

    Returns:
        The property. Cases of one box have one region, as one object.

    Raises:
        ArtifactError: A number is beyond the range of float64.
    """
    exact = tuple(ExactCase(one.box, tuple(one.conditions)) for one in cases)
    return property_of(name, exact, inputs=inputs, outputs=outputs, words=words)


def property_of(
    name: str,
    cases: Sequence[ExactCase],
    *,
    inputs: int,
    outputs: int,
    words: str | None = None,
) -> Asked:
    """What must never happen, from exact cases of our own; see `asked`."""
    regions: dict[tuple[int, int], Region] = {}
    rows: dict[tuple[int, ExactCondition], Row] = {}
    forms: dict[Form, int] = {}
    made = []
    for case in cases:
        key = id(case.box), id(case.near)
        if key not in regions:
            regions[key] = region(name, case.box, case.near)
        found = []
        for condition in case.conditions:
            place = id(case.box) if condition.inputs else 0, condition
            if place not in rows:
                rows[place] = _row(name, condition, case.box, outputs, forms)
            found.append(rows[place])
        made.append((regions[key], found, case_words(case)))
    width = outputs + len(forms)
    violations = tuple(_violation(where, found, inputs, width, said) for where, found, said in made)
    squares = _squares(name, forms, inputs, outputs)
    told = property_words(cases, outputs) if words is None else words
    return Asked(name, violations, told, squares, tuple(cases))


def demand_fit(
    name: str, *, inputs: int, outputs: int, network: str, network_inputs: int, network_outputs: int
) -> None:
    """Refuse a property that speaks of another number of inputs or outputs than a network has.

    Args:
        name: The property's file.
        inputs: Inputs it speaks of.
        outputs: Outputs it speaks of.
        network: The network's name.
        network_inputs: Inputs of one example.
        network_outputs: Its outputs.

    Raises:
        MismatchError: They differ.
    """
    pairs = (("inputs", inputs, network_inputs), ("outputs", outputs, network_outputs))
    for what, asked_of, there in pairs:
        if asked_of != there:
            raise MismatchError(
                f"`{name}` speaks of {asked_of:,} {what}, `{network}` has {there:,}",
                hint="is it the property of another network?",
            )


def region(name: str, box: ExactBox, near: Near | None = None) -> Region:
    """A box in floating point, rounded outwards for proofs and inwards for counterexamples.

    Args:
        name: What is asked, for errors.
        box: The exact limits.
        near: A ball that inputs lie in as well.

    Returns:
        The region.

    Raises:
        ArtifactError: A limit is beyond the range of float64.
    """
    _demand_short(name, (*box.low, *box.high))
    low, high = outwards(box.low, box.high)
    for place in (~(low.isfinite() & high.isfinite())).nonzero().flatten().tolist():
        raise ArtifactError(f"`{name}`: the limits of input {place} are beyond 1.8e308")
    inner_low, inner_high = inwards(box.low, box.high, box.above, box.below)
    ball = None
    if near is not None:
        centre = [nearest(one) for one in near.centre]
        moved = sum(abs(one - Fraction(at)) for one, at in zip(near.centre, centre, strict=True))
        radius = above(near.radius + moved)  # no point of the exact ball is lost
        ball = Ball(torch.tensor(centre, dtype=torch.float64), radius, near.norm)
    return Region(low, high, inner_low, inner_high, ball)


def _row(
    name: str, condition: ExactCondition, box: ExactBox, outputs: int, forms: dict[Form, int]
) -> Row:
    """A condition in float64; squares that it speaks of are added to those that are known."""
    factors = (factor for _, factor in (*condition.inputs, *condition.outputs))
    others = (factor for *_, factor in condition.products)
    _demand_short(name, (condition.constant, *factors, *others))
    if not condition.products:
        return rounded(name, condition, box)
    whole = completed(condition)
    rest = rounded(name, whole.rest, box, Fraction(1))
    added = []
    for weight, form in whole.squares:
        place = forms.setdefault(form, len(forms))
        added.append((outputs + place, _number(name, weight)))
    return Row(rest.inputs, (*rest.outputs, *added), rest.constant)


def _squares(name: str, forms: Iterable[Form], inputs: int, outputs: int) -> Squares | None:
    """Squares in float64, `None` if there are none."""
    rows = list(forms)
    if not rows:
        return None
    factors = [[(place, _number(name, one)) for place, one in row.factors] for row in rows]
    constants = torch.tensor([_number(name, row.constant) for row in rows], dtype=torch.float64)
    y = [[(~place, one) for place, one in row if place < 0] for row in factors]
    x = [[(place, one) for place, one in row if place >= 0] for row in factors]
    return Squares(_map(y, outputs), _map(x, inputs) if any(x) else None, constants)


def _map(rows: Sequence[Sequence[tuple[int, float]]], columns: int) -> Map:
    if len(rows) * columns <= DENSE:
        return Dense(_matrix(rows, columns))
    triples = [(at, place, one) for at, row in enumerate(rows) for place, one in row]
    at, places, numbers = zip(*triples, strict=True) if triples else ((), (), ())
    return sparse(
        torch.tensor(at, dtype=torch.int64),
        torch.tensor(places, dtype=torch.int64),
        torch.tensor(numbers, dtype=torch.float64),
        (len(rows), columns),
    )


def _number(name: str, value: Fraction) -> float:
    """The nearest float64, off by no more than a part in 2^53."""
    found = nearest(value)
    if (value and abs(found) < 1 / LARGEST) or abs(found) > LARGEST:
        raise _too_far_apart(name)
    return found


def _demand_short(name: str, numbers: Iterable[Fraction]) -> None:
    """Refuse numbers that nobody could write down again."""
    for one in numbers:
        if max(one.numerator.bit_length(), one.denominator.bit_length()) > LONGEST:
            raise ArtifactError(
                f"`{name}`: a limit or factor has more than 3,900 digits",
                hint="round the numbers that it comes from",
            )


def _too_far_apart(name: str) -> ArtifactError:
    return ArtifactError(
        f"`{name}`: the numbers of a condition are too far apart for float64",
        hint="their sizes may differ by a factor of 1e300",
    )


def rounded(
    name: str, condition: ExactCondition, box: ExactBox, scale: Fraction | None = None
) -> Row:
    """A linear condition in float64 that holds at least where the exact one does.

    Args:
        name: What is asked, for errors.
        condition: The exact one.
        box: Where the inputs lie: what the factors of inputs are off by is multiplied by it.
        scale: A positive number to multiply it by; by default one that makes factors exact.

    Returns:
        The condition, perhaps scaled by a positive number.

    Raises:
        ArtifactError: A number is beyond the range of float64.
    """
    scale = _scale(condition) if scale is None else scale
    outputs = tuple((place, nearest(scale * factor)) for place, factor in condition.outputs)
    inputs, constant = [], scale * condition.constant
    for place, factor in condition.inputs:
        near = nearest(scale * factor)
        if not isinf(near):
            missing = scale * factor - Fraction(near)
            if missing:
                constant += max(missing * box.low[place], missing * box.high[place])
        inputs.append((place, near))
    row = Row(tuple(inputs), outputs, above(constant))
    numbers = (row.constant, *(factor for _, factor in (*inputs, *outputs)))
    # what rounds to nothing, or nearly so, is off by more than a part in 2^53
    vanished = any(abs(factor) < 1 / LARGEST for _, factor in outputs)
    if vanished or any(abs(one) > LARGEST for one in numbers):
        raise _too_far_apart(name)
    return row


def _scale(condition: ExactCondition) -> Fraction:
    """What to multiply a condition by, so that its factors are exact in float64 if possible."""
    both = (*condition.outputs, *condition.inputs)
    if all(is_exact(factor) for _, factor in both):
        return Fraction(1)
    for terms in (both, condition.outputs):
        whole = lcm(*(factor.denominator for _, factor in terms))
        common = gcd(*(int(whole * factor) for _, factor in terms))
        if not common:
            continue
        smallest = Fraction(whole, common)  # to whole numbers without a common divisor
        size = smallest.numerator.bit_length() - smallest.denominator.bit_length()
        scale = smallest / Fraction(2) ** size  # to about the size they had
        if all(is_exact(scale * factor) for _, factor in terms):
            return scale
    return Fraction(1)


def _violation(
    where: Region, rows: Sequence[Row], inputs: int, outputs: int, words: str
) -> Violation:
    return Violation(
        where,
        _matrix([row.outputs for row in rows], outputs),
        _matrix([row.inputs for row in rows], inputs) if any(row.inputs for row in rows) else None,
        torch.tensor([row.constant for row in rows], dtype=torch.float64),
        words,
    )


def _matrix(rows: Sequence[Sequence[tuple[int, float]]], columns: int) -> Tensor:
    found = torch.zeros(len(rows), columns, dtype=torch.float64)
    for at, row in enumerate(rows):
        for place, factor in row:
            found[at, place] = factor
    return found
