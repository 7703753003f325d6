"""Labels of a dataset: classes counted from 0, or targets of a regression.

Integers and booleans are classes; text is mapped to its sorted distinct values; floats are targets,
except in a column called `label` or `labels`, where they must be whole numbers and are classes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError

Array = NDArray[Any]
Places = Sequence[Any] | Array

LABEL_NAMES = ("y", "Y", "label", "labels", "target", "targets")
CLASSES_ALWAYS = ("label", "labels")


@dataclass(frozen=True)
class Labels:
    """Labels of a whole source.

    Attributes:
        values: (n,) int64 classes or float64 targets.
        class_names: The names of the classes, if they have names.
        classes: How many classes there are; `None` for targets.
    """

    values: Array
    class_names: tuple[str, ...] | None
    classes: int | None

    @property
    def strata(self) -> NDArray[np.int64] | None:
        """The classes to divide by; none for targets."""
        return self.values if self.classes is not None else None


def read_labels(
    raw: Array,
    *,
    column: str,
    source: str,
    names: Sequence[str] | None = None,
    places: Places | None = None,
) -> Labels | None:
    """Turn a stored column into classes or targets.

    Args:
        raw: (n,) or (n, 1), as stored.
        column: What the column is called.
        source: The source, for errors.
        names: Names of the classes, where the source keeps them apart or has several parts; all
            names that occur.
        places: What each row is called in errors; its number by default.

    Returns:
        The labels; `None` if every one is -1, which says "unlabelled" on the Hugging Face Hub.

    Raises:
        ArtifactError: The labels are no vector, not integers, below 0, not finite, or beyond the
            names of the classes.
    """
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    where = f"`{column}` in `{source}`"
    if raw.ndim != 1:
        raise ArtifactError(
            f"the labels {where} have the shape {raw.shape}, expected one number a row",
            hint="turn one-hot rows into class numbers with argmax",
        )
    if raw.dtype.kind in "UT":
        return _number_names(raw, names or name_classes([raw]))
    if raw.dtype.kind == "f":
        targets = raw.astype(np.float64)
        _demand_finite(targets, where, places)
        if column not in CLASSES_ALWAYS:
            return Labels(targets, None, None)
        _demand_whole(targets, where, places)
    elif raw.dtype.kind not in "iub":
        raise ArtifactError(f"the labels {where} are {raw.dtype}, expected numbers or text")
    return _number_classes(raw.astype(np.int64), where, names, places)


def name_classes(columns: Iterable[Array]) -> tuple[str, ...] | None:
    """The sorted distinct values of text labels over all parts of a source; `None` for numbers."""
    found = [set(np.unique(one).tolist()) for one in columns if one.dtype.kind in "UT"]
    return tuple(sorted(set().union(*found))) if found else None


def _number_names(raw: Array, names: Sequence[str] | None) -> Labels:
    known = tuple(names or ())
    found, which = np.unique(raw, return_inverse=True)
    numbers = np.array([known.index(one) for one in found.tolist()], np.int64)
    return Labels(numbers[which], known, len(known))


def _number_classes(
    values: NDArray[np.int64],
    where: str,
    names: Sequence[str] | None,
    places: Places | None,
) -> Labels | None:
    if values.size and (values == -1).all():
        return None
    if values.size and values.min() < 0:
        row = int(np.argmax(values < 0))
        raise ArtifactError(
            f"{_row(row, places)} has the label {values[row]} {where}; classes count from 0",
            hint="store class names as text, or targets of a regression as floats in `target`",
        )
    most = int(values.max()) + 1 if values.size else 0
    if names is not None and most > len(names):
        row = int(np.argmax(values >= len(names)))
        raise ArtifactError(
            f"{_row(row, places)} has the label {values[row]} {where}, "
            f"but only {len(names)} classes have names"
        )
    known = tuple(names) if names is not None else None
    return Labels(values, known, len(known) if known is not None else most)


def _demand_finite(targets: Array, where: str, places: Places | None) -> None:
    if not np.isfinite(targets).all():
        row = int(np.argmin(np.isfinite(targets)))
        raise ArtifactError(
            f"{_row(row, places)} has the label {targets[row]} {where}",
            hint="drop the rows without a label",
        )


def _demand_whole(targets: Array, where: str, places: Places | None) -> None:
    whole = targets == np.round(targets)
    if not whole.all():
        row = int(np.argmin(whole))
        raise ArtifactError(
            f"{_row(row, places)} has the label {targets[row]} {where}, which is no integer",
            hint="call the column `target` if it is what a regression predicts",
        )


def _row(row: int, places: Places | None) -> str:
    return f"row {row if places is None else places[row]}"
