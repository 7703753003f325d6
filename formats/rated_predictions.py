"""Predictions and what people say of the same cases, joined by identifier."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError, NncliWarning
from nncli.formats.prediction_checks import demand_labels
from nncli.formats.prediction_columns import SCALARS
from nncli.formats.prediction_joins import Joined, join, number_of_classes
from nncli.formats.prediction_sets import PredictionSet
from nncli.formats.ratings import Ratings, read_ratings

Array = NDArray[Any]
Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RatedPredictions:
    """Cases that models have answered and people have read, by ascending identifier.

    Attributes:
        ids: (N,) identifiers.
        score: What the answers are.
        answers: For each model (N, C) or (N,).
        models: What the models are called, each name once.
        label: (N,) the right class; `None` where the answers are hits.
        counts: (N, C) readings of each class, `None` if only errors of people are known.
        human_error: (N,) the share of readers who err, where that is what is known.
        ratings: What people say.
        unread: Cases that models have answered and nobody has read.
        unanswered: Cases that people have read and some model has not answered.
    """

    ids: Array
    score: str
    answers: tuple[Array, ...]
    models: tuple[str, ...]
    label: Index | None
    counts: NDArray[np.int64] | None
    human_error: NDArray[np.float64] | None
    ratings: Ratings
    unread: int
    unanswered: int

    def __len__(self) -> int:
        return len(self.ids)


def join_ratings(found: PredictionSet, human: str) -> RatedPredictions:
    """Bring predictions and ratings together.

    Args:
        found: The predictions.
        human: The file of ratings as given.

    Returns:
        The cases that have both.

    Raises:
        ArtifactError: There are no labels, or a file is unsound.
        MismatchError: Predictions are of several splits or of numbers, or no case has both.

    Warns:
        NncliWarning: Cases are left out.
    """
    source = found.files[0].name
    _demand_one_split(found)
    joined = join(found.respondents)
    if joined.is_regression(found.score) and found.score not in SCALARS:
        raise MismatchError(f"`{source}` predicts numbers: triage needs classes, or hits")
    classes = None
    if found.score not in SCALARS:
        classes = found.width or number_of_classes(joined)
    names = _class_names(found, classes)
    ratings = read_ratings(human, names or classes)
    order = np.argsort(joined.ids, kind="stable")
    places = ratings.places(joined.ids[order], joined.split, of=source)
    read = places >= 0
    _warn(~read, joined.ids[order], source, human)
    kept, mine = order[read], places[read]
    label = _labels(joined, kept, classes, ratings, source)
    _warn_of_labels(ratings, label, mine)
    whole = joined.block(0, len(joined.ids))
    return RatedPredictions(
        ids=joined.ids[kept],
        score=found.score,
        answers=tuple(np.array(one[kept]) for one in whole),
        models=_names(found),
        label=label,
        counts=None if ratings.counts is None else ratings.counts[mine],
        human_error=None if ratings.human_error is None else ratings.human_error[mine],
        ratings=ratings,
        unread=int((~read).sum()),
        unanswered=len(ratings) - len(np.unique(mine)),
    )


def _demand_one_split(found: PredictionSet) -> None:
    splits = sorted({str(one.facts.get("split")) for one in found.respondents})
    if len(splits) > 1:
        raise MismatchError(
            f"`{found.files[0].name}` holds predictions of several splits: {', '.join(splits)}",
            hint="triage one of them at a time: `nncli predict --split` makes them apart",
        )


def _class_names(found: PredictionSet, classes: int | None) -> Sequence[str] | None:
    entry = found.files[0].entry
    told = entry.facts.get("class_names") if entry else None
    if not isinstance(told, list) or classes is None or len(told) != classes:
        return None
    return [str(one) for one in told]


def _warn(unread: NDArray[np.bool_], ids: Array, source: str, human: str) -> None:
    if unread.any():
        warnings.warn(
            f"{unread.sum()} of {len(ids)} cases of `{source}` are left out: nobody has read them "
            f"in `{human}` (the first is `{ids[np.argmax(unread)]}`)",
            NncliWarning,
            stacklevel=3,
        )


def _warn_of_labels(ratings: Ratings, label: Index | None, mine: Index) -> None:
    """Nobody is always right: what is called ratings may be the labels themselves."""
    if ratings.counts is None or label is None:
        return
    right = ratings.counts[mine, label]
    if (right == ratings.readers[mine]).all():
        warnings.warn(
            f"every reading in `{ratings.name}` is right: are they the labels themselves?",
            NncliWarning,
            stacklevel=3,
        )


def _names(found: PredictionSet) -> tuple[str, ...]:
    """The names of the models, with what was done to their cases where that varies."""
    facts = [one.facts for one in found.respondents]
    names = [str(one["model_id"]) for one in facts]
    for beside in ("perturbation", "file"):
        if len(set(names)) < len(names):
            more = [str(one.get(beside) or "clean") for one in facts]
            names = [f"{name}, {also}" for name, also in zip(names, more, strict=True)]
    return tuple(names)


def _labels(
    joined: Joined, kept: Index, classes: int | None, ratings: Ratings, source: str
) -> Index | None:
    if classes is None and ratings.counts is None:
        return None
    if joined.label is None:
        raise ArtifactError(
            f"`{source}` has no labels, so nobody knows who errs",
            hint="`nncli predict --data` with labels keeps them; or give hits (`p_correct`) and "
            "`human_error`",
        )
    width = classes or max(2, len(ratings.classes))
    label = demand_labels(joined.label, joined.ids, width, source=source)
    if label.ndim == 2:
        raise MismatchError(
            f"the labels in `{source}` are shares of classes, and triage needs one right class",
            hint="is one of them what people say? then they are ratings: `--human`",
        )
    if classes is None and (bad := ~np.isin(label, np.arange(len(ratings.classes)))).any():
        raise MismatchError(
            f"the label {label[np.argmax(bad)]} in `{source}` is no class of `{ratings.name}`"
        )
    return label[kept].astype(np.int64)
