"""AUROC: how well a score tells two kinds of cases apart, and whether another does it better."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Concordance:
    """Areas under the ROC curves of several scores, on the same cases.

    Attributes:
        area: (S,) the chance that a positive case scores higher than a negative one, ties half.
        covariance: (S, S) of the areas; `None` with fewer than two cases of a kind.
    """

    area: F64
    covariance: F64 | None

    def error(self, one: int, other: int | None = None) -> float | None:
        """The standard error of an area, or of the difference of two."""
        if self.covariance is None:
            return None
        found = self.covariance[one, one]
        if other is not None:
            found = found + self.covariance[other, other] - 2 * self.covariance[one, other]
        return sqrt(max(float(found), 0.0))


def midranks(values: F64) -> F64:
    """Ranks from 1 on; tied values share the mean of theirs.

    Args:
        values: (n,).

    Returns:
        (n,).
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(ordered) != 0) + 1, [len(values)]])
    mean = (starts[:-1] + starts[1:] + 1) / 2
    found = np.empty(len(values))
    found[order] = np.repeat(mean, np.diff(starts))
    return found


def concordance(
    scores: F64, positive: NDArray[np.bool_], group: Index | None = None
) -> Concordance:
    """Compare areas under ROC curves by DeLong's method.

    The area is a mean over positive and over negative cases of their *placements* (the share of
    the other kind that they are on the right side of), whose spread gives the covariance. Cases of
    one group are taken together.

    Args:
        scores: (S, n), higher for positive cases.
        positive: (n,) which are; some and not all.
        group: (n,) which cases are not independent of each other; each for itself by default.

    Returns:
        The areas.

    References:
        DeLong, DeLong, Clarke-Pearson (1988), Comparing the areas under two or more correlated
        receiver operating characteristic curves; Sun, Xu (2014), Fast implementation of DeLong's
        algorithm; Obuchowski (1997), Nonparametric analysis of clustered ROC curve data.
    """
    above, below = int(positive.sum()), int((~positive).sum())
    placed = np.empty(scores.shape)
    for score, place in zip(scores, placed, strict=True):
        rank = midranks(score)
        place[positive] = (rank[positive] - midranks(score[positive])) / below
        place[~positive] = 1 - (rank[~positive] - midranks(score[~positive])) / above
    area = placed[:, positive].mean(axis=1)
    centred = placed - area[:, None]
    if group is not None:
        return Concordance(area, _of_groups(centred, positive, group))
    if min(above, below) < 2:
        return Concordance(area, None)
    one, other = centred[:, positive], centred[:, ~positive]
    spread = one @ one.T / (above * (above - 1)) + other @ other.T / (below * (below - 1))
    return Concordance(area, spread)


def _of_groups(centred: F64, positive: NDArray[np.bool_], group: Index) -> F64 | None:
    """Obuchowski's covariance: placements are summed over groups first."""
    groups = int(group.max()) + 1
    counts = [len(np.unique(group[kind])) for kind in (positive, ~positive)]
    if min(counts) < 2:
        return None
    sums = []
    for kind, several in zip((positive, ~positive), counts, strict=True):
        scale = sqrt(several / (several - 1)) / int(kind.sum())
        rows = [np.bincount(group[kind], one[kind], minlength=groups) for one in centred]
        sums.append(scale * np.array(rows))
    mixed = sums[0] @ sums[1].T * groups / (groups - 1)
    mixed /= sqrt(counts[0] / (counts[0] - 1) * counts[1] / (counts[1] - 1))
    found: F64 = sums[0] @ sums[0].T + sums[1] @ sums[1].T + mixed + mixed.T
    return found
