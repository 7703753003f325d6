"""Scores of disagreement held against what readers said: direct prediction against the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.triage.evaluation import Row, evaluate, normal_interval
from nncli.triage.foresight import Foresight
from nncli.triage.opinions import Opinions, single_reader_errors
from nncli.triage.quantities import NORMAL, Question, interval_of_draws
from nncli.triage.rank_correlation import drawn_spearman, spearman
from nncli.triage.uncertainty import About

F64 = NDArray[np.float64]
Index = NDArray[np.int64]

BINS = 10
BASELINE = "uvc"
METRICS = {
    "auroc": "chance that a case with disagreement scores higher than one without; 0.5 is chance",
    "spearman": "rank correlation of score and target, -1 to 1",
    "bias": "mean of the score less the mean of the target; 0 best",
    "slope": "of the target on the score, least squares; 1 is calibrated, below 1 too extreme",
    "calibration-error": "mean gap of score and target over 10 bins of equal size; 0 best, and "
    "above 0 by chance",
    "caught": "share of the cases with disagreement that are among the referred ones",
    "consensus-error": "how often a case is decided against the consensus, if one reader decides "
    "what is not referred, and the consensus what is",
}


@dataclass(frozen=True)
class Effort:
    """What is asked of the table.

    Attributes:
        referred: Shares of cases referred.
        resamples: Draws for intervals.
        seed: Of the draws.
        points: Of the curve; 0 for none.
    """

    referred: tuple[float, ...] = (0.1, 0.2, 0.3)
    resamples: int = 1000
    seed: int = 0
    points: int = 0


@dataclass(frozen=True)
class Findings:
    """What came out: rows of the table, and of the referral curve."""

    rows: list[Row]
    curve: list[Row]


def findings(
    foresight: Foresight, opinions: Opinions, group: Index, about: About, effort: Effort
) -> Findings:
    """Hold scores against what readers said.

    Args:
        foresight: The scores.
        opinions: What readers say.
        group: (n,) which cases are drawn together.
        about: What the scores were told.
        effort: What is asked.

    Returns:
        Rows: score, against, metric, at (share referred), value, low, high, p, n, note.
    """
    names = foresight.names
    against = names.index(BASELINE) if BASELINE in names else 0
    single = len(np.unique(group)) == len(group)
    clusters = None if single else group
    rows = _ranked(foresight, opinions, clusters, against, effort)
    for name, score, scaled in zip(names, foresight.scores, foresight.scaled, strict=True):
        if scaled:
            truth = opinions.value
            if name == "dup" and about.direct == "classification":
                truth = opinions.disagree.astype(np.float64)
            rows += _calibration(name, score, truth, clusters)
    referral, curve = _referral(foresight, opinions, clusters, against, effort)
    order = {name: place for place, name in enumerate(METRICS)}
    rows = sorted(
        [*rows, *referral], key=lambda row: ("against" in row, order[row["metric"]], row["at"] or 0)
    )
    return Findings(rows, curve)


def _ranked(
    foresight: Foresight, opinions: Opinions, group: Index | None, against: int, effort: Effort
) -> list[Row]:
    """Rank correlations, and their differences."""
    scores, names = foresight.scores, foresight.names
    value = spearman(scores, opinions.value)
    told = {"resamples": effort.resamples, "seed": effort.seed}
    drawn = drawn_spearman(scores, opinions.value, group=group, **told)
    rows = []
    for place, name in enumerate(names):
        row: Row = {"score": name, "metric": "spearman", "at": None, "n": len(opinions)}
        rows.append({**row, **_told(float(value[place]), drawn[place])})
        if place != against:
            gap = float(value[place] - value[against]), drawn[place] - drawn[against]
            rows.append({**row, "against": names[against], **_told(*gap)})
    return rows


def _told(value: float, drawn: F64) -> Row:
    if np.isnan(value):
        return {"note": "the score is the same for every case"}
    low, high = interval_of_draws(drawn)
    note = "all draws agree: no interval" if low is None and len(drawn) else None
    return {"value": value, "low": low, "high": high, "note": note}


def _calibration(name: str, score: F64, truth: F64, group: Index | None) -> list[Row]:
    """Bias, slope and gap of a score that estimates the target."""
    n = len(score)
    rest = score - truth
    bias = float(rest.mean())
    told = normal_interval(bias, sqrt(_variance_of_mean(rest - bias, group)))
    base: Row = {"score": name, "at": None, "n": n}
    rows: list[Row] = [{**base, "metric": "bias", "value": bias, **_less_p(told)}]
    centred = score - score.mean()
    spread = float(centred @ centred) / n
    if spread > 0:
        slope = float(centred @ truth) / n / spread
        residual = truth - truth.mean() - slope * centred
        half = NORMAL * sqrt(_variance_of_mean(centred * residual, group)) / spread
        its = {"value": slope, "low": slope - half, "high": slope + half}
        rows.append({**base, "metric": "slope", **its})
    else:
        rows.append({**base, "metric": "slope", "note": "the score is the same for every case"})
    parts = np.array_split(np.argsort(score, kind="stable"), min(BINS, n))
    gap = sum(len(one) * abs(float(rest[one].mean())) for one in parts) / n
    return [*rows, {**base, "metric": "calibration-error", "value": gap}]


def _less_p(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "p"}


def _variance_of_mean(centred: F64, group: Index | None) -> float:
    """The variance of a mean; values of one group are not independent."""
    n = len(centred)
    sums = centred if group is None else np.bincount(group, centred)
    count = n if group is None else len(np.unique(group))
    if count < 2:
        return 0.0
    return float(sums @ sums) / n**2 * count / (count - 1)


def _referral(
    foresight: Foresight, opinions: Opinions, group: Index | None, against: int, effort: Effort
) -> tuple[list[Row], list[Row]]:
    """AUROC, and what referring some cases catches and leaves."""
    disagree = opinions.disagree.astype(np.float64)
    error = single_reader_errors(opinions.counts)
    names, scores = [*foresight.names], [*foresight.scores]
    coverages = tuple(1 - one for one in effort.referred)
    asked: dict[str, Any] = {
        "coverages": coverages,
        "group": group,
        "against": against,
        "resamples": effort.resamples,
        "seed": effort.seed,
    }
    rows, curve = [], []
    drawn = [*scores, np.zeros(len(opinions))]
    for loss, known in ((disagree, {"auroc": "auroc", "caught": "caught"}), (error, LEFT)):
        question = Question(tuple(names), np.array(scores), np.array([loss] * len(names)), **asked)
        rows += _renamed(evaluate(question).rows, known)
        if not effort.points:
            continue
        several = (*names, "random")
        wide = Question(several, np.array(drawn), np.array([loss] * len(several)), **asked)
        curve += _curve(evaluate(wide, points=effort.points).curve, known)
    return rows, curve


LEFT = {"left": "consensus-error"}


def _renamed(rows: Sequence[Row], known: dict[str, str]) -> list[Row]:
    """The rows that are wanted, by the share referred."""
    found = []
    for row in rows:
        if row["metric"] in known:
            at = None if row["at"] is None else round(1 - row["at"], 12)
            found.append({**row, "metric": known[row["metric"]], "at": at})
    return found


def _curve(rows: Sequence[Row], known: dict[str, str]) -> list[Row]:
    found = [
        {**row, "metric": known[row["metric"]], "referred": round(1 - row["coverage"], 12)}
        for row in rows
        if row["metric"] in known
    ]
    return sorted(found, key=lambda row: (row["metric"], row["score"] == "random"))
