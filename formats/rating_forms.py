"""The three forms in which people say something of cases, as arrays; see `ratings`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.formats.columns import demand_values, to_tensor, to_values

Array = NDArray[Any]
Index = NDArray[np.int64]

ID, RATER, LABEL, SPLIT = "example_id", "rater_id", "label", "split"
COUNTS, COUNT, ERROR = "counts", "count_", "human_error"


@dataclass(frozen=True, eq=False)
class Readings:
    """Single readings, R of them.

    Attributes:
        example: (R,) the place of the case.
        rater: (R,) the place of the reader in `rater_ids`.
        label: (R,) the place of the answer in the classes.
        rater_ids: (raters,) the readers; without a column `rater_id` every reading is of another.
    """

    example: Index
    rater: Index
    label: Index
    rater_ids: Array


def _cases(data: pa.Table) -> tuple[Array, Array | None, Index]:
    """The distinct cases, ascending, what they are of, and the case of each row."""
    ids = to_values(data[ID])
    if SPLIT not in data.column_names or data[SPLIT].null_count:
        found, place = np.unique(ids, return_inverse=True)
        return found, None, place
    split = to_values(data[SPLIT])
    _, at = np.unique(ids, return_inverse=True)
    splits, of = np.unique(split, return_inverse=True)
    _, first, place = np.unique(at * len(splits) + of, return_index=True, return_inverse=True)
    return ids[first], split[first], place


def of_readings(
    data: pa.Table, classes: int | Sequence[Any] | None, counted: list[str], name: str
) -> dict[str, Any]:
    """What `Ratings` holds of a row a reading."""
    ids, split, example = _cases(data)
    label, known = _labels(to_values(data[LABEL]), classes, to_values(data[ID]), name)
    if RATER in data.column_names:
        demand_values(data[RATER], RATER, source=name)
        rater_ids, rater = np.unique(to_values(data[RATER]), return_inverse=True)
        _demand_once(example, rater, ids, rater_ids, name)
    else:
        rater_ids = rater = np.arange(len(label))
    counts = np.bincount(example * len(known) + label, minlength=len(ids) * len(known))
    return {
        "example_id": ids,
        "split": split,
        "counts": counts.reshape(len(ids), len(known)).astype(np.int64),
        "classes": known,
        "readings": Readings(example, rater, label, rater_ids),
        "human_error": None,
        "dropped": 0,
    }


def _labels(
    labels: Array, classes: int | Sequence[Any] | None, ids: Array, name: str
) -> tuple[Index, tuple[Any, ...]]:
    """Labels as places in the classes, and the classes."""
    if labels.dtype.kind == "f" and (labels == np.round(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    distinct, code = np.unique(labels, return_inverse=True)
    if classes is None:
        return code, tuple(distinct.tolist())
    known = tuple(range(classes)) if isinstance(classes, int) else tuple(classes)
    place = {one: at for at, one in enumerate(known)}
    if labels.dtype.kind != "U" and isinstance(known[0], str):
        place = {at: at for at in range(len(known))}  # numbers stand for names by their place
    of = np.array([place.get(one, -1) for one in distinct.tolist()], np.int64)
    if (of < 0).any():
        row = int(np.argmax(of[code] < 0))
        shown = ", ".join(f"`{one}`" for one in known[:5]) + (", ..." if len(known) > 5 else "")
        raise ArtifactError(
            f"example `{ids[row]}` has the label `{labels[row]}` in `{name}`, which is none of the "
            f"{len(known)} classes: {shown}",
            hint="labels are the classes that the model answers, counted from 0, or their names",
        )
    return of[code], known


def _demand_once(example: Index, rater: Index, ids: Array, rater_ids: Array, name: str) -> None:
    pairs = np.sort(example * len(rater_ids) + rater)
    twice = np.flatnonzero(np.diff(pairs) == 0)
    if len(twice):
        case, who = divmod(int(pairs[twice[0]]), len(rater_ids))
        raise ArtifactError(
            f"rater `{rater_ids[who]}` reads example `{ids[case]}` twice in `{name}` "
            f"({len(twice)} such {'reading' if len(twice) == 1 else 'readings'})",
            hint="keep one of them; or leave out `rater_id` if they count as readings of others",
        )


def _one_row_a_case(data: pa.Table, name: str) -> tuple[Array, Array | None, Index]:
    ids, split, place = _cases(data)
    if len(ids) < data.num_rows:
        twice = ids[int(np.argmax(np.bincount(place) > 1))]
        raise ArtifactError(f"example `{twice}` has two rows in `{name}`, which counts readings")
    order = np.empty(len(ids), np.int64)
    order[place] = np.arange(len(ids))
    return ids, split, order


def of_counts(
    data: pa.Table, classes: int | Sequence[Any] | None, counted: list[str], name: str
) -> dict[str, Any]:
    """What `Ratings` holds of a row of counts a case."""
    ids, split, order = _one_row_a_case(data, name)
    rows = np.arange(data.num_rows)
    if counted == [COUNTS]:
        counts = to_tensor(data[COUNTS], COUNTS, source=name, places=rows)
        known: tuple[Any, ...] = tuple(range(counts.shape[1]))
    else:
        columns = [one for one in counted if one != COUNTS]
        counts = np.stack([to_values(data[one]) for one in columns], axis=1)
        known = tuple(one.removeprefix(COUNT) for one in columns)
        known = tuple(map(int, known)) if all(one.isdigit() for one in known) else known
    whole = counts.dtype.kind in "iu" or (counts.dtype.kind == "f" and (counts % 1 == 0).all())
    if not whole or counts.ndim != 2 or counts.min(initial=0) < 0:
        raise ArtifactError(f"`{name}` holds counts that are no whole numbers from 0 on")
    counts, known = _ordered(counts.astype(np.int64)[order], known, classes, name)
    read = counts.sum(axis=1) > 0
    if not read.any():
        raise ArtifactError(f"`{name}` counts no reading of any case")
    return {
        "example_id": ids[read],
        "split": None if split is None else split[read],
        "counts": counts[read],
        "classes": known,
        "readings": None,
        "human_error": None,
        "dropped": int((~read).sum()),
    }


def _ordered(
    counts: NDArray[np.int64],
    known: tuple[Any, ...],
    classes: int | Sequence[Any] | None,
    name: str,
) -> tuple[NDArray[np.int64], tuple[Any, ...]]:
    """Columns of counts in the order of the classes."""
    if classes is None:
        return counts, known
    wanted = tuple(range(classes)) if isinstance(classes, int) else tuple(classes)
    if all(isinstance(one, int) for one in known):
        known = tuple(wanted[one] if one < len(wanted) else one for one in known)
    place = {one: at for at, one in enumerate(wanted)}
    strange = [one for one in known if one not in place]
    if strange:
        raise ArtifactError(
            f"`{name}` counts readings of `{strange[0]}`, which is none of the {len(wanted)} "
            "classes of the model",
            hint="a list `counts` has a number for each class, in their order",
        )
    found = np.zeros((len(counts), len(wanted)), np.int64)
    found[:, [place[one] for one in known]] = counts
    return found, wanted


def of_errors(
    data: pa.Table, classes: int | Sequence[Any] | None, counted: list[str], name: str
) -> dict[str, Any]:
    """What `Ratings` holds of a row a case with the share of readers who err."""
    ids, split, order = _one_row_a_case(data, name)
    errors = to_values(data[ERROR])
    if errors.dtype.kind not in "iufb":
        raise ArtifactError(f"`{ERROR}` in `{name}` is no number")
    shares = errors.astype(np.float64)
    if ((shares < 0) | (shares > 1)).any():
        row = int(np.argmax((shares < 0) | (shares > 1)))
        case = to_values(data[ID])[row]
        raise ArtifactError(
            f"`{ERROR}` of example `{case}` in `{name}` is {shares[row]:g}, no share"
        )
    return {
        "example_id": ids,
        "split": split,
        "counts": None,
        "classes": (),
        "readings": None,
        "human_error": shares[order],
        "dropped": 0,
    }
