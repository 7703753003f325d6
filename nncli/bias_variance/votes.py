"""Votes of models, and what they would be without each of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nncli.bias_variance.ensembles import Tree, collapse

F64 = NDArray[np.float64]
Classes = NDArray[np.int64]

TIES = ("first", "average")
VOTE_DIGITS = 9  # votes of unequal branches are no integers: equal is what is equal to this


def one_hot(answers: Classes, classes: int) -> F64:
    """(n, B) classes as (C, n, B) indicators."""
    found: F64 = (answers == np.arange(classes)[:, None, None]).astype(np.float64)
    return found


def votes(answers: Classes, classes: int) -> F64:
    """How many of the models answer each class.

    Args:
        answers: (n, B) classes.
        classes: How many there are.

    Returns:
        (C, B).
    """
    size = answers.shape[1]
    cells = answers * size + np.arange(size)
    found = np.bincount(cells.ravel(), minlength=classes * size)
    return found.reshape(classes, size).astype(np.float64)


@dataclass
class Vote:
    """The vote of all units and those without each of them.

    Attributes:
        main: (B,) the class with most votes, of equals the first.
        costs: (U, B) mean excess error of the models of each unit.
        bias, bias_without: (B,) and (U, B) excess error of the vote.
        up, up_without: The mean of what models cost more than the vote, where they do.
        share, share_without: The share of the votes that the vote got.
        tied: At how many examples several classes got most votes.
    """

    main: Classes
    costs: F64
    bias: F64
    bias_without: F64
    up: F64
    up_without: F64
    share: F64
    share_without: F64
    tied: int


def vote_of(answers: Classes, costs: F64, tree: Tree, ties: str) -> Vote:
    """Let models vote, units with equal weight.

    Args:
        answers: (n, B) classes, in the order of the tree.
        costs: (C, B) excess error of each answer.
        tree: How the models hang together.
        ties: What a vote of equals goes to, one of `TIES`.

    Returns:
        The vote. With `average` it is the mean over the classes that are equal.
    """
    if not tree.flat:
        shares = one_hot(answers, len(costs))
        for branch in tree.branches:
            shares = collapse(shares, branch)
        return _whole_vote(shares, costs, ties)
    counts = votes(answers, len(costs))
    vote = _flat_vote(answers, costs, counts.copy())
    if ties == TIES[0]:
        return vote
    near = np.flatnonzero((counts >= counts.max(axis=0) - 1).sum(axis=0) > 1)
    if len(near):  # elsewhere there are no equals, whoever is left out
        again = _whole_vote(one_hot(answers[:, near], len(costs)), costs[:, near], ties)
        for name in ("bias", "bias_without", "up", "up_without", "share", "share_without"):
            getattr(vote, name)[..., near] = getattr(again, name)
    return vote


def _flat_vote(answers: Classes, costs: F64, counts: F64) -> Vote:
    """Every model is a unit: without it the vote is the same, or that of the runners-up."""
    n, size = answers.shape
    places = np.arange(size)
    main, tied = counts.argmax(axis=0), _tied(counts)
    share = counts[main, places] / n
    own, bias = costs[answers, places], costs[main, places]
    counts[main, places] -= 1
    other = counts.argmax(axis=0)
    other_votes = counts[other, places]
    main_votes = counts[main, places]
    of_main = answers == main
    up = np.maximum(own - bias, 0.0)
    total = up.sum(axis=0)
    changed = np.flatnonzero(other != main)
    up_without = (total - up) / (n - 1)
    if len(changed):
        again = np.maximum(own[:, changed] - costs[other, places][changed], 0.0)
        without = (again.sum(axis=0) - again) / (n - 1)
        up_without[:, changed] = np.where(of_main[:, changed], without, up_without[:, changed])
    bias_without = np.where(of_main, costs[other, places], bias)
    share_without = np.where(of_main, other_votes, main_votes + 1) / (n - 1)
    return Vote(main, own, bias, bias_without, total / n, up_without, share, share_without, tied)


def _tied(counts: F64) -> int:
    """At how many examples several classes got most votes."""
    return int(((counts == counts.max(axis=0)).sum(axis=0) > 1).sum())


def _whole_vote(shares: F64, costs: F64, ties: str) -> Vote:
    """Units that divide one vote each, (C, U, B), counted anew without each of them."""
    n = shares.shape[1]
    total = shares.sum(axis=1)
    without = total[:, None] - shares
    chance, chance_without = _chances(total, ties), _chances(without, ties)
    up, up_without = np.zeros(total.shape[1:]), np.zeros(without.shape[1:])
    for main in range(len(costs)):
        here = np.flatnonzero((chance[main] > 0) | (chance_without[main] > 0).any(axis=0))
        over = np.maximum(costs[:, here] - costs[main, here], 0.0)
        up[here] += chance[main, here] * (over * total[:, here]).sum(axis=0)
        each = np.einsum("cb,cub->ub", over, without[:, :, here])
        up_without[:, here] += chance_without[main][:, here] * each
    return Vote(
        main=total.round(VOTE_DIGITS).argmax(axis=0),
        costs=np.einsum("cub,cb->ub", shares, costs),
        bias=(chance * costs).sum(axis=0),
        bias_without=np.einsum("cub,cb->ub", chance_without, costs),
        up=up / n,
        up_without=up_without / (n - 1),
        share=total.max(axis=0) / n,
        share_without=without.max(axis=0) / (n - 1),
        tied=_tied(total.round(VOTE_DIGITS)),
    )


def _chances(counts: F64, ties: str) -> F64:
    """The chance of each class to be the vote, of (C, ...) counts."""
    counts = counts.round(VOTE_DIGITS)
    if ties == TIES[0]:
        found = np.zeros_like(counts)
        np.put_along_axis(found, counts.argmax(axis=0)[None], 1.0, axis=0)
        return found
    found = (counts == counts.max(axis=0)).astype(np.float64)
    return np.asarray(found / found.sum(axis=0))
