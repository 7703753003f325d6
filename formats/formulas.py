"""Formulas of comparisons under `and` and `or`, in exact numbers."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

from nncli.formats.linear_cases import Condition, Products, Terms


class Bound(NamedTuple):
    """A comparison of one input with a number.

    Attributes:
        input: Place of the input.
        value: The number.
        upper: Whether the input is below.
        strict: Whether it is never equal.
    """

    input: int
    value: Fraction
    upper: bool
    strict: bool


class All(NamedTuple):
    """Formulas that all hold; without any, what always holds."""

    parts: tuple["Formula", ...]


class Some(NamedTuple):
    """Formulas of which one holds; without any, what never holds."""

    parts: tuple["Formula", ...]


Formula = Bound | Condition | All | Some
ALWAYS, NEVER = All(()), Some(())


def at_least_zero(
    inputs: Mapping[int, Fraction],
    outputs: Mapping[int, Fraction],
    constant: Fraction,
    *,
    strict: bool,
    products: Products = (),
) -> Formula:
    """`inputs . x + outputs . y + products + constant >= 0` as a formula.

    Args:
        inputs: Factors of inputs by place.
        outputs: Factors of outputs by place.
        constant: What is added.
        strict: Whether 0 is not enough.
        products: Pairs of variables and their factors.

    Returns:
        A bound, a condition, or whether it holds anyway.
    """
    x, y = _terms(inputs), _terms(outputs)
    if y or products or len(x) > 1:
        return Condition(x, y, constant, strict, products)
    if x:
        ((place, factor),) = x
        return Bound(place, -constant / factor, factor < 0, strict)
    return ALWAYS if constant > 0 or (constant == 0 and not strict) else NEVER


def _terms(factors: Mapping[int, Fraction]) -> Terms:
    return tuple((place, factors[place]) for place in sorted(factors) if factors[place])


def conjunction(parts: Iterable[Formula]) -> Formula:
    """All of some formulas; those within it that are conjunctions are taken apart."""
    flat: list[Formula] = []
    for part in parts:
        if type(part) is All:
            flat.extend(part.parts)
        else:
            flat.append(part)
    return flat[0] if len(flat) == 1 else All(tuple(flat))


def disjunction(parts: Iterable[Formula]) -> Formula:
    """One of some formulas; those within it that are disjunctions are taken apart."""
    flat: list[Formula] = []
    for part in parts:
        if type(part) is Some:
            flat.extend(part.parts)
        else:
            flat.append(part)
    return flat[0] if len(flat) == 1 else Some(tuple(flat))


def negation(formula: Formula) -> Formula:
    """What holds where a formula does not."""
    if isinstance(formula, Bound):
        place, value, upper, strict = formula
        return Bound(place, value, not upper, not strict)
    if isinstance(formula, Condition):
        x, y = (tuple((place, -factor) for place, factor in one) for one in formula[:2])
        products = tuple((one, other, -factor) for one, other, factor in formula.products)
        return Condition(x, y, -formula.constant, not formula.strict, products)
    parts = [negation(part) for part in formula.parts]
    return disjunction(parts) if isinstance(formula, All) else conjunction(parts)
