"""What can be measured of a score, and how much it scatters over draws of cases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.triage.resampling import Draws
from nncli.triage.selective import (
    Kept,
    caught_share,
    coverage_at_risk,
    deferred_risk,
    kept_risk,
    left_risk,
)

F64 = NDArray[np.float64]
Index = NDArray[np.int64]

LEVEL = 0.95
NORMAL = 1.959963984540054  # its upper quantile for two sides of 95 %
CURVE = {
    "kept-risk": "mean outcome of the kept cases",
    "deferred-risk": "mean outcome that the deferred cases had",
    "caught": "share of all outcome that is among the deferred cases",
    "left": "outcome of the kept cases over all cases: what is left if deferring cures",
}


@dataclass(frozen=True)
class Question:
    """Scores, and the outcome that they should foresee.

    Attributes:
        names: Of the scores.
        scores: (S, N) higher for more doubtful cases.
        losses: For each score the outcome (N,), which is to be avoided where a case is kept.
        accuracy: Whether outcomes are errors, so that accuracies are of interest.
        coverages: Shares kept at which risks are wanted.
        risks: Risks at which coverages are wanted.
        against: The place of the score that others are compared with; `None` for no comparison.
        group: (N,) which cases are not independent of each other.
        resamples: Draws for intervals.
        seed: Of the draws.
    """

    names: tuple[str, ...]
    scores: F64
    losses: F64
    accuracy: bool = False
    coverages: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95)
    risks: tuple[float, ...] = ()
    against: int | None = 0
    group: Index | None = None
    resamples: int = 1000
    seed: int = 0

    @property
    def shared(self) -> bool:
        """Whether all scores are to foresee the same outcome."""
        return all(one is self.losses[0] for one in self.losses) or bool(
            (self.losses == self.losses[:1]).all()
        )

    @property
    def binary(self) -> bool:
        """Whether outcomes are 0 and 1 alone."""
        return bool(np.isin(self.losses, (0, 1)).all())


@dataclass(frozen=True)
class Quantity:
    """Something that running sums have: at each place in `at`, or once where there are none."""

    metric: str
    at: tuple[float, ...]
    of: Callable[[Kept], F64]
    share: bool = False  # of kept cases, so that there are exact bounds where all are alike


@dataclass(frozen=True)
class Estimate:
    """Values (P,) and draws (resamples, P) of a quantity of one score."""

    value: F64
    drawn: F64

    def minus(self, other: "Estimate") -> "Estimate":
        """The difference from the same quantity of another score, draw by draw."""
        return Estimate(self.value - other.value, self.drawn - other.drawn)

    def interval(self, place: int) -> tuple[float | None, float | None]:
        """The percentile interval, none where all draws agree."""
        return interval_of_draws(self.drawn[:, place])


def interval_of_draws(drawn: F64) -> tuple[float | None, float | None]:
    """The percentile interval of 95 %, none where all draws agree."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return None, None
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (float(low), float(high)) if low < high else (None, None)


def quantities_of(question: Question) -> list[Quantity]:
    """What is measured of each score, the mean outcome of all cases first."""
    at, told = np.array(question.coverages), question.coverages
    errors = question.accuracy
    kind = "accuracy" if errors else "risk"

    def signed(risk: F64) -> F64:
        return 1 - risk if errors else risk

    found = [
        Quantity(kind, (), lambda kept: signed(kept.risk)[:, None], True),
        Quantity(f"kept-{kind}", told, lambda kept: signed(kept_risk(kept, at)), True),
        Quantity(f"deferred-{kind}", told, lambda kept: signed(deferred_risk(kept, at)), True),
        Quantity("caught", told, lambda kept: caught_share(kept, at)),
        Quantity("left", told, lambda kept: left_risk(kept, at)),
    ]
    if question.risks:
        found.append(Quantity("coverage", question.risks, lambda kept: _coverages(kept, question)))
    return found


def _coverages(kept: Kept, question: Question) -> F64:
    return np.stack([coverage_at_risk(kept, one) for one in question.risks], axis=1)


def curves_of(places: F64) -> list[Quantity]:
    """What is drawn over coverage, at some coverages."""
    of = (kept_risk, deferred_risk, caught_share, left_risk)
    at = tuple(places.tolist())
    return [
        Quantity(f"curve-{name}", at, lambda kept, one=one: one(kept, places))  # type: ignore[misc]
        for name, one in zip(CURVE, of, strict=True)
    ]


def estimates(question: Question, quantities: Sequence[Quantity]) -> list[dict[str, Estimate]]:
    """Every quantity of every score, with the same draws.

    Args:
        question: The scores and outcomes.
        quantities: What is measured.

    Returns:
        For each score the estimates by metric.
    """
    told: dict[str, Any] = {
        "group": question.group,
        "resamples": question.resamples,
        "seed": question.seed,
    }
    draws = Draws(list(question.scores), list(question.losses), **told)
    exact = [[one.of(its.kept) for one in quantities] for its in draws.orderings]
    centre = [
        [one.of(its.coarse) for one in quantities] if its.binned else own
        for its, own in zip(draws.orderings, exact, strict=True)
    ]
    several = draws.run() if draws.possible else ()
    drawn = [[[one.of(kept) for one in quantities] for kept in part] for part in several]
    found: list[dict[str, Estimate]] = []
    for place in range(len(question.names)):
        its = {}
        for at, one in enumerate(quantities):
            value = exact[place][at][0]
            rows = [part[place][at] for part in drawn]
            known = np.concatenate(rows) if rows else np.empty((0, len(value)))
            # bins are for the spread alone
            its[one.metric] = Estimate(value, known - centre[place][at][0] + value)
        found.append(its)
    return found
