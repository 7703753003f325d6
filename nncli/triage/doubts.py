"""How doubtful the answers of a classifier are, from its probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.calibration import softmax

F64 = NDArray[np.float64]

FLOOR = 1e-6  # probabilities below that are all the same as features


def probabilities(answers: NDArray[Any], score: str) -> F64:
    """Probabilities (n, classes) of answers.

    Args:
        answers: (n, classes).
        score: What they are: `logits`, `probs` or `logprobs`.

    Returns:
        (n, classes) float64.
    """
    if score == "logits":
        return softmax(answers)
    wide = answers.astype(np.float64)
    return np.exp(wide) if score == "logprobs" else wide


def log_probabilities_side_by_side(several: Sequence[NDArray[Any]], score: str) -> F64:
    """Log-probabilities of several models as features.

    Args:
        several: For each model (n, classes).
        score: What they are.

    Returns:
        (n, models * classes); none is below the log of 1e-6, where differences mean nothing.
    """
    logs = [np.log(np.maximum(probabilities(one, score), FLOOR)) for one in several]
    return np.concatenate(logs, axis=1)


def entropy_of(shares: F64) -> F64:
    """The entropy in nats of shares (n, classes)."""
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    found: F64 = -(shares * logs).sum(axis=1)
    return found


def doubts_of(answers: NDArray[Any], score: str) -> dict[str, F64]:
    """The doubts that probabilities express.

    Args:
        answers: (n, classes).
        score: What they are: `logits`, `probs` or `logprobs`.

    Returns:
        `confidence`: one less the largest probability; `margin`: one less the lead of the largest
        over the second; `entropy` in nats. (n,) each, higher for more doubtful answers.
    """
    shares = probabilities(answers, score)
    ends = np.partition(shares, -2, axis=1)[:, -2:] if shares.shape[1] > 1 else shares
    return {
        "confidence": 1 - ends[:, -1],
        "margin": 1 - (ends[:, -1] - ends[:, 0]) if shares.shape[1] > 1 else 1 - ends[:, -1],
        "entropy": entropy_of(shares),
    }
