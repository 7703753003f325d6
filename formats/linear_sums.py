"""Sums of variables with exact factors, and what follows from comparing two of them."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from nncli.formats.formulas import Formula, at_least_zero, conjunction, disjunction


class Linear(NamedTuple):
    """A sum: factors by variable (an output is `~place`), and a constant."""

    factors: dict[int, Fraction]
    constant: Fraction


def added(first: Linear, others: Sequence[Linear], sign: int) -> Linear:
    """A sum.

    Args:
        first: The first part, whose factors nothing else holds: they are added to in place.
        others: The other parts.
        sign: 1, or -1 to subtract the others.

    Returns:
        The sum.
    """
    factors, constant = first
    for one in others:
        constant += sign * one.constant
        for place, factor in one.factors.items():
            factors[place] = factors.get(place, 0) + sign * factor
    return Linear(factors, constant)


def scaled(one: Linear, factor: Fraction) -> Linear:
    """A sum times a number."""
    return Linear(
        {place: factor * value for place, value in one.factors.items()}, factor * one.constant
    )


def related(relation: str, left: Linear, right: Linear) -> Formula:
    """Two sums compared.

    Args:
        relation: `<=`, `<`, `>=`, `>`, `=`, `==`; anything else is "differs from".
        left: One sum.
        right: The other.

    Returns:
        The formula.
    """
    difference = added(Linear({**left.factors}, left.constant), [right], -1)

    def signed(sign: int, strict: bool) -> Formula:
        one = difference if sign > 0 else scaled(difference, Fraction(-1))
        return _signed(one, strict=strict)

    return by_relation(relation, signed)


def by_relation(relation: str, signed: Callable[[int, bool], Formula]) -> Formula:
    """A comparison from what it means that a difference is not negative.

    Args:
        relation: `<=`, `<`, `>=`, `>`, `=`, `==`; anything else is "differs from".
        signed: The formula that the difference times a sign is at least 0, or above it if strict.

    Returns:
        The formula.
    """
    if relation in (">=", ">"):
        return signed(1, relation == ">")
    if relation in ("<=", "<"):
        return signed(-1, relation == "<")
    if relation in ("=", "=="):
        return conjunction(signed(sign, False) for sign in (1, -1))
    return disjunction(signed(sign, True) for sign in (1, -1))


def _signed(one: Linear, *, strict: bool) -> Formula:
    inputs = {place: factor for place, factor in one.factors.items() if place >= 0}
    outputs = {~place: factor for place, factor in one.factors.items() if place < 0}
    return at_least_zero(inputs, outputs, one.constant, strict=strict)
