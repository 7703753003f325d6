"""Scores held against an outcome: what each is worth for handing cases on, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import erfc, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.triage.concordance import concordance
from nncli.triage.quantities import (
    CURVE,
    LEVEL,
    NORMAL,
    Estimate,
    Quantity,
    Question,
    curves_of,
    estimates,
    quantities_of,
)
from nncli.triage.risk_areas import NO_SPREAD, RiskAreas, risk_areas

F64 = NDArray[np.float64]
Index = NDArray[np.int64]
Row = dict[str, Any]


METRICS = {
    "risk": "mean outcome of all cases",
    "accuracy": "share of right answers of all cases",
    "aurc": "area under risk and coverage: the mean risk of the k surest cases, over all k; 0 best",
    "excess-aurc": "AURC less that of the best order there is; 0 best",
    "auroc": "chance that a case with outcome 1 scores higher than one with 0; 0.5 is chance",
    "kept-risk": "mean outcome of the cases kept at a coverage",
    "deferred-risk": "mean outcome that the deferred cases had at a coverage",
    "kept-accuracy": "share of right answers among the cases kept at a coverage",
    "deferred-accuracy": "share of right answers among the cases deferred at a coverage",
    "caught": "share of all outcome that is among the deferred cases at a coverage",
    "left": "outcome of the kept cases over all cases: what is left if deferring cures",
    "coverage": "largest share of cases that can be kept at a risk",
}


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        rows: Of the table: score, against, metric, at, value, low, high, p, n, note.
        curve: Of the curve: score, coverage, metric (one of `CURVE`), value, low, high, n.
    """

    rows: list[Row]
    curve: list[Row] = field(default_factory=list)


def evaluate(question: Question, *, points: int = 0) -> Evaluation:
    """Say what scores are worth.

    Args:
        question: The scores and outcomes.
        points: Coverages of the curve beside none and all; 0 for no curve.

    Returns:
        The rows.
    """
    places = np.linspace(0, 1, points + 2) if points else np.empty(0)
    quantities = quantities_of(question)
    told = [*quantities, *curves_of(places)] if points else quantities
    found = estimates(question, told)
    rows = _whole(question, found[0])
    areas, risks = _concordances(question), risk_areas(question)
    for place, name in enumerate(question.names):
        several = [(one, found[place][one.metric]) for one in quantities]
        rows += [row for one in several for row in _rows(question, name, *one)]
        rows += [*_area(question, areas, place), *_risk_areas(question, risks, place)]
    for place in range(len(question.names)):
        if question.against is None or place == question.against:
            continue
        rows += _differences(question, quantities, found, place)
        rows += _area_difference(question, areas, place)
        rows += _risk_area_differences(question, risks, place)
    curve = _curve_rows(question, places, found) if points else []
    return Evaluation(_ordered(question, rows), curve)


def _rows(question: Question, name: str | None, quantity: Quantity, found: Estimate) -> list[Row]:
    """The rows of one quantity of one score."""
    if quantity.metric in ("risk", "accuracy") and name is not None and question.shared:
        return []  # it is no matter of the score
    rows = []
    for place, value in enumerate(found.value.tolist()):
        at = quantity.at[place] if quantity.at else None
        row = _row(question, name, quantity.metric, at)
        if np.isnan(value):
            rows.append({**row, "note": _why_not(quantity.metric)})
            continue
        low, high = found.interval(place)
        bounded = quantity.share and question.binary and question.group is None
        if low is None and bounded and len(found.drawn):
            low, high = _bounds(value, quantity.metric, at, len(question.losses[0]))
        note = "all draws agree: no interval" if low is None and len(found.drawn) else None
        rows.append({**row, "value": value, "low": low, "high": high, "note": note})
    return rows


def _row(question: Question, name: str | None, metric: str, at: float | None) -> Row:
    return {"score": name, "metric": metric, "at": at, "n": len(question.losses[0])}


def _why_not(metric: str) -> str:
    if metric == "caught":
        return "no case has an outcome above 0"
    return "no case is kept" if metric.startswith("kept") else "no case is deferred"


def _bounds(
    value: float, metric: str, at: float | None, n: int
) -> tuple[float | None, float | None]:
    """Clopper and Pearson's bounds of a share where all cases agree."""
    if value not in (0.0, 1.0):
        return None, None
    share = 1.0 if at is None else 1 - at if metric.startswith("deferred") else at
    bound = ((1 - LEVEL) / 2) ** (1 / max(share * n, 1.0))
    return (bound, 1.0) if value == 1.0 else (0.0, 1 - bound)


def _whole(question: Question, found: Mapping[str, Estimate]) -> list[Row]:
    """The risk of all cases, which is the same for every score."""
    if not question.shared:
        return []
    quantity = quantities_of(question)[0]
    return _rows(question, None, quantity, found[quantity.metric])


def _differences(
    question: Question,
    quantities: Sequence[Quantity],
    found: Sequence[Mapping[str, Estimate]],
    place: int,
) -> list[Row]:
    """A score less the one that it is compared with."""
    rows = []
    other = question.against or 0
    for one in quantities:
        gap = found[place][one.metric].minus(found[other][one.metric])
        told = _rows(question, question.names[place], replace(one, share=False), gap)
        rows += [{**row, "against": question.names[other]} for row in told]
    return rows


