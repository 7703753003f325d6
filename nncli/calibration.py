"""Whether confidences mean what they say: accuracy by bins of confidence."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

BINS = 15


@dataclass(frozen=True)
class ReliabilityBins:
    """Answers by bins of their confidence.

    Attributes:
        edges: (bins + 1,) ends of the bins; a bin holds its lower end, the last one both.
        count: (bins,) answers in each.
        confidence: (bins,) mean confidence; NaN in an empty bin.
        accuracy: (bins,) share of right answers; NaN in an empty bin.
    """

    edges: F64
    count: NDArray[np.int64]
    confidence: F64
    accuracy: F64


def top_confidence(probabilities: NDArray[Any], label: NDArray[Any]) -> tuple[F64, NDArray[Any]]:
    """The confidence of each answer, and whether it is right.

    Args:
        probabilities: (n, classes).
        label: (n,) true classes.

    Returns:
        (n,) largest probabilities, and (n,) whether the class of the largest one (of equal ones
        the first) is the label.
    """
    chosen = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(chosen)), chosen].astype(np.float64)
    return confidence, chosen == label


def softmax(logits: NDArray[Any]) -> F64:
    """Probabilities (n, classes) of logits, in float64 and without overflow."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares: F64 = powers / powers.sum(axis=1, keepdims=True)
    return shares


def reliability_bins(
    confidence: NDArray[Any], hit: NDArray[Any], *, bins: int = BINS
) -> ReliabilityBins:
    """Sort answers into bins of equal width over [0, 1].

    Args:
        confidence: (n,) in [0, 1].
        hit: (n,) whether the answer is right.
        bins: How many bins.

    Returns:
        Count, mean confidence and accuracy of the bins [a, b), the last one [a, b] (Naeini,
        Cooper and Hauskrecht 2015; Guo et al. 2017 close the other end).

    Raises:
        ValueError: There are no answers, or a confidence lies outside [0, 1].
    """
    values = confidence.astype(np.float64)
    if not values.size:
        raise ValueError("no answers")
    if not (values.min() >= 0 and values.max() <= 1 + 1e-6):
        raise ValueError("a confidence lies outside 0 to 1")
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.minimum(np.searchsorted(edges, values, side="right") - 1, bins - 1)
    count = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights=one, minlength=bins) for one in (values, hit.astype(float)))
    empty = np.full(bins, np.nan)
    confident, right = (np.divide(one, count, out=empty.copy(), where=count > 0) for one in sums)
    return ReliabilityBins(edges, count, confident, right)


def expected_calibration_error(bins: ReliabilityBins) -> float:
    """The mean over answers of the gap between accuracy and confidence of their bin.

    ECE = sum over bins of n_b / n |accuracy_b - confidence_b| (Naeini, Cooper and Hauskrecht 2015,
    "Obtaining well calibrated probabilities using Bayesian binning"); 0 to 1, less is better.
    """
    gaps = np.abs(bins.accuracy - bins.confidence)
    return float(np.nansum(gaps * bins.count) / bins.count.sum())
