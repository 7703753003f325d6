"""Multinomial regression of shares: how the readers of a case divide over classes.

The objective is the sum over cases of the cross-entropy of the shares, in nats, plus half the
penalty times the squared weights; the intercept is not penalised. Where all readers of a case
agree this is logistic regression, scikit-learn's with `C = 1 / penalty`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nncli.calibration import softmax
from nncli.probing.features import F64, Index, Training
from nncli.probing.fitted import Fitted

FINE, COARSE = 1e-11, 1e-8  # of the objective, relative, below which steps end
MOST_STEPS = 1000


@dataclass(frozen=True)
class _Problem:
    """Cases in the axes of the covariance of their features, where steps are well scaled.

    Attributes:
        rows: (n, r) features in these axes.
        variance: (r,) along each.
        shares: (n, C).
    """

    rows: F64
    variance: F64
    shares: F64

    def some(self, places: Index | slice) -> "_Problem":
        return _Problem(self.rows[places], self.variance, self.shares[places])

    def solve(self, penalty: float, start: F64 | None, tolerance: float) -> tuple[F64, bool]:
        """Coefficients (r + 1, C), the intercept last, and whether they are the best."""
        from scipy.optimize import minimize

        n, classes = self.shares.shape
        mean = (self.shares.sum(axis=0) + 0.5) / (n + 0.5 * classes)
        curvature = max(float((mean * (1 - mean)).mean()), 1e-6)
        # the Hessian is nearly diagonal here, and this brings its diagonal to about 1
        scale = np.ones(len(self.variance) + 1)
        scale[:-1] = np.sqrt(curvature / (curvature * self.variance + penalty / n))
        if start is None:
            start = np.zeros((len(scale), classes))
            start[-1] = np.log(mean)

        def objective(flat: F64) -> tuple[float, F64]:
            point = flat.reshape(-1, classes) * scale[:, None]
            logits = self.rows @ point[:-1] + point[-1]
            logits -= logits.max(axis=1, keepdims=True)
            total = np.log(np.exp(logits).sum(axis=1))
            loss = float((total - (self.shares * logits).sum(axis=1)).sum())
            residual = np.exp(logits - total[:, None]) - self.shares
            gradient = np.empty_like(point)
            gradient[:-1] = self.rows.T @ residual + penalty * point[:-1]
            gradient[-1] = residual.sum(axis=0)
            loss += penalty / 2 * float((point[:-1] ** 2).sum())
            return loss / n, (gradient * scale[:, None]).reshape(-1) / n

        told = {"maxiter": MOST_STEPS, "ftol": tolerance, "gtol": 1e-9, "maxcor": 20}
        first = (start / scale[:, None]).reshape(-1)
        found = minimize(objective, first, jac=True, method="L-BFGS-B", options=told)
        return found.x.reshape(-1, classes) * scale[:, None], bool(found.success)

    def loss(self, point: F64) -> float:
        """The summed cross-entropy of a solution on these cases."""
        shown = softmax(self.rows @ point[:-1] + point[-1])
        return -float((self.shares * np.log(np.maximum(shown, 1e-300))).sum())


def _problem(data: Training, shares: F64) -> _Problem:
    vectors = data.spectrum.vectors
    rows = data.x if vectors is None else data.x @ vectors
    return _Problem(rows, data.spectrum.values, shares)


def _fitted(data: Training, point: F64, penalty: float, converged: bool) -> Fitted:
    vectors = data.spectrum.vectors
    weight = point[:-1] if vectors is None else vectors @ point[:-1]
    note = None if converged else "not converged"
    return Fitted("linear", {"weight": weight, "bias": point[-1].copy()}, penalty, note)


def choose_shares(data: Training, shares: F64, penalties: Sequence[float]) -> Fitted:
    """Fit shares with the penalty that does best on folds that are left out.

    Penalties are tried from the strongest on, until the loss has risen twice in a row.

    Args:
        data: Features, standardised, with folds.
        shares: (n, C), each row summing to 1.
        penalties: Above 0.

    Returns:
        The regression, whose answers are logits.
    """
    whole = _problem(data, shares)
    places = np.arange(len(data))
    parts = [
        (whole.some(np.delete(places, part)), whole.some(places[part])) for part in data.parts()
    ]
    starts: list[F64 | None] = [None] * len(parts)
    losses: list[tuple[float, float]] = []
    for penalty in sorted(penalties, reverse=True):
        loss = 0.0
        for place, (rest, held) in enumerate(parts):
            point, _ = rest.solve(penalty, starts[place], COARSE)
            starts[place] = point
            loss += held.loss(point)
        losses.append((loss, penalty))
        if len(losses) > 2 and losses[-3][0] < losses[-2][0] < losses[-1][0]:
            break
    penalty = min(losses)[1]
    point, converged = whole.solve(penalty, None, FINE)
    return _fitted(data, point, penalty, converged)


def fit_shares(
    data: Training, shares: F64, penalty: float, several: Sequence[NDArray[np.bool_]]
) -> list[Fitted]:
    """Fit shares on several parts of the cases, with one penalty.

    Args:
        data: Features, standardised.
        shares: (n, C).
        penalty: On the sum over the cases of a part.
        several: For each part which cases (n,) are in it.

    Returns:
        A regression a part.
    """
    whole = _problem(data, shares)
    found = []
    for part in several:
        point, converged = whole.some(np.flatnonzero(part)).solve(penalty, None, COARSE)
        found.append(_fitted(data, point, penalty, converged))
    return found
