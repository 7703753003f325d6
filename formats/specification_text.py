"""What must never happen, in a small language for people: one statement a line.

    # the inputs that are meant: every one needs two limits
    inputs in [0, 1]
    input 3 in [-0.3, 0.5]
    inputs 5..9 in [0, 1/3]
    x[0] + 2 x[1] <= 1.5

    # what is demanded of the outputs
    y[2] is largest
    always y[0] > y[*]
    always y[1] <= 3 or y[2] <= 3
    never y[0] >= 3.99 and x[4] < 0
    always |y - y at centre| <= 0.5
    always y[0]^2 + 2 y[0] * y[1] <= 3

Inputs are `x[0]` and outputs `y[0]`, by their places in the flat vectors; `X_0` and `Y_0` mean the
same. `y[*]` is every output that its comparison does not name, `x[*]` likewise every input. Numbers
are exact. `is largest` means greater than every other output, so that a tie is none. Several
statements all hold, limits of one input in several lines are all kept.

Conditions may be quadratic: squares, products of two variables, and lengths of vectors (Euclidean),
where `y` and `x` are all outputs and all inputs, `[0.5, 1]` numbers, `y at centre` what the network
puts out in the middle of the inputs' limits and `y at [0, 1]` at a point. `|y - x|^2` is squared.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from nncli.errors import ArtifactError
from nncli.formats.exact_numbers import FORMS, brief, exact_number
from nncli.formats.formulas import All, Bound, Formula, disjunction, negation
from nncli.formats.linear_cases import Case, Specification
from nncli.formats.normal_form import (
    MOST_CASES,
    TooManyCasesError,
    UnlimitedInputError,
    normal_form,
)
from nncli.formats.packed_text import packed_text
from nncli.formats.sources import open_source
from nncli.formats.specification_conditions import Conditions
from nncli.formats.specification_sums import Fault, Point, unknown_outputs

WANTED = "a specification, such as `inputs in [0, 1]` and `y[2] is largest`"
LIMITS = re.compile(
    r"inputs?\s*(?:\*|(\d+)(?:\s*\.\.\s*(\d+))?)?\s+in\s*\[([^,\[\]]+),([^,\[\]]+)\]", re.I
)


@dataclass(frozen=True)
class Text:
    """A specification as it was read.

    Attributes:
        name: The file as given.
        digest: SHA-256 of its bytes.
        lines: Its lines.
    """

    name: str
    digest: str
    lines: tuple[str, ...]


def read_text(name: str) -> Text:
    """Read the text of a specification.

    Args:
        name: The file, gzip or not, or `-`.

    Raises:
        ArtifactError: It is no text.
    """
    with open_source(name) as source:
        lines = packed_text(source, WANTED).splitlines()
        return Text(name, source.digest, tuple(lines))


def specification_of(
    text: Text,
    *,
    inputs: int,
    outputs: int,
    outputs_at: Callable[[Sequence[Fraction]], Sequence[Fraction]] | None = None,
) -> Specification:
    """What a specification says of a network.

    Args:
        text: The specification.
        inputs: Inputs of the network.
        outputs: Its outputs.
        outputs_at: What the network puts out at a point.

    Returns:
        The cases that must never happen, in exact numbers.

    Raises:
        ArtifactError: A line is no statement, speaks of an input or output that the network does
            not have, an input has no limits, or nothing is demanded.
    """
    name = text.name
    known: list[Formula] = []
    bad: list[Formula] = []
    asked = []

    def at(point: Point) -> Sequence[Fraction]:
        asked.append(point)
        if outputs_at is None:
            return unknown_outputs(point)
        return outputs_at(_centre(known, inputs) if point is None else point)

    lines = [(number, line.partition("#")[0].strip()) for number, line in enumerate(text.lines, 1)]
    for number, statement in sorted(lines, key=_speaks_of_points):  # once all limits are known
        if not statement:
            continue
        if statement.startswith("("):
            raise ArtifactError(
                f"`{name}`, line {number}: this looks like VNN-LIB, expected {WANTED}",
                hint="`--vnnlib` reads VNN-LIB files",
            )
        try:
            _read_line(statement, Conditions(inputs, outputs, at), known, bad)
        except Fault as fault:
            raise ArtifactError(f"`{name}`, line {number}: {fault}") from None
    if not bad:
        raise ArtifactError(
            f"`{name}` demands nothing of the outputs",
            hint="add a line such as `y[2] is largest` or `never y[0] >= 3.5`",
        )
    cases = _cases(name, known, bad, inputs)
    return Specification(name, text.digest, inputs, outputs, cases, pointed=bool(asked))


def _speaks_of_points(line: tuple[int, str]) -> bool:
    return re.search(r"\bat\b", line[1]) is not None


def _centre(known: Sequence[Formula], inputs: int) -> list[Fraction]:
    """The middle of the inputs' limits."""
    limits: dict[tuple[int, bool], Fraction] = {}
    for one in known:
        for part in one.parts if isinstance(one, All) else (one,):
            if isinstance(part, Bound):
                key = part.input, part.upper
                tighter = min if part.upper else max
                limits[key] = tighter(part.value, limits.get(key, part.value))
    try:
        return [(limits[place, False] + limits[place, True]) / 2 for place in range(inputs)]
    except KeyError as error:
        place, upper = error.args[0]
        end = "upper" if upper else "lower"
        raise Fault(f"there is no `centre`: input {place} has no {end} limit") from None


