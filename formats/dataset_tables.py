"""Datasets in tables: Parquet, Arrow, CSV, JSON lines, and whatever else ends in Arrow tables."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.formats.column_roles import Roles, choose_columns, is_encoded
from nncli.formats.columns import demand_values, stack_columns, to_factor, to_tensor, to_values
from nncli.formats.dataset_rows import Images, Rows
from nncli.formats.entry import KEY, Entry, demand_kind
from nncli.formats.labels import Labels, read_labels
from nncli.formats.sources import Source
from nncli.formats.splits import choose_rows
from nncli.formats.tables import read_table

Array = NDArray[Any]


def read_rows(source: Source, split: str, limit: int | None) -> Rows:
    """Read the rows of a split from a table.

    Of a Parquet file only the label and split columns are read whole, and of the others the row
    groups that hold chosen rows.

    Args:
        source: The opened file.
        split: `train`, `test` or `all`.
        limit: At most this many rows, the first ones of the split.

    Returns:
        The rows.

    Raises:
        ArtifactError: It is no table, damaged, another artifact, or unfit for a dataset.
    """
    if source.format == "parquet":
        return _read_parquet(source, split, limit)
    if source.format == "csv":
        demand_header(source)
    table = read_table(source)
    _demand_sound(table.data, source.name)
    demand_kind(table.entry, "dataset", source=source.name)
    roles = choose_columns(table.data.schema, source=source.name)
    rows, labels = choose_from(
        table.data, table.data.num_rows, roles, split, limit, source=source.name
    )
    found = rows_of(take_rows(table.data, rows), roles, rows, labels, source=source.name)
    return replace(found, entry=table.entry)


def demand_header(source: Source) -> None:
    """Refuse a CSV whose first line holds numbers: a row would be lost as the names of columns.

    Numbers from 0 on are names, as pandas gives them.

    Raises:
        ArtifactError: It has no header.
    """
    line = source.file.readline().decode("utf-8-sig", "replace")
    source.file.seek(0)
    names = [one.strip().strip('"') for one in re.split("[,;\t]", line)]
    named = [one for one in names if one]
    if named != [str(place) for place in range(len(named))] and all(map(_is_number, named)):
        raise ArtifactError(
            f"`{source.name}` has no header: its first line starts `{line[:30].rstrip()}`",
            hint="put the names of the columns into the first line; `label` for the labels",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def choose_from(
    deciding: pa.Table, count: int, roles: Roles, split: str, limit: int | None, *, source: str
) -> tuple[NDArray[np.int64], Labels | None]:
    """Choose the rows of a split by the label and split columns.

    Args:
        deciding: The whole of these columns; others do not matter.
        count: Rows of the source.
        roles: The roles of the columns.
        split: `train`, `test` or `all`.
        limit: At most this many rows.
        source: The source, for errors.

    Returns:
        The places of the rows, and their labels.
    """
    labels = own = None
    if roles.label is not None:
        demand_values(deciding[roles.label], roles.label, source=source)
        raw = to_values(deciding[roles.label])
        labels = read_labels(raw, column=roles.label, source=source, names=roles.class_names)
    if roles.split is not None:
        demand_values(deciding[roles.split], roles.split, source=source)
        own = to_values(deciding[roles.split])
    classes = labels.strata if labels else None
    rows = choose_rows(count, classes=classes, own=own, split=split, limit=limit, source=source)
    return rows, replace(labels, values=labels.values[rows]) if labels else None


def take_rows(data: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """Rows of a table, ascending; without a copy where they are contiguous."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return data.slice(int(rows[0]), len(rows))
    return data.take(rows)


def _read_parquet(source: Source, split: str, limit: int | None) -> Rows:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.PythonFile(source.file, mode="r"))
        schema = file.schema_arrow
        text = (schema.metadata or {}).get(KEY.encode())
        entry = Entry.from_json(text.decode(), source=source.name) if text else None
        demand_kind(entry, "dataset", source=source.name)
        roles = choose_columns(schema, source=source.name)
        deciding, count = file.read(columns=roles.deciding), file.metadata.num_rows
        _demand_sound(deciding, source.name)
        rows, labels = choose_from(deciding, count, roles, split, limit, source=source.name)
        data = _read_groups(file, rows)
        _demand_sound(data, source.name)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _damaged(source.name, error) from error
    return replace(rows_of(data, roles, rows, labels, source=source.name), entry=entry)


