"""Spearman's rank correlation of several scores with one outcome, and how far it scatters."""

import numpy as np
from numpy.typing import NDArray

from nncli.triage.resampling import draws_of_groups
from nncli.triage.selective import Blocks, blocks_of

F64 = NDArray[np.float64]
Index = NDArray[np.int64]


def spearman(scores: F64, outcome: F64) -> F64:
    """Rank correlations, ties at the mean of their ranks.

    Args:
        scores: (S, n).
        outcome: (n,).

    Returns:
        (S,) -1 to 1; NaN where a score or the outcome never varies.
    """
    once = np.ones((1, len(outcome)))
    return _of_weights(scores, outcome, once)[:, 0]


def drawn_spearman(
    scores: F64, outcome: F64, *, group: Index | None, resamples: int, seed: int
) -> F64:
    """Rank correlations of random draws of cases, the same for every score.

    Args:
        scores: (S, n).
        outcome: (n,).
        group: (n,) which cases are drawn together.
        resamples: How many draws.
        seed: Of them.

    Returns:
        (S, resamples).
    """
    n = len(outcome)
    groups = n if group is None else int(group.max()) + 1
    found = [
        _of_weights(scores, outcome, times if group is None else times[:, group])
        for times in draws_of_groups(groups, resamples, seed, wide=max(n, groups))
    ]
    return np.concatenate(found, axis=1) if found else np.empty((len(scores), 0))


def _of_weights(scores: F64, outcome: F64, weights: F64) -> F64:
    """Correlations (S, draws) where each case counts several times, weights (draws, n)."""
    other = _ranks(blocks_of(outcome), weights)
    return np.stack([_pearson(_ranks(blocks_of(one), weights), other, weights) for one in scores])


def _ranks(blocks: Blocks, weights: F64) -> F64:
    """Midranks (draws, n) of cases that count several times."""
    sizes = blocks.sums(weights)
    rank = np.cumsum(sizes, axis=1) - sizes / 2
    place = np.empty(len(blocks.order), np.int64)
    place[blocks.order] = np.repeat(np.arange(len(blocks.starts)), blocks.sizes)
    found: F64 = rank[:, place]
    return found


def _pearson(one: F64, other: F64, weights: F64) -> F64:
    total = weights.sum(axis=1, keepdims=True)
    one = one - (weights * one).sum(axis=1, keepdims=True) / total
    other = other - (weights * other).sum(axis=1, keepdims=True) / total
    product = np.einsum("bn,bn,bn->b", weights, one, other)
    spread = np.einsum("bn,bn->b", weights, one**2) * np.einsum("bn,bn->b", weights, other**2)
    scale = np.sqrt(spread)
    found: F64 = np.divide(product, scale, out=np.full_like(product, np.nan), where=scale > 1e-9)
    return found
