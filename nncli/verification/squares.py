"""Quadratic conditions as weighted squares of linear functions, and networks that put these out.

`q(v) = sum of w (l . v + c)^2 + rest`, found exactly by completing one square after the other. A
network that puts out its squares as well makes every quadratic condition a linear one: whatever is
proved, searched for and certified of linear conditions is so of quadratic ones.

References:
    Lagrange's reduction of quadratic forms, for example Gantmacher 1959, The Theory of Matrices,
    volume 1, chapter X.
"""

from dataclasses import dataclass
from fractions import Fraction

import torch

from nncli.verification.exact import ExactCondition, Linear
from nncli.verification.maps import Select
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.properties import Squares

Factors = dict[int, Fraction]  # by variable; an output is `~place`


@dataclass(frozen=True)
class Form:
    """A linear function of inputs and outputs.

    Attributes:
        factors: Variables and their factors, in order.
        constant: What is added.
    """

    factors: tuple[tuple[int, Fraction], ...]
    constant: Fraction


@dataclass(frozen=True)
class Completed:
    """A condition with its squares complete.

    Attributes:
        squares: Weights, of either sign, and what is squared.
        rest: What is left, which is linear.
    """

    squares: tuple[tuple[Fraction, Form], ...]
    rest: Linear


class _Polynomial:
    """A quadratic polynomial from which squares are taken."""

    def __init__(self, condition: ExactCondition) -> None:
        self.rows: dict[int, Factors] = {}  # symmetric: half of the factor of each product
        for one, other, factor in condition.products:
            half = factor if one == other else factor / 2
            self._add(one, other, half)
        self.linear: Factors = {~place: factor for place, factor in condition.outputs}
        self.linear |= dict(condition.inputs)
        self.constant = condition.constant

    def _add(self, one: int, other: int, half: Fraction) -> None:
        for a, b in {(one, other), (other, one)}:
            row = self.rows.setdefault(a, {})
            row[b] = row.get(b, Fraction(0)) + half
            if not row[b]:
                del row[b]
                if not row:
                    del self.rows[a]

    def half_slope(self, variable: int, scale: Fraction) -> Form:
        """Half the derivative by a variable, divided by a number."""
        factors = tuple(
            (other, half / scale) for other, half in sorted(self.rows[variable].items())
        )
        return Form(factors, self.linear.get(variable, Fraction(0)) / (2 * scale))

    def subtract(self, weight: Fraction, form: Form) -> None:
        """Take off a weighted square."""
        for at, (one, factor) in enumerate(form.factors):
            for other, second in form.factors[at:]:
                self._add(one, other, -weight * factor * second)
            moved = self.linear.get(one, Fraction(0)) - 2 * weight * factor * form.constant
            self.linear[one] = moved
        self.constant -= weight * form.constant**2


def completed(condition: ExactCondition) -> Completed:
    """A condition as weighted squares and a linear rest, exactly.

    Args:
        condition: The condition.

    Returns:
        The same function. Variables that are squared on their own stay so: of a distance, every
        square is of one coordinate.
    """
    left = _Polynomial(condition)
    found: list[tuple[Fraction, Form]] = []
    while left.rows:
        variable = next((one for one in left.rows if left.rows[one].get(one)), None)
        if variable is not None:
            weight = left.rows[variable][variable]
            taken = [(weight, left.half_slope(variable, weight))]
        else:  # products alone: a b = ((a + b)^2 - (a - b)^2) / 4
            variable = next(iter(left.rows))
            other, half = next(iter(left.rows[variable].items()))
            first, second = (left.half_slope(one, half) for one in (other, variable))
            taken = [
                (sign * half / 2, _combined(first, second, sign))
                for sign in (Fraction(1), Fraction(-1))
            ]
        for weight, form in taken:
            left.subtract(weight, form)
        found += taken
    rest = sorted(left.linear.items())
    inputs = tuple((place, one) for place, one in rest if place >= 0 and one)
    outputs = tuple((~place, one) for place, one in reversed(rest) if place < 0 and one)
    return Completed(tuple(found), Linear(inputs, outputs, left.constant, condition.strict))


def _combined(first: Form, second: Form, sign: Fraction) -> Form:
    factors: Factors = dict(first.factors)
    for one, factor in second.factors:
        factors[one] = factors.get(one, Fraction(0)) + sign * factor
    kept = tuple(sorted((one, factor) for one, factor in factors.items() if factor))
    return Form(kept, first.constant + sign * second.constant)


def with_squares(network: Network, squares: Squares | None) -> Network:
    """A network that puts out the squares of a property after its outputs.

    Args:
        network: The network, of m outputs.
        squares: K squares, or `None`.

    Returns:
        A network of m + K outputs; the same one without squares.
    """
    if squares is None:
        return network
    last, count = network.last, len(squares.constants)
    parents = (last,) if squares.inputs is None else (last, 0)
    maps = (squares.outputs,) if squares.inputs is None else (squares.outputs, squares.inputs)
    both = torch.arange(network.outputs + count)
    nodes = (
        Sum(parents, maps, squares.constants),
        Activation(last + 1, "square", count),
        Sum(
            (last, last + 2),
            (_placed(both, network.outputs), _placed(both - network.outputs, count)),
            torch.zeros(len(both), dtype=squares.constants.dtype),
        ),
    )
    return Network(network.inputs, (*network.nodes, *nodes), network.shape)


def without_squares(network: Network) -> Network:
    """A network up to the numbers that are squared; see `with_squares`.

    Args:
        network: A network that puts out squares, or another one, which is returned.
    """
    for place in network.activations:
        if network.activation(place).function == "square":
            return Network(network.inputs, network.nodes[: place - 1], network.shape)
    return network


def _placed(places: torch.Tensor, size: int) -> Select:
    return Select(torch.where((places >= 0) & (places < size), places, -1), size)
