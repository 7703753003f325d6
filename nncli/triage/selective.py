"""Selective prediction: what is left wrong when the least certain cases are handed on.

Cases are ordered by a score that says how doubtful they are. The surest are *kept*, the most
doubtful are *deferred* to somebody else. Scores often tie, and then no order is right: every
quantity here is the expectation over all orders of the tied cases, in closed form.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Blocks:
    """Cases in the order in which they are kept, those of equal score together.

    Attributes:
        order: (N,) places of the cases, the surest first.
        starts: (B,) where each block of equal score begins in `order`.
    """

    order: Index
    starts: Index

    @property
    def sizes(self) -> Index:
        """(B,) cases in each block."""
        return np.diff(self.starts, append=len(self.order))

    def sums(self, values: F64) -> F64:
        """Sums of values (..., N) over each block, (..., B)."""
        if len(self.starts) == len(self.order):
            ordered: F64 = values[..., self.order]
            return ordered
        found: F64 = np.add.reduceat(values[..., self.order], self.starts, axis=-1)
        return found


def blocks_of(score: F64) -> Blocks:
    """Order cases by a score.

    Args:
        score: (N,) how doubtful each case is; finite.

    Returns:
        The blocks, the lowest score first.
    """
    order = np.argsort(score, kind="stable")
    fresh = np.diff(score[order]) > 0
    starts = np.concatenate([[0], np.flatnonzero(fresh) + 1])
    return Blocks(order, starts.astype(np.int64))


@dataclass(frozen=True)
class Kept:
    """Cases and losses up to the end of each block, from none to all.

    Attributes:
        count: (draws, B + 1) whole numbers of cases.
        loss: (draws, B + 1) their summed loss.
    """

    count: F64
    loss: F64

    @classmethod
    def of(cls, sizes: F64, losses: F64) -> "Kept":
        """The running sums of blocks (draws, B)."""
        pad = [(0, 0), (1, 0)]
        return cls(
            np.pad(np.cumsum(sizes, axis=1), pad),
            np.pad(np.cumsum(losses, axis=1), pad),
        )

    @property
    def risk(self) -> F64:
        """(draws,) the mean loss of all cases."""
        found: F64 = self.loss[:, -1] / self.count[:, -1]
        return found

    def losses_at(self, coverage: F64) -> tuple[F64, F64]:
        """Cases kept and their summed loss, (draws, coverages).

        Between two whole numbers of cases the loss is interpolated, as if a part of a case could
        be kept; inside a block of equal scores that is the expectation over its orders.
        """
        kept = coverage * self.count[:, -1:]
        losses = [
            np.interp(at, count, loss)
            for at, count, loss in zip(kept, self.count, self.loss, strict=True)
        ]
        return kept, np.array(losses)


def whole(score: F64, loss: F64) -> Kept:
    """The running sums of all cases, each counted once.

    Args:
        score: (N,) how doubtful each case is.
        loss: (N,) what it costs to keep it.
    """
    blocks = blocks_of(score)
    return Kept.of(blocks.sizes[None].astype(np.float64), blocks.sums(loss)[None])


def harmonic_numbers(most: int) -> F64:
    """H(0) to H(most), (most + 1,)."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, most + 1))])


def area_under_risk_coverage(kept: Kept) -> F64:
    """AURC: the mean over k = 1, ..., N of the mean loss of the k surest cases.

    Within a block of m tied cases after n others, with summed losses L before and mean loss a
    inside, the expected risk of k kept cases is (L + (k - n) a) / k; over the block that sums to
    m a + (L - n a) (H(n + m) - H(n)), with harmonic numbers H.

    Args:
        kept: Running sums.

    Returns:
        (draws,) areas, in the units of the loss.

    References:
        Geifman, Uziel, El-Yaniv (2019), Bias-reduced uncertainty estimation for deep neural
        classifiers.
    """
    count, loss = kept.count, kept.loss
    size, inside = np.diff(count, axis=1), np.diff(loss, axis=1)
    mean = np.divide(inside, size, out=np.zeros_like(inside), where=size > 0)
    before = loss[:, :-1] - count[:, :-1] * mean
    places = np.rint(count).astype(np.int64)
    harmonic = harmonic_numbers(int(places.max()))[places]
    total = (inside + before * np.diff(harmonic, axis=1)).sum(axis=1)
    found: F64 = total / count[:, -1]
    return found


def kept_risk(kept: Kept, coverage: F64) -> F64:
    """Selective risk: the mean loss of the kept cases, (draws, coverages); NaN where none are."""
    count, loss = kept.losses_at(coverage)
    return np.divide(loss, count, out=np.full_like(loss, np.nan), where=count > 0)


def deferred_risk(kept: Kept, coverage: F64) -> F64:
    """The mean loss that the deferred cases had, (draws, coverages); NaN where none are."""
    count, loss = kept.losses_at(coverage)
    rest = kept.count[:, -1:] - count
    lost = kept.loss[:, -1:] - loss
    there = rest > 1e-9 * kept.count[:, -1:]
    return np.divide(lost, rest, out=np.full_like(loss, np.nan), where=there)


def caught_share(kept: Kept, coverage: F64) -> F64:
    """The share of all loss that the deferred cases had, (draws, coverages); NaN without loss."""
    _, loss = kept.losses_at(coverage)
    total = np.broadcast_to(kept.loss[:, -1:], loss.shape)
    return np.divide(total - loss, total, out=np.full_like(loss, np.nan), where=total > 0)


def left_risk(kept: Kept, coverage: F64) -> F64:
    """Loss left where deferred cases cost nothing, over all cases, (draws, coverages)."""
    _, loss = kept.losses_at(coverage)
    found: F64 = loss / kept.count[:, -1:]
    return found


def coverage_at_risk(kept: Kept, risk: float) -> F64:
    """The largest share of cases that can be kept with a mean loss of at most some risk.

    Args:
        kept: Running sums.
        risk: The mean loss that is allowed.

    Returns:
        (draws,) shares, 0 where even the surest cases cost more.
    """
    found = np.empty(len(kept.count))
    for place, (count, loss) in enumerate(zip(kept.count, kept.loss, strict=True)):
        room = risk * count - loss  # at a block's end; 0 or more where that many may be kept
        last = int(np.flatnonzero(room >= -1e-12 * max(loss[-1], 1.0))[-1])
        share = 0.0
        if last + 1 < len(count):
            inside = np.interp(0.0, room[[last + 1, last]], [1.0, 0.0])
            share = float(inside) * float(count[last + 1] - count[last])
        found[place] = (count[last] + share) / count[-1]
    return found
