"""Euclidean distances between the examples of a layer, from tiles of its Gram matrix."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nncli.similarity.centring import Centred
from nncli.similarity.layers import blocks
from nncli.similarity.tiles import Tile, gram_tiles
from nncli.similarity.work import Work

F64 = NDArray[np.float64]

SAME = 1e-13  # of the squared norms: smaller squared distances are rounding
DIGIT = 16  # bits of a float64 that one pass of the selection settles


def squared_norms(x: Centred) -> F64:
    """The squared norms of the centred rows, shape (n,)."""
    found = np.empty(x.n)
    for start, stop in blocks(x.n, x.d):
        rows = x.rows(start, stop).astype(np.float64)
        np.einsum("nd,nd->n", rows, rows, out=found[start:stop])
    return found


def to_squared_distances(tile: Tile, norms: F64) -> F64:
    """Turn inner products into squared distances, in place.

    Args:
        tile: A tile of the Gram matrices of some layers.
        norms: Squared norms of the rows of each, shape (layers, n).

    Returns:
        The entries of the tile, shape (layers, rows, columns); exactly 0 for equal examples.
    """
    size = norms[:, tile.rows, None] + norms[:, None, tile.columns]
    entries = tile.entries
    entries *= -2.0
    entries += size
    size *= SAME
    entries[entries <= size] = 0.0
    return entries


def median_distance(x: Centred, work: Work) -> float:
    """The median of the distances between different examples, exactly.

    In memory if all distances fit; else by radix selection on the bits of the squared distances,
    in four or five passes over the tiles.
    """
    pairs = x.n * (x.n - 1) // 2
    below, above = (pairs - 1) // 2, pairs // 2
    if 8 * pairs <= work.memory:
        every = np.concatenate(list(squared_distances(x, work)))
        found = np.partition(every, [below, above])[[below, above]]
    else:
        found = np.array(_select(x, below, replace(work, pool=None), next_too=above > below))
    return float(np.sqrt(found).mean())


def squared_distances(x: Centred, work: Work) -> Iterator[F64]:
    """The squared distances of all pairs of different examples, each once, tile by tile."""
    norms = squared_norms(x)[None]
    for tile in gram_tiles([x], work, exact=True):
        entries = to_squared_distances(tile, norms)[0]
        once = np.triu_indices(len(entries), 1) if tile.count == 1 else ...
        yield entries[once].ravel().copy()


def _select(x: Centred, place: int, work: Work, *, next_too: bool) -> tuple[float, float]:
    """The squared distance at a place of their ascending order, and at the next if asked for."""
    prefix, rest = 0, place  # the leading bits, and the place among those that share them
    for shift in range(64 - DIGIT, -1, -DIGIT):
        counts = np.zeros(1 << DIGIT, np.int64)
        for part in squared_distances(x, work):
            bits = part.view(np.uint64) >> np.uint64(shift)  # ordered as the numbers, all >= 0
            bits = bits[bits >> np.uint64(DIGIT) == prefix]
            digits = (bits & np.uint64((1 << DIGIT) - 1)).astype(np.int64)
            counts += np.bincount(digits, minlength=1 << DIGIT)
        ends = np.cumsum(counts)
        digit = int(np.searchsorted(ends, rest, side="right"))
        rest -= int(ends[digit] - counts[digit])
        prefix = (prefix << DIGIT) | digit
    first = float(np.array(prefix, np.uint64).view(np.float64))
    if not next_too or rest + 1 < counts[digit]:
        return first, first
    larger = (part[part > first].min(initial=np.inf) for part in squared_distances(x, work))
    return first, float(min(larger))
