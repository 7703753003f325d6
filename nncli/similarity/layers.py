"""One layer as a matrix of examples by features, read in blocks of rows.

Every measure of this package reads its data through `Layer.rows`, so a layer may lie in memory, in
a file or behind a reduction, and memory stays a few blocks whatever the number of examples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Read = Callable[[int, int], Array]

BLOCK_BYTES = 32 << 20
FEWEST, MOST = 16, 1024  # rows of a block


def row_name(row: int) -> str:
    """What an error calls a row that has no better name."""
    return f"row {row}"


class Rows(Protocol):
    """Anything that gives the rows of a matrix of n by d in blocks."""

    @property
    def n(self) -> int:
        """Number of rows."""

    @property
    def d(self) -> int:
        """Number of columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision that is enough for products of them, where sums are."""

    def rows(self, start: int, stop: int) -> Array:
        """Rows `start` to `stop`, shape (stop - start, d), in that precision or a better one."""


@dataclass(frozen=True)
class Layer:
    """A matrix of `n` examples by `d` features.

    Attributes:
        name: The name for tables and errors.
        n: Number of rows.
        d: Number of columns.
        dtype: float32 or float64: the precision of the data, and of products of blocks.
        rows: `rows(start, stop)` gives rows `start` to `stop`, shape (stop - start, d).
        where: What an error calls a row.
        each: How many rows are positions of one example: 1 where rows are examples, 0 where it
            differs between examples.
    """

    name: str
    n: int
    d: int
    dtype: np.dtype[Any]
    rows: Read
    where: Callable[[int], str] = row_name
    each: int = 1


def precision(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type to compute in: float32 for data of that precision or less, else float64."""
    narrow = dtype.kind == "b" or (dtype.kind == "f" and dtype.itemsize <= 4)
    return np.dtype(np.float32) if narrow else np.dtype(np.float64)


def layer_of(x: Array, name: str) -> Layer:
    """A layer from an array in memory.

    Args:
        x: Shape (n, d); a vector counts as one feature.
        name: What errors call it.

    Returns:
        The layer.

    Raises:
        ValueError: The array has more than two dimensions (see `reduction`) or none.
    """
    x = np.asarray(x)
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2 or x.dtype.kind not in "biuf":
        raise ValueError(f"`{name}` must be real and (n, d), not {x.dtype} {x.shape}")
    matrix = x
    return Layer(
        name, len(x), x.shape[1], precision(x.dtype), lambda start, stop: matrix[start:stop]
    )


def blocks(n: int, width: int, *, most: int = BLOCK_BYTES) -> Iterator[tuple[int, int]]:
    """Split `n` rows of `width` float64 numbers into blocks of at most `most` bytes.

    Yields:
        (start, stop) of each block; 16 to 1024 rows, the last one shorter.
    """
    step = min(MOST, max(FEWEST, most // (8 * max(width, 1))))
    for start in range(0, n, step):
        yield start, min(start + step, n)
