"""Sums as people write them, `2 x[0] - y[1]^2`, and lengths of vectors, `|y - [0.5, 1]|`."""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from nncli.formats.exact_numbers import FORMS, brief, exact_number
from nncli.formats.quadratic_sums import Quadratic, number, plus, times, total, variable

TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>\d+/\d+ | (?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
        | (?P<variable>[xyXY]\s*(?:\[\s*(?:\d+|\*)\s*\]|_\d+))
        | (?P<relation><=|>=|==|!=|<|>|=)
        | (?P<word>[A-Za-z]+)
        | (?P<sign>\S)
    )""",
    re.X,
)
VARIABLE = re.compile(r"([xyXY])\s*(?:\[\s*(\d+|\*)\s*\]|_(\d+))")
EVERY = 1 << 62  # the place of `x[*]`, and `~EVERY` that of `y[*]`
MOST_DIGITS = 20  # of a place
Point = Sequence[Fraction] | None
Outputs = Callable[[Point], Sequence[Fraction]]


class Fault(Exception):
    """What is wrong with a condition; the reader of the file makes it an error with its line."""


class Length(NamedTuple):
    """The length of a vector.

    Attributes:
        squared: Its square.
    """

    squared: Quadratic


def unknown_outputs(_: Point) -> Sequence[Fraction]:
    """Where no network is at hand.

    Raises:
        Fault: Always.
    """
    raise Fault("`at` asks what the network puts out, and there is no network")


class Sums:
    """Reads the sums of one line.

    Args:
        inputs: Inputs of the network.
        outputs: Its outputs.
        outputs_at: What the network puts out at a point, `None` for the middle of the inputs.

    Attributes:
        inputs: Inputs of the network.
        outputs: Its outputs.
        sides: `x` and `y`, whichever have been spoken of.
    """

    def __init__(self, inputs: int, outputs: int, outputs_at: Outputs = unknown_outputs) -> None:
        self.inputs, self.outputs, self._outputs_at = inputs, outputs, outputs_at
        self._begin("")

    def _begin(self, text: str) -> None:
        self.sides: set[str] = set()
        found = (one for one in TOKEN.finditer(text.strip()) if one.lastgroup)
        self._tokens = [(str(one.lastgroup), one.group().strip()) for one in found]
        self._at = 0
        self._lengths: dict[int, tuple[Length, int]] = {}  # read once, by where they begin

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _taken(self, word: str) -> bool:
        """Whether a word comes next; then it is passed."""
        there = self._next()[1].lower() == word
        self._at += there
        return there

    def _found(self) -> str:
        kind, text = self._next()
        return "the end of the line" if kind == "end" else f"`{text}`"

    def _closed(self, sign: str, form: str) -> None:
        if not self._taken(sign):
            raise Fault(f"{form}, found {self._found()}")

    def _side(self) -> Quadratic | Length:
        """One side of a comparison."""
        start = self._at
        if self._taken("|"):
            found = self._length()
            if self._next()[1] != "^":
                return found
            self._at = start
        return self._sum()

    def _sum(self) -> Quadratic:
        sign = -1 if self._taken("-") else 1
        if sign == 1:
            self._taken("+")
        parts = []
        while True:
            parts.append(self._term(sign))
            if self._taken("+"):
                sign = 1
            elif self._taken("-"):
                sign = -1
            else:
                return parts[0] if len(parts) == 1 else total(parts)

    def _term(self, sign: int) -> Quadratic:
        """Numbers, variables, sums in parentheses and squares, multiplied."""
        found = number(Fraction(sign))
        while True:
            bare = self._next()[0] == "number"
            found = self._times(found, self._power())
            if self._taken("*"):
                continue
            if not (bare and (self._next()[0] == "variable" or self._next()[1] in ("(", "|"))):
                return found

    def _power(self) -> Quadratic:
        """A factor, or its square."""
        if self._taken("|"):
            found = self._length().squared
            self._square_sign("the length `|...|` within a sum is squared: `|...|^2`")
            return found
        one = self._factor()
        if self._next()[1] != "^":
            return one
        self._square_sign("only squares are read, as in `y[0]^2`")
        return self._times(one, one)

    def _square_sign(self, form: str) -> None:
        if not self._taken("^") or not self._taken("2"):
            raise Fault(f"{form}, found {self._found()}")

    def _times(self, one: Quadratic, other: Quadratic) -> Quadratic:
        found = times(one, other)
        if found is None:
            raise Fault("a product of three variables is not quadratic, and is not read")
        return found

    def _factor(self) -> Quadratic:
        kind, text = self._next()
        if kind == "number":
            return number(self._number())
        if kind == "variable":
            self._at += 1
            return self._variable(text)
        if self._taken("("):
            found = self._sum()
            self._closed(")", "expected `)` at the end of a sum")
            return found
        what = "a number, an input `x[0]` or an output `y[0]`"
        raise Fault(f"expected {what}, found {self._found()}")

    def _number(self) -> Fraction:
        kind, text = self._next()
        if kind != "number":
            raise Fault(f"expected a number, found {self._found()}")
        found = exact_number(text)
        if found is None:
            raise Fault(f"`{brief(text)}` is no number, expected {FORMS}")
        self._at += 1
        return found

    def _variable(self, text: str) -> Quadratic:
        found = VARIABLE.fullmatch(text)
        if found is None:
            raise Fault(f"`{text}` is no input or output")
        side, index = found[1].lower(), found[2] or found[3]
        self.sides.add(side)
        there, what = (self.inputs, "inputs") if side == "x" else (self.outputs, "outputs")
        # so many digits are beyond any network, and `EVERY` is no place to name
        place = EVERY if index == "*" else int(index[:MOST_DIGITS])
        if there <= place and index != "*":
            raise Fault(
                f"`{brief(text)}`: the network has {there:,} {what}, `{side}[0]` to "
                f"`{side}[{there - 1}]`"
            )
        return variable(place if side == "x" else ~place)

    def _length(self) -> Length:
        """The vector after `|`, up to the next one."""
        start = self._at
        if start not in self._lengths:
            found = self._sum_of_vectors()
            self._lengths[start] = found, self._at
        found, self._at = self._lengths[start]
        return found

    def _sum_of_vectors(self) -> Length:
        sign, whole = (Fraction(-1) if self._taken("-") else Fraction(1)), self._vector()
        whole = [plus(number(Fraction(0)), one, sign) for one in whole]
        while not self._taken("|"):
            sign = Fraction(-1) if self._next()[1] == "-" else Fraction(1)
            if not self._taken("-"):
                self._closed("+", "expected `+`, `-` or `|` after a vector")
            other = self._vector()
            if len(other) != len(whole):
                raise Fault(
                    f"vectors of {len(whole):,} and {len(other):,} numbers do not go together"
                )
            whole = [plus(one, two, sign) for one, two in zip(whole, other, strict=True)]
        return Length(total(self._times(one, one) for one in whole))

    def _vector(self) -> list[Quadratic]:
        """All inputs, all outputs, outputs at a point, or numbers."""
        if self._next()[1] == "[":
            return [number(one) for one in self._numbers()]
        side = self._next()[1].lower()
        if side not in ("x", "y"):
            form = "expected a vector: `y`, `x`, `[0.5, 1]`, `y at centre` or `y at [0, 1]`"
            raise Fault(f"{form}, found {self._found()}")
        self._at += 1
        if side == "y" and self._taken("at"):
            return [number(one) for one in self._outputs_at(self._point())]
        self.sides.add(side)
        places = range(self.inputs if side == "x" else self.outputs)
        return [variable(place if side == "x" else ~place) for place in places]

    def _point(self) -> Point:
        if self._taken("centre") or self._taken("center"):
            return None
        if self._next()[1] != "[":
            raise Fault(f"expected `centre` or an input such as `[0, 1]`, found {self._found()}")
        point = self._numbers()
        if len(point) != self.inputs:
            raise Fault(f"`at` a point of {len(point):,} numbers: there are {self.inputs:,} inputs")
        return point

    def _numbers(self) -> list[Fraction]:
        """Numbers in brackets."""
        self._closed("[", "expected numbers such as `[0.5, 1]`")
        found = []
        while True:
            sign = -1 if self._taken("-") else 1
            found.append(sign * self._number())
            if not self._taken(","):
                self._closed("]", "expected `,` or `]` after a number")
                return found
