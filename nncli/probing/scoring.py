"""How good the answers of a reader are, with intervals over the examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import UsageError
from nncli.probing.targets import Index, Kind, Target

F64 = NDArray[np.float64]
Statistic = Callable[[F64], F64]

CONFIDENCE = 0.95
BLOCK = 1 << 19  # weights at once


def log_probabilities(answers: F64, kind: Kind) -> F64:
    """Log-probabilities (n, K) of logits; of labels, those of both answers, (n, 2 K)."""
    if kind == "labels":
        return np.concatenate([-np.logaddexp(0, answers), -np.logaddexp(0, -answers)], axis=1)
    shifted = answers - answers.max(axis=1, keepdims=True)
    found: F64 = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def with_unseen(log: F64, seen: Index) -> F64:
    """Leave classes that were never seen a share, if there are any: (n p + 1) / (n + K).

    Args:
        log: (n, K) log-probabilities.
        seen: (K,) how often each class was seen.
    """
    if (seen > 0).all():
        return log
    n, classes = seen.sum(), len(seen)
    held = np.where(seen > 0, log, -np.inf)
    total = np.exp(held).sum(axis=1, keepdims=True)
    found: F64 = np.log((n * np.exp(held) / np.maximum(total, 1e-300) + 1) / (n + classes))
    return found


def losses(answers: F64, values: NDArray[Any], target: Target, seen: Index | None) -> F64:
    """The cross-entropy of each row in nats; of labels, summed over them."""
    log = log_probabilities(answers, target.kind)
    rows = np.arange(len(values))
    if target.kind == "labels":
        k = target.outputs
        found: F64 = -np.where(values > 0, log[:, k:], log[:, :k]).sum(axis=1)
        return found
    found = -(log if seen is None else with_unseen(log, seen))[rows, values]
    return found


def right(answers: F64, values: NDArray[Any], target: Target) -> F64:
    """Whether each row is answered rightly; of labels, the share that is."""
    if target.kind == "labels":
        found: F64 = ((answers > 0) == (values > 0)).mean(axis=1)
        return found
    hits: F64 = (answers.argmax(axis=1) == values).astype(np.float64)
    return hits


def mean_of(each: F64) -> Statistic:
    """The weighted mean of a number a row."""

    def statistic(weights: F64) -> F64:
        found: F64 = weights @ each / weights.sum(axis=1)
        return found

    return statistic


def _accuracy(answers: F64, values: NDArray[Any], target: Target, seen: Index | None) -> Statistic:
    return mean_of(right(answers, values, target))


def _log_loss(answers: F64, values: NDArray[Any], target: Target, seen: Index | None) -> Statistic:
    return mean_of(losses(answers, values, target, seen))


def _balanced(answers: F64, values: NDArray[Any], target: Target, seen: Index | None) -> Statistic:
    codes = target.encoded(values)
    hits = right(answers, values, target)[:, None] * codes

    def statistic(weights: F64) -> F64:
        total = weights @ codes
        share = np.divide(weights @ hits, total, out=np.zeros_like(total), where=total > 0)
        found: F64 = share.sum(axis=1) / (total > 0).sum(axis=1)
        return found

    return statistic


def _average_precision(
    answers: F64, values: NDArray[Any], target: Target, seen: Index | None
) -> Statistic:
    """The mean over labels, or classes, of the area under precision and recall."""
    codes = target.encoded(values)
    shown = log_probabilities(answers, "classes") if target.kind == "classes" else answers
    wanted = [1] if target.kind == "classes" and target.outputs == 2 else range(target.outputs)

    def one(place: int, weights: F64) -> F64:
        order = np.argsort(-shown[:, place], kind="stable")
        score, ordered = shown[order, place], weights[:, order]
        positive = np.cumsum(ordered * codes[order, place], axis=1)
        last = np.flatnonzero(np.append(score[1:] != score[:-1], True))
        total = np.cumsum(ordered, axis=1)[:, last]
        hits = positive[:, last]
        gained = np.diff(hits, axis=1, prepend=0)
        precision = np.divide(hits, total, out=np.zeros_like(hits), where=total > 0)
        whole = positive[:, -1]
        area = (precision * gained).sum(axis=1)
        found: F64 = np.divide(area, whole, out=np.full(len(area), np.nan), where=whole > 0)
        return found

    def statistic(weights: F64) -> F64:
        each = np.stack([one(place, weights) for place in wanted])
        there = ~np.isnan(each)
        found: F64 = np.where(there, each, 0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        return found

    return statistic


def _r2(answers: F64, values: NDArray[Any], target: Target, seen: Index | None) -> Statistic:
    error, y = (answers[:, 0] - values) ** 2, values - values.mean()

    def statistic(weights: F64) -> F64:
        spread = weights @ y**2 - (weights @ y) ** 2 / weights.sum(axis=1)
        found: F64 = np.divide(
            spread - weights @ error, spread, out=np.zeros_like(spread), where=spread > 0
        )
        return found

    return statistic


def _mse(answers: F64, values: NDArray[Any], target: Target, seen: Index | None) -> Statistic:
    return mean_of((answers[:, 0] - values) ** 2)


@dataclass(frozen=True)
class Metric:
    """A way to score answers.

    Attributes:
        summary: What it is, its range, and which end is good.
        kinds: The targets it fits.
        of: Gives, for answers (n, K) and values, the statistic of weights (draws, n) of the rows.
        probabilistic: Whether it needs probabilities.
    """

    summary: str
    kinds: tuple[Kind, ...]
    of: Callable[[F64, NDArray[Any], Target, Index | None], Statistic]
    probabilistic: bool = False


BOTH: tuple[Kind, ...] = ("classes", "labels")
METRICS = {
    "accuracy": Metric("share of right answers, 0 to 1", BOTH, _accuracy),
    "balanced-accuracy": Metric("mean of the accuracies of classes", ("classes",), _balanced),
    "log-loss": Metric("mean cross-entropy in nats, 0 is best", BOTH, _log_loss, True),
    "average-precision": Metric("area under precision and recall", BOTH, _average_precision),
    "r2": Metric("share of the variance explained, 1 is best, 0 is the mean", ("numbers",), _r2),
    "mse": Metric("mean squared error, 0 is best", ("numbers",), _mse),
}


def usual_metric(target: Target) -> str:
    """The metric of a target where none is named."""
    return "r2" if target.kind == "numbers" else "accuracy"


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval over examples."""

    value: float
    low: float | None = None
    high: float | None = None


