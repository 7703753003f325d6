"""Bias and variance of the error rate, in Domingos' and in Kohavi and Wolpert's form.

References:
    Domingos, *A unified bias-variance decomposition and its applications*, 2000. Kohavi and
    Wolpert, *Bias plus variance decomposition for zero-one loss functions*, 1996. James, *Variance
    and bias for general loss functions*, 2003 (the effect of variance under soft labels).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.bias_variance.ensembles import Tree
from nncli.bias_variance.squared import between, parts, squared
from nncli.bias_variance.statistics import Name, Statistic, mean_over_units
from nncli.bias_variance.votes import TIES, Classes, one_hot, vote_of, votes

Array = NDArray[Any]
F64 = NDArray[np.float64]
ZERO_ONE, KOHAVI_WOLPERT = "zero-one", "kohavi-wolpert"


def excess(target: Array, classes: int) -> tuple[F64, F64 | None]:
    """What each answer costs more than the best one.

    Args:
        target: (B,) classes, or (C, B) soft labels.
        classes: How many there are.

    Returns:
        (C, B) excess error, 0 for the best class; and (B,) the error of the best class, `None`
        where labels are certain.
    """
    if target.ndim == 1:
        costs = np.ones((classes, len(target)))
        costs[target.astype(np.int64), np.arange(len(target))] = 0.0
        return costs, None
    best = target.max(axis=0)
    return np.asarray(best - target), np.asarray(1.0 - best)


def domingos(
    answers: Classes, costs: F64, tree: Tree, noise: F64 | None = None, *, ties: str = TIES[0]
) -> tuple[dict[Name, Statistic], Classes, F64, int]:
    """Domingos' decomposition: the vote of the models, and what straying from it does.

    `variance` is the net effect: the error of straying where the vote is right
    (`unbiased_variance`) less what it saves where the vote is wrong (`biased_variance`), so that
    risk = bias + variance, and with soft labels + noise. These are the values of an ensemble of
    this size.

    Args:
        answers: (n, B) classes, in the order of the tree.
        costs: (C, B) excess error of each answer, see `excess`.
        tree: How the models hang together; units vote with equal weight.
        noise: (B,) the error of the best answer.
        ties: What a vote of equals goes to: `first`, the first class of them, or `average`, each
            of them with the same chance; then classes may be numbered in any way.

    Returns:
        The quantities; (B,) the vote (of equals the first class); (B,) the share that it got; and
        how many votes went to equals.
    """
    vote = vote_of(answers, costs, tree, ties)
    n = tree.units
    still = noise if noise is not None else 0.0
    bias = Statistic(vote.bias, n * vote.bias - (n - 1) * vote.bias_without)
    risk = mean_over_units(vote.costs + still)
    up = Statistic(vote.up, n * vote.up - (n - 1) * vote.up_without)
    variance = mean_over_units(vote.costs) - bias
    stray = 1.0 - vote.share
    found = {(ZERO_ONE, "risk"): risk}
    if noise is not None:
        found[ZERO_ONE, "noise"] = Statistic(noise, np.tile(noise, (n, 1)))
    found |= {
        (ZERO_ONE, "bias"): bias,
        (ZERO_ONE, "variance"): variance,
        (ZERO_ONE, "unbiased_variance"): up,
        (ZERO_ONE, "biased_variance"): up - variance,
        (ZERO_ONE, "disagreement"): Statistic(
            stray, n * stray - (n - 1) * (1.0 - vote.share_without)
        ),
    }
    if n < 3:  # without one of two there is no vote left to speak of
        found = {
            name: one if name[1] in ("risk", "noise") else Statistic(one.value, None)
            for name, one in found.items()
        }
    return found, vote.main, vote.share, vote.tied


def kohavi_wolpert(
    answers: Classes,
    target: Array,
    classes: int,
    tree: Tree,
    levels: Sequence[str],
    *,
    factor: F64 | float = 1.0,
) -> dict[Name, Statistic]:
    """Kohavi and Wolpert's decomposition: half the squared one of indicators, unbiased.

    Args:
        answers: (n, B) classes, in the order of the tree.
        target: (B,) classes, or (C, B) soft labels.
        classes: How many there are.
        tree: How the models hang together.
        levels: The names of its levels, outermost first.
        factor: What the scatter of labels is multiplied by, (B,) or one number.

    Returns:
        For each quantity its estimates; with soft labels `noise` is half of 1 - sum t^2.
    """
    noise = None if target.ndim == 1 else 0.5 * factor * (1.0 - (target**2).sum(axis=0))
    size = np.arange(answers.shape[1])
    if target.ndim == 1:
        losses = (answers != target).astype(np.float64)
    else:
        losses = 1.0 - target[answers, size]
    if not tree.flat:
        found = squared(
            one_hot(answers, classes), 2.0 * losses, tree, levels,
            loss=KOHAVI_WOLPERT, noise=None if noise is None else 2.0 * noise,
        )  # fmt: skip
        return {name: one * 0.5 for name, one in found.items()}
    shares = votes(answers, classes) / len(answers)
    squares = 1.0 - 2.0 * shares[answers, size] + (shares**2).sum(axis=0)
    outer = between(squares, None) * 0.5
    return parts(mean_over_units(losses), outer, [], levels, loss=KOHAVI_WOLPERT, noise=noise)