def _read_line(
    statement: str, conditions: Conditions, known: list[Formula], bad: list[Formula]
) -> None:
    """Add what a statement says to what is known of the inputs, or to what must not happen."""
    word, *others = statement.split(None, 1)
    rest = others[0] if others else ""
    if word.lower() in ("input", "inputs"):
        known.extend(_limits(statement, conditions.inputs))
        return
    demand = word.lower() if word.lower() in ("always", "never") else None
    formula = conditions.read(rest if demand else statement)
    if demand == "never":
        bad.append(formula)
    elif demand == "always" or re.search(r"\bis\b", statement):
        bad.append(negation(formula))
    elif "y" in conditions.sides:
        raise Fault("is this demanded or ruled out? put `always` or `never` before it")
    else:
        known.append(formula)


def _limits(statement: str, inputs: int) -> Sequence[Formula]:
    found = LIMITS.fullmatch(statement)
    if not found:
        raise Fault("expected `input 3 in [-0.5, 0.5]`, `inputs 0..4 in [0, 1]` or `inputs in ...`")
    first = int(found[1]) if found[1] else 0
    last = int(found[2]) if found[2] else first if found[1] else inputs - 1
    if last >= inputs:
        raise Fault(f"there is no input {last}: the network has {inputs:,}, 0 to {inputs - 1}")
    if last < first:
        raise Fault(f"inputs {first}..{last} are none, expected the lower place first")
    low, high = (_number(text.strip()) for text in (found[3], found[4]))
    if low > high:
        raise Fault(f"the lower limit `{found[3].strip()}` is above the upper one")
    return [
        Bound(place, value, upper, False)
        for place in range(first, last + 1)
        for value, upper in ((low, False), (high, True))
    ]


def _number(text: str) -> Fraction:
    number = exact_number(text)
    if number is None:
        raise Fault(f"`{brief(text)}` is no number, expected {FORMS}")
    return number


def _cases(name: str, known: list[Formula], bad: list[Formula], inputs: int) -> tuple[Case, ...]:
    try:
        return normal_form([*known, disjunction(bad)], inputs)
    except UnlimitedInputError as error:
        end = "upper" if error.upper else "lower"
        raise ArtifactError(
            f"`{name}`: input {error.input} has no {end} limit",
            hint=f"add `input {error.input} in [LOW, HIGH]`, or `inputs in [LOW, HIGH]` for all",
        ) from None
    except TooManyCasesError as error:
        raise ArtifactError(
            f"`{name}`: its `or`s multiply to {error.count:,} cases, more than {MOST_CASES:,}",
            hint="divide it into several files",
        ) from None
