"""Examples that come in groups: how sure means over them are.

Images of one patient, or sentences of one document, are alike: they say less than as many examples
of their own. The variance of a mean over examples is then that of the sums over whole groups
(Liang and Zeger 1986), with G/(G - 1) for G groups and G - 1 degrees of freedom; with one example
in each group it is the usual one.

References:
    Liang and Zeger, *Longitudinal data analysis using generalized linear models*, 1986. Miller,
    *Adding error bars to evals*, 2024.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Codes = NDArray[np.int64]


def codes_of(names: NDArray[Any]) -> Codes:
    """(n,) groups as numbers from 0, of their names."""
    found: Codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return found


def mean_variance(values: F64, clusters: Codes | None) -> tuple[float, float]:
    """The variance of a mean over examples, and its degrees of freedom.

    Args:
        values: (n,) what is averaged, of two groups or more.
        clusters: (n,) the group of each, from 0; `None` if each is its own.

    Returns:
        Both.
    """
    n = len(values)
    if clusters is None:
        return float(np.var(values, ddof=1)) / n, n - 1.0
    sums = np.bincount(clusters, weights=values - values.mean())
    count = len(sums)
    return float(sums @ sums) * count / (count - 1) / n**2, count - 1.0


def sum_over(values: F64, clusters: Codes) -> tuple[F64, Codes]:
    """Sums over the groups that are there.

    Args:
        values: (U, B).
        clusters: (B,) the group of each column.

    Returns:
        (U, m) sums, and (m,) the groups.
    """
    order = np.argsort(clusters, kind="stable")
    there, starts = np.unique(clusters[order], return_index=True)
    found: F64 = np.add.reduceat(values[:, order], starts, axis=1)
    return found, there


def rest_variance(sums: F64, sizes: NDArray[np.int64]) -> float:
    """The variance of a mean over units and examples that is neither of units nor of groups.

    Args:
        sums: (U, G) sums over each group of the pseudo-values of each unit.
        sizes: (G,) how many examples the groups have.

    Returns:
        Its estimate; with groups of one that of a two-way analysis of variance.
    """
    units, count = sums.shape
    n = int(sizes.sum())
    left = sums - sums.mean(axis=0)
    left -= (left.sum(axis=1) / n)[:, None] * sizes
    inflated = units / (units - 1) * count / (count - 1)
    return float((left**2).sum() * inflated / (units * n) ** 2)
