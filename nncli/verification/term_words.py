"""The terms of a condition as a person would say them."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from nncli.verification.exact import ExactCondition, Linear
from nncli.verification.squares import Completed, Form, completed

MOST_SQUARES = 3  # of a length that are told
MOST_TERMS = 6  # of a quadratic condition


def number_words(value: Fraction, digits: int = 10) -> str:
    """A number in few digits."""
    try:
        return f"{float(value):.{digits}g}"
    except OverflowError:
        return "1e308 or more" if value > 0 else "-1e308 or less"


def term(factor: Fraction, name: str) -> str:
    """A positive number times something."""
    return name if factor == 1 else f"{number_words(factor)} {name}"


class Told(NamedTuple):
    """What is said of a condition.

    Attributes:
        terms: Factors and what they are of.
        constant: What is added.
        left: How many terms are not told.
    """

    terms: list[tuple[Fraction, str]]
    constant: Fraction
    left: int = 0


def terms_of(condition: ExactCondition) -> Told:
    """The terms of a condition.

    Args:
        condition: The condition. Lengths are told as such: `|(Y_0 - 0.5, Y_1, 62 more)|^2`.
    """
    if not condition.products:
        return Told(_linear(condition), condition.constant)
    whole = completed(condition)
    if all(_is_plain(form) for _, form in whole.squares):
        return Told(_lengths(whole) + _linear(whole.rest), whole.rest.constant)
    products = [
        (product[2], _product(*sorted(product[:2], key=_outputs_first)))
        for product in sorted(
            condition.products, key=lambda one: sorted(map(_outputs_first, one[:2]))
        )
    ]
    terms = products + _linear(condition)
    return Told(terms[:MOST_TERMS], condition.constant, max(0, len(terms) - MOST_TERMS))


def opposite(condition: ExactCondition) -> Linear:
    """What holds where a condition does not."""
    x, y = (
        tuple((place, -factor) for place, factor in one)
        for one in (condition.inputs, condition.outputs)
    )
    products = tuple((one, other, -factor) for one, other, factor in condition.products)
    return Linear(x, y, -condition.constant, not condition.strict, products)


def _linear(condition: ExactCondition) -> list[tuple[Fraction, str]]:
    terms = [(factor, f"Y_{place}") for place, factor in condition.outputs]
    return terms + [(factor, f"X_{place}") for place, factor in condition.inputs]


def _outputs_first(variable: int) -> tuple[bool, int]:
    return variable >= 0, variable if variable >= 0 else ~variable


def _product(one: int, other: int) -> str:
    return f"{_name(one)}^2" if one == other else f"{_name(one)} {_name(other)}"


def _name(variable: int) -> str:
    return f"X_{variable}" if variable >= 0 else f"Y_{~variable}"


def _is_plain(form: Form) -> bool:
    """Whether it is one variable and a number, or two variables whose difference counts."""
    factors = [factor for _, factor in form.factors]
    return factors == [1] or sorted(factors) == [-1, 1]


def _lengths(whole: Completed) -> list[tuple[Fraction, str]]:
    """Squares of one weight together, as the length of a vector."""
    groups: dict[Fraction, list[Form]] = {}
    for weight, form in whole.squares:
        groups.setdefault(weight, []).append(form)
    return [(weight, _length(sorted(forms, key=_first))) for weight, forms in groups.items()]


def _first(form: Form) -> tuple[bool, int]:
    return min(_outputs_first(one) for one, _ in form.factors)


def _length(forms: Sequence[Form]) -> str:
    told = [_inner(form) for form in forms[:MOST_SQUARES]]
    if len(forms) == 1:
        (form,) = forms
        return f"{told[0]}^2" if len(form.factors) == 1 and not form.constant else f"({told[0]})^2"
    left = len(forms) - len(told)
    if left:
        told.append(f"{left:,} more")
    return f"|({', '.join(told)})|^2"


def _inner(form: Form) -> str:
    """`Y_0 - X_0 + 0.5`."""
    (first, factor), *others = form.factors
    told = _name(first) if factor == 1 else f"-{_name(first)}"
    for one, each in others:
        told += f" {'+' if each > 0 else '-'} {_name(one)}"
    if form.constant:
        sign = "+" if form.constant > 0 else "-"
        told += f" {sign} {number_words(abs(form.constant), 4)}"
    return told
