"""Properties as a person would say them, so that a wrong sign is seen before it costs a proof."""

from collections.abc import Sequence

from nncli.verification.exact import ExactBox, ExactCase, ExactCondition
from nncli.verification.term_words import number_words, opposite, term, terms_of

__all__ = ["condition_words", "number_words", "property_words"]

MOST_INPUTS = 5
MOST_CASES = 3
MOST_CONDITIONS = 4


def condition_words(condition: ExactCondition) -> str:
    """A condition: `Y_3 >= Y_0`, `X_0 + 2 Y_1 > 0.5`.

    Args:
        condition: The condition.

    Returns:
        What is positive on the left, what is negative on the right, as long as there is both.
    """
    terms, constant, hidden = terms_of(condition)
    sign = ">" if condition.strict else ">="
    if not terms:
        return f"{number_words(constant)} {sign} 0"
    size = min(abs(factor) for factor, _ in terms)
    if (
        not condition.products
        and size != 1
        and all((factor / size).denominator == 1 for factor, _ in terms)
    ):
        terms = [(factor / size, name) for factor, name in terms]
        constant /= size
    left = [term(factor, name) for factor, name in terms if factor > 0]
    right = [term(-factor, name) for factor, name in terms if factor < 0]
    if not left:  # all on the other side, and the relation turned round
        left, right, constant = right, [], -constant
        sign = "<" if condition.strict else "<="
    if constant > 0 and right:
        left.append(number_words(constant))
    elif constant < 0 or not right:
        right.append(number_words(-constant if constant else constant))
    more = f" ({hidden:,} terms more)" if hidden else ""
    return f"{' + '.join(left)} {sign} {' + '.join(right)}{more}"


def case_words(case: ExactCase) -> str:
    """The conditions of a case, `any output` if there are none."""
    shown = [condition_words(one) for one in case.conditions[:MOST_CONDITIONS]]
    left = len(case.conditions) - len(shown)
    if left:
        shown.append(f"{left:,} conditions more")
    return " and ".join(shown) or "any output"


def property_words(cases: Sequence[ExactCase], outputs: int) -> str:
    """What a property demands: `holds if Y_0 exceeds every other output, for ...`.

    Args:
        cases: The ways to violate it.
        outputs: Numbers that come out.

    Returns:
        One line.
    """
    if not cases:
        return "holds: no case that it rules out can happen"
    common = _said_of_inputs(cases)
    shown = [
        ExactCase(case.box, tuple(one for one in case.conditions if one not in common))
        for case in cases
    ]
    where = "".join(f" and {condition_words(one)}" for one in common)
    return f"holds if {_demanded(shown, outputs)}{where}"


def _said_of_inputs(cases: Sequence[ExactCase]) -> list[ExactCondition]:
    """Conditions on inputs alone that belong to every case: they say what inputs are meant."""
    first, *others = cases
    common = [one for one in first.conditions if not _speaks_of_outputs(one)]
    for case in others:
        if not common:
            break
        common = [one for one in common if one in case.conditions]
    return common


def _speaks_of_outputs(condition: ExactCondition) -> bool:
    return bool(condition.outputs) or any(min(one[:2]) < 0 for one in condition.products)


def _demanded(cases: Sequence[ExactCase], outputs: int) -> str:
    boxes = {id(case.box): case.box for case in cases}
    if len(boxes) > 1:
        count = len(cases[0].box.low)
        where = f"in {len(boxes):,} boxes of {count:,} input{'s' if count > 1 else ''}"
        return f"{_never(cases)}, {where}"
    told = _ranking(cases, outputs) or _never(cases)
    return f"{told}, for {box_words(cases[0].box)}"


def _never(cases: Sequence[ExactCase]) -> str:
    shown = [
        condition_words(opposite(case.conditions[0]))
        if len(case.conditions) == 1 and case.conditions[0].products
        else f"never {case_words(case)}"
        for case in cases[:MOST_CASES]
    ]
    left = len(cases) - len(shown)
    if left:
        shown.append(f"none of {left:,} cases more")
    return "; ".join(shown)


def _ranking(cases: Sequence[ExactCase], outputs: int) -> str | None:
    """What is demanded of one output against all others, if that is what is asked."""
    single = len(cases) == 1
    if not single and any(len(case.conditions) != 1 for case in cases):
        return None
    pairs = [_pair(one) for case in cases for one in case.conditions]
    if len(pairs) != outputs - 1 or outputs < 2 or None in pairs:
        return None
    greater, less = ({pair[side] for pair in pairs if pair} for side in (0, 1))
    if len(greater) == 1 and len(less) == outputs - 1:
        (place,) = greater
        end = "is never the largest output" if single else "is below every other output"
    elif len(less) == 1 and len(greater) == outputs - 1:
        (place,) = less
        end = "is never the smallest output" if single else "exceeds every other output"
    else:
        return None
    if single and outputs == 2:  # `never Y_0 >= Y_1` says it better
        return None
    return f"Y_{place} {end}"


def _pair(condition: ExactCondition) -> tuple[int, int] | None:
    """Of `Y_i >= Y_j` the two places, `None` for anything else."""
    if condition.inputs or condition.products or condition.constant or condition.strict:
        return None
    if len(condition.outputs) != 2:
        return None
    (first, one), (second, other) = condition.outputs
    if one != -other:
        return None
    return (first, second) if one > 0 else (second, first)


def box_words(box: ExactBox) -> str:
    """The inputs of a box: each of a few, else their range and how wide they are."""
    pairs = list(zip(box.low, box.high, strict=True))
    if len(pairs) <= MOST_INPUTS:
        return ", ".join(
            f"X_{place} = {number_words(low, 6)}"
            if low == high
            else f"X_{place} in [{number_words(low, 6)}, {number_words(high, 6)}]"
            for place, (low, high) in enumerate(pairs)
        )
    widest = max(high - low for low, high in pairs)
    free = sum(low != high for low, high in pairs)
    fixed = f", {free:,} of them free" if free < len(pairs) else ""
    least, most = min(box.low), max(box.high)
    return (
        f"{len(pairs):,} inputs in [{number_words(least, 6)}, {number_words(most, 6)}]{fixed}, "
        f"each over at most {number_words(widest, 6)}"
    )
