"""Answers of models as what losses are taken of: probabilities, scores, classes."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import UsageError

Array = NDArray[Any]
F64 = NDArray[np.float64]

FEW_CLASSES = 32
FLOOR = 1e-15  # what a probability of 0 is taken for where its logarithm is needed
SQUARED, CROSS_ENTROPY = "squared", "cross-entropy"
ZERO_ONE, KOHAVI_WOLPERT = "zero-one", "kohavi-wolpert"
LOSSES = (SQUARED, CROSS_ENTROPY, ZERO_ONE, KOHAVI_WOLPERT)
PROBABILITIES = ("logits", "probs", "logprobs")
NUMBERS = ("p_correct", "correct")


@dataclass(frozen=True)
class Reading:
    """How answers are to be read.

    Attributes:
        score: What they are: `logits`, `probs`, `logprobs`, `scores`, `pred`, `p_correct`,
            `correct`.
        on: What the squared loss is taken of: `probs`, `logits`, `hard`, `scores` or `numbers`.
        losses: Which losses are taken, in order.
        classes: How many classes there are; 1 for numbers.
    """

    score: str
    on: str
    losses: tuple[str, ...]
    classes: int

    def of(self, classes: int) -> "Reading":
        """The same, of so many classes."""
        return replace(self, classes=classes)


def reading(
    score: str, width: int | None, *, on: str | None, losses: tuple[str, ...], regression: bool
) -> Reading:
    """Decide how answers are read.

    Args:
        score: What they are.
        width: How many numbers an answer has, `None` for one.
        on: What was asked for: `probs`, `logits`, `hard`, or nothing.
        losses: The losses asked for, all that there are if empty.
        regression: Whether labels are numbers to be predicted.

    Returns:
        The reading; `classes` is 0 for classes that are still to be counted.

    Raises:
        UsageError: The answers cannot be read so, or have no such loss.
    """
    if regression or score in NUMBERS:
        if on is not None:
            raise UsageError(f"`--on {on}` does not fit answers that are single numbers")
        found = "numbers"
        there: tuple[str, ...] = (SQUARED,)
    else:
        found = on or _usual(score)
        _demand_on(found, score)
        there = tuple(one for one in LOSSES if _has(one, found, score))
    for one in losses:
        if one not in there:
            raise UsageError(
                f"there is no {one} loss of {_told(score, found)}; there is {', '.join(there)}"
            )
    kept = tuple(one for one in there if not losses or one in losses)
    return Reading(score, found, kept, 1 if found == "numbers" else width or 0)


def _usual(score: str) -> str:
    return "probs" if score in PROBABILITIES else "hard" if score == "pred" else "scores"


def _demand_on(on: str, score: str) -> None:
    fits = {
        "probs": score in PROBABILITIES,
        "logits": score == "logits",
        "scores": score == "scores",
        "hard": True,
    }
    if not fits[on]:
        raise UsageError(
            f"`--on {on}` does not fit answers that are `{score}`",
            hint="leave it out, or take `--on hard`, which all answers have",
        )


def _has(loss: str, on: str, score: str) -> bool:
    return loss != CROSS_ENTROPY or (score in PROBABILITIES and on != "hard")


def _told(score: str, on: str) -> str:
    return "hard answers" if on == "hard" else "single numbers" if on == "numbers" else f"`{score}`"


class Buffers:
    """Large arrays that every block uses again.

    To have the system give and clear them each time takes longer than the arithmetic.
    """

    def __init__(self) -> None:
        self._kept: dict[str, F64] = {}

    def of(self, name: str, shape: tuple[int, ...]) -> F64:
        """An array of some shape, whatever is in it; the same one for the same name."""
        kept = self._kept.get(name)
        if kept is None or kept.shape != shape:
            kept = self._kept[name] = np.empty(shape)
        return kept


def class_major(block: Array, buffers: Buffers) -> F64:
    """(n, B, C) answers as (C, n, B) in float64: sums over classes then run along memory."""
    turned = block.transpose(2, 0, 1)
    found = buffers.of("answers", turned.shape)
    np.copyto(found, turned)
    return found


def first_largest(block: Array) -> NDArray[np.int64]:
    """(n, B, C) scores as the class with the largest one, of equals the first.

    Over few classes numpy's argmax takes twice as long: it goes row by row.
    """
    if block.shape[2] > FEW_CLASSES:
        return np.asarray(block.argmax(axis=2))
    turned = np.ascontiguousarray(block.transpose(2, 0, 1))
    best = turned.max(axis=0)
    before = np.ones(best.shape, np.bool_)  # whether the class is still to come
    found = np.zeros(best.shape, np.int64)
    for scores in turned[:-1]:
        before &= scores != best
        found += before
    return found


def log_softmax(scores: F64, buffers: Buffers) -> tuple[F64, F64]:
    """Log-probabilities and probabilities of logits.

    Args:
        scores: (C, n, B) logits; overwritten by the log-probabilities.
        buffers: Where the probabilities go.

    Returns:
        Both, (C, n, B).
    """
    scores -= scores.max(axis=0)
    probabilities = np.exp(scores, out=buffers.of("probabilities", scores.shape))
    total = probabilities.sum(axis=0)
    probabilities /= total
    scores -= np.log(total)
    return scores, probabilities


def logarithms(answers: F64, score: str, buffers: Buffers) -> tuple[F64, F64, int]:
    """Log-probabilities and probabilities of any answers that have them.

    Args:
        answers: (C, n, B) logits, probabilities or log-probabilities; overwritten.
        score: What they are.
        buffers: Room for the result.

    Returns:
        Both, (C, n, B), and how many probabilities were so small that `FLOOR` stands for them.
    """
    if score == "logits":
        return *log_softmax(answers, buffers), 0
    other = buffers.of("probabilities", answers.shape)
    if score == "probs":
        low = int((answers < FLOOR).sum())
        logs = np.maximum(answers, FLOOR, out=other)
        return np.log(logs, out=logs), answers, low
    least = np.log(FLOOR)
    low = int((answers < least).sum())
    probabilities = np.exp(answers, out=other)
    return np.maximum(answers, least, out=answers), probabilities, low
