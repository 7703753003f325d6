"""Logistic regression with an L2 penalty: many label vectors, parts of the rows, one matrix.

The objective of a problem is the sum over its rows of the cross-entropy, in nats, plus half the
penalty times the squared weights; the intercept is not penalised. This is scikit-learn's with
`C = 1 / penalty`; of two classes, which have one vector of weights there and two here, with
`C = 2 / penalty`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.probing.cross_entropy import Link, answer_spectrum, answers, losses
from nncli.probing.descent import F32, F64, History, Index, Precondition, minimise
from nncli.probing.features import Spectrum

TOLERANCE = 1e-6
BLOCK_NUMBERS = 1 << 15  # logits held at once, so that they stay in the cache
FEWEST_ROWS = 256


@dataclass(frozen=True)
class Solution:
    """Weights of several problems.

    Attributes:
        weight: (problems, features, outputs).
        bias: (problems, outputs).
        value: (problems,) the objective, in nats.
        converged: Whether all of them did.
        steps: Products with the data.
        penalty: (problems,) with which they were solved.
        history: What is known of the curvature.
    """

    weight: F64
    bias: F64
    value: F64
    converged: bool
    steps: int
    penalty: F64
    history: History = field(default_factory=History, repr=False)

    def only(self, place: int) -> "Solution":
        """One of the problems."""
        one = [place]
        told = self.weight[one], self.bias[one], self.value[one], self.converged, self.steps
        return Solution(*told, self.penalty[one], self.history.of(np.array(one)))


def solve(
    x: F64,
    y: NDArray[Any],
    penalty: F64,
    *,
    outputs: int,
    spectrum: Spectrum,
    without: Sequence[slice] | None = None,
    link: Link = "softmax",
    start: Solution | None = None,
    tolerance: float = TOLERANCE,
) -> Solution:
    """Fit logistic regressions on one matrix, side by side.

    The Hessian is close to the product of the covariance of the features and of the mean
    covariance of the answers, which is diagonal in the eigenvectors of both, and makes a good
    preconditioner. Where the same was solved with another penalty, what was learnt of the
    curvature there holds but for the penalty, which is known; weak penalties take half the steps.

    Args:
        x: (n, d), standardised. Products are taken in its type; points, sums and steps are float64
            all the same, so that float32 gives the value to about 1e-6.
        y: Classes (problems, n), or labels 0 and 1, (problems, K, n); (1, ...) where all problems
            have the same.
        penalty: (problems,) of each, above 0.
        outputs: The number K of classes or labels.
        spectrum: Eigenvalues of the covariance of x, or of rows much like them.
        without: The rows that each problem leaves out; none by default.
        link: `softmax` for classes that exclude each other, `sigmoid` for labels that do not.
        start: Where to begin; by default at the frequencies of the classes.
        tolerance: Of the value, relative.

    Returns:
        The solutions.

    References:
        Böhning (1992), Multinomial logistic regression algorithm.
    """
    gaps = [slice(0, 0)] * len(penalty) if without is None else list(without)
    batch = _Batch(x, y, penalty, outputs, spectrum, gaps, link)
    point, history = batch.begin() if start is None else batch.resume(start)
    found = minimise(
        batch.evaluate,
        point,
        batch.preconditioner(point),
        tolerance=tolerance,
        history=history,
    )
    shaped = batch.shaped(found.point)
    return Solution(
        np.ascontiguousarray(shaped[:, :, :-1].transpose(0, 2, 1)),
        shaped[:, :, -1].copy(),
        found.value,
        bool(found.converged.all()),
        found.steps,
        penalty,
        found.history,
    )


@dataclass(frozen=True)
class _Batch:
    """Problems that are solved at once; a point is (K, d + 1) numbers, the intercepts last."""

    x: F64
    y: NDArray[Any]
    penalty: F64
    outputs: int
    spectrum: Spectrum
    gaps: list[slice]
    link: Link

    def shaped(self, point: NDArray[Any]) -> NDArray[Any]:
        """Points (problems, K, d + 1)."""
        return point.reshape(len(point), self.outputs, -1)

    def begin(self) -> tuple[F64, History]:
        """No weights, and the intercepts that the frequencies of the classes ask for."""
        problems, n = len(self.penalty), len(self.x)
        point = np.zeros((problems, self.outputs, self.x.shape[1] + 1))
        for place, gap in enumerate(self.gaps):
            mine = np.r_[0 : gap.start, gap.stop : n]
            y = self.y[place if len(self.y) > 1 else 0]
            many = self.link == "sigmoid"
            sums = y[:, mine].sum(axis=1) if many else np.bincount(y[mine], minlength=self.outputs)
            share = (sums + 0.5) / (len(mine) + 1.0)
            log = np.log(share)
            point[place, :, -1] = log - (np.log1p(-share) if many else log.mean())
        return point.reshape(problems, -1), History()

    def resume(self, start: Solution) -> tuple[F64, History]:
        """Where others ended, and what is known of the curvature there."""
        bias = start.bias[:, :, None]
        point = np.concatenate([start.weight.transpose(0, 2, 1), bias], axis=2)
        further = self.penalty - start.penalty

        def change(difference: F32) -> F32:
            found: F32 = self.shaped(further.astype(np.float32)[:, None] * difference)
            found[:, :, -1] = 0
            return found.reshape(len(found), -1)

        return point.reshape(len(point), -1), start.history.moved(change)

    def _segments(self, who: Index) -> Iterator[tuple[slice, Index]]:
        """Rows that the same of some problems have, and which these are among them."""
        gaps = [self.gaps[one] for one in who]
        bounds = sorted({0, len(self.x), *(end for one in gaps for end in (one.start, one.stop))})
        for start, stop in pairwise(bounds):
            inside = [at for at, one in enumerate(gaps) if stop <= one.start or one.stop <= start]
            if inside:
                yield slice(start, stop), np.array(inside)

    def _blocks(self, rows: slice, problems: int) -> Iterator[slice]:
        step = max(FEWEST_ROWS, BLOCK_NUMBERS // (problems * self.outputs))
        for at in range(rows.start, rows.stop, step):
            yield slice(at, min(at + step, rows.stop))

    def _logits(self, weights: F64, bias: F64, rows: slice) -> F64:
        """(problems, K, rows), so that all that is done to them runs along the rows."""
        found: F64 = (weights @ self.x[rows].T).reshape(*bias.shape, -1)
        found += bias[:, :, None]
        return found

    def _narrow(self, point: F64) -> tuple[F64, F64]:
        """Weights (problems * K, d) and intercepts (problems, K), in the type of the rows."""
        shaped = self.shaped(point).astype(self.x.dtype, copy=False)
        return shaped[:, :, :-1].reshape(-1, shaped.shape[2] - 1), shaped[:, :, -1].copy()

    def evaluate(self, point: F64, who: Index) -> tuple[F64, F64]:
        """Objectives (m,) and gradients (m, numbers) of some problems."""
        shaped, penalty = self.shaped(point), self.penalty[who]
        gradient = penalty[:, None, None] * shaped
        gradient[:, :, -1] = 0
        value = np.einsum("mkd,mkd->m", gradient, shaped) / 2
        for segment, inside in self._segments(who):
            weights, bias = self._narrow(point[inside])
            slopes = np.zeros(weights.shape)
            for rows in self._blocks(segment, len(inside)):
                y = self.y[..., rows] if len(self.y) == 1 else self.y[who[inside]][..., rows]
                loss, residual = losses(self._logits(weights, bias, rows), y, self.link)
                slopes += residual.reshape(len(weights), -1) @ self.x[rows]
                value[inside] += loss.sum(axis=1, dtype=np.float64)
                gradient[inside, :, -1] += residual.sum(axis=2, dtype=np.float64)
            gradient[inside, :, :-1] += slopes.reshape(len(inside), self.outputs, -1)
        return value, gradient.reshape(point.shape)

    def preconditioner(self, point: F64) -> Precondition:
        """The inverse of the covariance of the features times that of the answers at a point."""
        rows, curvature, axes = self._answers(point)
        values, vectors = self.spectrum.values, self.spectrum.vectors
        if vectors is not None:
            vectors = vectors.astype(self.x.dtype, copy=False)

        def apply(gradient: F64, who: Index) -> F64:
            turned = np.matmul(axes[who].transpose(0, 2, 1), self.shaped(gradient))
            weights = turned[:, :, :-1]
            if vectors is not None:
                weights = _times(weights, vectors)
            curved = (rows[who, None] * curvature[who])[:, :, None]
            weights = weights / (curved * values + self.penalty[who][:, None, None])
            if vectors is not None:
                weights = _times(weights, vectors.T)
            found = np.concatenate([weights, turned[:, :, -1:] / curved], axis=2)
            back: F64 = np.matmul(axes[who], found).reshape(gradient.shape)
            return back

        return apply

    def _answers(self, point: F64) -> tuple[F64, F64, F64]:
        """Rows of each problem, and the decomposed covariance of its answers to them."""
        problems, k = len(point), self.outputs
        count, mean = np.zeros(problems), np.zeros((problems, k))
        second = np.zeros((problems, k, k))
        for segment, inside in self._segments(np.arange(problems)):
            weights, bias = self._narrow(point[inside])
            for rows in self._blocks(segment, len(inside)):
                found = answers(self._logits(weights, bias, rows), self.link)
                count[inside] += found.shape[2]
                mean[inside] += found.sum(axis=2, dtype=np.float64)
                second[inside] += np.matmul(found, found.transpose(0, 2, 1))
        mean, second = mean / count[:, None], second / count[:, None, None]
        return count, *answer_spectrum(mean, second, self.link)


def _times(stack: F64, matrix: F64) -> F64:
    flat = stack.reshape(-1, stack.shape[2]).astype(matrix.dtype, copy=False) @ matrix
    return flat.reshape(*stack.shape[:2], -1)
