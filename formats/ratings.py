"""What people say of cases: single readings, counts of them, or how often they err.

Three forms are told apart by their columns: a row for each reading (`example_id`, `rater_id`,
`label`), a row for each case with counts (`example_id`, and `counts`, a list, or columns
`count_NAME`), and a row for each case with the share of readers who err (`example_id`,
`human_error`).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError, NncliWarning
from nncli.formats.columns import demand_values
from nncli.formats.entry import Entry
from nncli.formats.rating_forms import (
    COUNT,
    COUNTS,
    ERROR,
    ID,
    LABEL,
    Readings,
    of_counts,
    of_errors,
    of_readings,
)
from nncli.formats.sources import Source
from nncli.formats.tables import Table, demand_column, read_table

PREDICTED = ("logits", "probs", "logprobs", "scores", "pred")

Array = NDArray[Any]
Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ratings:
    """What people say of N cases.

    Attributes:
        name: The file as given.
        digest: Its SHA-256.
        entry: What it says of itself, `None` for a foreign file.
        example_id: (N,) identifiers, each once, ascending.
        split: (N,) what the cases are of, `None` where the file does not say.
        counts: (N, C) int64 readings of each class, `None` if only errors are known.
        classes: (C,) what the classes are: numbers or names, ascending if the file names them.
        readings: The single readings, `None` if they are not known.
        human_error: (N,) share of the readers of a case who err, `None` if labels are known.
        dropped: Rows left out for having no label, no reading or no error.
    """

    name: str
    digest: str
    entry: Entry | None
    example_id: Array
    split: Array | None
    counts: NDArray[np.int64] | None
    classes: tuple[Any, ...]
    readings: Readings | None
    human_error: NDArray[np.float64] | None
    dropped: int

    def __len__(self) -> int:
        return len(self.example_id)

    @property
    def readers(self) -> NDArray[np.int64]:
        """(N,) how many readings a case has; 0 where only errors are known."""
        if self.counts is None:
            return np.zeros(len(self), np.int64)
        found: NDArray[np.int64] = self.counts.sum(axis=1)
        return found

    @property
    def values(self) -> NDArray[np.float64]:
        """(C,) the classes as numbers, for grades.

        Raises:
            ArtifactError: They are names.
        """
        try:
            return np.array([float(one) for one in self.classes])
        except ValueError as error:
            raise ArtifactError(
                f"the labels of `{self.name}` are names such as `{self.classes[0]}`, not grades"
            ) from error

    def places(self, ids: Array, split: str | None = None, *, of: str) -> Index:
        """Where cases are.

        Args:
            ids: (n,) identifiers.
            split: What they are of, if that is known; only rows of it are meant then.
            of: What has these identifiers, for the error.

        Returns:
            (n,) places, -1 for a case that nobody read.

        Raises:
            MismatchError: Identifiers are numbers here and text there, or none is known.
        """
        text = {"U", "O", "S"}
        if (self.example_id.dtype.kind in text) != (ids.dtype.kind in text):
            raise MismatchError(
                f"`example_id` is text in one of `{self.name}` and `{of}` and numbers in the other",
                hint="bring them to one type",
            )
        mine = np.arange(len(self))
        if split is not None and self.split is not None:
            mine = np.flatnonzero(self.split == split)
        known = self.example_id[mine]
        if not len(known):
            raise MismatchError(f"`{self.name}` has no case of the split `{split}` of `{of}`")
        order = np.argsort(known, kind="stable")
        twice = np.flatnonzero(known[order][1:] == known[order][:-1])
        if len(twice):
            raise MismatchError(
                f"example `{known[order][twice[0]]}` is in several splits of `{self.name}`, and "
                f"`{of}` does not say which is meant",
                hint="give the predictions a column `split`, or keep the readings of one",
            )
        at = np.searchsorted(known, ids, sorter=order)
        near = order[np.minimum(at, len(known) - 1)]
        found: Index = np.where(known[near] == ids, mine[near], -1)
        if (found < 0).all():
            raise MismatchError(f"no case of `{of}` is in `{self.name}`: no `example_id` in common")
        return found


def read_ratings(source: str | Source, classes: int | Sequence[Any] | None = None) -> Ratings:
    """Read what people say of cases.

    Args:
        source: The name as given (`-` for standard input), or a source that is already open.
        classes: How many classes there are, counted from 0, or their names in order; by default
            those that occur, ascending.

    Returns:
        The ratings.

    Raises:
        ArtifactError: It is no such table, a reader answers a case twice, a label is no class,
            a count or an error is no such thing, or no row is left.

    Warns:
        NncliWarning: Rows are left out.
    """
    table = read_table(source)
    data, name = table.data, table.name
    demand_column(data, ID, source=name)
    _demand_no_predictions(table)
    counted = [one for one in data.column_names if one == COUNTS or one.startswith(COUNT)]
    form = LABEL if LABEL in data.column_names else COUNTS if counted else ERROR
    if form == ERROR and ERROR not in data.column_names:
        raise ArtifactError(
            f"`{name}` says nothing of people: it has neither `{LABEL}` nor `{COUNTS}` nor "
            f"`{ERROR}`",
            hint="a row for each reading (`example_id`, `rater_id`, `label`), counts of each class "
            "(`example_id`, `counts`), or a share of readers who err (`example_id`, `human_error`)",
        )
    demand_values(data[ID], ID, source=name)
    needed = {LABEL: [LABEL], COUNTS: counted, ERROR: [ERROR]}[form]
    data, dropped = _without_gaps(data, needed, name)
    read = {LABEL: of_readings, COUNTS: of_counts, ERROR: of_errors}[form]
    found = read(data, classes, counted, name)
    reasons = [f"{dropped} without `{needed[0]}`"] if dropped else []
    reasons += [f"{found['dropped']} that count nobody"] if found["dropped"] else []
    if reasons:
        left = dropped + found["dropped"]
        warnings.warn(
            f"{left} of {table.data.num_rows} rows of `{name}` are left out: {', '.join(reasons)}",
            NncliWarning,
            stacklevel=2,
        )
    return Ratings(
        name, table.digest, table.entry, **{**found, "dropped": dropped + found["dropped"]}
    )


def _demand_no_predictions(table: Table) -> None:
    """The labels of predictions are what is right, and not what people say."""
    ours = table.entry is not None and table.entry.kind == "predictions"
    there = set(PREDICTED) & set(table.data.column_names)
    if ours or (there and "model_id" in table.data.column_names):
        raise ArtifactError(
            f"`{table.name}` holds predictions, expected what people say",
            hint="a row for each reading (`example_id`, `rater_id`, `label`), counts of each class "
            "(`example_id`, `counts`), or a share of readers who err (`example_id`, `human_error`)",
        )


def _without_gaps(data: pa.Table, needed: list[str], name: str) -> tuple[pa.Table, int]:
    """Leave out rows that say nothing."""
    there = pc.is_valid(data[needed[0]])
    for column in needed[1:]:
        there = pc.and_(there, pc.is_valid(data[column]))
    for column in needed:
        if pa.types.is_floating(data[column].type):
            there = pc.and_(there, pc.invert(pc.is_nan(data[column].combine_chunks())))
    kept = data.filter(there)
    if not kept.num_rows:
        raise ArtifactError(f"`{name}` has no row with `{needed[0]}`")
    return kept, data.num_rows - kept.num_rows
