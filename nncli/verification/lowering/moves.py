"""Operators that only move numbers about."""

from typing import Any

import torch

from nncli.verification.lowering.values import Value, expanded, moved
from nncli.verification.lowering.work import Handler, Mark, Marked, Work

# operators, and which of their arguments is a number that they fill in
MOVES: dict[str, int | None] = dict.fromkeys(
    (
        *("_unsafe_view", "cat", "channel_shuffle", "clone", "contiguous", "diag_embed", "flip"),
        *("gather", "im2col", "index", "index_select", "lift_fresh_copy", "masked_select"),
        *("pixel_shuffle", "pixel_unshuffle", "repeat", "repeat_interleave", "roll", "rot90"),
        *("reflection_pad1d", "reflection_pad2d", "reflection_pad3d"),
        *("replication_pad1d", "replication_pad2d", "replication_pad3d"),
        *("select_scatter", "slice_scatter", "diagonal_scatter", "stack", "take", "tril", "triu"),
        *("unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes", "view_copy", "expand_copy"),
        *("permute_copy", "transpose_copy", "split_with_sizes_copy", "unbind_copy", "slice_copy"),
        *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "narrow_copy"),
        *("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d"),
    )
) | {"constant_pad_nd": 2, "masked_fill": 2, "scatter": 3, "index_fill": 3}


def move(work: Work, func: Any, *given: Any, **named: Any) -> Any:
    """Any of `MOVES`. A mark goes along with the numbers."""
    marks = [one.mark for one in given if isinstance(one, Marked)]
    plain = [one.value if isinstance(one, Marked) else one for one in given]
    name = func._schema.name.partition("::")[2]
    if "reduce" in named or any(isinstance(one, Marked) for one in _inner(given)):
        raise work.refuse(name)
    made = moved(lambda *args: func(*args, **named), *plain, filling=MOVES.get(name))
    if not marks:
        return made
    mark = Mark(marks[0].operator, marks[0].message)
    if isinstance(made, Value):
        same = marks[0].is_softmax and sorted(made.shape) == sorted(plain[0].shape)
        return Marked(made, marks[0] if same else mark)
    return [Marked(one, mark) for one in made]


def put(work: Work, func: Any, *given: Any) -> Any:
    """index_put, without adding up."""
    if len(given) > 3 and given[3]:
        raise work.refuse("index_put", " that adds up")
    return move(work, func, *given)


def convert(work: Work, func: Any, x: Value, **named: Any) -> Value:
    """A change of type: among those of floating point it is none, as numbers are real ones here."""
    dtype = named.get("dtype")
    if dtype is not None and not dtype.is_floating_point:
        raise work.refuse("to", f" {str(dtype).removeprefix('torch.')}")
    return x


def copy(work: Work, func: Any, target: Any, new: Any, non_blocking: bool = False) -> Any:
    """What `copy_` writes: the new numbers, spread."""
    return expanded(new, target.shape) if isinstance(new, Value) else new.expand(target.shape)


def fill(work: Work, func: Any, target: Value, number: Any = 0.0) -> Any:
    """What `fill_` and `zero_` write."""
    if isinstance(number, Value):
        return expanded(number, target.shape)
    return torch.as_tensor(number, dtype=torch.float64).expand(target.shape)


def _inner(given: Any) -> list[Any]:
    return [inner for one in given if isinstance(one, list | tuple) for inner in one]


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(MOVES, move),
    "_to_copy": convert,
    "copy": copy,
    "fill": fill,
    "index_put": put,
    "zero": fill,
}
MARKED = (*MOVES, "_to_copy")
