"""Scores and outcomes of several files, joined by example id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, UsageError, closest
from nncli.formats.case_groups import demand_groups
from nncli.formats.scored_alignment import common_cases, count_dropped, names_of
from nncli.formats.scored_cases import ERROR, ID, Source

Array = NDArray[Any]
F64 = NDArray[np.float64]

CORRECT = "correct"
OUTCOMES = ("outcome", ERROR, CORRECT)
BESIDE = (*OUTCOMES, ID, "split", "label", "fold", "group", "raters", "target", "n", "seed")
USUAL = "confidence"


@dataclass(frozen=True, eq=False)
class ScoredCases:
    """Cases that every file has.

    Attributes:
        names: (S,) of the scores.
        scores: (S, N) higher for more doubtful cases.
        outcomes: (S, N) what is to be avoided where a case is kept.
        ids: (N,) identifiers.
        group: (N,) or `None`.
        outcome: What the outcome is called.
        errors: Whether outcomes are errors of answers.
        dropped: Cases left out for lacking something.
    """

    names: tuple[str, ...]
    scores: F64
    outcomes: F64
    ids: Array
    group: Array | None
    outcome: str
    errors: bool
    dropped: int


@dataclass(frozen=True)
class Wanted:
    """What is asked of files.

    Attributes:
        scores: Columns that are higher for more doubtful cases.
        confidences: Columns that are higher for surer ones.
        outcome: The column of the outcome.
        correct: The column of right answers, in its place.
        groups: The column of groups.
    """

    scores: Sequence[str] = ()
    confidences: Sequence[str] = ()
    outcome: str | None = None
    correct: str | None = None
    groups: str | None = None


def join(sources: Sequence[Source], wanted: Wanted) -> ScoredCases:
    """Bring scores and outcomes to the cases that all files have.

    Args:
        sources: From `read_sources`.
        wanted: What is asked of them.

    Returns:
        The cases; those that lack a score or the outcome are left out.

    Raises:
        UsageError: A column is in no file, or in several.
        ArtifactError: A case has two rows, a column no numbers, or no case is left.
        MismatchError: Files have no case in common.

    Warns:
        NncliWarning: Cases are left out.
    """
    scores = _scores(sources, wanted)
    outcome = _outcomes(sources, wanted, scores)
    used = [one.source for one in (*scores, *outcome)]
    group = None
    if wanted.groups:
        (group,) = _find(sources, wanted.groups)[:1]
        used.append(group.source)
    places, ids = common_cases(list({id(one): one for one in used}.values()))
    taken = [one.values(places) for one in scores]
    losses = [one.values(places) for one in outcome]
    whole: NDArray[np.bool_] = np.all(np.isfinite(np.stack([*taken, *losses])), axis=0)
    dropped = count_dropped(used, whole)
    if not whole.any():
        raise ArtifactError(f"no case of {names_of(used)} has every score and an outcome")
    if outcome[0].sign < 0:
        _demand_shares(outcome[0], np.stack(losses)[:, whole], ids[whole])
    grouped = None
    if group is not None:
        grouped = group.raw(places)[whole]
        demand_groups(grouped.tolist(), group.name, ids[whole], source=group.source.name)
    return ScoredCases(
        tuple(one.shown for one in scores),
        np.stack(taken)[:, whole],
        np.stack(losses)[:, whole],
        ids[whole],
        grouped,
        outcome[0].name,
        (outcome[0].name == ERROR and outcome[0].source.of_model) or outcome[0].sign < 0,
        dropped,
    )


@dataclass(frozen=True, eq=False)
class _Column:
    """A column of a source: as it is, or (`sign` -1) turned round."""

    source: Source
    name: str
    shown: str
    sign: int = 1
    offset: float = 0.0

    def raw(self, places: Mapping[int, Array | None]) -> Array:
        """The values for the common cases."""
        values: Array = self.source.columns[self.name]
        at = places[id(self.source)]
        return values if at is None else values[at]

    def values(self, places: Mapping[int, Array | None]) -> F64:
        """The same as numbers, turned as wanted."""
        raw = self.raw(places)
        if raw.dtype.kind not in "iuf":
            raise ArtifactError(
                f"`{self.name}` in `{self.source.name}` is text such as `{raw[0]}`, not numbers"
            )
        found: F64 = self.offset + self.sign * raw
        return found


def _demand_shares(column: _Column, losses: F64, ids: Array) -> None:
    """Refuse answers that are said to be more than right, or less than wrong."""
    strange = ((losses < 0) | (losses > 1)).any(axis=0)
    if strange.any():
        at = int(np.argmax(strange))
        raise ArtifactError(
            f"`{column.name}` of example `{ids[at]}` in `{column.source.name}` is "
            f"{1 - losses[0, at]:g}, neither right (1) nor wrong (0)",
            hint="`--outcome` takes any numbers: what it costs to keep a case",
        )


def _find(sources: Sequence[Source], name: str) -> list[_Column]:
    """The columns of a name; `label/name` means that of one source."""
    found = [_Column(one, name, name) for one in sources if name in one.columns]
    if not found:
        label, _, rest = name.rpartition("/")
        found = [
            _Column(one, rest, name)
            for one in sources
            if one.label == label and rest in one.columns
        ]
    if not found:
        known = dict.fromkeys(column for one in sources for column in one.columns)
        where = names_of(sources)
        raise UsageError(f"there is no column `{name}` in {where}; {closest(name, known)}")
    if len(found) == 1:
        return found
    labels = [one.source.label for one in found]
    if len(set(labels)) < len(labels):
        labels = [f"{one.source.name}/{one.source.label}" for one in found]
    return [
        _Column(one.source, one.name, f"{label}/{one.name}")
        for one, label in zip(found, labels, strict=True)
    ]


def _scores(sources: Sequence[Source], wanted: Wanted) -> list[_Column]:
    named = [(one, 1) for one in wanted.scores] + [(one, -1) for one in wanted.confidences]
    if not named:
        named = [(one, 1) for one in _usual(sources, wanted)]
    found = [
        _Column(one.source, one.name, one.shown, sign)
        for name, sign in dict.fromkeys(named)
        for one in _find(sources, name)
    ]
    if not found:
        raise UsageError(
            f"no score is named, and no column of {names_of(sources)} looks like one",
            hint="name one with `--score`",
        )
    return found


def _usual(sources: Sequence[Source], wanted: Wanted) -> list[str]:
    """What a file says its scores are, else the confidence of models and all numbers of tables."""
    found: list[str] = []
    for one in sources:
        told = one.entry.facts.get("scores") if one.entry else None
        if one.of_model:
            found += [USUAL] if USUAL in one.columns else []
        elif isinstance(told, list):
            found += [str(name) for name in told if name in one.columns]
        else:
            not_scores = (*BESIDE, wanted.outcome, wanted.correct, wanted.groups)
            numbers = [name for name, values in one.columns.items() if values.dtype.kind == "f"]
            found += [name for name in numbers if name not in not_scores]
    return list(dict.fromkeys(found))


def _outcomes(
    sources: Sequence[Source], wanted: Wanted, scores: Sequence[_Column]
) -> list[_Column]:
    """The outcome of each score."""
    if wanted.outcome and wanted.correct:
        raise UsageError("`--outcome` and `--correct` say the same thing in two ways")
    if wanted.correct:
        return [_turned(_one(sources, wanted.correct, "--correct"))] * len(scores)
    if wanted.outcome:
        return [_one(sources, wanted.outcome, "--outcome")] * len(scores)
    own = [_Column(one.source, ERROR, ERROR) if one.source.of_model else None for one in scores]
    if all(one is not None and ERROR in one.source.columns for one in own):
        return [one for one in own if one is not None]
    name = _told_outcome(sources)
    if name is None:
        raise UsageError(
            f"nothing in {names_of(sources)} says what became of the cases",
            hint="`--outcome COLUMN` is 1 where keeping a case was a mistake; `--correct COLUMN` "
            "is 1 where the answer was right; a further table may have the column",
        )
    found = _one(sources, name, "--outcome")
    return [_turned(found) if name == CORRECT else found] * len(scores)


def _turned(column: _Column) -> _Column:
    return _Column(column.source, column.name, column.shown, -1, 1.0)


def _told_outcome(sources: Sequence[Source]) -> str | None:
    for one in sources:
        told = one.entry.facts.get("outcome") if one.entry else None
        if isinstance(told, str) and told in one.columns:
            return told
    names = [name for name in OUTCOMES if any(name in one.columns for one in sources)]
    return names[0] if names else None


def _one(sources: Sequence[Source], name: str, option: str) -> _Column:
    found = _find(sources, name)
    if len(found) > 1:
        shown = ", ".join(f"`{one.shown}`" for one in found[:4])
        raise UsageError(f"there are several columns `{name}`: {shown}", hint=f"`{option}` one")
    return found[0]
