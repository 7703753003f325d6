"""Tensors while a network is lowered: numbers of nodes, moved and scaled, plus constants.

A tensor that depends on the input is kept as `sum_k factor_k * node_k[index_k] + constant`. So
whatever only moves, adds or scales numbers makes no node of its own, however long the chain.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Part:
    """Numbers of one node.

    Attributes:
        place: The node.
        index: Where in the node each number is, -1 for a zero; int64 of the value's shape.
        factor: What each number is multiplied by, float64 of the same shape; `None` for ones.
    """

    place: int
    index: Tensor
    factor: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of a network that is being lowered.

    Attributes:
        shape: Its shape, the batch of one example included.
        parts: What it is the sum of; none if it does not depend on the input.
        constant: What is added, float64 of its shape; `None` for zeros.
        traced: Where each number stands among all that the original computes, -1 for a constant;
            `None` where that is not recorded (`nncli.verification.lowering.tape`).
    """

    shape: tuple[int, ...]
    parts: tuple[Part, ...]
    constant: Tensor | None = None
    traced: Tensor | None = None

    @property
    def size(self) -> int:
        """Numbers in it."""
        return prod(self.shape)

    @property
    def ndim(self) -> int:
        """Dimensions."""
        return len(self.shape)

    @property
    def pure(self) -> Part | None:
        """The one part that it is, unchanged; `None` if it is more than numbers of one node."""
        if len(self.parts) != 1 or self.constant is not None or self.parts[0].factor is not None:
            return None
        return self.parts[0]

    @property
    def constants(self) -> Tensor:
        """What is added, as a tensor in any case."""
        if self.constant is None:
            return torch.zeros(self.shape, dtype=torch.float64)
        return self.constant


Key = tuple[int, int]  # a node, and which of the parts of a value that are of this node


def whole(place: int, shape: Sequence[int]) -> Value:
    """All numbers of a node, in order, in a shape."""
    return Value(tuple(shape), (Part(place, torch.arange(prod(shape)).reshape(tuple(shape))),))


def moved(function: Callable[..., Any], *args: Any, filling: int | None = None) -> Any:
    """Do to places what an operator does to numbers that it only moves.

    The operator runs on the places of each node, counted from 1, so that the zeros it fills in
    stand for no number; then on the constants as they are.

    Args:
        function: The operator; it gives one tensor, or a list of them.
        args: Its arguments, values among them, also in lists. Tensors of whole numbers and of truth
            values say where numbers go, and stay.
        filling: Which of the arguments is a number to fill in, if one is.

    Returns:
        The value, or a list of them.
    """
    values = list(_values(args))
    keyed = {id(one): _keyed(one) for one in values}
    blank = [0.0 if place == filling else one for place, one in enumerate(args)]

    def run(read: Callable[[Value, Part | None], Tensor], key: Key) -> Any:
        parts = {one: found.get(key) for one, found in keyed.items()}
        return function(*_replaced(blank, lambda one: read(one, parts[id(one)]), keep=False))

    columns: list[tuple[int, Any, Any]] = []
    for key in sorted({key for one in keyed.values() for key in one}):
        held = [found[key].factor is not None for found in keyed.values() if key in found]
        columns.append((key[0], run(_counted, key), run(_factor, key) if any(held) else None))
    filled = filling is not None and len(args) > filling and args[filling] != 0
    known = filled or any(one.constant is not None for one in values) or _has_constants(args)
    known = known or not columns
    constant = function(*_replaced(args, lambda one: one.constants, keep=True)) if known else None
    traced = None
    if any(one.traced is not None for one in values):
        traced = function(*_replaced(blank, _traced, keep=False))
    example: Any = columns[0][1] if columns else constant
    if isinstance(example, Tensor):
        return _joined(tuple(example.shape), columns, constant, traced)
    return [
        _joined(
            tuple(one.shape),
            [(place, index[at], None if f is None else f[at]) for place, index, f in columns],
            None if constant is None else constant[at],
            None if traced is None else traced[at],
        )
        for at, one in enumerate(example)
    ]


def _joined(
    shape: tuple[int, ...],
    columns: Sequence[tuple[int, Tensor, Tensor | None]],
    constant: Any,
    traced: Tensor | None,
) -> Value:
    parts = [Part(place, (index - 1).long(), factor) for place, index, factor in columns]
    kept = tuple(one for one in parts if bool((one.index >= 0).any()))
    if constant is not None and not bool(constant.any()):
        constant = None
    traced = None if traced is None else (traced - 1).long()
    return Value(shape, kept or tuple(parts[:1]), constant, traced)


