"""Gram matrices of many layers in tiles, so that no n x n matrix is ever held.

For a grid of L x L layers of d features, inner products of Gram matrices are cheaper than cross
products of features as soon as n < L d. All kernels that depend on a pair of examples only can be
summed this way.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.similarity.layers import Array, Rows
from nncli.similarity.work import Work

F64 = NDArray[np.float64]

LARGEST = 256  # rows of a tile: products are near their top speed, and one float64 tile is 0.5 MB
SMALLEST = 16


@dataclass(frozen=True)
class Tile:
    """One tile of the Gram matrix of every layer.

    Attributes:
        entries: Shape (layers, rows, columns), in a buffer that the next tile takes over.
        rows: Which rows of the Gram matrices.
        columns: Which columns.
        count: How often the tile counts: 1 on the diagonal, else 2.
    """

    entries: Array
    rows: slice
    columns: slice
    count: float


def corners(n: int, step: int) -> Iterator[tuple[int, int]]:
    """The first row and the first column of every tile of the upper half of an n x n matrix."""
    for top in range(0, n, step):
        for left in range(top, n, step):
            yield top, left


def tile_step(n: int, layers: int, memory: int) -> int:
    """How many rows a tile has, so that one of every layer fits into half of the memory."""
    return min(n, max(SMALLEST, min(LARGEST, int((memory // (16 * layers)) ** 0.5))))


def gram_tiles(
    layers: Sequence[Rows],
    work: Work,
    *,
    exact: bool,
    dtype: type[np.floating[Any]] = np.float64,
) -> Iterator[Tile]:
    """The tiles of the upper half of the Gram matrix of every layer.

    Args:
        layers: Layers with the same n.
        work: Threads and memory.
        exact: Multiply in float64 even where the layers are float32.
        dtype: The precision of the entries.

    Yields:
        The tiles; their entries last until the next one.
    """
    n, step = layers[0].n, tile_step(layers[0].n, len(layers), work.memory)
    strips = _Strips(layers, step, work, exact=exact)
    flat = np.empty(len(layers) * step * step, dtype)
    for top, left in corners(n, step):
        if left == top:
            strips.keep(top)
        heights = [min(start + step, n) - start for start in (top, left)]
        tile = flat[: len(layers) * heights[0] * heights[1]].reshape(len(layers), *heights)
        work.run(_product(strips, top, left, tile), range(len(layers)))
        count = 1.0 if left == top else 2.0
        yield Tile(tile, slice(top, top + heights[0]), slice(left, left + heights[1]), count)


class _Strips:
    """Strips of rows of every layer: all held, or one of them, or read again for each tile.

    Rows that take work to make are held where that is cheap; raw ones are as soon read again.
    """

    def __init__(self, layers: Sequence[Rows], step: int, work: Work, *, exact: bool) -> None:
        self.layers, self.step, self.work, self.exact = layers, step, work, exact
        self.n = layers[0].n
        width = sum(x.d * (8 if exact else x.dtype.itemsize) for x in layers)
        self.whole = self.n * width <= work.memory // 8
        self.one = step * width <= work.memory // 2
        self.held: dict[int, list[Array]] = {}
        if self.whole:
            everything = work.run(lambda index: self._read(index, 0, self.n), range(len(layers)))
            for start in range(0, self.n, step):
                self.held[start] = [rows[start : start + step] for rows in everything]

    def keep(self, start: int) -> None:
        """Hold the strip of every layer that begins at a row, which many tiles need."""
        if self.one and not self.whole:
            tasks = range(len(self.layers))
            self.held = {start: self.work.run(lambda index: self.rows(index, start), tasks)}

    def rows(self, index: int, start: int) -> Array:
        """The strip of one layer that begins at a row."""
        if start in self.held:
            return self.held[start][index]
        return self._read(index, start, min(start + self.step, self.n))

    def _read(self, index: int, start: int, stop: int) -> Array:
        block = self.layers[index].rows(start, stop)
        return block.astype(np.float64, copy=False) if self.exact else block


def _product(strips: _Strips, top: int, left: int, tile: Array) -> Callable[[int], None]:
    def fill(index: int) -> None:
        x = strips.rows(index, top)
        y = x if left == top else strips.rows(index, left)
        if x.dtype == tile.dtype:
            np.matmul(x, y.T, out=tile[index])
        else:
            tile[index] = x @ y.T

    return fill