def value_of(statistic: Statistic, n: int) -> float:
    """The statistic of n rows that all count the same."""
    return float(statistic(np.ones((1, n)))[0])


def interval(
    statistic: Statistic, group: Index, *, resamples: int, seed: int, proportion: bool = False
) -> Score:
    """A score with the percentile interval of a bootstrap over groups of rows.

    Where every draw gives the same, as when all answers are right, a proportion gets the exact
    bound of Clopper and Pearson, and another score none.

    Args:
        statistic: Of weights (draws, n).
        group: (n,) which rows are drawn together.
        resamples: How many draws; 0 for no interval.
        seed: Of the draws.
        proportion: Whether it is a share.

    Returns:
        The score.

    References:
        Efron, Tibshirani (1993), An introduction to the bootstrap.
    """
    value = value_of(statistic, len(group))
    _, own = np.unique(group, return_inverse=True)
    groups = int(own.max()) + 1
    if not resamples or groups < 2:
        return Score(value)
    chance = np.random.default_rng([seed, 0x626F])
    even = np.full(groups, 1 / groups)
    step = max(1, BLOCK // len(group))
    drawn = []
    for at in range(0, resamples, step):
        counts = chance.multinomial(groups, even, size=min(step, resamples - at))
        drawn.append(statistic(counts[:, own].astype(np.float64)))
    found = np.concatenate(drawn)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    if low == high:
        bound = tail ** (1 / groups)
        if not proportion or value not in (0.0, 1.0):
            return Score(value)
        return Score(value, bound, 1.0) if value == 1.0 else Score(value, 0.0, 1 - bound)
    return Score(value, float(low), float(high))


def demand_metrics(metrics: Sequence[str], targets: Sequence[Target]) -> None:
    """Refuse a metric that fits no target.

    Raises:
        UsageError: It does not.
    """
    for name in metrics:
        if not any(one.kind in METRICS[name].kinds for one in targets):
            kinds = " and ".join(METRICS[name].kinds)
            raise UsageError(f"`--metric {name}` is for {kinds}, and no target is that")


def told(metrics: Sequence[str], targets: Sequence[Target]) -> list[dict[str, str]]:
    """What the metrics of a table mean, for its entry."""
    names = dict.fromkeys(metrics or [usual_metric(one) for one in targets])
    return [{"metric": one, "summary": METRICS[one].summary} for one in names]


def losses_of(target: Target) -> Callable[[F64, NDArray[Any]], F64]:
    """The loss of answers (n, K) to values: cross-entropy in nats, or the squared error."""
    if target.kind == "numbers":
        return lambda answers, values: (answers[:, 0] - values) ** 2
    return lambda answers, values: losses(answers, values, target, None)
