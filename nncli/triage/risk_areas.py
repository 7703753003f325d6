"""Areas under risk and coverage, and how far they scatter, by leaving out each case in turn.

The bootstrap makes their spread too small with a few hundred cases (it repeats the surest ones, on
which the area rests most); the jackknife does not, and needs no draws.
"""

from dataclasses import dataclass
from math import exp, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.triage.quantities import NORMAL, Question
from nncli.triage.selective import Blocks, Kept, area_under_risk_coverage, blocks_of

F64 = NDArray[np.float64]
Index = NDArray[np.int64]
Row = dict[str, Any]

NO_SPREAD = "no spread: no interval"


@dataclass(frozen=True)
class Area:
    """An area, or a difference of areas.

    Attributes:
        value: In the units of the loss.
        shares: (N,) what each case has to do with it: N - 1 times what leaving it out takes away.
    """

    value: float
    shares: F64

    def minus(self, other: "Area") -> "Area":
        """The difference on the same cases."""
        return Area(self.value - other.value, self.shares - other.shares)

    def error(self, group: Index | None) -> float:
        """The standard error; cases of one group are not independent."""
        n = len(self.shares)
        rest = self.shares - self.shares.mean()
        if group is not None:
            rest = np.bincount(group, rest)
        units = n if group is None else len(np.unique(group))
        if units < 2:
            return 0.0
        return sqrt(float(rest @ rest) * units / (units - 1)) / n

    def interval(self, group: Index | None) -> Row:
        """The interval of an area, normal on a scale of logarithms, so that it stays above 0."""
        error = self.error(group)
        if self.value <= 1e-12 or error <= 1e-12:
            return {"note": NO_SPREAD}
        factor = exp(min(NORMAL * error / self.value, 700.0))
        return {"low": self.value / factor, "high": self.value * factor}


@dataclass(frozen=True)
class RiskAreas:
    """The areas of several scores.

    Attributes:
        whole: AURC of each.
        excess: AURC of each less that of the best order of its outcomes.
    """

    whole: tuple[Area, ...]
    excess: tuple[Area, ...]


def risk_areas(question: Question) -> RiskAreas:
    """The areas of all scores of a question."""
    whole = tuple(area_of(*one) for one in zip(question.scores, question.losses, strict=True))
    kinds = question.losses[:1] if question.shared else question.losses
    best = [area_of(loss, loss) for loss in kinds]
    excess = [one.minus(best[0 if question.shared else place]) for place, one in enumerate(whole)]
    return RiskAreas(whole, tuple(excess))


def area_of(score: F64, loss: F64) -> Area:
    """The AURC of one score.

    Args:
        score: (N,) how doubtful each case is.
        loss: (N,) what it costs to keep it.

    Returns:
        The area; see `area_under_risk_coverage`.

    References:
        Efron, Stein (1981), The jackknife estimate of variance.
    """
    blocks = blocks_of(score)
    kept = Kept.of(blocks.sizes[None].astype(np.float64), blocks.sums(loss)[None])
    value = float(area_under_risk_coverage(kept)[0])
    n = len(loss)
    if n < 2:
        return Area(value, np.zeros(n))
    return Area(value, (n - 1) * (value - _without_each(blocks, kept, loss)))


def _without_each(blocks: Blocks, kept: Kept, loss: F64) -> F64:
    """The area without each case, (N,): O(N) for all of them.

    Blocks before that of the case stay as they are; its own has a case less; those behind come a
    place earlier, with the loss of the case less before them.
    """
    n = len(loss)
    size, inside = blocks.sizes.astype(np.float64), np.diff(kept.loss[0])
    before, lost = kept.count[0][:-1], kept.loss[0][:-1]
    harmonic = np.concatenate([[0.0, 0.0], np.cumsum(1 / np.arange(1, n + 1))])  # H(k) at k + 1
    own = _terms(size, inside, before, lost, harmonic)
    earlier = np.maximum(before - 1, 0)  # the first block comes behind none
    step = harmonic[_place(earlier + size)] - harmonic[_place(earlier)]
    moved = size * (inside / size) + (lost - earlier * inside / size) * step
    up_to = np.concatenate([[0.0], np.cumsum(own)])[:-1]
    behind, steps = (_sums_behind(one) for one in (moved, step))
    block = np.repeat(np.arange(len(size)), blocks.sizes)
    mine = loss[blocks.order]
    rest = size[block] - 1
    changed = _terms(rest, inside[block] - mine, before[block], lost[block], harmonic)
    total = up_to[block] + changed + behind[block] - mine * steps[block]
    found = np.empty(n)
    found[blocks.order] = total / (n - 1)
    return found


def _terms(size: F64, inside: F64, before: F64, lost: F64, harmonic: F64) -> F64:
    """What blocks add to N times the area; nothing where they are empty."""
    mean = np.divide(inside, size, out=np.zeros_like(inside), where=size > 0)
    step = harmonic[_place(before + size)] - harmonic[_place(before)]
    return np.where(size > 0, inside + (lost - before * mean) * step, 0.0)


def _place(count: F64) -> Index:
    found: Index = np.rint(count).astype(np.int64) + 1
    return found


def _sums_behind(values: F64) -> F64:
    """The sum of all values behind each."""
    return np.concatenate([np.cumsum(values[::-1])[::-1][1:], [0.0]])
