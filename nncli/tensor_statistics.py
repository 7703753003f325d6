"""Summary numbers of a tensor, from pieces of it that are seen once."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Statistics:
    """Summary of the finite numbers of a tensor, and how many are not finite.

    Attributes:
        count: Numbers in all.
        nan: How many are no number.
        infinite: How many are infinite.
        minimum: The smallest finite one; `None` if there is none, as for the next three.
        maximum: The largest finite one.
        mean: The mean of the finite ones.
        std: Their standard deviation, with divisor n.
    """

    count: int
    nan: int
    infinite: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    std: float | None


def summarise(blocks: Iterable[Array]) -> Statistics:
    """Summarise numbers that come in blocks; complex ones by their absolute value.

    Means and sums of squared deviations are merged block by block in float64 (Chan, Golub and
    LeVeque 1983, "Algorithms for computing the sample variance"), so that a large mean costs no
    digits of the deviation.

    Args:
        blocks: Arrays of any shape.

    Returns:
        The summary of all blocks together.
    """
    count = nan = 0
    whole = _Moments(0, np.inf, -np.inf, 0.0, 0.0)
    for block in blocks:
        values = (np.abs(block) if block.dtype.kind == "c" else block).astype(np.float64).ravel()
        count += values.size
        nan += int(np.isnan(values).sum())
        values = values[np.isfinite(values)]
        if values.size:
            whole = whole.merged(_moments(values))
    infinite = count - nan - whole.count
    if not whole.count:
        return Statistics(count, nan, infinite, None, None, None, None)
    std = float(np.sqrt(whole.squares / whole.count))
    return Statistics(
        count, nan, infinite, whole.low, whole.high, _finite(whole.mean), _finite(std)
    )


@dataclass(frozen=True)
class _Moments:
    """Count, extremes, mean and sum of squared deviations of some numbers."""

    count: int
    low: float
    high: float
    mean: float
    squares: float

    def merged(self, other: "_Moments") -> "_Moments":
        total = self.count + other.count
        with np.errstate(over="ignore"):
            step = np.float64(other.mean) - self.mean
            between = step * step * self.count * other.count / total
            return _Moments(
                total,
                min(self.low, other.low),
                max(self.high, other.high),
                float(self.mean + step * other.count / total),
                float(self.squares + other.squares + between),
            )


def _moments(values: NDArray[np.float64]) -> _Moments:
    with np.errstate(over="ignore", invalid="ignore"):
        mean = values.mean()
        squares = np.square(values - mean).sum()
    return _Moments(
        values.size, float(values.min()), float(values.max()), float(mean), float(squares)
    )


def _finite(value: float) -> float | None:
    """`None` for what overflowed on the way."""
    return value if np.isfinite(value) else None
