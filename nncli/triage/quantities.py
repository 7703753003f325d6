"""What can be measured of a score, and how much it scatters over draws of cases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nncli.triage.resampling import Draws
from nncli.triage.selective import (
    Kept,
    area_under_risk_coverage,
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
    of: Callable[[Kept, Kept], F64]
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
    at = np.array(question.coverages)
    told = question.coverages
    kind = "accuracy" if question.accuracy else "risk"

    def signed(of: Callable[[Kept, F64], F64]) -> Callable[[Kept, Kept], F64]:
        return lambda kept, best: 1 - of(kept, at) if question.accuracy else of(kept, at)

    found = [
        Quantity(kind, (), lambda kept, best: _signed(kept.risk, question)[:, None], True),
        Quantity("aurc", (), lambda kept, best: area_under_risk_coverage(kept)[:, None]),
        Quantity("excess-aurc", (), lambda kept, best: _excess(kept, best)[:, None]),
        Quantity(f"kept-{kind}", told, signed(kept_risk), True),
        Quantity(f"deferred-{kind}", told, signed(deferred_risk), True),
        Quantity("caught", told, lambda kept, best: caught_share(kept, at)),
        Quantity("left", told, lambda kept, best: left_risk(kept, at)),
    ]
    if question.risks:
        found.append(
            Quantity(
                "coverage",
                question.risks,
                lambda kept, best: np.stack(
                    [coverage_at_risk(kept, one) for one in question.risks], axis=1
                ),
            )
        )
    return found


def _signed(risk: F64, question: Question) -> F64:
    return 1 - risk if question.accuracy else risk


def _excess(kept: Kept, best: Kept) -> F64:
    return area_under_risk_coverage(kept) - area_under_risk_coverage(best)


def curves_of(places: F64) -> list[Quantity]:
    """What is drawn over coverage, at some coverages."""
    of = (kept_risk, deferred_risk, caught_share, left_risk)
    at = tuple(places.tolist())
    return [
        Quantity(f"curve-{name}", at, lambda kept, best, one=one: one(kept, places))  # type: ignore[misc]
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
    distinct = 1 if question.shared else len(question.names)
    orders = [*question.scores, *question.losses[:distinct]]
    losses = [*question.losses, *question.losses[:distinct]]
    told = {"group": question.group, "resamples": question.resamples, "seed": question.seed}
    draws = Draws(orders, losses, **told)  # type: ignore[arg-type]
    count = len(question.names)

    def measured(kept: Sequence[Kept]) -> list[list[F64]]:
        best = [kept[count + (0 if distinct == 1 else place)] for place in range(count)]
        return [[one.of(kept[at], best[at]) for one in quantities] for at in range(count)]

    exact = measured([one.kept for one in draws.orderings])
    drawn = [measured(several) for several in draws.run()] if draws.possible else []
    binned = any(one.binned for one in draws.orderings)
    centre = measured([one.coarse for one in draws.orderings]) if binned else exact
    found = []
    for place in range(count):
        its = {}
        for at, one in enumerate(quantities):
            value = exact[place][at][0]
            rows = [several[place][at] for several in drawn]
            known = np.concatenate(rows) if rows else np.empty((0, len(value)))
            if binned:  # bins are for the spread alone
                known = known - centre[place][at][0] + value
            its[one.metric] = Estimate(value, known)
        found.append(its)
    return found
