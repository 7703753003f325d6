"""Ridge regression in closed form: all folds, penalties and targets from one product of the data.

The objective is the sum of squared errors plus the penalty times the squared weights; the
intercept is not penalised. This is scikit-learn's with `alpha = penalty`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.linalg import lapack

from nncli.probing.features import F64, Training


@dataclass(frozen=True)
class Moments:
    """Sums over rows, from which ridge regression follows.

    Attributes:
        gram: (d, d) sum of x x^T.
        cross: (d, targets) sum of x y^T.
        x: (d,) sum of x.
        y: (targets,) sum of y.
        n: Rows.
    """

    gram: F64
    cross: F64
    x: F64
    y: F64
    n: int

    @classmethod
    def of(cls, x: F64, y: F64) -> "Moments":
        """The sums over some rows."""
        return cls(x.T @ x, x.T @ y, x.sum(axis=0), y.sum(axis=0), len(x))

    @classmethod
    def sum(cls, several: "Sequence[Moments]") -> "Moments":
        """The sums over the rows of all."""
        gram = several[0].gram.copy()
        for one in several[1:]:
            gram += one.gram
        cross, x, y = (sum(getattr(one, name) for one in several) for name in ("cross", "x", "y"))
        return cls(gram, np.asarray(cross), np.asarray(x), np.asarray(y), sum(o.n for o in several))

    def less(self, other: "Moments") -> "Moments":
        """Without the rows of another, whose matrix is written over."""
        gram = np.subtract(self.gram, other.gram, out=other.gram)
        cross, x, y = self.cross - other.cross, self.x - other.x, self.y - other.y
        return Moments(gram, cross, x, y, self.n - other.n)

    def fit(self, penalties: Sequence[float]) -> tuple[F64, F64]:
        """Weights (penalties, d, targets) and intercepts (penalties, targets)."""
        mean, target = self.x / self.n, self.y / self.n
        room = np.outer(self.x, mean)
        gram = self.gram - room
        cross = self.cross - np.outer(self.x, target)
        weights = np.stack([_solve(gram, cross, one, room) for one in penalties])
        return weights, target - np.einsum("d,pdt->pt", mean, weights)


def _solve(gram: F64, cross: F64, penalty: float, room: F64) -> F64:
    """Weights (d, targets); `room` (d, d) is written over."""
    np.copyto(room, gram)
    np.einsum("dd->d", room)[:] += penalty
    # a symmetric matrix is its own transpose, which LAPACK takes without another copy
    factor, fault = lapack.dpotrf(room.T, lower=1, clean=0, overwrite_a=1)
    if not fault:
        found: F64 = lapack.dpotrs(factor, cross, lower=1)[0]
        return found
    values, vectors = linalg.eigh(gram)  # the penalty is lost in the rounding of the Gram matrix
    kept = values > values[-1] * len(values) * np.finfo(float).eps
    turned = vectors[:, kept].T @ cross
    found = vectors[:, kept] @ (turned / (values[kept] + penalty)[:, None])
    return found


def fit(x: F64, y: F64, penalties: Sequence[float]) -> tuple[F64, F64]:
    """Ridge regression of targets on features.

    Args:
        x: (n, d).
        y: (n, targets).
        penalties: Above 0.

    Returns:
        Weights (penalties, d, targets) and intercepts (penalties, targets).

    References:
        Hoerl, Kennard (1970), Ridge regression.
    """
    return Moments.of(x, y).fit(penalties)


def cross_validate(data: Training, y: F64, penalties: Sequence[float]) -> tuple[F64, Moments]:
    """Ridge regression without each fold in turn.

    Each row is multiplied out once: what a fold lacks is taken from the sums over all.

    Args:
        data: The rows, with folds.
        y: (n, targets).
        penalties: Above 0.

    Returns:
        Squared errors (penalties, targets) on the rows left out, their mean; and the sums over all
        rows, of which to fit the penalty that is chosen.
    """
    parts = list(data.parts())
    moments = [Moments.of(data.x[part], y[part]) for part in parts]
    whole = Moments.sum(moments)
    errors = np.zeros((len(penalties), y.shape[1]))
    for part in parts:
        weights, bias = whole.less(moments.pop(0)).fit(penalties)
        flat = data.x[part] @ weights.transpose(1, 0, 2).reshape(data.x.shape[1], -1)
        answers = flat.reshape(-1, *bias.shape) + bias
        errors += ((answers - y[part][:, None]) ** 2).sum(axis=0)
    return errors / len(data), whole
