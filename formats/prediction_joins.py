"""Answers of several models brought to the examples that all of them answer."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError, NncliWarning
from nncli.formats.prediction_checks import demand_labels
from nncli.formats.prediction_columns import SCALARS
from nncli.formats.prediction_raters import Raters
from nncli.formats.prediction_sets import Respondent
from nncli.formats.predictions import Examples

Array = NDArray[Any]
Codes = NDArray[np.int64]

READ_BYTES = 1 << 24  # of answers that are in memory at a time
MOST_CLASSES = 1 << 20  # more than that are names of classes, such as codes of eight digits


@dataclass(frozen=True)
class Joined:
    """What several respondents answer to the examples that all of them have.

    Attributes:
        ids: (N,) identifiers.
        label: (N,) or (N, C), or `None`; as stored.
        split: What they are of, where the files say it.
        block: Gives (K, B, C), or (K, B), the answers of all to the examples from one place up to
            another; in memory that the next call uses again.
        cluster: (N,) the groups they come in, where these were asked for.
    """

    ids: Array
    label: Array | None
    split: str | None
    block: Callable[[int, int], Array]
    cluster: Array | None = None

    def is_regression(self, score: str) -> bool:
        """Whether numbers are answered, not classes."""
        if score != "pred":
            return score in SCALARS
        of_label = self.label is not None and self.label.dtype.kind == "f"
        return of_label or self.block(0, 1).dtype.kind == "f"


def join(respondents: Sequence[Respondent], *, what: str = "") -> Joined:
    """Bring respondents to common examples.

    Args:
        respondents: Of one split.
        what: What they are together, for the warning, such as ` at width 64`.

    Returns:
        The examples, in the order of the first respondent, and the answers.

    Raises:
        ArtifactError: An example is answered twice by one model, or has two labels.
        MismatchError: There is no example that all answer.

    Warns:
        NncliWarning: Examples that some do not answer are left out.
    """
    columns = [_Column(one) for one in respondents]
    lists: dict[tuple[int, ...], _Column] = {}
    for column in columns:
        lists.setdefault(column.key, column)
    distinct = list(lists.values())
    ids = distinct[0].ids
    kept = np.ones(len(ids), np.bool_)
    for column in distinct[1:]:
        _demand_same_kind(distinct[0], column)
        if not np.array_equal(ids, column.ids):
            kept &= np.isin(ids, column.ids)
    _warn_of_rest(distinct, ids, kept, what)
    common = ids[kept]
    places = {one.key: one.places(common) for one in distinct}
    label = _label(distinct, places, common)

    scratch: list[Array] = []

    def block(start: int, stop: int) -> Array:
        for row, one in enumerate(columns):
            part = one.read(places[one.key], start, stop)
            if not scratch or scratch[0].shape[1] < stop - start or scratch[0].dtype < part.dtype:
                scratch[:] = [np.empty((len(columns), *part.shape), part.dtype)]
                return block(start, stop)
            scratch[0][row, : stop - start] = part
        return scratch[0][:, : stop - start]

    split = respondents[0].facts.get("split")
    return Joined(common, label, split, block, _clusters(distinct, places, common))


class _Column:
    """All answers of one respondent, in the order of its files.

    Attributes:
        key: Equal for respondents that answer the same examples in the same order.
        ids: Which examples they are.
    """

    def __init__(self, respondent: Respondent) -> None:
        self._sheets = respondent.sheets
        examples = [sheet.examples for _, sheet in respondent.sheets]
        self.key = tuple(id(one) for one in examples)
        self.model = str(respondent.facts["model_id"])
        self.file = respondent.sheets[0][0].name
        kinds = {one.ids.dtype.kind for one in examples}
        if len(kinds) > 1:
            raise _other_ids(self.file, respondent.sheets[-1][0].name)
        self.ids = examples[0].ids if len(examples) == 1 else _concatenated(examples)
        self._starts = np.cumsum([0, *(len(one.ids) for one in examples)])
        if len(examples) > 1:
            self._demand_once()

    def _demand_once(self) -> None:
        found, counts = np.unique(self.ids, return_counts=True)
        if len(found) < len(self.ids):
            names = list(dict.fromkeys(file.name for file, _ in self._sheets))
            raise ArtifactError(
                f"`{self.model}` answers example `{found[counts > 1][0]}` twice, in "
                + " and ".join(f"`{one}`" for one in names[:2]),
                hint="are these other models? give them other names, or a column that says what "
                "they differ in",
            )

    def places(self, common: Array) -> Codes | None:
        """Where the common examples are; `None` if they are all, in the same order."""
        if np.array_equal(common, self.ids):
            return None
        order = np.argsort(self.ids, kind="stable")
        found: Codes = order[np.searchsorted(self.ids, common, sorter=order)]
        return found

    def labels(self, places: Codes | None) -> Array | None:
        """The labels of the common examples."""
        return _taken([sheet.examples.label for _, sheet in self._sheets], places)

    def clusters(self, places: Codes | None) -> Array | None:
        """The groups of the common examples."""
        return _taken([sheet.examples.cluster for _, sheet in self._sheets], places)

    def read(self, places: Codes | None, start: int, stop: int) -> Array:
        """The answers to the common examples from one place up to another."""
        wanted = np.arange(start, stop) if places is None else places[start:stop]
        found: Array | None = None
        for (_, sheet), low, high in zip(
            self._sheets, self._starts[:-1], self._starts[1:], strict=True
        ):
            here = np.flatnonzero((wanted >= low) & (wanted < high))
            if not len(here):
                continue
            local = wanted[here] - low
            first, last = int(local.min()), int(local.max()) + 1
            part = sheet.part(first, last)
            if len(here) == len(wanted) and (np.diff(local) == 1).all():
                return part
            if found is None:
                found = np.empty((len(wanted), *part.shape[1:]), part.dtype)
            found[here] = part[local - first]
        assert found is not None
        return found


def _taken(parts: Sequence[Array | None], places: Codes | None) -> Array | None:
    """What each example has, of the common ones; `None` where some have nothing."""
    if any(one is None for one in parts):
        return None
    found: Array = np.concatenate([one for one in parts if one is not None])
    return found if places is None else found[places]


def _concatenated(examples: Sequence[Examples]) -> Array:
    found: Array = np.concatenate([one.ids for one in examples])
    return found


def _other_ids(one: str, other: str) -> MismatchError:
    return MismatchError(
        f"examples of `{one}` and `{other}` cannot be joined: ids are numbers in one and text in "
        "the other",
        hint="bring `example_id` to one type",
    )


def _demand_same_kind(one: _Column, other: _Column) -> None:
    text = {"U", "O", "S"}
    if (one.ids.dtype.kind in text) != (other.ids.dtype.kind in text):
        raise _other_ids(one.file, other.file)


def _warn_of_rest(
    columns: Sequence[_Column], ids: Array, kept: NDArray[np.bool_], what: str
) -> None:
    every = np.unique(np.concatenate([one.ids for one in columns])) if len(columns) > 1 else ids
    if not kept.any():
        raise MismatchError(
            f"no example{what} is answered by every model",
            hint="are the files of the same data? ids are compared within a split",
        )
    left = len(every) - int(kept.sum())
    if left:
        common = ids[kept]
        lacking = next(
            (column, lacks) for column in columns if len(lacks := np.setdiff1d(every, column.ids))
        )
        assert len(common)
        warnings.warn(
            f"{left} of {len(every)} examples{what} are left out: not every model answers them "
            f"(`{lacking[0].model}` in `{lacking[0].file}` lacks `{lacking[1][0]}`)",
            NncliWarning,
            stacklevel=3,
        )


def _label(
    columns: Sequence[_Column], places: dict[tuple[int, ...], Codes | None], common: Array
) -> Array | None:
    """The labels, on which all files that have some agree."""
    label: Array | None = None
    source = ""
    for column in columns:
        found = column.labels(places[column.key])
        if found is None:
            continue
        if label is None:
            label, source = found, column.file
            continue
        if found.shape != label.shape:
            raise MismatchError(f"labels in `{source}` and `{column.file}` have different shapes")
        same = (found == label).reshape(len(label), -1).all(axis=1)
        if not same.all():
            row = int(np.argmin(same))
            raise ArtifactError(
                f"example `{common[row]}` has two labels: {label[row]} in `{source}` and "
                f"{found[row]} in `{column.file}`",
                hint="are the files of the same data? give other data a `split` of its own",
            )
    return label


def _clusters(
    columns: Sequence[_Column], places: dict[tuple[int, ...], Codes | None], common: Array
) -> Array | None:
    """The groups that examples come in, on which all files agree."""
    found = [(one.file, one.clusters(places[one.key])) for one in columns]
    source, first = found[0]
    for file, other in found[1:]:
        if first is None or other is None or np.array_equal(first, other):
            continue
        row = int(np.argmin(first == other)) if first.dtype.kind == other.dtype.kind else 0
        raise ArtifactError(
            f"example `{common[row]}` is in group {first[row]} in `{source}`, in {other[row]} in "
            f"`{file}`",
            hint="`--cluster` names a column that says the same in all files",
        )
    return first


def number_of_classes(joined: Joined) -> int:
    """How many classes there are where answers are classes: one more than the largest."""
    step = max(1, READ_BYTES // (8 * len(joined.block(0, 1))))
    most = 0 if joined.label is None else int(joined.label.max())
    for start in range(0, len(joined.ids), step):
        found = joined.block(start, min(start + step, len(joined.ids)))
        if found.min() < 0 or (found != np.round(found)).any():
            raise ArtifactError("`pred` holds numbers that are no classes, counted from 0")
        most = max(most, int(found.max()))
    if most >= MOST_CLASSES:
        raise ArtifactError(
            f"`pred` and `label` go up to {most}, and classes are counted from 0",
            hint="are they names of classes? number them from 0, in `pred` and `label` alike",
        )
    return most + 1


def targets_of(
    joined: Joined,
    score: str,
    classes: int,
    regression: bool,
    raters: Raters | None,
    *,
    source: str,
) -> tuple[Array, Array | None]:
    """What the answers are held against.

    Args:
        joined: The answers.
        score: What they are.
        classes: How many classes are answered.
        regression: Whether numbers are answered.
        raters: Labels of several raters, in place of those of the predictions.
        source: A file, for errors.

    Returns:
        (N,) int64 classes, (N, C) soft labels, or (N,) float64 targets; and (N,) how many raters
        are behind a soft label, `None` without raters.

    Raises:
        ArtifactError: There are none, or they are unsound.
        MismatchError: They do not fit the answers.
    """
    if score in SCALARS:
        return np.ones(len(joined.ids)), None
    if raters is not None:
        return raters.shares(joined.ids, joined.split, classes)
    if joined.label is None:
        raise ArtifactError(
            f"`{source}` has no labels, and without them no risk",
            hint="`nncli predict --data` with labels keeps them; `--raters TABLE` brings some",
        )
    width = None if regression else classes
    return demand_labels(joined.label, joined.ids, width, source=source), None
