"""What a pool of readers says of each case, and how often some of them, voting, err.

A pool is a row of counts: how many of r readers gave each class. `k` readers of it are drawn
without replacement, and their plurality is the answer; classes that tie share it evenly.
"""

import math

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Counts = NDArray[np.int64]
Index = NDArray[np.int64]


def disagreement(counts: Counts) -> F64:
    """The probability that two readers of a case differ, without bias: over pairs of the pool.

    Args:
        counts: (n, C) readings of each class.

    Returns:
        (n,) 1 - sum_c h_c (h_c - 1) / (r (r - 1)); NaN where there are fewer than two readings.
        The plug-in estimate 1 - sum_c (h_c / r)^2 is low by the factor (r - 1) / r.

    References:
        Raghu et al., *Direct Uncertainty Prediction for Medical Second Opinions*, 2019.
    """
    readers = counts.sum(axis=1)
    alike = (counts * (counts - 1)).sum(axis=1)
    pairs = readers * (readers - 1)
    return np.where(pairs > 0, 1 - alike / np.maximum(pairs, 1), np.nan)


def entropy(counts: Counts) -> F64:
    """The entropy of the answers of each pool, in nats, with the correction of Miller and Madow.

    Args:
        counts: (n, C) readings of each class.

    Returns:
        (n,) plug-in entropy plus (m - 1) / (2 r), where m classes occur among r readings; NaN
        without readings. At most log C.

    References:
        Miller, *Note on the bias of information estimates*, 1955.
    """
    readers = counts.sum(axis=1)
    share = counts / np.maximum(readers, 1)[:, None]
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    plain = -(share * logs).sum(axis=1)
    full = plain + ((counts > 0).sum(axis=1) - 1) / (2 * np.maximum(readers, 1))
    return np.where(readers > 0, np.minimum(full, math.log(counts.shape[1])), np.nan)


def variance(counts: Counts, values: F64) -> F64:
    """The variance of the grades of each pool, without bias.

    Args:
        counts: (n, C) readings of each class.
        values: (C,) the grade that a class is.

    Returns:
        (n,) with r - 1 below; NaN where there are fewer than two readings.
    """
    readers = counts.sum(axis=1)
    mean = counts @ values / np.maximum(readers, 1)
    squares = (counts * (values - mean[:, None]) ** 2).sum(axis=1)
    return np.where(readers > 1, squares / np.maximum(readers - 1, 1), np.nan)


def error_rates(counts: Counts, label: Index) -> F64:
    """The share of the readers of each case who are wrong.

    Args:
        counts: (n, C) readings of each class.
        label: (n,) the right one.

    Returns:
        (n,) 0 to 1; NaN without readings.
    """
    readers = counts.sum(axis=1)
    right = counts[np.arange(len(counts)), label]
    return np.where(readers > 0, 1 - right / np.maximum(readers, 1), np.nan)


def majority_errors(counts: Counts, label: Index, most: int) -> F64:
    """How often the plurality of 1, 2, ... readers drawn from each pool is wrong.

    Args:
        counts: (n, C) readings of each class.
        label: (n,) the right one.
        most: The largest number of readers.

    Returns:
        (n, most) column k - 1 is for k readers; NaN where the pool has fewer. Exact: the draws are
        multivariate hypergeometric. The first column is `error_rates`.
    """
    rows = np.arange(len(counts))
    right = counts[rows, label]
    wrong = counts.copy()
    wrong[rows, label] = 0
    wrong = -np.sort(-wrong, axis=1)[:, : max(1, counts.shape[1] - 1)]  # which ones is no matter
    kept = wrong[:, : max(1, int((wrong > 0).any(axis=0).sum()))]
    patterns, place = _distinct(np.column_stack([right, kept]))
    return (1 - _plurality(patterns[:, 0], patterns[:, 1:], most))[place]


def _distinct(rows: Counts) -> tuple[Counts, Index]:
    """The distinct rows, and which of them each is."""
    bases = rows.max(axis=0) + 1
    if float(np.prod(bases.astype(np.float64))) < 2**62:
        code = np.zeros(len(rows), np.int64)
        for column, base in zip(rows.T, bases, strict=True):
            code = code * int(base) + column
        _, first, place = np.unique(code, return_index=True, return_inverse=True)
        return rows[first], place
    found, place = np.unique(rows, axis=0, return_inverse=True)
    return found, place.reshape(-1)


def _plurality(right: Counts, wrong: Counts, most: int) -> F64:
    """How often the right class wins among k drawn, (patterns, most); NaN beyond the pool."""
    chosen = _binomials(int(max(right.max(), wrong.max(), (right + wrong.sum(axis=1)).max())), most)
    wins = np.zeros((len(right), most + 1))
    for votes in range(1, most + 1):  # for the right class
        mine = chosen[right, votes]
        if not mine.any():
            break
        ways = _ways(wrong, votes, most - votes, chosen)
        shared = ways @ (1 / np.arange(1, ways.shape[2] + 1))
        wins[:, votes:] += mine[:, None] * shared
    size = right + wrong.sum(axis=1)
    total = chosen[size]
    share: F64 = np.divide(wins, total, out=np.full_like(wins, np.nan), where=total > 0)
    return share[:, 1:]


def _binomials(most: int, chosen: int) -> F64:
    """(most + 1, chosen + 1) binomial coefficients."""
    return np.array([[float(math.comb(n, k)) for k in range(chosen + 1)] for n in range(most + 1)])


def _ways(wrong: Counts, votes: int, others: int, chosen: F64) -> F64:
    """Ways to draw from the wrong classes so that none has more votes than the right one.

    Returns:
        (patterns, others + 1, ties + 1) by how many are drawn, and how many classes tie.
    """
    ties = others // votes
    found = np.zeros((len(wrong), others + 1, ties + 1))
    found[:, 0, 0] = 1
    for column in wrong.T:
        if not column.any():
            continue
        grown = found.copy()  # no vote for this class
        for one in range(1, min(votes, others) + 1):
            weight = chosen[column, one][:, None, None]
            if one < votes:
                grown[:, one:] += weight * found[:, : others + 1 - one]
            else:
                grown[:, one:, 1:] += weight * found[:, : others + 1 - one, :ties]
        found = grown
    return found


def independent_errors(rate: F64, most: int) -> F64:
    """How often the majority of 1, 2, ... independent readers errs if each errs at some rate.

    Readers are right or wrong; an even split is decided by chance.

    Args:
        rate: (n,) 0 to 1.
        most: The largest number of readers.

    Returns:
        (n, most) column k - 1 is for k readers. An even number is as good as one reader less.
    """
    found = np.empty((len(rate), most))
    for readers in range(1, most + 1):
        wrong = np.zeros(len(rate))
        for errors in range((readers + 1) // 2, readers + 1):
            part = math.comb(readers, errors) * rate**errors * (1 - rate) ** (readers - errors)
            wrong += part * (0.5 if 2 * errors == readers else 1.0)
        found[:, readers - 1] = wrong
    return found
