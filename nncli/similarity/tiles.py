"""Gram matrices of many layers in tiles, so that no n x n matrix is ever held.

For a grid of L x L layers of d features, inner products of Gram matrices are cheaper than cross
products of features as soon as n < L d. All kernels that depend on a pair of examples only can be
summed this way.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nncli.similarity.centring import Centred
from nncli.similarity.layers import Array
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

    entries: F64
    rows: slice
    columns: slice
    count: float


def gram_tiles(layers: Sequence[Centred], work: Work, *, exact: bool) -> Iterator[Tile]:
    """The tiles of the upper half of the Gram matrix of every layer.

    Args:
        layers: Layers with the same n.
        work: Threads and memory.
        exact: Multiply in float64 even where the layers are float32.

    Yields:
        The tiles; their entries last until the next one.
    """
    n, widths = layers[0].n, [layer.d * layer.dtype.itemsize for layer in layers]
    fit = (work.memory // (16 * len(layers))) ** 0.5
    step = min(n, max(SMALLEST, min(LARGEST, int(fit))))
    keep = step * sum(widths) <= work.memory // 2
    flat = np.empty(len(layers) * step * step)
    for top in range(0, n, step):
        upper = _Strip(layers, (top, min(top + step, n)), keep=keep, exact=exact)
        upper.load(work)
        for left in range(top, n, step):
            lower = upper
            if left != top:
                lower = _Strip(layers, (left, min(left + step, n)), keep=False, exact=exact)
            shape = (len(layers), upper.height, lower.height)
            tile = flat[: int(np.prod(shape))].reshape(shape)
            work.run(_product(upper, lower, tile), range(len(layers)))
            count = 1.0 if left == top else 2.0
            yield Tile(tile, slice(*upper.span), slice(*lower.span), count)


class _Strip:
    """Some rows of every layer, kept in memory or read again for each tile."""

    def __init__(
        self, layers: Sequence[Centred], span: tuple[int, int], *, keep: bool, exact: bool
    ) -> None:
        self.layers, self.span, self.keep, self.exact = layers, span, keep, exact
        self.height = span[1] - span[0]
        self.kept: list[Array] = []

    def load(self, work: Work) -> None:
        if self.keep:
            self.kept = work.run(self.rows, range(len(self.layers)))

    def rows(self, index: int) -> Array:
        if self.kept:
            return self.kept[index]
        block = self.layers[index].rows(*self.span)
        return block.astype(np.float64) if self.exact else block


def _product(upper: _Strip, lower: _Strip, tile: F64) -> Callable[[int], None]:
    def fill(index: int) -> None:
        x = upper.rows(index)
        y = x if lower is upper else lower.rows(index)
        tile[index] = x @ y.T

    return fill
