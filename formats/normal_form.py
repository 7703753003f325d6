"""Formulas of comparisons as alternatives: each a box of inputs and conditions.

Alternatives multiply, so they are followed depth first and given up where their box is empty.
Those that say nothing of inputs share the box of the others, as one object.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import prod
from typing import NamedTuple

from nncli.formats.formulas import All, Bound, Formula, Some, conjunction
from nncli.formats.linear_cases import Box, Case, Condition, Terms

MOST_CASES = 100_000
MOST_STEPS = 2_000_000
DEEPEST = 200

Limit = tuple[Fraction, bool]  # the limit, and whether it is kept away from
Limits = dict[int, Limit]


class UnlimitedInputError(Exception):
    """A case leaves an input without a limit.

    Attributes:
        input: Its place.
        upper: Whether the upper limit is missing, else the lower.
        cases: Whether there are several cases.
    """

    def __init__(self, place: int, upper: bool) -> None:
        super().__init__(place, upper)
        self.input, self.upper = place, upper


class TooManyCasesError(Exception):
    """A formula has more alternatives than can be worked on.

    Attributes:
        count: How many, before any is found empty.
        deep: Whether it is nested too deeply instead.
    """

    def __init__(self, count: int, deep: bool = False) -> None:
        super().__init__(count)
        self.count, self.deep = count, deep


def normal_form(formulas: Iterable[Formula], inputs: int) -> tuple[Case, ...]:
    """The cases in which all of some formulas hold.

    Args:
        formulas: Formulas that all hold.
        inputs: Numbers that go into the network.

    Returns:
        The cases whose boxes have a point, in the order of the alternatives.

    Raises:
        UnlimitedInputError: A case has no limit for an input.
        TooManyCasesError: There are too many, or they are nested too deeply.
    """
    whole = conjunction(formulas)
    found = _Expansion(whole, inputs)
    return tuple(found.cases())


class _Branch(NamedTuple):
    """What is known along one path through the alternatives, beyond what always holds."""

    low: Limits
    high: Limits
    conditions: tuple[Condition, ...]


class _Expansion:
    """The alternatives of a formula, followed one after the other."""

    def __init__(self, formula: Formula, inputs: int) -> None:
        self.formula = formula
        self.inputs = inputs
        self.low: Limits = {}
        self.high: Limits = {}
        self.steps = 0
        self.made = 0
        # by identity: limits that no later alternative changed are one object
        self.boxes: dict[tuple[int, int], tuple[_Branch, Box]] = {}

    def cases(self) -> Iterator[Case]:
        always = self.formula.parts if isinstance(self.formula, All) else (self.formula,)
        conditions: list[Condition] = []
        choices: list[Some] = []
        for part in always:  # what always holds is kept once, whatever is chosen below
            if isinstance(part, Bound):
                limits = self.high if part.upper else self.low
                limits[part.input] = _tighter(limits.get(part.input), part)
            elif isinstance(part, Condition):
                conditions.append(part)
            elif isinstance(part, Some):
                choices.append(part)
        if any(self._empty(place, self.low, self.high) for place in self.low):
            return
        # nothing rules out alternatives that say nothing of inputs, so they are counted at once
        if prod(_count(one) for one in choices if not _limits_inputs(one)) > MOST_CASES:
            raise TooManyCasesError(_count(self.formula))
        start = _Branch({}, {}, tuple(conditions))
        for branch in self._chosen(_boxes_first(choices), start, 0):
            box = self._box(branch)
            kept = _undecided(branch.conditions, box)
            if kept is None:
                continue
            self.made += 1
            if self.made > MOST_CASES:
                raise TooManyCasesError(_count(self.formula))
            yield Case(box, kept)

    def _chosen(self, choices: Sequence[Some], branch: _Branch, depth: int) -> Iterator[_Branch]:
        """The branches that follow from one alternative of each choice."""
        if not choices:
            yield branch
            return
        if depth > DEEPEST:
            raise TooManyCasesError(_count(self.formula), deep=True)
        first, rest = choices[0], choices[1:]
        for part in first.parts:
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise TooManyCasesError(_count(self.formula))
            taken = self._taken(part, branch)
            if taken is not None:
                more, inner = taken
                left = _boxes_first([*inner, *rest]) if inner else rest
                yield from self._chosen(left, more, depth + 1)

    def _taken(self, part: Formula, branch: _Branch) -> tuple[_Branch, list[Some]] | None:
        """A branch that an alternative is added to, and the choices in it; `None` if empty."""
        low, high, conditions = branch
        inner: list[Some] = []
        for one in part.parts if type(part) is All else (part,):
            if type(one) is Bound:
                if one.upper:
                    high = {**high} if high is branch.high else high
                    mine, common = high, self.high
                else:
                    low = {**low} if low is branch.low else low
                    mine, common = low, self.low
                place = one.input
                mine[place] = _tighter(mine.get(place, common.get(place)), one)
                if self._empty(place, low, high):
                    return None
            elif type(one) is Condition:
                conditions = (*conditions, one)
            elif type(one) is Some:
                inner.append(one)
        return _Branch(low, high, conditions), inner

    def _empty(self, place: int, low: Limits, high: Limits) -> bool:
        least = low.get(place) or self.low.get(place)
        most = high.get(place) or self.high.get(place)
        if least is None or most is None or least[0] < most[0]:
            return False
        return least[0] > most[0] or least[1] or most[1]

    def _box(self, branch: _Branch) -> Box:
        key = (id(branch.low), id(branch.high))
        if key not in self.boxes:  # the branch is kept, so that its identity is not used again
            low = self._complete(self.low, branch.low, upper=False)
            high = self._complete(self.high, branch.high, upper=True)
            made = Box(
                tuple(value for value, _ in low),
                tuple(value for value, _ in high),
                frozenset(place for place, (_, strict) in enumerate(low) if strict),
                frozenset(place for place, (_, strict) in enumerate(high) if strict),
            )
            self.boxes[key] = branch, made
        return self.boxes[key][1]

    def _complete(self, common: Limits, mine: Limits, *, upper: bool) -> list[Limit]:
        try:
            return [mine.get(place) or common[place] for place in range(self.inputs)]
        except KeyError as error:
            raise UnlimitedInputError(error.args[0], upper) from None


def _tighter(old: Limit | None, bound: Bound) -> Limit:
    """The tighter one of a limit and a bound."""
    if old is None or (bound.value < old[0] if bound.upper else bound.value > old[0]):
        return bound.value, bound.strict
    return (old[0], old[1] or bound.strict) if bound.value == old[0] else old


def _boxes_first(choices: Sequence[Some]) -> Sequence[Some]:
    """Choices between boxes before all others, which then share their boxes."""
    if len(choices) < 2:
        return choices
    return sorted(choices, key=lambda one: not _limits_inputs(one))


def _limits_inputs(choice: Some) -> bool:
    """Whether an alternative bounds an input; the first one tells, for speed."""
    parts: tuple[Formula, ...] = choice.parts[:1]
    if parts and isinstance(parts[0], All):
        parts = parts[0].parts
    return any(isinstance(one, Bound) for one in parts)


def _undecided(conditions: tuple[Condition, ...], box: Box) -> tuple[Condition, ...] | None:
    """The conditions that the box does not decide; `None` if it rules one of them out."""
    if not any(one.inputs and not one.outputs and not one.products for one in conditions):
        return None if _contradictory(conditions) else conditions
    kept = []
    for one in conditions:
        if not one.outputs and not one.products:
            pairs = [(f * box.low[at], f * box.high[at]) for at, f in one.inputs]
            least = one.constant + sum(min(pair) for pair in pairs)
            most = one.constant + sum(max(pair) for pair in pairs)
            if most < 0 or (most == 0 and one.strict):
                return None
            if least > 0 or (least == 0 and not one.strict):
                continue
        kept.append(one)
    return None if _contradictory(kept) else tuple(kept)


def _contradictory(conditions: Sequence[Condition]) -> bool:
    """Whether two conditions on one sum cannot both hold, such as `Y_0 >= 1` and `Y_0 <= 0`."""
    if len(conditions) < 2:
        return False
    limits: dict[tuple[Terms, Terms], Limit] = {}  # the least that sums are known to be
    for x, y, constant, strict, products in conditions:
        if products:
            continue
        scale = abs((y or x)[0][1])
        key, least = (_times(x, 1 / scale), _times(y, 1 / scale)), (-constant / scale, strict)
        limits[key] = max(least, limits.get(key, least))
        opposite = limits.get((_times(x, -1 / scale), _times(y, -1 / scale)))
        if opposite is None:
            continue
        most = -opposite[0]
        if least[0] > most or (least[0] == most and (strict or opposite[1])):
            return True
    return False


def _times(terms: Terms, scale: Fraction) -> Terms:
    return tuple((at, scale * factor) for at, factor in terms)


def _count(formula: Formula) -> int:
    """Alternatives of a formula, empty ones among them."""
    if isinstance(formula, All):
        return prod(_count(part) for part in formula.parts)
    return sum(_count(part) for part in formula.parts) if isinstance(formula, Some) else 1
