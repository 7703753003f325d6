"""Sums of variables and of products of two of them, with exact factors."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import repeat
from typing import NamedTuple

from nncli.formats.formulas import Formula, at_least_zero
from nncli.formats.linear_sums import by_relation


class Quadratic(NamedTuple):
    """A sum; an output is `~place`.

    Attributes:
        factors: By variable.
        products: Factors by pairs of variables, the lesser one first.
        constant: What is added.
    """

    factors: Mapping[int, Fraction]
    products: Mapping[tuple[int, int], Fraction]
    constant: Fraction

    @property
    def is_number(self) -> bool:
        """Whether no variable is in it."""
        return not self.factors and not self.products

    @property
    def variables(self) -> set[int]:
        """The variables in it."""
        return {*self.factors, *(one for pair in self.products for one in pair)}


def number(value: Fraction) -> Quadratic:
    """A sum of nothing but a number."""
    return Quadratic({}, {}, value)


def variable(place: int) -> Quadratic:
    """A variable alone."""
    return Quadratic({place: Fraction(1)}, {}, Fraction(0))


def plus(one: Quadratic, other: Quadratic, factor: Fraction = Fraction(1)) -> Quadratic:
    """A sum, and a multiple of another."""
    return total([one, other], [Fraction(1), factor])


def total(
    parts: Iterable[Quadratic], weights: Iterable[Fraction] = repeat(Fraction(1))
) -> Quadratic:
    """Many sums, each times its weight."""
    factors: dict[int, Fraction] = {}
    products: dict[tuple[int, int], Fraction] = {}
    constant = Fraction(0)
    for one, weight in zip(parts, weights, strict=False):
        for place, value in one.factors.items():
            factors[place] = factors.get(place, Fraction(0)) + weight * value
        for pair, value in one.products.items():
            products[pair] = products.get(pair, Fraction(0)) + weight * value
        constant += weight * one.constant
    return Quadratic(factors, products, constant)


def times(one: Quadratic, other: Quadratic) -> Quadratic | None:
    """The product of two sums, `None` if it is not quadratic."""
    if (one.products and not other.is_number) or (other.products and not one.is_number):
        return None
    found = plus(plus(number(Fraction(0)), one, other.constant), other, one.constant)
    products = dict(found.products)
    for first, a in one.factors.items():
        for second, b in other.factors.items():
            pair = min(first, second), max(first, second)
            products[pair] = products.get(pair, Fraction(0)) + a * b
    return Quadratic(found.factors, products, found.constant - one.constant * other.constant)


def replaced(one: Quadratic, old: int, new: int) -> Quadratic:
    """A sum with one variable for another."""
    if old not in one.variables:
        return one
    found = number(one.constant)
    for place, value in one.factors.items():
        found = plus(found, variable(new if place == old else place), value)
    for pair, value in one.products.items():
        first, second = (new if place == old else place for place in pair)
        product = {(min(first, second), max(first, second)): Fraction(1)}
        found = plus(found, Quadratic({}, product, Fraction(0)), value)
    return found


def related(relation: str, left: Quadratic, right: Quadratic) -> Formula:
    """Two sums compared.

    Args:
        relation: See `linear_sums.by_relation`.
        left: One sum.
        right: The other.

    Returns:
        The formula.
    """

    def signed(sign: int, strict: bool) -> Formula:
        first, second = (left, right) if sign > 0 else (right, left)
        whole = plus(first, second, Fraction(-1))
        inputs = {place: factor for place, factor in whole.factors.items() if place >= 0}
        outputs = {~place: factor for place, factor in whole.factors.items() if place < 0}
        products = tuple(
            (*pair, factor) for pair, factor in sorted(whole.products.items()) if factor
        )
        return at_least_zero(inputs, outputs, whole.constant, strict=strict, products=products)

    return by_relation(relation, signed)
