"""Orders of cases, and the split of each that is chosen on some cases and reported on others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nncli.errors import UsageError
from nncli.triage.curves import (
    Cases,
    Flags,
    Threshold,
    area,
    best_threshold,
    order_by,
    team_errors,
)
from nncli.triage.parts import REPORT

F64 = NDArray[np.float64]
Index = NDArray[np.int64]

CONFIDENCE, HUMAN_ERROR, DIFFERENCE = "confidence", "human-error", "difference"
RANDOM, ORACLE = "random", "oracle"
ORDERS = {
    CONFIDENCE: "the surest answers of the model first",
    HUMAN_ERROR: "where people are expected to err most first",
    DIFFERENCE: "where the model is expected to lose least in comparison with people first",
    RANDOM: "in a random order, on average over all of them",
    ORACLE: "by what the model and people lose in truth: a bound, not attainable",
}


@dataclass(frozen=True)
class Order:
    """One order of all cases.

    Attributes:
        name: One of `ORDERS`.
        score: (N,) the lowest first; `None` for the random one.
        note: What should be known of it.
    """

    name: str
    score: F64 | None
    note: str | None = None

    @property
    def attainable(self) -> bool:
        """Whether it needs nothing that is known only afterwards."""
        return self.name != ORACLE


@dataclass(frozen=True)
class World:
    """The cases of one model.

    Attributes:
        error: Errors of the model and of people, a case each.
        goal: What is to be made small: the same, or money.
        fold: (N,) `REPORT` for cases that are kept for the report.
        orders: The orders that are compared.
    """

    error: Cases
    goal: Cases
    fold: Index
    orders: tuple[Order, ...]

    @property
    def chosen_on(self) -> Index:
        """The cases on which splits are chosen."""
        return np.flatnonzero(self.fold != REPORT)

    @property
    def reported_on(self) -> Index:
        """The cases on which they are reported: the others, or all if none are kept."""
        kept = np.flatnonzero(self.fold == REPORT)
        return kept if len(kept) else np.arange(len(self.fold))

    @property
    def optimistic(self) -> bool:
        """Whether splits are chosen on the cases on which they are reported."""
        return not (self.fold == REPORT).any()


def orders_of(doubt: F64 | None, model: F64 | None, people: F64 | None, goal: Cases) -> list[Order]:
    """All orders that there are.

    Args:
        doubt: (N,) of the model, lowest where it is surest; `None` if it does not say.
        model: (N,) what the model is expected to lose; `None` without features.
        people: (N,) what people are expected to lose.
        goal: What both lose in truth.
    """
    found = []
    if doubt is not None:
        found.append(Order(CONFIDENCE, doubt))
    if people is not None:
        found.append(Order(HUMAN_ERROR, -people))
    if people is not None and model is not None:
        found.append(Order(DIFFERENCE, model - people))
    return [*found, Order(RANDOM, None), Order(ORACLE, goal.machine - goal.human, "not attainable")]


@dataclass(frozen=True)
class Split:
    """An order with its rule, on the cases of the report.

    Attributes:
        order: The order.
        threshold: The rule; that of the random order automates all or nothing.
        sequence: (n,) the cases of the report as they are automated; `None` for a random order.
        automated: How many of them are.
        promised: What the rule loses on the cases on which it was chosen.
    """

    order: Order
    threshold: Threshold
    sequence: Index | None
    automated: int
    promised: float

    def routes(self, n: int) -> Flags:
        """Which of all cases are automated."""
        if self.order.score is None:
            return np.full(n, self.threshold.score > 0)
        return self.threshold.automated(self.order.score)


def choose_splits(world: World) -> list[Split]:
    """For each order the split that loses least on the cases meant for that.

    The oracle, which knows better, has the best split of the cases of the report.
    """
    return [_choose(world, order) for order in world.orders]


def _choose(world: World, order: Order) -> Split:
    here = world.reported_on
    where = world.chosen_on if order.attainable else here
    goal = world.goal.some(where)
    if order.score is None:
        ends = goal.human.mean(), goal.machine.mean()
        every = bool(ends[1] < ends[0])
        threshold = Threshold(np.inf if every else -np.inf)
        return Split(order, threshold, None, len(here) * every, float(min(ends)))
    score = order.score[where]
    sequence = order_by(score)
    losses = team_errors(goal, sequence)
    threshold = best_threshold(score, sequence, losses)
    own = order.score[here]
    promised = losses[int(threshold.automated(score).sum())]
    automated = int(threshold.automated(own).sum())
    return Split(order, threshold, order_by(own), automated, float(promised))


def most_promising(splits: list[Split]) -> Split:
    """The split that loses least where it was chosen, of orders that can be had.

    Raises:
        UsageError: Only the oracle was asked for.
    """
    there = [one for one in splits if one.order.attainable]
    if not there:
        raise UsageError(
            "there is nothing to assign cases by: the oracle knows what nobody knows in advance",
            hint="`--order difference`, or leave `--order` out",
        )
    return min(there, key=lambda one: one.promised)


def curve_of(cases: Cases, split: Split) -> F64:
    """What the team loses after 0, 1, ... n cases are automated, in the order of a split.

    Args:
        cases: The n cases of the report.
        split: Whose order; of a random one the mean over all orders, a straight line.
    """
    if split.sequence is not None:
        return team_errors(cases, split.sequence)
    share = np.arange(len(cases) + 1) / len(cases)
    found: F64 = cases.human.mean() * (1 - share) + cases.machine.mean() * share
    return found


def areas_of(cases: Cases, splits: list[Split]) -> tuple[list[float], float, float]:
    """The areas under the curves of some splits, of a random order, and of the oracle."""
    oracle = area(team_errors(cases, order_by(cases.machine - cases.human)))
    random = float(cases.human.mean() + cases.machine.mean()) / 2
    found = [random if one.sequence is None else area(curve_of(cases, one)) for one in splits]
    return found, random, oracle
