"""Euclidean distances between the examples of a layer, from tiles of its Gram matrix."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nncli.similarity.algebra.tiles import Tile, corners, gram_tiles, tile_step
from nncli.similarity.layers import Array, Rows, blocks
from nncli.similarity.work import Work

F64 = NDArray[np.float64]

# of the squared norms: smaller squared distances are rounding
SAME = {8: 1e-13, 4: 1e-6}
DIGIT = 16  # bits of a number that one pass of the selection settles


def squared_norms(x: Rows) -> F64:
    """The squared norms of the rows, shape (n,)."""
    found = np.empty(x.n)
    for start, stop in blocks(x.n, x.d):
        rows = x.rows(start, stop).astype(np.float64, copy=False)
        np.einsum("nd,nd->n", rows, rows, out=found[start:stop])
    return found


def to_squared_distances(tile: Tile, norms: Array) -> Array:
    """Turn inner products into squared distances, in place.

    Args:
        tile: A tile of the Gram matrices of some layers.
        norms: Squared norms of the rows of each, shape (layers, n).

    Returns:
        The entries of the tile, shape (layers, rows, columns); exactly 0 for equal examples.
    """
    entries = tile.entries
    norms = norms.astype(entries.dtype, copy=False)
    size = norms[:, tile.rows, None] + norms[:, None, tile.columns]
    entries *= -2.0
    entries += size
    size *= SAME[entries.itemsize]
    entries[entries <= size] = 0.0
    return entries


def distance_tiles(x: Rows, work: Work, *, exact: bool) -> Iterator[tuple[Array, slice, slice]]:
    """The squared distances of a layer tile by tile, in the order of `tiles.corners`.

    Args:
        x: The layer.
        work: Threads and memory.
        exact: Multiply in float64 even where the layer is float32.

    Yields:
        A tile of distances, which the next one takes over; its rows and its columns.
    """
    norms = squared_norms(x)[None]
    dtype = np.float64 if exact or x.dtype.itemsize == 8 else np.float32
    for tile in gram_tiles([x], work, exact=exact, dtype=dtype):
        yield to_squared_distances(tile, norms)[0], tile.rows, tile.columns


def squared_distances(x: Rows, work: Work, *, exact: bool = True) -> Array:
    """The squared distances of all pairs of different examples, each once, tile by tile.

    Returns:
        Shape (n (n - 1) / 2,), float64 if exact, else in the precision of the layer. Layers with
        the same n have theirs in the same order.
    """
    dtype = np.float64 if exact else x.dtype
    found, at = np.empty(x.n * (x.n - 1) // 2, dtype), 0
    for part in _parts(x, work, exact=exact):
        found[at : at + len(part)] = part
        at += len(part)
    return found


def _parts(x: Rows, work: Work, *, exact: bool) -> Iterator[Array]:
    # a fixed number of rows a tile, so that the order depends on n alone
    enough = replace(work, memory=max(work.memory, 16 * tile_step(x.n, 1, 1 << 40) ** 2))
    masks: dict[int, NDArray[np.bool_]] = {}
    for entries, rows, columns in distance_tiles(x, enough, exact=exact):
        if rows != columns:
            yield entries.ravel()
            continue
        size = len(entries)
        if size not in masks:
            masks[size] = ~np.tri(size, dtype=bool)
        yield entries[masks[size]]


def unpacked(packed: Array, n: int) -> Iterator[tuple[slice, slice, slice]]:
    """Where the tiles of `squared_distances` are.

    Args:
        packed: What it gave.
        n: Number of examples.

    Yields:
        Rows, columns and where the entries lie; on the diagonal the upper triangle, row by row.
    """
    step, at = tile_step(n, 1, 1 << 40), 0
    for top, left in corners(n, step):
        height, width = min(step, n - top), min(step, n - left)
        count = height * (height - 1) // 2 if top == left else height * width
        yield slice(top, top + height), slice(left, left + width), slice(at, at + count)
        at += count


def median_of(squares: Array) -> float:
    """The median of distances from their squares."""
    middle = len(squares) // 2
    found = np.partition(squares, middle)  # one place at a time is several times as fast as two
    upper = float(found[middle])
    lower = upper if len(squares) % 2 else float(found[:middle].max())
    return float(lower**0.5 + upper**0.5) / 2


def median_distance(x: Rows, work: Work, *, exact: bool = True) -> float:
    """The median of the distances between different examples, exactly.

    In memory if all distances fit; else by radix selection on the bits of the squared distances,
    in a pass over the tiles for each 16 of them.
    """
    pairs = x.n * (x.n - 1) // 2
    if 8 * pairs <= work.memory:
        return median_of(squared_distances(x, work, exact=exact))
    below, above = (pairs - 1) // 2, pairs // 2
    alone = replace(work, pool=None)
    found = np.array(_select(x, below, alone, next_too=above > below, exact=exact))
    return float(np.sqrt(found).mean())


def _select(x: Rows, place: int, work: Work, *, next_too: bool, exact: bool) -> tuple[float, float]:
    """The squared distance at a place of their ascending order, and at the next if asked for."""
    real = np.dtype(np.float64 if exact else x.dtype)
    bits = np.dtype(f"u{real.itemsize}")  # ordered as the numbers, all >= 0
    prefix, rest = 0, place  # the leading bits, and the place among those that share them
    for shift in range(8 * real.itemsize - DIGIT, -1, -DIGIT):
        counts = np.zeros(1 << DIGIT, np.int64)
        for part in _parts(x, work, exact=exact):
            leading = part.view(bits) >> bits.type(shift)
            if prefix or shift + DIGIT < 8 * real.itemsize:
                leading = leading[leading >> bits.type(DIGIT) == prefix]
                leading &= bits.type((1 << DIGIT) - 1)
            counts += np.bincount(leading.astype(np.int64), minlength=1 << DIGIT)
        ends = np.cumsum(counts)
        digit = int(np.searchsorted(ends, rest, side="right"))
        rest -= int(ends[digit] - counts[digit])
        prefix = (prefix << DIGIT) | digit
    first = float(np.array(prefix, bits).view(real))
    if not next_too or rest + 1 < counts[digit]:
        return first, first
    larger = (part[part > first].min(initial=np.inf) for part in _parts(x, work, exact=exact))
    return first, float(min(larger))
