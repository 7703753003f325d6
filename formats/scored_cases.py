"""Scores of cases and what became of them, in tables and in predictions.

A table has a column for each score and one for the outcome. Predictions have the doubt of each
model (`confidence`: one less the largest probability; `margin`: one less the lead of the first
class over the second; `entropy`, in nats) and its `error`, which is the outcome of its own scores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.formats.arrow_columns import array_of
from nncli.formats.columns import to_values
from nncli.formats.entry import Entry
from nncli.formats.kinds import kind_of
from nncli.formats.predictions import Predictions, open_predictions
from nncli.formats.sources import open_source
from nncli.formats.tables import read_table

Array = NDArray[Any]
F64 = NDArray[np.float64]
Doubts = Callable[[Array, str], Mapping[str, F64]]

ID, ERROR = "example_id", "error"


@dataclass(frozen=True, eq=False)
class Source:
    """One file, or one model of a file of predictions.

    Attributes:
        name: The file as given.
        digest: Its SHA-256.
        entry: What it says of itself.
        label: What its columns are called where others have such columns too.
        ids: (n,) identifiers of its cases, `None` where there are none.
        columns: (n,) each.
        of_model: Whether these are doubts and errors of a model.
    """

    name: str
    digest: str
    entry: Entry | None
    label: str
    ids: Array | None
    columns: Mapping[str, Array]
    of_model: bool = False


def read_sources(names: Sequence[str], doubts: Doubts) -> list[Source]:
    """Read tables and predictions.

    Args:
        names: The files.
        doubts: Gives the doubts of answers (n, classes), which are logits, probs or logprobs.

    Returns:
        A source for each table, and for each model of predictions.

    Raises:
        ArtifactError: A file is neither.
    """
    found: list[Source] = []
    for name in names:
        source = open_source(name)
        if kind_of(source) == "predictions":
            with open_predictions(source) as read:
                found += _models(read, doubts)
            continue
        table = read_table(source)
        ids = None
        if ID in table.data.column_names:
            if table.data[ID].null_count:
                raise ArtifactError(f"`{name}` has rows without `{ID}`")
            ids = to_values(table.data[ID])
        columns = {one: _column(table.data[one]) for one in table.data.column_names if one != ID}
        told = table.name, table.digest, table.entry, PurePath(table.name).stem
        found.append(Source(*told, ids, {k: v for k, v in columns.items() if v is not None}))
    return found


def _column(column: pa.ChunkedArray) -> Array | None:
    """Numbers as float64 with NaN where there is none, text as it is; `None` for other things."""
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    if pa.types.is_integer(column.type) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return array_of(column.cast(pa.float64(), safe=False))
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return to_values(column.fill_null(""))
    return None


def _models(read: Predictions, doubts: Doubts) -> list[Source]:
    found = []
    for place, member in enumerate(read.members):
        told = [str(member["model_id"]), str(member.get("perturbation") or "")]
        columns = _of_model(read, place, doubts)
        label = "/".join(filter(None, told))
        found.append(
            Source(read.name, read.digest, read.entry, label, read.example_id, columns, True)
        )
    return found


def _of_model(read: Predictions, place: int, doubts: Doubts) -> dict[str, Array]:
    answers = read.answers(place)
    if read.score in ("p_correct", "correct"):
        return {ERROR: 1 - answers.astype(np.float64)}
    label = read.label
    if answers.ndim != 2:
        raise ArtifactError(
            f"`{read.name}` holds `{read.score}`, of which nothing says how sure they are",
            hint="logits or probabilities do; or give a table of scores",
        )
    columns = {} if read.score == "scores" else dict(doubts(answers, read.score))
    if label is not None and label.ndim == 1 and label.dtype.kind in "iu":
        columns[ERROR] = (answers.argmax(axis=1) != label).astype(np.float64)
    return columns
