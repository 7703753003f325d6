"""How to spend a budget of readings: cases that a model takes over leave readers for the others.

A case that people get needs one reading; what further readings are worth to it is the marginal gain
e(k) - e(k + 1) of its error under a vote of k. If gains fall with k for every case, spending each
reading where it gains most is optimal. The error of a vote does not fall so (of two readers who
differ one is followed by chance, so the second gains nothing and the third does): then readings are
spent by the steps of the lower convex envelope of e, which is optimal whenever no reading is left
over, and where some are and the problem is small a dynamic programme is solved.

References:
    Fox, *Discrete optimization via marginal analysis*, 1966. Raghu et al., *The Algorithmic
    Automation Problem*, 2019 (section on human effort).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Index = NDArray[np.int64]

SMALL = 2_000_000  # cases times readings times budget up to which the programme is solved
NEAR = 1000  # steps that are tried after the first that does not fit
TINY = 1e-15  # a gain below that is rounding


@dataclass(frozen=True)
class Allocation:
    """Readings of cases.

    Attributes:
        readings: (n,) how many readers see each case; 0 for a case that is not among them.
        exact: Whether no other allocation of the budget has a lower expected error.
        gap: By how much the sum of errors may be above the lowest, at most.
    """

    readings: Index
    exact: bool
    gap: float


def allocate(
    errors: F64,
    budget: int,
    *,
    among: NDArray[np.bool_] | None = None,
    steps: "Steps | None" = None,
) -> Allocation:
    """Spend a budget where it lowers the sum of errors most.

    Args:
        errors: (n, K) the error of each case under 1 ... K readings; NaN where there are no
            more readers.
        budget: Readings in all, one for each case at least.
        among: (n,) the cases that share it, all by default; the others get none.
        steps: `steps_of(errors)`, where they are known already.

    Returns:
        The allocation; it need not spend everything.

    Raises:
        ValueError: The budget does not give every case a reading.
    """
    n = len(errors)
    inside = np.ones(n, bool) if among is None else among
    spare = budget - int(inside.sum())
    if spare < 0:
        raise ValueError("the budget does not give every case a reading")
    known = steps_of(errors) if steps is None else steps
    if among is not None:
        known = known.some(inside)
    taken, lost = _spend(known, spare)
    more = np.bincount(known.case[taken], known.size[taken], minlength=n).astype(np.int64)
    if not lost:
        return Allocation(inside + more, True, 0.0)
    if int(inside.sum()) * errors.shape[1] * (spare + 1) <= SMALL:
        readings = np.zeros(n, np.int64)
        readings[inside] = _programme(errors[inside], spare)
        return Allocation(readings, True, 0.0)
    return Allocation(inside + more, False, lost)


@dataclass(frozen=True)
class Steps:
    """Steps of the envelopes, the most worthwhile first, those of a case in their order.

    Attributes:
        case: (steps,) whose.
        size: Readings that the step takes.
        rate: What each of them gains.
    """

    case: Index
    size: Index
    rate: F64

    def some(self, inside: NDArray[np.bool_]) -> "Steps":
        """The steps of some cases."""
        kept = inside[self.case]
        return Steps(self.case[kept], self.size[kept], self.rate[kept])


def steps_of(errors: F64) -> Steps:
    """The lower convex envelopes of errors from one reading on, as far as they fall."""
    n, most = errors.shape
    value = np.where(np.isnan(errors), np.inf, errors)
    at, case = np.zeros(n, np.int64), np.arange(n)
    found: list[tuple[Index, Index, F64]] = []
    while len(case):
        here = value[case, at[case]]
        best, size = np.full(len(case), TINY), np.zeros(len(case), np.int64)
        for target in range(1, most):
            ahead = target - at[case]
            gain = np.where(ahead > 0, (here - value[case, target]) / np.maximum(ahead, 1), -np.inf)
            better = gain > best * (1 + 1e-12)
            best, size = np.where(better, gain, best), np.where(better, ahead, size)
        going = size > 0
        case, size, best = case[going], size[going], best[going]
        found.append((case, size, best))
        at[case] += size
    parts = [np.concatenate(one) for one in zip(*found, strict=True)] if found else []
    if not parts:
        return Steps(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    order = np.argsort(-parts[2], kind="stable")  # rates of a case fall, so its order is kept
    return Steps(parts[0][order], parts[1][order], parts[2][order])


def _spend(steps: Steps, spare: int) -> tuple[Index, float]:
    """Take steps while they fit, and after them those that are short enough.

    Returns:
        Which ones, and how much more than they gain could be gained at most.
    """
    total = np.cumsum(steps.size)
    count = int(np.searchsorted(total, spare, side="right"))
    left = spare - (int(total[count - 1]) if count else 0)
    if count == len(total) or not left:
        return np.arange(count), 0.0
    lost = left * float(steps.rate[count])  # at that rate the envelope would go on
    later, closed = [], {int(steps.case[count])}
    for place in range(count + 1, min(len(total), count + NEAR)):
        case, size = int(steps.case[place]), int(steps.size[place])
        if size > left or case in closed:
            closed.add(case)
            continue
        later.append(place)
        left -= size
        lost -= size * float(steps.rate[place])
        if not left:
            break
    taken = np.concatenate([np.arange(count), np.array(later, np.int64)])
    return taken, lost if lost > TINY else 0.0


def _programme(errors: F64, spare: int) -> Index:
    """The best allocation, by a dynamic programme over cases and readings spent."""
    n, most = errors.shape
    value = np.where(np.isnan(errors), np.inf, errors)
    best = np.zeros(spare + 1)
    chosen = np.zeros((n, spare + 1), np.int16)
    for case in range(n):
        now = np.full(spare + 1, np.inf)
        for more in range(min(most, spare + 1)):
            tried = best[: spare + 1 - more] + value[case, more]
            lower = tried < now[more:] - TINY
            now[more:][lower] = tried[lower]
            chosen[case, more:][lower] = more
        best = now
    readings, left = np.empty(n, np.int64), int(best.argmin())
    for case in range(n - 1, -1, -1):
        readings[case] = chosen[case, left] + 1
        left -= int(chosen[case, left])
    return readings


def even_errors(errors: F64, budget: int) -> tuple[F64, int]:
    """The error of each case if a budget is spread evenly, the rest at random.

    Args:
        errors: (n, K) as in `allocate`; a case never gets more readings than there are.
        budget: Readings in all, n at least.

    Returns:
        (n,) expected errors, and how many readings are spent on average.
    """
    known = (~np.isnan(errors)).sum(axis=1)
    base, rest = divmod(budget, len(errors))
    share, rows = rest / len(errors), np.arange(len(errors))
    low, high = np.minimum(base, known), np.minimum(base + 1, known)
    mixed: F64 = (1 - share) * errors[rows, low - 1] + share * errors[rows, high - 1]
    return mixed, round(float((1 - share) * low.sum() + share * high.sum()))


def errors_at(errors: F64, readings: Index) -> F64:
    """The error of each case under the readings it gets; of its pool where that is smaller."""
    known = (~np.isnan(errors)).sum(axis=1)
    found: F64 = errors[np.arange(len(errors)), np.minimum(readings, known) - 1]
    return found
