"""Cases with features, what people say of them, and what a classifier answers: joined by id."""

import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError, NncliWarning, UsageError
from nncli.formats.case_features import CaseFeatures, open_case_features
from nncli.formats.predictions import Predictions, open_predictions
from nncli.formats.ratings import Ratings, read_ratings

Array = NDArray[Any]
Index = NDArray[np.int64]

LEAST = 2  # readings, below which nothing is known of how readers differ
PROBABILITIES = ("logits", "probs", "logprobs")


@dataclass(frozen=True, eq=False)
class OpinionCases:
    """Cases that have features and, where ratings are given, two readings or more.

    Attributes:
        name: Of the file that the features are in.
        ids: (n,) identifiers.
        places: (n,) rows of the features.
        features: The features, `None` where those are the answers of the classifier.
        answers: For each model of the classifier (n, C), `None` without one.
        score: What the answers are: logits, probs or logprobs.
        ratings: What people say; `None` without.
        counts: (n, C) readings of each class.
        inputs: What was read.
        dropped: Cases left out.
    """

    name: str
    ids: Array
    places: Index
    features: CaseFeatures | None
    answers: tuple[Array, ...] | None
    score: str
    ratings: Ratings | None
    counts: NDArray[np.int64]
    inputs: tuple[Any, ...]
    dropped: int


def open_opinion_cases(
    features: str | None, predictions: str | None, ratings: str | None, stack: ExitStack
) -> OpinionCases:
    """Open files, and find the cases that have all that is wanted.

    Args:
        features: A capture or a table; `None` for the answers in `predictions`.
        predictions: What a classifier answers.
        ratings: What people say.
        stack: Closes what stays open.

    Returns:
        The cases, in the order of the features.

    Raises:
        UsageError: There are neither features nor predictions, or only shares of errors.
        ArtifactError: Fewer than two readings of every case.
        MismatchError: Files have no case in common.

    Warns:
        NncliWarning: Cases are left out, or have no identifiers.
    """
    if features is None and predictions is None:
        raise UsageError(
            "there are no features", hint="name a capture or a table, or `--predictions FILE`"
        )
    read = _predictions(predictions, stack)
    opened = None if features is None else _opened(features)
    if opened is not None and opened.capture is not None:
        stack.callback(opened.capture.file.close)
    name, ids = _identified(opened, read)
    kept = np.ones(len(ids), bool)
    own = np.arange(len(ids))
    if opened is not None and read is not None:
        own = _matched(read, ids, name)
        kept &= own >= 0
    rated = read_ratings(ratings, _classes(read)) if ratings else None
    counts = np.empty((len(ids), 0), np.int64)
    if rated is not None:
        counts, several = _counted(rated, ids, name)
        kept &= several
    places = np.flatnonzero(kept)
    answers = None
    if read is not None:
        answers = tuple(read.answers(one)[own[places]] for one in range(len(read)))
    _warn_of_rest(rated, counts, kept, name)
    found = [one for one in (opened, rated, read) if one is not None]
    score = read.score if read is not None else ""
    told = opened, answers, score, rated, counts[places], tuple(found), int((~kept).sum())
    return OpinionCases(name, ids[places], places, *told)


def _opened(name: str) -> CaseFeatures:
    try:
        return open_case_features(name)
    except ArtifactError as error:
        if "holds predictions" in error.message:
            error.hint = "`--predictions FILE` in place of FEATURES takes the answers for features"
        raise


def _predictions(name: str | None, stack: ExitStack) -> Predictions | None:
    if name is None:
        return None
    read = stack.enter_context(open_predictions(name))
    if read.score not in PROBABILITIES:
        raise ArtifactError(
            f"`{name}` holds `{read.score}`, which say nothing of how sure a classifier is",
            hint="logits or probabilities do",
        )
    return read


def _classes(read: Predictions | None) -> int | list[str] | None:
    """What labels of people are called where a classifier answers."""
    if read is None:
        return None
    names = read.entry.facts.get("class_names") if read.entry else None
    width = int(read.answers(0).shape[1])
    if isinstance(names, list) and len(names) == width:
        return [str(one) for one in names]
    return width


def _identified(opened: CaseFeatures | None, read: Predictions | None) -> tuple[str, Array]:
    if opened is None:
        assert read is not None
        return read.name, read.example_id
    if opened.ids is not None:
        return opened.name, opened.ids
    n = opened.capture.n if opened.capture is not None else len(opened.x)
    warnings.warn(
        f"`{opened.name}` has no `example_id`: its rows are taken for the cases 0, 1, 2, ...",
        NncliWarning,
        stacklevel=3,
    )
    return opened.name, np.arange(n)


def _matched(read: Predictions, ids: Array, name: str) -> Index:
    """Where cases are among the predictions, -1 for those that are not."""
    known = read.example_id
    if (known.dtype.kind == "U") != (ids.dtype.kind == "U"):
        raise MismatchError(
            f"`example_id` is text in one of `{name}` and `{read.name}`, and numbers in the other"
        )
    order = np.argsort(known, kind="stable")
    at = order[np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)]
    found: Index = np.where(known[at] == ids, at, -1)
    if (found < 0).all():
        raise MismatchError(f"`{name}` and `{read.name}` have no `example_id` in common")
    return found


def _counted(rated: Ratings, ids: Array, name: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Readings of each class (n, C), and which cases have enough of them."""
    if rated.counts is None:
        raise UsageError(
            f"`{rated.name}` says how many readers err, and not what each of them says",
            hint="`--ratings` wants a row a reading, or counts of each class",
        )
    at = rated.places(ids, of=name)
    counts = np.where((at >= 0)[:, None], rated.counts[at], 0)
    several = counts.sum(axis=1) >= LEAST
    if not several.any():
        raise ArtifactError(
            f"no case of `{name}` has two readings or more in `{rated.name}`",
            hint="of one reader nothing can be learnt about how readers differ",
        )
    return counts, several


def _warn_of_rest(
    rated: Ratings | None, counts: NDArray[np.int64], kept: NDArray[np.bool_], name: str
) -> None:
    left = int((~kept).sum())
    if not kept.any():
        raise MismatchError(f"no case of `{name}` is in every file")
    if not left:
        return
    reasons = []
    if rated is not None:
        readings = counts.sum(axis=1)
        nobody, one = int((readings == 0).sum()), int((readings == 1).sum())
        reasons += [f"{nobody} that nobody read"] if nobody else []
        reasons += [f"{one} with one reading"] if one else []
        rest = left - nobody - one
    else:
        rest = left
    reasons += [f"{rest} without predictions"] if rest else []
    warnings.warn(
        f"{left} of {len(kept)} cases of `{name}` are left out: {', '.join(reasons)}",
        NncliWarning,
        stacklevel=3,
    )
