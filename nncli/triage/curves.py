"""The error of a team in which a model has some cases and people the others, for every split.

Cases are put into an order, and the first j of them are automated. With losses m_i of the model
and h_i of people the team loses, on average over N cases,

    T(j) = mean(h) + (1 / N) sum_{i <= j} (m_i - h_i),

so one sort and one cumulative sum give all N + 1 splits: T(0) is people alone, T(N) the model
alone. The order by m_i - h_i itself is the lower envelope of all orders; it uses what nobody knows
in advance.

References:
    Raghu, Blumer, Corrado, Kleinberg, Obermeyer, Mullainathan, *The Algorithmic Automation Problem:
    Prediction, Triage, and Human Effort*, 2019.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

LEVEL = 0.95


@dataclass(frozen=True)
class Cases:
    """Cases and what goes wrong with them.

    Attributes:
        machine: (N,) what the model loses, 0 to 1 for errors.
        human: (N,) what people lose.
        together: (N,) numbers from 0 on, the same for cases that are no independent ones.
    """

    machine: F64
    human: F64
    together: Index | None = None

    def __len__(self) -> int:
        return len(self.machine)

    def some(self, places: Index) -> "Cases":
        """Some of the cases."""
        together = None
        if self.together is not None:
            together = np.unique(self.together[places], return_inverse=True)[1].astype(np.int64)
        return Cases(self.machine[places], self.human[places], together)


def order_by(score: F64) -> Index:
    """The cases in the order in which they are automated: the lowest score first.

    Cases of equal score stay in the order in which they are given.
    """
    return np.argsort(score, kind="stable")


def team_errors(cases: Cases, order: Index) -> F64:
    """What the team loses after 0, 1, ... N cases are automated.

    Args:
        cases: The cases.
        order: (N,) the order in which they are automated.

    Returns:
        (N + 1,) mean losses, the ends exactly those of people alone and of the model alone.
    """
    found = np.empty(len(cases) + 1)
    found[0] = cases.human.mean()
    np.cumsum((cases.machine - cases.human)[order], out=found[1:])
    found[1:] /= len(cases)
    found[1:] += found[0]
    found[-1] = cases.machine.mean()
    return found


def team_standard_errors(cases: Cases, order: Index, errors: F64) -> F64 | None:
    """How sure the losses of all splits are, each with its threshold as given.

    Args:
        cases: The cases; those that belong together are one draw.
        order: (N,) the order in which they are automated.
        errors: (N + 1,) from `team_errors`.

    Returns:
        (N + 1,) standard errors; `None` where there are fewer than two independent cases.
    """
    n = len(cases)
    if cases.together is None:
        if n < 2:
            return None
        gained = (cases.machine**2 - cases.human**2)[order]
        squares = _running(float((cases.human**2).sum()), gained)
        return np.sqrt(np.maximum(squares / n - errors**2, 0) / (n - 1))
    return _clustered(cases, order, errors)


def _clustered(cases: Cases, order: Index, errors: F64) -> F64 | None:
    """The same where groups of cases are drawn: from sums over groups, kept up case by case."""
    assert cases.together is not None
    group = cases.together[order]
    size = np.bincount(cases.together).astype(np.float64)
    if len(size) < 2:
        return None
    gained = (cases.machine - cases.human)[order]
    base = np.bincount(cases.together, cases.human)
    before = base[group] + _earlier_in_group(gained, group)
    squares = _running(float((base**2).sum()), 2 * before * gained + gained**2)
    products = _running(float((size * base).sum()), size[group] * gained)
    spread = squares - 2 * errors * products + errors**2 * float((size**2).sum())
    scale = len(size) / (len(size) - 1)
    return np.sqrt(np.maximum(spread, 0) * scale) / len(cases)


def _running(start: float, gained: F64) -> F64:
    return np.concatenate([[start], start + np.cumsum(gained)])


def _earlier_in_group(values: F64, group: Index) -> F64:
    """For each value the sum of those before it of its group."""
    order = np.argsort(group, kind="stable")
    sums = np.cumsum(values[order]) - values[order]
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    sums -= np.repeat(sums[first], np.diff(np.append(first, len(group))))
    found = np.empty_like(sums)
    found[order] = sums
    return found


def intervals(value: F64, se: F64 | None, units: int, scale: float = 1.0) -> tuple[F64, F64]:
    """The intervals that hold true losses with 95 %.

    Args:
        value: Losses.
        se: Their standard errors, `None` if unknown.
        units: Independent cases or groups behind them.
        scale: The largest loss there can be; the smallest is 0.

    Returns:
        Lower and upper ends, NaN where nothing is known. Where no loss varies (nothing goes wrong
        at all, say) it is that of Wilson for a share, which is never empty.

    References:
        Wilson, *Probable inference, the law of succession, and statistical inference*, 1927.
    """
    from scipy.special import ndtri, stdtrit  # scipy.stats takes four times as long to import

    value = np.asarray(value, np.float64)
    if se is None or units < 2:
        return np.full_like(value, np.nan), np.full_like(value, np.nan)
    half = se * float(stdtrit(units - 1, 0.5 + LEVEL / 2))
    z = float(ndtri(0.5 + LEVEL / 2)) ** 2
    share = np.clip(value / scale, 0, 1)
    middle = (share + z / (2 * units)) / (1 + z / units)
    wide = np.sqrt(z * (share * (1 - share) / units + z / (4 * units**2))) / (1 + z / units)
    flat = se <= 1e-12 * scale
    low = np.where(flat, (middle - wide) * scale, value - half)
    high = np.where(flat, (middle + wide) * scale, value + half)
    return np.clip(low, 0, scale), np.clip(high, 0, scale)


def difference_interval(mean: float, se: float, units: int, scale: float) -> tuple[float, float]:
    """The interval that holds a true mean difference of losses with 95 %.

    Args:
        mean: Of the differences, each between minus `scale` and `scale`.
        se: Its standard error.
        units: Independent cases or groups behind it, 2 at least.
        scale: The largest loss.

    Returns:
        Lower and upper end, by Student's t. Where no difference varies, cases not seen may do so:
        the share of them is below the upper end of Wilson's interval for none of `units`, and they
        are taken to lie at one end of what is possible.
    """
    from scipy.special import ndtri, stdtrit

    if se <= 1e-12 * scale:
        z = float(ndtri(0.5 + LEVEL / 2)) ** 2
        unseen = z / (units + z)
        return mean - unseen * (scale + mean), mean + unseen * (scale - mean)
    half = se * float(stdtrit(units - 1, 0.5 + LEVEL / 2))
    return max(mean - half, -scale), min(mean + half, scale)


def threshold_splits(score: F64, order: Index) -> Flags:
    """Which splits a threshold makes: those that do not part cases of equal score.

    Args:
        score: (N,) what they are ordered by.
        order: (N,) from `order_by`.

    Returns:
        (N + 1,) True for j = 0, for j = N, and where case j + 1 has a higher score than case j.
    """
    sorted_score = score[order]
    return np.concatenate([[True], sorted_score[1:] > sorted_score[:-1], [True]])


@dataclass(frozen=True)
class Threshold:
    """A rule that splits cases that are not yet known.

    Attributes:
        score: The highest score that is automated; minus infinity for none, infinity for all.
    """

    score: float

    def automated(self, score: F64) -> Flags:
        """Which cases of some scores are automated."""
        return score <= self.score


def best_threshold(score: F64, order: Index, errors: F64) -> Threshold:
    """The rule that loses least on these cases; of several, that which automates least.

    Args:
        score: (N,) what they are ordered by.
        order: (N,) from `order_by`.
        errors: (N + 1,) from `team_errors`, or another loss of all splits.

    Returns:
        The rule.
    """
    possible = np.flatnonzero(threshold_splits(score, order))
    count = int(possible[errors[possible].argmin()])
    if count in (0, len(score)):
        return Threshold(np.inf if count else -np.inf)
    return Threshold(float(score[order[count - 1]]))


def area(errors: F64) -> float:
    """The area under the losses of all splits over the share automated, by trapezoids."""
    return float((errors.sum() - 0.5 * (errors[0] + errors[-1])) / (len(errors) - 1))


def normalised_area(found: float, random: float, oracle: float) -> float | None:
    """Where an area lies between that of a random order, 0, and that of the oracle, 1.

    Returns:
        The share; below 0 for an order worse than chance. `None` where the two do not differ: then
        people and the model lose the same in every case, or one of them never loses less.
    """
    gap = random - oracle
    return (random - found) / gap if gap > 1e-12 * max(abs(random), 1e-300) else None


def efficient(error: F64, cost: F64) -> Flags:
    """Which of some splits no other one beats in error and cost alike.

    Args:
        error: (n,) errors.
        cost: (n,) costs.

    Returns:
        (n,) True on the frontier; of equal splits the first alone.
    """
    order = np.lexsort((error, cost))
    lowest = np.minimum.accumulate(error[order])
    new = np.concatenate([[True], error[order][1:] < lowest[:-1]])
    found = np.zeros(len(error), bool)
    found[order[new]] = True
    return found