def _risk_areas(question: Question, risks: RiskAreas, place: int) -> list[Row]:
    found = []
    for metric, several in (("aurc", risks.whole), ("excess-aurc", risks.excess)):
        area = several[place]
        row = _row(question, question.names[place], metric, None)
        signed = metric == "aurc" and bool((question.losses[place] < 0).any())
        told = area.interval(question.group)  # of what is never below 0
        if signed:
            told = normal_interval(area.value, area.error(question.group))
        found.append({**row, "value": area.value, **told})
    return found


def _risk_area_differences(question: Question, risks: RiskAreas, place: int) -> list[Row]:
    found = []
    other = question.against or 0
    for metric, several in (("aurc", risks.whole), ("excess-aurc", risks.excess)):
        gap = several[place].minus(several[other])
        row = _row(question, question.names[place], metric, None)
        row |= {"against": question.names[other], "value": gap.value}
        found.append({**row, **normal_interval(gap.value, gap.error(question.group))})
    return found


def _concordances(question: Question) -> list[Any]:
    """The concordance of all scores, or of each with its own outcome."""
    if not question.binary:
        return []
    if question.shared:
        positive = question.losses[0] > 0
        several = [(question.scores, positive)]
    else:
        pairs = zip(question.scores, question.losses, strict=True)
        several = [(one[None], loss > 0) for one, loss in pairs]
    return [
        concordance(scores, positive, question.group)
        if positive.any() and not positive.all()
        else None
        for scores, positive in several
    ]


def _area(question: Question, areas: list[Any], place: int) -> list[Row]:
    row = _row(question, question.names[place], "auroc", None)
    if not areas:
        return [{**row, "note": "outcomes are not 0 and 1"}]
    one, at = (areas[0], place) if question.shared else (areas[place], 0)
    if one is None:
        return [{**row, "note": "all outcomes are the same"}]
    error, value = one.error(at), float(one.area[at])
    return [{**row, "value": value, **_logit_interval(value, error)}]


def _logit_interval(value: float, error: float | None) -> Row:
    """An interval that stays within 0 and 1: normal on the scale of log-odds."""
    if not error or not 0 < value < 1:
        return {"note": NO_SPREAD}
    centre, half = np.log(value / (1 - value)), NORMAL * error / (value * (1 - value))
    low, high = (1 / (1 + np.exp(-one)) for one in (centre - half, centre + half))
    return {"low": float(low), "high": float(high)}


def _area_difference(question: Question, areas: list[Any], place: int) -> list[Row]:
    other = question.against or 0
    row = _row(question, question.names[place], "auroc", None)
    row["against"] = question.names[other]
    if not question.shared:
        return [{**row, "note": "of different outcomes"}]
    if not areas or areas[0] is None:
        return _area(question, areas, place)
    gap = float(areas[0].area[place] - areas[0].area[other])
    return [{**row, "value": gap, **normal_interval(gap, areas[0].error(place, other))}]


def normal_interval(value: float, error: float | None) -> Row:
    """The interval of a normal estimate, and the chance of one as large where there is nothing."""
    if not error or error <= 1e-15:
        return {"note": NO_SPREAD}
    half = NORMAL * error
    return {
        "low": value - half,
        "high": value + half,
        "p": erfc(abs(value) / error / sqrt(2)),
    }


def _ordered(question: Question, rows: list[Row]) -> list[Row]:
    """All of one metric together, differences behind the values."""
    place = {name: at for at, name in enumerate(METRICS)}
    names = {name: at for at, name in enumerate(question.names)}

    def key(row: Row) -> tuple[Any, ...]:
        name = names.get(row["score"], -1)
        return "against" in row, place[row["metric"]], row["at"] or 0.0, name

    return sorted(rows, key=key)


def _curve_rows(
    question: Question, places: F64, found: Sequence[Mapping[str, Estimate]]
) -> list[Row]:
    rows = []
    n = len(question.losses[0])
    for name, its in zip(question.names, found, strict=True):
        for kind in CURVE:
            one = its[f"curve-{kind}"]
            for at, coverage in enumerate(places.tolist()):
                value = float(one.value[at])
                row: Row = {"score": name, "coverage": coverage, "metric": kind, "n": n}
                if not np.isnan(value):
                    low, high = one.interval(at)
                    bounded = kind.endswith("-risk") and question.binary and question.group is None
                    if low is None and bounded and len(one.drawn):
                        low, high = _bounds(value, kind, coverage, n)
                    row |= {"value": value, "low": low, "high": high}
                rows.append(row)
    return rows


def meanings(question: Question) -> list[dict[str, str]]:
    """What the metrics of the table and of the curve mean, for their entry."""
    names = [one.metric for one in quantities_of(question)]
    told = {**METRICS, **CURVE}
    several = dict.fromkeys((*names, "aurc", "excess-aurc", "auroc", *CURVE))
    return [{"metric": one, "summary": told[one]} for one in several]