def picked(value: Value, where: Tensor) -> Value:
    """Numbers of a value of one dimension, at places in the shape that is wanted."""
    parts = tuple(
        Part(one.place, one.index[where], None if one.factor is None else one.factor[where])
        for one in value.parts
    )
    constant = None if value.constant is None else value.constant[where]
    traced = None if value.traced is None else value.traced[where]
    return Value(tuple(where.shape), parts, constant, traced)


def flat(value: Value) -> Value:
    """A value in one dimension."""
    return reshaped(value, (value.size,))


def expanded(value: Value, shape: Sequence[int]) -> Value:
    """A value spread to a shape."""
    if value.shape == tuple(shape):
        return value
    result: Value = moved(lambda x: x.expand(*shape), value)
    return result


def reshaped(value: Value, shape: Sequence[int]) -> Value:
    """A value in another shape."""
    shape = tuple(shape)
    parts = tuple(
        Part(
            one.place,
            one.index.reshape(shape),
            None if one.factor is None else one.factor.reshape(shape),
        )
        for one in value.parts
    )
    constant, traced = (
        None if one is None else one.reshape(shape) for one in (value.constant, value.traced)
    )
    return Value(shape, parts, constant, traced)


def broadcast(value: Value, other: Tensor) -> tuple[Value, Tensor]:
    """A value and constants, spread to their common shape."""
    shape = common_shape(value, other)
    return expanded(value, shape), other.expand(shape)


def common_shape(one: Value | Tensor, other: Value | Tensor) -> tuple[int, ...]:
    """The shape that two tensors are spread to."""
    # not by torch, which would import sympy for it
    return np.broadcast_shapes(tuple(one.shape), tuple(other.shape))


def shifted(value: Value, constant: Tensor) -> Value:
    """A value plus constants of its shape."""
    if not bool(constant.any()):
        return value
    return Value(value.shape, value.parts, value.constants + constant)


def scaled(value: Value, factor: Tensor) -> Value:
    """A value times constants of its shape."""
    parts = tuple(
        Part(one.place, one.index, factor if one.factor is None else one.factor * factor)
        for one in value.parts
    )
    constant = None if value.constant is None else value.constant * factor
    return Value(value.shape, parts, constant)


def added(one: Value, other: Value) -> Value:
    """The sum of two values of one shape."""
    constant = one.constant if other.constant is None else one.constants + other.constant
    return Value(one.shape, one.parts + other.parts, constant)


def is_exact(factor: Tensor) -> bool:
    """Whether multiplying by these numbers rounds nothing: signed powers of two, and zeros."""
    mantissa = torch.frexp(factor)[0].abs()
    return bool(((mantissa == 0.5) | (mantissa == 0)).all())


def _values(argument: Any) -> Iterator[Value]:
    if isinstance(argument, Value):
        yield argument
    elif isinstance(argument, list | tuple):
        for one in argument:
            yield from _values(one)


def _keyed(value: Value) -> dict[Key, Part]:
    found: dict[Key, Part] = {}
    for part in value.parts:
        turn = sum(place == part.place for place, _ in found)
        found[part.place, turn] = part
    return found


def _replaced(argument: Any, read: Callable[[Value], Tensor], *, keep: bool) -> Any:
    """Arguments with tensors for the values, and zeros for constants unless they are kept."""
    if isinstance(argument, Value):
        return read(argument)
    if isinstance(argument, list | tuple):
        return [_replaced(one, read, keep=keep) for one in argument]
    if isinstance(argument, Tensor) and argument.is_floating_point():
        return argument.double() if keep else torch.zeros_like(argument, dtype=torch.float64)
    return argument


def _counted(value: Value, part: Part | None) -> Tensor:
    """Places from 1."""
    if part is None:
        return torch.zeros(value.shape, dtype=torch.float64)
    return (part.index + 1).double()


def _factor(value: Value, part: Part | None) -> Tensor:
    if part is None or part.factor is None:
        return torch.ones(value.shape, dtype=torch.float64)
    return part.factor


def _traced(value: Value) -> Tensor:
    """Places from 1 of what the original computes."""
    if value.traced is None:
        return torch.zeros(value.shape, dtype=torch.float64)
    return (value.traced + 1).double()


def _has_constants(argument: Any) -> bool:
    """Whether there are numbers besides the values."""
    if isinstance(argument, Tensor):
        return argument.is_floating_point() and bool(argument.any())
    return isinstance(argument, list | tuple) and any(_has_constants(one) for one in argument)