def _demand_sound(data: pa.Table, source: str) -> None:
    """Arrow takes files as they are: bad offsets would end the process, bad UTF-8 fail later."""
    try:
        data.validate(full=True)
    except pa.ArrowException as error:
        raise _damaged(source, error) from error


def _damaged(source: str, error: Exception) -> ArtifactError:
    """The error for a table that cannot be read to its end."""
    reason = " ".join(str(error).split()).rstrip(".")
    return ArtifactError(
        f"`{source}` is a damaged table: {reason}",
        hint="did the command or the copy that made it fail?",
    )


def _read_groups(file: Any, rows: NDArray[np.int64]) -> pa.Table:
    """Rows of a Parquet file; only the row groups that hold one of them are read."""
    sizes = np.array(
        [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)], np.int64
    )
    starts = np.cumsum(sizes) - sizes
    group = np.searchsorted(starts + sizes, rows, side="right")
    # one at a time: unpacking lists takes several times the memory of what comes out
    pieces = [
        take_rows(file.read_row_group(one), rows[group == one] - starts[one])
        for one in np.unique(group).tolist()
    ]
    return pa.concat_tables(pieces) if pieces else file.schema_arrow.empty_table()


def rows_of(
    data: pa.Table,
    roles: Roles,
    places: Array,
    labels: Labels | None,
    *,
    source: str,
    open_path: Callable[[str], bytes] | None = None,
) -> Rows:
    """Turn the chosen rows of a table into rows of a dataset.

    Args:
        data: The chosen rows.
        roles: The roles of the columns.
        places: (n,) what each row is called.
        labels: Labels of these rows.
        source: The source, for errors.
        open_path: Reads an image of which the table knows only the path.

    Returns:
        The rows.

    Raises:
        ArtifactError: A cell is empty, the inputs are ragged, or ids are no integers or text.
    """
    text = None
    if roles.text is not None:
        demand_values(data[roles.text], roles.text, source=source, places=places)
        text = tuple(data[roles.text].cast(pa.string()).to_pylist())
    mask = None
    if roles.mask is not None:
        mask = to_tensor(data[roles.mask], roles.mask, source=source, places=places)
    return Rows(
        places=places,
        x=_inputs(data, roles, places, source, open_path),
        y=labels.values if labels else None,
        classes=labels.classes if labels else None,
        class_names=labels.class_names if labels else None,
        example_id=_ids(data, roles, places, source),
        mask=mask,
        text=text,
        factors={name: to_factor(data[column]) for name, column in roles.factors.items()},
    )


def _inputs(
    data: pa.Table,
    roles: Roles,
    places: Array,
    source: str,
    open_path: Callable[[str], bytes] | None,
) -> Array | Images | None:
    if roles.inputs is None:
        if not roles.features:
            return None
        return stack_columns(data, roles.features, source=source, places=places)
    column = data[roles.inputs]
    if not is_encoded(column.type):
        return to_tensor(column, roles.inputs, source=source, places=places)
    demand_values(column, roles.inputs, source=source, places=places)

    def read(index: int) -> bytes:
        stored = column[index].as_py()
        if not isinstance(stored, dict):
            return bytes(stored)
        if stored["bytes"] is None and open_path is not None and stored.get("path"):
            return open_path(stored["path"])
        return stored["bytes"] or b""

    return Images([f"{source}, row {place}" for place in places.tolist()], read)


def _ids(data: pa.Table, roles: Roles, places: Array, source: str) -> Array | None:
    if roles.example_id is None:
        return None
    demand_values(data[roles.example_id], roles.example_id, source=source, places=places)
    return to_values(data[roles.example_id])
