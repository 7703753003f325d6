"""Cross-entropy of logits: of classes that exclude each other, and of labels that do not."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Link = Literal["softmax", "sigmoid"]

# below the largest: e^-60 is nothing, and no number that is slow to compute with
LEAST_LOGIT = -60.0
SMALLEST_CURVATURE = 1e-6


def losses(logits: F64, y: NDArray[Any], link: Link) -> tuple[F64, F64]:
    """The loss of each problem and row, and its derivative by the logits.

    Args:
        logits: (problems, K, rows), written over.
        y: Classes (problems, rows), or labels (problems, K, rows); 1 in place of problems for all.
        link: What they are.

    Returns:
        Nats (problems, rows); and (problems, K, rows).
    """
    if link == "sigmoid":
        y = y.astype(logits.dtype, copy=False)
        # log(1 + e^z) - y z, without overflow
        loss = (np.logaddexp(0, logits) - y * logits).sum(axis=1)
        return loss, answers(logits, link) - y
    right = np.arange(len(logits))[:, None], y, np.arange(logits.shape[2])
    _below_the_largest(logits)
    loss = -logits[right]
    np.exp(logits, out=logits)
    total = logits.sum(axis=1)
    loss += np.log(total)
    logits /= total[:, None]
    logits[right] -= 1
    return loss, logits


def answers(logits: F64, link: Link) -> F64:
    """Probabilities of logits (problems, K, rows), which are written over."""
    if link == "sigmoid":
        found: F64 = 0.5 * (1 + np.tanh(logits / 2))
        return found
    _below_the_largest(logits)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def _below_the_largest(logits: F64) -> None:
    logits -= logits.max(axis=1, keepdims=True)
    np.maximum(logits, LEAST_LOGIT, out=logits)


def answer_spectrum(mean: F64, second: F64, link: Link) -> tuple[F64, F64]:
    """The covariance that answers have as draws, averaged over rows, decomposed.

    Args:
        mean: (problems, K) of the probabilities.
        second: (problems, K, K) of the products of two.
        link: What they are.

    Returns:
        Eigenvalues (problems, K), not below 1e-6, and eigenvectors (problems, K, K).
    """
    outputs = mean.shape[1]
    if link == "sigmoid":
        curvature = mean - np.einsum("mkk->mk", second)
        axes = np.broadcast_to(np.eye(outputs), second.shape)
        return np.maximum(curvature, SMALLEST_CURVATURE), axes
    spread = -second
    np.einsum("mkk->mk", spread)[:] += mean
    curvature, axes = np.linalg.eigh(spread)
    return np.maximum(curvature, SMALLEST_CURVATURE), axes


def probabilities(logits: F64, link: Link) -> F64:
    """Probabilities (n, K) of logits (n, K)."""
    found: F64 = answers(logits.T[None].astype(np.float64), link)[0].T
    return found


def summed_loss(logits: F64, y: NDArray[Any], link: Link) -> float:
    """The summed cross-entropy, in nats, of logits (n, K) for classes (n,) or labels (K, n)."""
    return float(losses(logits.T[None].astype(np.float64), y[None], link)[0].sum())
