"""The decompositions of one ensemble over one set of examples, block by block."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.bias_variance.answers import (
    CROSS_ENTROPY,
    KOHAVI_WOLPERT,
    SQUARED,
    ZERO_ONE,
    Buffers,
    Reading,
    class_major,
    first_largest,
    logarithms,
)
from nncli.bias_variance.ensembles import Ensemble, Tree
from nncli.bias_variance.intervals import Estimate, combine
from nncli.bias_variance.kl import cross_entropies, cross_entropy
from nncli.bias_variance.squared import squared, squared_losses
from nncli.bias_variance.statistics import Name, Statistic
from nncli.bias_variance.totals import Totals
from nncli.bias_variance.votes import TIES, one_hot
from nncli.bias_variance.zero_one import domingos, excess, kohavi_wolpert

Array = NDArray[Any]
F64 = NDArray[np.float64]

READ_BYTES = 1 << 22  # of answers that are in memory at a time
BLOCK = 1 << 18  # numbers that are worked on at a time: so few that they stay in the cache


@dataclass(frozen=True)
class Task:
    """What is to be decomposed.

    Attributes:
        ensemble: How the models hang together.
        reading: How their answers are read.
        n: How many examples.
        target: (n,) classes or numbers, or (n, C) soft labels.
        block: Gives the answers (K, B, C), or (K, B) for single numbers, of all models to the
            examples from one place up to another.
        itemsize: Bytes of a stored number.
        raters: (n,) how many raters are behind a soft label; `None` where it is known exactly.
        clusters: (n,) the group of each example, from 0; `None` if each is its own.
        ties: What a vote of equals goes to, one of `TIES`.
    """

    ensemble: Ensemble
    reading: Reading
    n: int
    target: Array
    block: Callable[[int, int], Array]
    itemsize: int = 4
    raters: Array | None = None
    clusters: NDArray[np.int64] | None = None
    ties: str = TIES[0]


@dataclass(frozen=True)
class Decomposition:
    """The result.

    Attributes:
        estimates: For each quantity its mean over examples and how sure that is.
        totals: For each partition the sums behind it.
        models: How many models.
        n: How many examples.
        main: (n,) the vote of the models of the first partition; `None` without classes.
        share: (n,) the share that it got.
        clipped: How many probabilities were 0, or nearly.
        tied: How many votes went to several classes alike, in all partitions.
    """

    estimates: dict[Name, Estimate]
    totals: tuple[Totals, ...]
    models: int
    n: int
    main: NDArray[np.int64] | None
    share: F64 | None
    clipped: int
    tied: int = 0

    def at_examples(self, name: Name) -> F64:
        """(n,) one quantity at each example."""
        found: F64 = np.mean([one.values[name] for one in self.totals], axis=0)
        return found


def decompose(task: Task) -> Decomposition:
    """Split the risk of an ensemble into bias and variance.

    Args:
        task: The ensemble, its answers and the labels.

    Returns:
        The decompositions under every loss.
    """
    ensemble, width = task.ensemble, max(task.reading.classes, 1)
    totals = tuple(Totals(task.n, one.units, task.clusters) for one in ensemble.trees)
    hard = ZERO_ONE in task.reading.losses
    main = np.empty(task.n, np.int64) if hard else None
    share = np.empty(task.n) if hard else None
    row = ensemble.models * width
    read, step = max(1, READ_BYTES // (row * task.itemsize)), max(1, BLOCK // row)
    clipped = tied = 0
    buffers = Buffers()
    for start in range(0, task.n, read):
        rows = task.block(start, min(start + read, task.n))
        for at in range(0, rows.shape[1], step):
            part = rows[:, at : at + step]
            place = slice(start + at, start + at + part.shape[1])
            target = task.target[place]
            raters = None if task.raters is None else task.raters[place]
            for number, (tree, total) in enumerate(zip(ensemble.trees, totals, strict=True)):
                own = part if tree.flat and len(totals) == 1 else part[tree.models]
                found = _Block(own, (target, raters), tree, task, buffers)
                total.add(place.start, found.statistics)
                clipped += found.clipped
                tied += found.tied
                if main is not None and share is not None and number == 0:
                    main[place], share[place] = found.main, found.share
    return Decomposition(
        combine(totals), totals, ensemble.models, task.n, main, share, clipped, tied
    )


class _Block:
    """The statistics of the models of one partition at some examples.

    Attributes:
        statistics: For each quantity its estimates.
        main, share: The vote and the share that it got.
        clipped: How many probabilities were 0, or nearly.
        tied: How many votes went to several classes alike.
    """

    def __init__(
        self,
        answers: Array,
        labels: tuple[Array, Array | None],
        tree: Tree,
        task: Task,
        buffers: Buffers,
    ) -> None:
        target, raters = labels
        how, levels = task.reading, task.ensemble.levels
        self.statistics: dict[Name, Statistic] = {}
        self.main: Array = np.empty(0, np.int64)
        self.share: Array = np.empty(0)
        self.clipped = self.tied = 0
        self._tree, self._levels, self._how = tree, levels, how
        self._target = np.ascontiguousarray(target.T)
        self._raters, self._buffers = raters, buffers
        classes = self._classes(answers)
        if SQUARED in how.losses or CROSS_ENTROPY in how.losses:
            self._soft(answers, classes)
        if classes is not None and ZERO_ONE in how.losses:
            costs, noise = excess(self._target, how.classes)
            found, self.main, self.share, self.tied = domingos(
                classes, costs, tree, noise, ties=task.ties
            )
            self.statistics |= found
        if classes is not None and KOHAVI_WOLPERT in how.losses:
            self.statistics |= kohavi_wolpert(
                classes, self._target, how.classes, tree, levels, factor=self._correction()
            )

    def _classes(self, answers: Array) -> NDArray[np.int64] | None:
        """(n, B) the class that each model answers, of equals the first."""
        if self._how.on == "numbers":
            return None
        return answers.astype(np.int64) if answers.ndim == 2 else first_largest(answers)

    def _correction(self) -> F64 | float:
        """What the scatter among raters is multiplied by to be that of the label itself."""
        return 1.0 if self._raters is None else self._raters / (self._raters - 1.0)

    def _soft(self, answers: Array, classes: NDArray[np.int64] | None) -> None:
        """The squared loss and the cross-entropy."""
        how, soft = self._how, self._target.ndim == 2
        logs: F64 | None = None
        if how.on == "numbers":
            values = answers.astype(np.float64)[None]
            target: Array = self._target[None]
        elif classes is not None and how.on == "hard":
            values, target = one_hot(classes, how.classes), self._target
        else:
            values, target = class_major(answers, self._buffers), self._target
            if CROSS_ENTROPY in how.losses:
                kept = values.copy() if how.on == "logits" else None
                logs, values, self.clipped = logarithms(values, how.score, self._buffers)
                values = values if kept is None else kept
            elif how.on == "probs":
                _, values, _ = logarithms(values, how.score, self._buffers)
        if SQUARED in how.losses:
            losses = squared_losses(values, target)
            noise = None
            if soft:
                noise = 1.0 - (self._target**2).sum(axis=0)
                losses += noise
                noise = noise * self._correction()
            self.statistics |= squared(
                values, losses, self._tree, self._levels, loss=SQUARED, noise=noise
            )
        if logs is not None:
            entropy = _entropy(self._target) if soft else None
            losses = cross_entropies(logs, self._target)
            self.statistics |= cross_entropy(
                logs, losses, self._tree, self._levels, noise=entropy, room=values
            )


def _entropy(labels: F64) -> F64:
    """(C, B) distributions: their entropies (B,), in nats."""
    logs = np.log(labels, out=np.zeros_like(labels), where=labels > 0)
    found: F64 = -(labels * logs).sum(axis=0)
    return found
