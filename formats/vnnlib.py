"""VNN-LIB: what must never happen, in the language of the verification competitions.

Version 1.0 is read whole: real inputs `X_0, X_1, ...` and outputs `Y_0, ...`, and assertions of
linear comparisons under any nesting of `and`, `or`, `not` and `=>`. Of version 2.0 whatever speaks
of one network with one input and one output tensor. A file describes what is *bad*: the property
holds if no input meets all assertions.

References:
    Demarchi et al., "Supporting Standardization of Neural Networks Verification with VNN-LIB and
    CoCoNet", 2023. https://www.vnnlib.org
"""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from nncli.errors import ArtifactError, closest
from nncli.formats.exact_numbers import exact_number
from nncli.formats.formulas import (
    ALWAYS,
    NEVER,
    All,
    Bound,
    Formula,
    Some,
    conjunction,
    disjunction,
    negation,
)
from nncli.formats.linear_cases import Case, Condition, Specification
from nncli.formats.linear_sums import Linear, added, related, scaled
from nncli.formats.normal_form import (
    MOST_CASES,
    TooManyCasesError,
    UnlimitedInputError,
    normal_form,
)
from nncli.formats.packed_text import packed_text
from nncli.formats.sources import open_source
from nncli.formats.vnnlib_tokens import Tokens
from nncli.formats.vnnlib_variables import ONE_NETWORK, Variables

WANTED = "a VNN-LIB file"
RELATIONS = ("<=", ">=", "<", ">", "=", "==", "!=", "distinct")
# commands that say nothing about what is asked
SKIPPED = {"set-logic", "set-info", "set-option", "check-sat", "get-model", "get-value", "exit"}
VERSIONS = ("<1.0>", "<2.0>")
TENSOR = "tensor"


class Unread(NamedTuple):
    """A list in parentheses that has no meaning of its own."""

    place: int
    head: str


Item = str | Linear | Formula | Unread | None


def read_vnnlib(name: str) -> Specification:
    """Read a VNN-LIB file.

    Args:
        name: The file, gzip or not, or `-`.

    Returns:
        The cases that must never happen, in exact numbers.

    Raises:
        ArtifactError: The file is damaged, not of this language, or asks for what is not read
            (nonlinear terms, integers, several networks, an input without limits).
    """
    with open_source(name) as source:
        tokens = Tokens(name, packed_text(source, WANTED))
        reader = _Reader(tokens)
        try:
            reader.read()
            cases = _cases(reader)
        except RecursionError:
            raise ArtifactError(f"`{name}`: its conditions are nested too deeply") from None
        known = reader.variables
        return Specification(
            name, source.digest, known.inputs, known.outputs, cases, shape=known.shape
        )


def _cases(reader: "_Reader") -> tuple[Case, ...]:
    tokens, known = reader.tokens, reader.variables
    known.demand_complete()
    try:
        return normal_form(reader.asserted, known.inputs)
    except UnlimitedInputError as error:
        name = known.name_of(error.input)
        end, sign = ("upper", "<=") if error.upper else ("lower", ">=")
        raise tokens.error(
            known.line_place(error.input),
            f"the input `{name}`, declared here, has no {end} limit"
            + (" in one of the alternatives" if reader.has_choices else ""),
            hint=f"every input needs a box: add `(assert ({sign} {name} NUMBER))`",
        ) from None
    except TooManyCasesError as error:
        raise ArtifactError(
            f"`{tokens.name}`: its conditions are nested too deeply"
            if error.deep
            else f"`{tokens.name}`: its `or`s multiply to {error.count:,} alternatives, of which "
            f"more than {MOST_CASES:,} would have to be checked",
            hint="divide it into several files",
        ) from None


