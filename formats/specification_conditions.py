"""Conditions as people write them, `2 x[0] - y[1] <= 0.5 and y[3] is largest`, to formulas."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from nncli.formats.formulas import Formula, conjunction, disjunction, negation
from nncli.formats.quadratic_sums import Quadratic, number, related, replaced, variable
from nncli.formats.specification_sums import EVERY, Fault, Length, Sums

__all__ = ["Conditions", "Fault"]


class Conditions(Sums):
    """Reads the conditions of one line; see `Sums`."""

    def read(self, text: str) -> Formula:
        """The formula of a whole line: `and` binds before `or`.

        Args:
            text: The line.

        Raises:
            Fault: It is none.
        """
        self._begin(text)
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

    def _condition(self) -> Formula:
        first = self._side()
        if isinstance(first, Quadratic) and self._taken("is"):
            return self._ranking(first)
        if isinstance(first, Quadratic) and self._taken("in"):
            low, high = self._interval()
            return self._each([low, first, high], ["<=", "<="])
        sides, relations = [first], []
        while self._next()[0] == "relation":
            relations.append(self._next()[1])
            self._at += 1
            sides.append(self._side())
        if not relations:
            raise Fault(f"expected `<=`, `>=`, `in` or `is`, found {self._found()}")
        sums = _squared(sides)
        if len(relations) > 1 and (
            len(relations) > 2 or not sums[0].is_number or not sums[-1].is_number
        ):
            # `y[0] >= 3 y[1] >= 0` may lack an `and`
            raise Fault("two comparisons in a row: join them with `and`, or as in `0 <= y[0] <= 1`")
        return self._each(sums, relations)

    def _ranking(self, one: Quadratic) -> Formula:
        (place,) = one.variables if len(one.variables) == 1 else (0,)
        if place >= 0 or place == ~EVERY or one != variable(place):
            raise Fault("expected one output before `is`, as in `y[2] is largest`")
        opposite = self._taken("not")
        relation = {"largest": ">", "smallest": "<"}.get(self._next()[1].lower())
        if relation is None:
            raise Fault(f"expected `largest` or `smallest`, found {self._found()}")
        self._at += 1
        formula = self._each([one, variable(~EVERY)], [relation])
        return negation(formula) if opposite else formula

    def _interval(self) -> tuple[Quadratic, Quadratic]:
        form = "expected limits such as `[-0.5, 0.5]`"
        self._closed("[", form)
        low = self._sum()
        self._closed(",", form)
        high = self._sum()
        self._closed("]", form)
        if not low.is_number or not high.is_number or low.constant > high.constant:
            raise Fault(f"{form}: two numbers, the lower one first")
        return low, high

    def _each(self, sums: Sequence[Quadratic], relations: Sequence[str]) -> Formula:
        """Sums compared in a row; with `y[*]`, for every output that is not named itself."""
        named = set[int]().union(*(one.variables for one in sums))
        stars = [place for place in named if place in (EVERY, ~EVERY)]
        if len(stars) > 1:
            raise Fault("`x[*]` and `y[*]` do not go into one comparison")
        places = [EVERY]
        if stars:
            of_inputs = stars[0] == EVERY
            count = self.inputs if of_inputs else self.outputs
            every = (place if of_inputs else ~place for place in range(count))
            places = [place for place in every if place not in named]
            if not places:  # it would hold of nothing, and a demand would be met by any network
                what = "input" if of_inputs else "output"
                raise Fault(f"the network has no {what} but those named here")
        star = stars[0] if stars else EVERY
        pairs = list(zip(relations, pairwise(sums), strict=True))
        return conjunction(
            related(relation, replaced(left, star, place), replaced(right, star, place))
            for place in places
            for relation, (left, right) in pairs
        )


def _squared(sides: Sequence[Quadratic | Length]) -> list[Quadratic]:
    """The sides of a comparison; where one is a length, all of them squared.

    Raises:
        Fault: A length is compared with what may be negative.
    """
    if not any(isinstance(one, Length) for one in sides):
        return [one for one in sides if isinstance(one, Quadratic)]
    found = []
    for one in sides:
        if isinstance(one, Length):
            found.append(one.squared)
        elif one.is_number and one.constant >= 0:
            found.append(number(one.constant**2))
        else:
            raise Fault(
                "a length `|...|` is compared with a number that is not negative, or another length"
            )
    return found
