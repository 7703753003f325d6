"""Conditions as people write them, `2 x[0] - y[1] <= 0.5 and y[3] is largest`, to formulas."""

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from nncli.formats.exact_numbers import FORMS, exact_number
from nncli.formats.formulas import Formula, conjunction, disjunction, negation
from nncli.formats.linear_sums import Linear, related

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
EVERY = -1  # the place of `y[*]`


class Term(NamedTuple):
    """A number times a variable: its factor, `x` or `y`, and its place."""

    factor: Fraction
    side: str
    place: int


class Sum(NamedTuple):
    """Terms and a constant."""

    terms: list[Term]
    constant: Fraction


class Fault(Exception):
    """What is wrong with a condition; the reader of the file makes it an error with its line."""


class Conditions:
    """Reads the conditions of one line.

    Attributes:
        inputs: Inputs of the network.
        outputs: Its outputs.
        sides: `x` and `y`, whichever have been spoken of.
    """

    def __init__(self, text: str, inputs: int, outputs: int) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.sides: set[str] = set()
        self._text = text.strip()
        found = (one for one in TOKEN.finditer(self._text) if one.lastgroup)
        self._tokens = [(str(one.lastgroup), one.group().strip()) for one in found]
        self._at = 0

    def read(self) -> Formula:
        """The formula of the whole line: `and` binds before `or`.

        Raises:
            Fault: It is none.
        """
        formula = self._joined("or", lambda: self._joined("and", self._condition, conjunction))
        if self._at < len(self._tokens):
            raise Fault(f"expected `and`, `or` or the end of the line, found {self._found()}")
        return formula

    def _joined(
        self,
        word: str,
        part: Callable[[], Formula],
        join: Callable[[list[Formula]], Formula] = disjunction,
    ) -> Formula:
        parts = [part()]
        while self._taken(word):
            parts.append(part())
        return join(parts)

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

    def _condition(self) -> Formula:
        first = self._sum()
        if self._taken("is"):
            return self._ranking(first)
        if self._taken("in"):
            low, high = self._interval()
            return self._each([low, first, high], ["<=", "<="])
        sums, relations = [first], []
        while self._next()[0] == "relation":
            relations.append(self._next()[1])
            self._at += 1
            sums.append(self._sum())
        if not relations:
            raise Fault(f"expected `<=`, `>=`, `in` or `is`, found {self._found()}")
        if len(relations) > 1 and (len(relations) > 2 or sums[0].terms or sums[-1].terms):
            # `y[0] >= 3 y[1] >= 0` may lack an `and`
            raise Fault("two comparisons in a row: join them with `and`, or as in `0 <= y[0] <= 1`")
        return self._each(sums, relations)

    def _ranking(self, one: Sum) -> Formula:
        if len(one.terms) != 1 or one.constant or one.terms[0].factor != 1:
            raise Fault("expected one output before `is`, as in `y[2] is largest`")
        _, side, place = one.terms[0]
        if side == "x" or place == EVERY:
            raise Fault("expected one output before `is`, as in `y[2] is largest`")
        opposite = self._taken("not")
        relation = {"largest": ">", "smallest": "<"}.get(self._next()[1].lower())
        if relation is None:
            raise Fault(f"expected `largest` or `smallest`, found {self._found()}")
        self._at += 1
        others = Sum([Term(Fraction(1), "y", EVERY)], Fraction(0))
        formula = self._each([one, others], [relation])
        return negation(formula) if opposite else formula

    def _interval(self) -> tuple[Sum, Sum]:
        form = "expected limits such as `[-0.5, 0.5]`"
        if not self._taken("["):
            raise Fault(f"{form}, found {self._found()}")
        low = self._sum()
        if not self._taken(","):
            raise Fault(f"{form}, found {self._found()}")
        high = self._sum()
        if not self._taken("]"):
            raise Fault(f"{form}, found {self._found()}")
        if low.terms or high.terms or low.constant > high.constant:
            raise Fault(f"{form}: two numbers, the lower one first")
        return low, high

    def _sum(self) -> Sum:
        found = Sum([], Fraction(0))
        sign = -1 if self._taken("-") else 1
        if sign == 1:
            self._taken("+")
        while True:
            term = self._term(sign)
            if isinstance(term, Term):
                found.terms.append(term)
            else:
                found = Sum(found.terms, found.constant + term)
            if self._taken("+"):
                sign = 1
            elif self._taken("-"):
                sign = -1
            else:
                return found

    def _term(self, sign: int) -> Term | Fraction:
        """A number, a variable, or their product in either order."""
        factor, variable = Fraction(sign), None
        while True:
            kind, text = self._next()
            if kind == "number":
                number = exact_number(text)
                if number is None:
                    raise Fault(f"`{text}` is no number, expected {FORMS}")
                factor *= number
            elif kind == "variable":
                if variable is not None:
                    raise Fault("a product of two variables is not linear, and is not read")
                variable = text
            else:
                what = "a number, an input `x[0]` or an output `y[0]`"
                raise Fault(f"expected {what}, found {self._found()}")
            self._at += 1
            times = self._taken("*")
            juxtaposed = kind == "number" and self._next()[0] == "variable"
            if not times and not juxtaposed:
                break
        return factor if variable is None else self._variable(factor, variable)

    def _variable(self, factor: Fraction, text: str) -> Term:
        found = VARIABLE.fullmatch(text)
        if found is None:
            raise Fault(f"`{text}` is no input or output")
        side, index = found[1].lower(), found[2] or found[3]
        self.sides.add(side)
        if index == "*":
            return Term(factor, side, EVERY)
        there, what = (self.inputs, "inputs") if side == "x" else (self.outputs, "outputs")
        if int(index) >= there:
            raise Fault(
                f"`{text}`: the network has {there:,} {what}, `{side}[0]` to `{side}[{there - 1}]`"
            )
        return Term(factor, side, int(index))

    def _each(self, sums: list[Sum], relations: list[str]) -> Formula:
        """Sums compared in a row; with `y[*]`, for every output that is not named itself."""
        named = {(term.side, term.place) for one in sums for term in one.terms}
        stars = [side for side, place in named if place == EVERY]
        if len(stars) > 1:
            raise Fault("`x[*]` and `y[*]` do not go into one comparison")
        places = [EVERY]
        if stars:
            (side,) = stars
            count = self.inputs if side == "x" else self.outputs
            places = [place for place in range(count) if (side, place) not in named]
            if not places:  # it would hold of nothing, and a demand would be met by any network
                what = "input" if side == "x" else "output"
                raise Fault(f"the network has no {what} but those named here")
        pairs = list(zip(relations, pairwise(sums), strict=True))
        return conjunction(
            related(relation, _linear(left, place), _linear(right, place))
            for place in places
            for relation, (left, right) in pairs
        )


def _linear(one: Sum, every: int) -> Linear:
    """A sum with `*` standing for one place."""
    factors: dict[int, Fraction] = {}
    for factor, side, place in one.terms:
        chosen = every if place == EVERY else place
        key = chosen if side == "x" else ~chosen
        factors[key] = factors.get(key, Fraction(0)) + factor
    return Linear(factors, one.constant)
