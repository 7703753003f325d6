"""Cross products X'Y for many pairs of layers in few passes over the data.

Where all rows fit into the memory allowed they are read once. Else the accumulators of as many
pairs as fit are held, and the data are read once for each such group of pairs. Sums over blocks of
rows are float64 either way. Where only sums are known of the layers, products are looked up.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nncli.similarity.layers import Array, Rows, blocks
from nncli.similarity.sums.summed import cross_product, known_by_sums
from nncli.similarity.work import Work

F64 = NDArray[np.float64]
Pair = tuple[int, int]
R = TypeVar("R")

CHUNK = 1024  # rows of one product; longer float32 products lose digits


def over_cross_products(
    function: Callable[[Pair, F64], R],
    left: Sequence[Rows],
    right: Sequence[Rows],
    pairs: Sequence[Pair],
    work: Work,
    *,
    exact: bool,
) -> dict[Pair, R]:
    """Apply a function to X'Y of every pair.

    Args:
        function: Gets the pair (i, j) and X'Y, shape (d_i, d_j); runs side by side over pairs.
        left: The X, all with the same n.
        right: The Y; the same objects as `left` where a layer is paired with itself.
        pairs: Indices into `left` and `right`.
        work: Threads and memory.
        exact: Multiply in float64 even where the rows are float32. Products in float32 are good
            to about 1e-8 of the largest singular value, which is too little where many small
            singular values are added up.

    Returns:
        What the function gave, by pair; each pair is reported to `work.advance`.
    """

    def read(one: Rows, start: int, stop: int) -> Array:
        return one.rows(start, stop).astype(np.float64 if exact else one.dtype, copy=False)

    sides = {id(one): one for i, j in pairs for one in (left[i], right[j])}
    if all(known_by_sums(one) for one in sides.values()):

        def known(pair: Pair) -> R:
            return function(pair, cross_product(left[pair[0]], right[pair[1]]))

        return dict(zip(pairs, work.run_pairs(known, pairs), strict=True))
    if sum(one.n * one.d for one in sides.values()) * 8 <= work.memory:
        held = _over_all(sides, lambda one: read(one, 0, one.n), work)

        def whole(pair: Pair) -> R:
            x, y = held[id(left[pair[0]])], held[id(right[pair[1]])]
            return function(pair, _product(x, y))

        return dict(zip(pairs, work.run_pairs(whole, pairs), strict=True))

    results: dict[Pair, R] = {}
    for group in _groups(left, right, pairs, work.memory):
        products = _accumulate(read, left, right, group, work)
        done = work.run_pairs(lambda item: function(*item), products.items())
        results.update(zip(products, done, strict=True))
    return results


def _over_all(
    sides: dict[int, Rows], task: Callable[[Rows], Array], work: Work
) -> dict[int, Array]:
    return dict(zip(sides, work.run(task, sides.values()), strict=True))


def _product(x: Array, y: Array) -> F64:
    """X'Y, added up in float64 over chunks of rows."""
    total = np.zeros((x.shape[1], y.shape[1]))
    for start in range(0, len(x), CHUNK):
        total += x[start : start + CHUNK].T @ y[start : start + CHUNK]
    return total


def _groups(
    left: Sequence[Rows], right: Sequence[Rows], pairs: Sequence[Pair], memory: int
) -> Iterator[list[Pair]]:
    """Split the pairs into groups whose accumulators fit; a single pair always does."""
    group: list[Pair] = []
    free = memory
    for i, j in sorted(pairs):
        size = 8 * left[i].d * right[j].d
        if group and size > free:
            yield group
            group, free = [], memory
        group.append((i, j))
        free -= size
    if group:
        yield group


def _accumulate(
    read: Callable[[Rows, int, int], Array],
    left: Sequence[Rows],
    right: Sequence[Rows],
    pairs: list[Pair],
    work: Work,
) -> dict[Pair, F64]:
    """X'Y of a group of pairs, block by block."""
    sides = {id(one): one for i, j in pairs for one in (left[i], right[j])}
    sums = {(i, j): np.zeros((left[i].d, right[j].d)) for i, j in pairs}
    width = sum(one.d for one in sides.values())
    for start, stop in blocks(left[pairs[0][0]].n, width, most=work.memory // 2):
        rows = _over_all(sides, lambda one: read(one, start, stop), work)  # noqa: B023

        def add(pair: Pair, rows: dict[int, Array] = rows) -> None:
            sums[pair] += rows[id(left[pair[0]])].T @ rows[id(right[pair[1]])]

        work.run(add, pairs)
    return sums
