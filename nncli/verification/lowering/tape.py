"""What a network itself computes, operator by operator, beside what it is lowered to.

A lowered network has the same real numbers as the original at the nodes that they share, but not
the same operations: a batch norm is a factor and a constant, a maximum three nodes. Floating point
rounds what is really done. So the operators are recorded as they come, with every number that they
make in one long row: a value knows where in that row each of its own numbers stands.

Numbers that are only moved keep their places. Numbers that come from weights alone must be stored
as they are: what a network computes from its weights anew each time is rounded, too, by nobody
knows how much.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nncli.errors import ArtifactError
from nncli.verification.lowering.moves import HANDLERS as MOVES
from nncli.verification.lowering.softmax import HANDLERS as SOFTMAXES
from nncli.verification.lowering.values import Value
from nncli.verification.lowering.work import Handler, Marked, Work

MOVING = frozenset(MOVES) - {"_to_copy"} | {"where"}  # by a mask that is constant
COPYING = frozenset(
    (
        *("_to_copy", "_unsafe_view", "abs", "cat", "clone", "constant_pad_nd", "contiguous"),
        *("copy", "detach", "empty_like", "fill", "flip", "full_like", "gather", "index"),
        *("index_put", "index_select", "lift_fresh_copy", "masked_fill", "neg", "new_empty"),
        *("new_full", "new_ones", "new_tensor", "new_zeros", "ones_like", "repeat", "roll"),
        *("select_scatter", "slice_scatter", "stack", "view_copy", "where", "zero", "zeros_like"),
    )
)
EXACT = ("add", "mul", "sub")
NARROW = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class Operation:
    """An operator as the original does it.

    Attributes:
        name: Its name in ATen, without a trailing underscore.
        function: It.
        given: Its arguments, values for what depends on the example.
        named: Those given by name.
        made: What it makes, in its places of the row.
        where: The layer or node it belongs to, for people.
    """

    name: str
    function: Callable[..., Any]
    given: tuple[Any, ...]
    named: Mapping[str, Any]
    made: Value
    where: str


class Tape:
    """Takes down the operators of a lowering.

    Args:
        known: Names of the operators whose rounding is known.

    Attributes:
        operations: Those so far; what only moves numbers is not among them.
        count: Numbers in the row; the example's own come first.
    """

    def __init__(self, known: Collection[str]) -> None:
        self.operations: list[Operation] = []
        self.count = 0
        self._known = known
        self._computed: dict[int, tuple[Tensor, str]] = {}  # by the address of the memory

    def placed(self, value: Value) -> Value:
        """A value whose numbers get places at the end of the row."""
        places = torch.arange(self.count, self.count + value.size).reshape(value.shape)
        self.count += value.size
        return replace(value, traced=places)

    def taking(self, handlers: Mapping[str, Handler]) -> dict[str, Handler]:
        """The handlers of a lowering, such that all they do is taken down."""
        return {name: self._taking(name, one) for name, one in handlers.items()}

    def _taking(self, name: str, handler: Handler) -> Handler:
        def take(work: Work, function: Any, *given: Any, **named: Any) -> Any:
            for one in _inner(given):
                self.demand_stored(work, one)
                self._demand_placed(work, name, one)
                if isinstance(one, Marked) and (name == "where" or name not in MOVING):
                    raise self._refusal(work, one.mark.operator)
            if name in MOVING:
                for one in _inner(given):
                    _demand_single(work, one)
                return handler(work, function, *given, **named)
            if named.get("dtype") in NARROW:
                raise self._refusal(work, "to half precision")
            made = handler(work, function, *given, **named)
            if isinstance(made, Marked) and name in SOFTMAXES:
                return made
            first = made[0] if isinstance(made, list | tuple) else made
            if name not in self._known or not isinstance(first, Value):
                raise self._refusal(work, name)
            first = self.placed(first)
            self.operations.append(Operation(name, function, given, named, first, work.where))
            return (first, *made[1:]) if isinstance(made, list | tuple) else first

        return take

    def plain(self, function: Any, given: Any, named: Mapping[str, Any], made: Any) -> None:
        """Note what an operator makes that takes nothing which depends on the example.

        One sum or product whose real result is a float32 number is that number in float32, too: in
        `1.0 * bias`, which graphs have.
        """
        name = function._schema.name.partition("::")[2]
        taken = [one for one in _inner(given) if _is_floating(one)]
        is_copy = name.removesuffix("_") in COPYING or any(
            one.alias_info is not None and not one.alias_info.is_write
            for one in function._schema.returns
        )
        is_whole = not any(self.is_computed(one) for one in taken)
        is_exact = name in EXACT and not named and all(map(_is_single, (*given, made)))
        if not taken or (is_whole and (is_copy or is_exact)):
            return
        for one in _inner((made, given[0] if name.endswith("_") else None)):
            if _is_floating(one):  # kept, so that its memory is not used again
                self._computed.setdefault(_memory(one), (one, name))

    def is_computed(self, tensor: Tensor) -> bool:
        """Whether numbers were computed from weights, and not stored."""
        return _memory(tensor) in self._computed

    def demand_stored(self, work: Work, given: Any) -> None:
        """Refuse numbers that were computed from weights.

        Raises:
            ArtifactError: They were.
        """
        if _is_floating(given) and self.is_computed(given):
            name = self._computed[_memory(given)][1]
            raise ArtifactError(
                f"{work.where} computes numbers from weights each time it runs (`{name}`), and how "
                "those are rounded is not known",
                hint="leave out `--float-margin`, or store the numbers in the checkpoint",
            )

    def _demand_placed(self, work: Work, name: str, given: Any) -> None:
        """Refuse numbers that came about without being taken down."""
        value = given.value if isinstance(given, Marked) else given
        if isinstance(value, Value) and value.parts and value.traced is None:
            raise self._refusal(work, name)

    def _refusal(self, work: Work, name: str) -> ArtifactError:
        name = name.removeprefix("_").removeprefix("native_")
        return ArtifactError(
            f"{work.where} has the operator `{name}`, and how float32 rounds there is not known",
            hint="leave out `--float-margin`: then verdicts are about real numbers",
        )


def _demand_single(work: Work, given: Any) -> None:
    """Refuse to move constants that float32 cannot hold."""
    if (_is_floating(given) or isinstance(given, float)) and not _is_single(given, least=0.0):
        raise ArtifactError(
            f"{work.where} puts in numbers that float32 cannot hold",
            hint="leave out `--float-margin`: then verdicts are about real numbers",
        )


def _is_single(given: Any, least: float = 2.0**-126) -> bool:
    """Whether all of some numbers are float32 numbers, not smaller than what may be flushed."""
    numbers = torch.as_tensor(given, dtype=torch.float64)
    held = (numbers.float().double() == numbers) & ((numbers == 0) | (numbers.abs() >= least))
    return bool(held.all())


def _is_floating(one: Any) -> bool:
    return isinstance(one, Tensor) and one.is_floating_point()


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _inner(given: Any) -> list[Any]:
    found = []
    for one in given:
        found += _inner(one) if isinstance(one, list | tuple) else [one]
    return found
