"""Sums over examples that stand for whole layers, and how those of two shards are added up.

Every measure that goes by covariances needs of the rows no more than their number, their mean, the
products of features about the mean and, for the forms without the diagonal of the Gram matrix,
sums of third and fourth powers. They are kept about the mean of the rows they come from, so nothing
cancels, and those of two sets of rows are added exactly (Chan, Golub and LeVeque 1983,
Algorithms for computing the sample variance).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nncli.errors import MismatchError, UsageError

F64 = NDArray[np.float64]
Places = tuple[int, int]


@dataclass(frozen=True)
class Marginal:
    """What is known of one layer alone.

    Attributes:
        name: The layer.
        n: Number of rows.
        mean: Their mean, shape (d,); zeros where there are none.
        varies: Whether any row differs from another, exactly.
    """

    name: str
    n: int
    mean: F64
    varies: bool

    @property
    def d(self) -> int:
        """Number of features."""
        return len(self.mean)


@dataclass(frozen=True)
class Joint:
    """Sums over the rows x and y of two layers, both less their means.

    Attributes:
        second: The sum of x y', shape (d_x, d_y).
        left: The sum of |y|² x, shape (d_x,).
        right: The sum of |x|² y, shape (d_y,).
        fourth: The sum of |x|² |y|².
    """

    second: F64
    left: F64
    right: F64
    fourth: float


@dataclass(frozen=True, order=True)
class Shard:
    """Which examples were added up, so that none is counted twice.

    Attributes:
        source: What the examples were taken from: a digest.
        start: The first of them.
        stop: The one after the last.
        rows: A digest of the examples themselves.
    """

    source: str
    start: int
    stop: int
    rows: str


@dataclass(frozen=True)
class Moments:
    """Sums over the same examples in the layers of two sides.

    Attributes:
        layers: The layers of both sides; one that is on both sides is here once.
        a: Places of the layers of A in `layers`.
        b: Places of those of B.
        joint: Sums by places (i, j), i <= j: of every layer with itself, and of the pairs wanted.
        shards: The examples, in ascending order; empty where nobody said.
    """

    layers: tuple[Marginal, ...]
    a: tuple[int, ...]
    b: tuple[int, ...]
    joint: dict[Places, Joint]
    shards: tuple[Shard, ...] = ()

    def of(self, i: int, j: int) -> Joint:
        """The sums of layers i and j of `layers`, whichever way round they are kept.

        Raises:
            UsageError: They were not gathered.
        """
        if (i, j) in self.joint:
            return self.joint[i, j]
        if (j, i) not in self.joint:
            names = self.layers[i].name, self.layers[j].name
            raise UsageError(f"no sums of the pair `{names[0]}`, `{names[1]}` were gathered")
        kept = self.joint[j, i]
        return Joint(kept.second.T, kept.right, kept.left, kept.fourth)

    def pairs(self) -> list[Places]:
        """The pairs of sides A and B that there are sums of, as indices into `a` and `b`."""
        return [
            (i, j)
            for i, left in enumerate(self.a)
            for j, right in enumerate(self.b)
            if self.holds(left, right)
        ]

    def holds(self, i: int, j: int) -> bool:
        """Whether there are sums of layers i and j of `layers`."""
        return (i, j) in self.joint or (j, i) in self.joint

    def trace(self, place: int) -> float:
        """The sum of |x|² of one layer."""
        return float(np.trace(self.joint[place, place].second))


def merge(one: Moments, other: Moments) -> Moments:
    """Add up the sums over two sets of examples.

    Up to rounding it does not matter in which order many are added; in one and the same order they
    give the same bits.

    Args:
        one: Sums over some examples.
        other: Sums over others, of the same layers and pairs.

    Returns:
        The sums over all of them.

    Raises:
        MismatchError: Other layers, widths or pairs, or examples that are in both.
    """
    demand_alike(one, other)
    shards = tuple(sorted((*one.shards, *other.shards)))
    demand_disjoint(shards)
    layers = tuple(_added(x, y) for x, y in zip(one.layers, other.layers, strict=True))
    means = [layer.mean for layer in layers]
    moved = [_about(part, means) for part in (one, other)]
    joint = {
        pair: Joint(
            first.second + second.second,
            first.left + second.left,
            first.right + second.right,
            first.fourth + second.fourth,
        )
        for (pair, first), second in zip(moved[0].items(), moved[1].values(), strict=True)
    }
    return replace(one, layers=layers, joint=joint, shards=shards)


def moved(
    joint: Joint, by: tuple[F64, F64], means: tuple[F64, F64], traces: tuple[float, float], n: int
) -> Joint:
    """The sums of rows from which something is taken away.

    Args:
        joint: The sums over rows u and v.
        by: What is subtracted from u and from v, shapes (d_x,) and (d_y,).
        means: The means of u and v.
        traces: The sums of |u|² and of |v|².
        n: Number of rows.

    Returns:
        The same sums over `u - by[0]` and `v - by[1]`.
    """
    (p, q), (u, v), (squares_u, squares_v) = by, means, traces
    pp, qq, across = float(p @ p), float(q @ q), joint.second @ q
    back = joint.second.T @ p
    return Joint(
        joint.second - np.outer(n * u, q) - np.outer(n * p, v - q),
        joint.left - 2.0 * across + n * qq * (u - p) + (2.0 * n * float(v @ q) - squares_v) * p,
        joint.right - 2.0 * back + n * pp * (v - q) + (2.0 * n * float(u @ p) - squares_u) * q,
        joint.fourth
        - 2.0 * float(q @ joint.right + p @ joint.left - 2.0 * p @ across)
        + qq * (squares_u - 2.0 * n * float(p @ u))
        + pp * (squares_v - 2.0 * n * float(q @ v))
        + n * pp * qq,
    )


def _about(part: Moments, means: Sequence[F64]) -> dict[Places, Joint]:
    """All sums about other points than the means of their rows."""
    away = [mean - layer.mean for mean, layer in zip(means, part.layers, strict=True)]
    zeros = [np.zeros(layer.d) for layer in part.layers]

    def about(i: int, j: int) -> Joint:
        traces = part.trace(i), part.trace(j)
        by, none = (away[i], away[j]), (zeros[i], zeros[j])
        return moved(part.joint[i, j], by, none, traces, part.layers[i].n)

    return {(i, j): about(i, j) for i, j in part.joint}


def _added(one: Marginal, other: Marginal) -> Marginal:
    if not one.n or not other.n:
        return one if one.n else other
    n = one.n + other.n
    step = other.mean - one.mean
    varies = one.varies or other.varies or bool(step.any())
    return Marginal(one.name, n, one.mean + step * (other.n / n), varies)


def demand_alike(one: Moments, other: Moments) -> None:
    """Refuse to add up sums of different things.

    Raises:
        MismatchError: Other layers, other widths, or other pairs.
    """
    names = [[layer.name for layer in part.layers] for part in (one, other)]
    if names[0] != names[1] or (one.a, one.b) != (other.a, other.b):
        first, second = (", ".join(f"`{name}`" for name in some[:4]) for some in names)
        raise MismatchError(
            f"they are sums of different layers: {first} and {second}",
            hint="gather all shards with the same `--layer` from captures of the same networks",
        )
    for x, y in zip(one.layers, other.layers, strict=True):
        if x.d != y.d:
            raise MismatchError(f"layer `{x.name}` has {x.d} features in one and {y.d} in another")
    if one.joint.keys() != other.joint.keys():
        raise MismatchError(
            f"they are sums of different pairs of layers: {len(one.pairs())} and "
            f"{len(other.pairs())}",
            hint="gather all shards with `--grid`, or all with `--same`",
        )


def demand_disjoint(shards: Sequence[Shard]) -> None:
    """Refuse to count an example twice.

    Raises:
        MismatchError: Two shards are the same rows, or overlap in the same source.
    """
    taken = sorted(one for one in shards if one.start < one.stop)
    for one, other in pairwise(taken):
        if one.source == other.source and other.start < one.stop:
            raise MismatchError(
                f"examples {other.start} to {min(one.stop, other.stop)} of "
                f"`{one.source[:19]}` are in two parts",
                hint="give each part once, and make parts that share no `--rows`",
            )
    seen: dict[str, Shard] = {}
    for one in taken:
        if one.rows in seen:
            other = seen[one.rows]
            raise MismatchError(
                f"the same {one.stop - one.start} examples are in two parts: {other.start} to "
                f"{other.stop} of `{other.source[:19]}`, {one.start} to {one.stop} of "
                f"`{one.source[:19]}`",
                hint="leave one of the two out",
            )
        seen[one.rows] = one
