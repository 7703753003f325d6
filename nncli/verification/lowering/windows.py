"""Pools and reductions: sums, means and maxima over windows.

A window along one dimension is a row of places, -1 where it reaches over the edge; one over several
dimensions is the product of those.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from nncli.verification.lowering.maxima import maximum
from nncli.verification.lowering.values import Part, Value
from nncli.verification.lowering.work import Handler, Mark, Marked, Work
from nncli.verification.maps import sparse
from nncli.verification.network import Sum


def sliding(
    size: int, width: int, step: int, pad: int, gap: int = 1, *, ceil: bool = False
) -> Tensor:
    """The windows of a pool along a dimension of a size: (windows, width) places."""
    room = size + 2 * pad - gap * (width - 1) - 1
    count = (-(-room // step) if ceil else room // step) + 1
    if ceil and (count - 1) * step >= size + pad:
        count -= 1  # the last window must begin before the padding at the end
    places = torch.arange(count)[:, None] * step - pad + torch.arange(width) * gap
    return torch.where((places >= 0) & (places < size), places, -1)


def adaptive(size: int, count: int) -> Tensor:
    """A number of windows that cover a dimension of a size as evenly as may be."""
    starts = [place * size // count for place in range(count)]
    ends = [-(-(place + 1) * size // count) for place in range(count)]
    width = max(end - start for start, end in zip(starts, ends, strict=True))
    places = torch.tensor(starts)[:, None] + torch.arange(width)
    return torch.where(places < torch.tensor(ends)[:, None], places, -1)


def average_pool(work: Work, func: Any, x: Value, kernel: Sequence[int], *rest: Any) -> Value:
    """avg_pool1d, 2d and 3d."""
    stride, padding, ceil, counted, divisor = _completed(rest, (), (0,), False, True, None)
    number = int(func._schema.name[-2])
    sizes = x.shape[-number:]
    kernel, step, pad = (_spread(one, number) for one in (kernel, stride or kernel, padding))
    windows = [
        sliding(size, width, by, edge, ceil=ceil)
        for size, width, by, edge in zip(sizes, kernel, step, pad, strict=True)
    ]
    counts = [
        _counted(len(one), size, width, by, edge) if counted else (one >= 0).sum(1)
        for one, size, width, by, edge in zip(windows, sizes, kernel, step, pad, strict=True)
    ]
    if divisor is not None:
        counts = [torch.full_like(one, divisor if k == 0 else 1) for k, one in enumerate(counts)]
    return _weighed(work, x, windows, counts)


def adaptive_average_pool(work: Work, func: Any, x: Value, sizes: Sequence[int]) -> Value:
    """adaptive_avg_pool1d, 2d and 3d."""
    shape = x.shape[-len(sizes) :]
    windows = [adaptive(size, count) for size, count in zip(shape, sizes, strict=True)]
    return _weighed(work, x, windows, [(one >= 0).sum(1) for one in windows])


def total(work: Work, func: Any, x: Value, over: Any = None, keep: bool = False, **_: Any) -> Value:
    """Sum and mean over dimensions."""
    mean = func._schema.name.endswith("mean")
    dimensions = _dimensions(x, over)
    kept = torch.arange(x.size).reshape(x.shape)
    shape = [1 if place in dimensions else size for place, size in enumerate(x.shape)]
    rows = torch.arange(_product(shape)).reshape(shape).expand(x.shape)
    weight = 1.0 / (x.size // _product(shape)) if mean else 1.0
    numbers = torch.full((x.size,), weight, dtype=torch.float64)
    made = sparse(rows.flatten(), kept.flatten(), numbers, (_product(shape), x.size))
    final = shape if keep else [n for k, n in enumerate(x.shape) if k not in dimensions]
    return work.builder.linear(x, made, final, None)


def max_pool(work: Work, func: Any, x: Value, kernel: Sequence[int], *rest: Any) -> Any:
    """max_pool1d, 2d and 3d, one dimension after the other; the places of the maxima are marked."""
    stride, padding, dilation, ceil = _completed(rest, (), (0,), (1,), False)
    name = func._schema.name
    number = next(k for k in (1, 2, 3) if f"{k}d" in name)
    sizes = x.shape[-number:]
    spread = (_spread(one, number) for one in (kernel, stride or kernel, padding, dilation))
    windows = [sliding(size, *four, ceil=ceil) for size, *four in zip(sizes, *spread, strict=True)]
    return _maxima(work, x, windows, indices=name.endswith("indices"))


def adaptive_max_pool(work: Work, func: Any, x: Value, sizes: Sequence[int]) -> Any:
    """adaptive_max_pool2d and 3d."""
    shape = x.shape[-len(sizes) :]
    windows = [adaptive(size, count) for size, count in zip(shape, sizes, strict=True)]
    return _maxima(work, x, windows, indices=True)


def _maxima(work: Work, x: Value, windows: Sequence[Tensor], *, indices: bool) -> Any:
    x = _without_edges(work, x)
    for back, places in enumerate(reversed(windows), 1):
        part = _pure(x)
        candidates = part.index.movedim(-back, -1)[..., places.clamp_min(0)]
        candidates = torch.where(places >= 0, candidates, -1).movedim(-2, -1 - back)
        empty = (candidates < 0).all(-1)  # of edges alone: an edge for the dimensions to come
        candidates = torch.where(empty[..., None], 0, candidates)
        found = _pure(maximum(work.builder, part.place, candidates))
        x = Value(found.index.shape, (Part(found.place, torch.where(empty, -1, found.index)),))
    if bool((_pure(x).index < 0).any()):
        raise work.refuse("max_pool", " with a window of nothing but padding")
    return _with_places(work, x, "max_pool") if indices else x


def _without_edges(work: Work, x: Value) -> Value:
    """A value whose edges of minus infinity are no numbers: what uneven padding is made of."""
    part = _pure(x)
    node = work.builder.nodes[part.place - 1] if part.place else None
    if not isinstance(node, Sum) or not bool(node.bias.isneginf().any()):
        return x
    edge = node.bias.isneginf()
    place = work.builder.sum(node.parents, node.maps, torch.where(edge, 0.0, node.bias))
    there = (part.index >= 0) & ~edge[part.index.clamp_min(0)]
    return Value(x.shape, (Part(place, torch.where(there, part.index, -1)),))


def extreme(work: Work, func: Any, x: Value, over: Any = None, keep: bool = False) -> Any:
    """amax, amin, max and min over dimensions."""
    name = func._schema.name.partition("::")[2]
    dimensions = _dimensions(x, over)
    part = _pure(x)
    rest = [place for place in range(x.ndim) if place not in dimensions]
    index = part.index.permute(*rest, *dimensions)
    shape = [x.shape[place] for place in rest]
    found = maximum(work.builder, part.place, index.reshape(*shape, -1), least="min" in name)
    if keep:
        final = [1 if place in dimensions else size for place, size in enumerate(x.shape)]
        found = Value(tuple(final), tuple(_reshaped(one, final) for one in found.parts))
    if name in ("max", "min") and over is not None:
        return _with_places(work, found, name)
    return found


def _with_places(work: Work, x: Value, name: str) -> tuple[Value, Marked]:
    """Maxima, and something for their places that nobody may use."""
    return x, Marked(x, Mark(name, work.message(name, " with the places of what it finds")))


def _reshaped(part: Part, shape: Sequence[int]) -> Part:
    return Part(part.place, part.index.reshape(tuple(shape)))


def _pure(x: Value) -> Part:
    assert x.pure is not None, "settled before"
    return x.pure


def _weighed(work: Work, x: Value, windows: Sequence[Tensor], counts: Sequence[Tensor]) -> Value:
    """Sums over windows in the last dimensions, divided by the products of counts."""
    sizes = x.shape[-len(windows) :]
    leading = x.shape[: -len(windows)]
    channels = _product(leading)
    rows, columns = torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    for places, size in zip(windows, sizes, strict=True):
        which, column = torch.nonzero(places >= 0, as_tuple=True)
        rows = (rows[:, None] * len(places) + which).flatten()
        columns = (columns[:, None] * size + places[which, column]).flatten()
    divisors = reduce(lambda a, b: (a[:, None] * b).flatten(), counts)
    out = tuple(len(one) for one in windows)
    shape = (_product(out), _product(sizes))
    channel = torch.arange(channels)[:, None]
    made = sparse(
        (channel * shape[0] + rows).flatten(),
        (channel * shape[1] + columns).flatten(),
        (1.0 / divisors.double())[rows].repeat(channels),
        (channels * shape[0], channels * shape[1]),
    )
    return work.builder.linear(x, made, (*leading, *out), None)


def _counted(count: int, size: int, width: int, step: int, pad: int) -> Tensor:
    """Places of each window, those in the padding included."""
    starts = torch.arange(count) * step - pad
    return torch.minimum(starts + width, torch.tensor(size + pad)) - starts


def _completed(given: Sequence[Any], *defaults: Any) -> tuple[Any, ...]:
    """Arguments, with the defaults of those that are missing."""
    return (*given, *defaults[len(given) :])


def _dimensions(x: Value, over: Any) -> list[int]:
    if over is None or over == []:
        return list(range(x.ndim))
    return sorted(one % x.ndim for one in ([over] if isinstance(over, int) else over))


def _spread(sizes: Sequence[int], number: int) -> tuple[int, ...]:
    return tuple(sizes) * number if len(sizes) == 1 else tuple(sizes)


def _product(sizes: Sequence[int]) -> int:
    return int(torch.Size(sizes).numel())


MAX_POOLS = ("max_pool1d", "max_pool2d", "max_pool3d")
AVERAGE_POOLS = ("avg_pool1d", "avg_pool2d", "avg_pool3d")
ADAPTIVE = ("adaptive_avg_pool1d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d")
HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(AVERAGE_POOLS, average_pool),
    **dict.fromkeys(ADAPTIVE, adaptive_average_pool),
    **dict.fromkeys((*MAX_POOLS, *(f"{one}_with_indices" for one in MAX_POOLS)), max_pool),
    **dict.fromkeys(("adaptive_max_pool2d", "adaptive_max_pool3d"), adaptive_max_pool),
    **dict.fromkeys(("amax", "amin", "max", "min"), extreme),
    **dict.fromkeys(("sum", "mean"), total),
}
SETTLING = dict.fromkeys(HANDLERS, False)
