"""Models of who errs where: logistic regressions of losses in [0, 1], cross-fitted.

A loss may be a share (of readers who err), so that what is minimised is the cross-entropy of shares
with an L2 penalty, whose strength inner folds choose. No case is judged by a model that saw it.

References:
    Papke and Wooldridge, *Econometric methods for fractional response variables*, 1996.
"""

from dataclasses import dataclass

import numpy as np

from nncli.probing.features import F64, Index, Scaling, Training, rotate, standardise
from nncli.probing.readers import READERS
from nncli.probing.settings import Settings
from nncli.probing.targets import Target
from nncli.triage.parts import REPORT, deal

LINEAR = READERS["linear"]
PENALTIES = tuple(10.0**power for power in range(-2, 6))
INNER = 4  # folds that choose the penalty
ENOUGH = 10_000  # rows that choose it, of more
ROUNDING = float(np.finfo(np.float32).eps)
FINE = 1e-7


@dataclass(frozen=True)
class Judged:
    """What an error model expects.

    Attributes:
        loss: (N,) expected losses, 0 to 1.
        note: What should be known of the fit, if anything.
    """

    loss: F64
    note: str | None = None


def cross_fitted(
    x: F64, loss: F64, fold: Index, *, together: Index | None = None, seed: int = 0
) -> Judged:
    """What models expect of every case that they did not see.

    Args:
        x: (N, d) features.
        loss: (N,) what is to be expected, 0 to 1.
        fold: (N,) the fold of each case; `REPORT` for those that nothing is fitted on, which are
            judged by a model of all the others.
        together: (N,) which cases are no independent ones.
        seed: Of the inner folds.

    Returns:
        The expectations.
    """
    units = np.arange(len(x)) if together is None else together
    found = np.empty(len(x))
    notes = []
    for one in np.unique(fold):
        judged = fold == one
        seen = np.flatnonzero(~judged & (fold != REPORT))
        chance = np.random.default_rng([seed, int(one) + 1, 0x6572])
        model = _Model.fit(x[seen], loss[seen], units[seen], chance)
        found[judged] = model.expected(x[judged])
        notes.append(model.note)
    told = dict.fromkeys(one for one in notes if one)
    return Judged(found, "; ".join(told) or None)


@dataclass(frozen=True)
class _Model:
    """A fitted regression; of what never varies, that alone."""

    scaling: Scaling | None
    weight: F64
    bias: float
    note: str | None

    @classmethod
    def fit(cls, x: F64, loss: F64, units: Index, chance: np.random.Generator) -> "_Model":
        if np.ptp(loss) == 0:
            return cls(None, np.empty(0), float(loss[0]), f"the loss is {loss[0]:g} everywhere")
        held = x.astype(np.float64)
        scaling = standardise(held, len(held), ROUNDING)
        held, scaling, spectrum = rotate(held, len(held), scaling)
        penalty = _penalty(Training(held, (), spectrum), loss, units, chance)
        told = Settings(PENALTIES, tolerance=FINE)
        data = Training(held, (), spectrum)
        (found,) = LINEAR.fit(data, [loss[:, None]], _target(loss), penalty, told)
        note = f"an error model has {found.note}" if found.note else None
        bias = float(found.arrays["bias"][0])
        return cls(scaling, found.arrays["weight"][:, 0], bias, note)

    def expected(self, x: F64) -> F64:
        """Expected losses of cases (n, d)."""
        if self.scaling is None:
            return np.full(len(x), self.bias)
        logit = self.scaling.apply(x) @ self.weight + self.bias
        expected: F64 = 0.5 * (1 + np.tanh(logit / 2))
        return expected


def _target(loss: F64) -> Target:
    """A loss as a label that cases have a share of."""
    return Target("loss", "labels", loss[:, None], ("loss",), np.ones(len(loss), bool))


def _penalty(data: Training, loss: F64, units: Index, chance: np.random.Generator) -> float:
    """The penalty with which cases that are left out are judged best."""
    rows = np.arange(len(loss))
    if len(rows) > ENOUGH:
        rows = np.sort(chance.permutation(len(rows))[:ENOUGH])
    folds = min(INNER, len(np.unique(units[rows])))
    if folds < 2 or np.ptp(loss[rows]) == 0:
        return 1.0
    side = deal(units[rows], [1 / folds] * folds, chance)
    order = np.argsort(side, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(side, minlength=folds))])
    some = Training(data.x[rows[order]], tuple(bounds.tolist()), data.spectrum)
    known = loss[rows[order]]
    found = LINEAR.choose(some, known[:, None], _target(known), Settings(PENALTIES))
    # the penalty is of a sum, and the sum is over fewer cases here
    return float(found.penalty or 1.0) * len(loss) / len(rows)