class _Reader:
    """Reads lists as their parentheses close, so that no depth of nesting matters."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.variables = Variables(tokens)
        self.asserted: list[Formula] = []
        self.has_choices = False
        self._numbers: dict[str, Fraction] = {}
        self._outer = 0
        self._meanings: dict[str, Callable[[int, list[Item]], Item]] = {
            **{one: self._comparison(one) for one in RELATIONS},
            "and": lambda at, items: conjunction(self._formulas(at, items)),
            "or": self._or,
            "not": self._not,
            "=>": self._implication,
            "+": self._sum,
            "-": self._difference,
            "*": self._product,
            "/": self._quotient,
            "declare-input": lambda at, items: self._tensor(at, "X", items),
            "declare-output": lambda at, items: self._tensor(at, "Y", items),
        }
        self._commands: dict[str, Callable[[int, list[Item]], None]] = {
            "assert": self._assert,
            "declare-const": self.variables.declare,
            "declare-fun": self._function,
            "declare-network": self._network,
            "vnnlib-version": self._version,
            **dict.fromkeys(SKIPPED, lambda at, items: None),
        }

    def read(self) -> None:
        """Read all commands."""
        outer: list[list[Item]] = []
        heads: list[int] = []
        items: list[Item] | None = None
        for at, word in enumerate(self.tokens.words):
            if word == "(":
                if items is not None:
                    outer.append(items)
                items = []
                heads.append(at)
            elif items is None:
                raise self._stray(at, word)
            elif word == ")":
                start = heads.pop()
                if outer:
                    value = self._value(start, items)
                    items = outer.pop()
                    items.append(value)
                else:
                    self._command(start, items)
                    items = None
            else:
                items.append(word)
        if items is not None:
            raise self.tokens.error(heads[0], "this parenthesis is never closed")

    def _stray(self, at: int, word: str) -> ArtifactError:
        if word == ")":
            return self.tokens.error(at, "this parenthesis was never opened")
        return self.tokens.error(
            at, f"expected a command such as `(assert (<= X_0 0.5))`, found `{word[:40]}`"
        )

    def _command(self, at: int, items: list[Item]) -> None:
        head = items[0] if items else ""
        found = self._commands.get(head) if isinstance(head, str) else None
        if found is None:
            shown = head if isinstance(head, str) else "("
            if shown in self._meanings and not shown.startswith("declare-"):
                hint = f"`(assert ({shown} ...))` states it"
            else:
                hint = closest(shown, self._commands)
            raise self.tokens.error(at, f"the command `{shown}` is not read", hint=hint)
        found(at, items[1:])

    def _value(self, at: int, items: list[Item]) -> Item:
        head = items[0] if items else ""
        found = self._meanings.get(head) if isinstance(head, str) else None
        if found is not None:
            return found(at, items[1:])
        if head == "declare-hidden":
            raise self.tokens.error(at, f"hidden tensors are not read; {ONE_NETWORK}")
        if head in ("isomorphic-to", "equal-to"):
            raise self.tokens.error(at, f"`{head}` compares networks; {ONE_NETWORK}")
        return Unread(at, head if isinstance(head, str) else "(")

    # commands

    def _assert(self, at: int, items: list[Item]) -> None:
        if len(items) != 1:
            raise self.tokens.error(at, f"`assert` takes one condition, found {len(items)}")
        formula = self._formula(at, items[0])
        self.has_choices = self.has_choices or not isinstance(formula, Bound | Condition)
        self.asserted.append(formula)

    def _function(self, at: int, items: list[Item]) -> None:
        if len(items) != 3 or not isinstance(items[1], Unread) or items[1].head:
            raise self.tokens.error(at, "expected `(declare-fun X_0 () Real)`")
        self.variables.declare(at, [items[0], items[2]])

    def _tensor(self, at: int, side: str, items: list[Item]) -> Item:
        self.variables.tensor(at, side, items)
        return Unread(at, TENSOR)

    def _network(self, at: int, items: list[Item]) -> None:
        for item in items[1:]:
            if not isinstance(item, Unread) or item.head != TENSOR:
                where, message = self._unfit(at, item, "a `declare-input` or `declare-output`")
                raise self.tokens.error(where, message)
        self.variables.network(at, items[0] if items else None)

    def _version(self, at: int, items: list[Item]) -> None:
        if len(items) != 1 or items[0] not in VERSIONS:
            shown = items[0] if items and isinstance(items[0], str) else "nothing"
            raise self.tokens.error(at, f"version `{shown}`, expected {' or '.join(VERSIONS)}")

    # formulas

    def _formula(self, at: int, item: Item) -> Formula:
        if isinstance(item, Bound | Condition | All | Some):
            return item
        if item in ("true", "false"):
            return ALWAYS if item == "true" else NEVER
        raise self.tokens.error(*self._unfit(at, item, "a condition such as `(<= Y_0 Y_1)`"))

    def _unfit(self, at: int, item: Item, wanted: str) -> tuple[int, str]:
        """Where something stands that does not fit, and what to say of it."""
        if isinstance(item, Unread):
            if item.head in self._commands:
                return item.place, f"`{item.head}` inside another command"
            return item.place, f"expected {wanted}, found `({item.head} ...)`, which is not read"
        found = f"`{item}`" if isinstance(item, str) else "a condition"
        return at, f"expected {wanted}, found {'a sum' if isinstance(item, Linear) else found}"

    def _formulas(self, at: int, items: list[Item]) -> list[Formula]:
        return [self._formula(at, item) for item in items]

    def _or(self, at: int, items: list[Item]) -> Formula:
        return disjunction(self._formulas(at, items))

    def _not(self, at: int, items: list[Item]) -> Formula:
        if len(items) != 1:
            raise self.tokens.error(at, f"`not` takes one condition, found {len(items)}")
        return negation(self._formula(at, items[0]))

    def _implication(self, at: int, items: list[Item]) -> Formula:
        if len(items) < 2:
            raise self.tokens.error(at, f"`=>` takes two conditions, found {len(items)}")
        *before, last = self._formulas(at, items)
        return disjunction([*(negation(one) for one in before), last])

    def _comparison(self, relation: str) -> Callable[[int, list[Item]], Formula]:
        upper, strict = relation in ("<=", "<"), relation in ("<", ">")
        ordered = upper or relation in (">=", ">")

        def compared(at: int, items: list[Item]) -> Formula:
            if ordered and len(items) == 2:
                bound = self._bound(items[0], items[1], upper, strict)
                if bound is not None:
                    return bound
            if len(items) < 2 or (relation in ("!=", "distinct") and len(items) > 2):
                raise self.tokens.error(
                    at, f"`{relation}` compares two numbers or sums, found {len(items)}"
                )
            sums = [self._linear(at, item) for item in items]
            return conjunction(related(relation, *pair) for pair in pairwise(sums))

        return compared

    def _bound(self, left: Item, right: Item, upper: bool, strict: bool) -> Bound | None:
        """`(<= X_0 0.5)` without a detour: most of a large file is made of it."""
        if type(left) is not str or type(right) is not str:
            return None
        place = self.variables.known(left)
        if place is None or place < 0:
            return None
        value = self._number(right)
        return None if value is None else Bound(place, value, upper, strict)

    # sums

    def _number(self, word: str) -> Fraction | None:
        value = self._numbers.get(word)
        if value is None:
            value = exact_number(word)
            if value is not None:
                self._numbers[word] = value
        return value

    def _linear(self, at: int, item: Item) -> Linear:
        if isinstance(item, Linear):
            return item
        if not isinstance(item, str):
            raise self.tokens.error(*self._unfit(at, item, "a number, a variable or a sum"))
        place = self.variables.known(item)
        if place is not None:
            return Linear({place: Fraction(1)}, Fraction(0))
        value = self._number(item)
        if value is None:
            raise self.variables.unknown(at, item)
        return Linear({}, value)

    def _sum(self, at: int, items: list[Item]) -> Linear:
        if not items:
            raise self.tokens.error(at, "`+` of nothing")
        first, *others = (self._linear(at, item) for item in items)
        return added(first, others, 1)

    def _difference(self, at: int, items: list[Item]) -> Linear:
        if not items:
            raise self.tokens.error(at, "`-` of nothing")
        first, *others = (self._linear(at, item) for item in items)
        return added(first, others, -1) if others else scaled(first, Fraction(-1))

    def _product(self, at: int, items: list[Item]) -> Linear:
        if not items:
            raise self.tokens.error(at, "`*` of nothing")
        factor, found = Fraction(1), None
        for one in (self._linear(at, item) for item in items):
            if not one.factors:
                factor *= one.constant
            elif found is None:
                found = one
            else:
                raise self.tokens.error(
                    at, "a product of two variables is not linear, and is not read"
                )
        return Linear({}, factor) if found is None else scaled(found, factor)

    def _quotient(self, at: int, items: list[Item]) -> Linear:
        parts = [self._linear(at, item) for item in items]
        if len(parts) != 2 or parts[1].factors or not parts[1].constant:
            raise self.tokens.error(at, "`/` divides by one number that is not 0")
        return scaled(parts[0], 1 / parts[1].constant)
