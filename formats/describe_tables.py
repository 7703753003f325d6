"""What is in a table: columns, how many rows, and the first of them."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.formats.arrow_columns import array_of
from nncli.formats.describe import SHOWN_FIRST, SHOWN_WHOLE, Column, Description
from nncli.formats.entry import KEY, Entry
from nncli.formats.sources import DESCRIPTIONS, Source
from nncli.formats.tables import Table, read_table

MANIFEST = "manifest.parquet"  # of a folder that is a series
READ_BYTES = 1 << 16
ARROW_OWN = "ARROW:schema"


def describe_table(source: Source, rows: int | None) -> Description:
    """Describe a table; of Parquet only the footer and the first rows are read.

    Args:
        source: The opened file.
        rows: How many rows to read, see `nncli.formats.describe.describe`.

    Raises:
        ArtifactError: It is cut short or damaged.
    """
    if source.format == "json" and (other := _other_json(source)) is not None:
        return other
    try:
        schema, count, head = (_parquet if source.format == "parquet" else _whole)(source, rows)
        head.validate(full=True)  # pyarrow believes that text is UTF-8 until it is looked at
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ArtifactError(
            f"`{source.name}` is a damaged table: {reason}",
            hint="did the command or the copy that made it fail?",
        ) from error
    said = {
        key.decode("utf-8", "replace"): one.decode("utf-8", "replace")
        for key, one in _said(schema).items()
    }
    text = said.pop(KEY, None)
    return Description(
        source.name,
        source.format,
        DESCRIPTIONS[source.format].replace(" table", " file"),
        source.size,
        entry=Entry.from_json(text, source=source.name) if text else None,
        metadata={key: one for key, one in said.items() if key != ARROW_OWN},
        columns=tuple(Column(one.name, str(one.type)) for one in schema),
        rows=count,
        head=head,
    )


def again(source: Source) -> Source:
    """The same bytes through another handle, for a reader that closes what it is given."""
    return Source(source.name, os.fdopen(os.dup(source.file.fileno()), "rb"), path=source.path)


def read_rows(source: Source) -> Table:
    """Read a table, or the manifest of a folder, and leave the source open."""
    if source.folder is not None:
        return read_table(str(source.folder / MANIFEST))
    return read_table(again(source))


def number_columns(source: Source) -> Iterator[tuple[str, NDArray[Any]]]:
    """The columns of numbers of a table, without their nulls."""
    data = read_rows(source).data
    for name, column in zip(data.column_names, data.columns, strict=True):
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            yield name, array_of(column.drop_null())


def _said(schema: pa.Schema) -> dict[bytes, bytes]:
    return schema.metadata or {}


def _shown(count: int, rows: int | None) -> int:
    if rows is not None:
        return min(rows, count)
    return count if count <= SHOWN_WHOLE else SHOWN_FIRST


def _whole(source: Source, rows: int | None) -> tuple[pa.Schema, int, pa.Table]:
    data = read_table(again(source)).data
    return data.schema, data.num_rows, data.slice(0, _shown(data.num_rows, rows))


def _parquet(source: Source, rows: int | None) -> tuple[pa.Schema, int, pa.Table]:
    import pyarrow.parquet as pq

    wrapped = pa.PythonFile(source.file, mode="r")
    # by default pyarrow fetches every row group before it gives the first row
    file = pq.ParquetFile(wrapped, pre_buffer=False, buffer_size=READ_BYTES)
    schema, count = file.schema_arrow, file.metadata.num_rows
    wanted, batches = _shown(count, rows), []
    groups = _first_groups(file.metadata, wanted)
    for batch in file.iter_batches(batch_size=max(wanted, 1), row_groups=groups):
        batches.append(batch)
        if sum(one.num_rows for one in batches) >= wanted:
            break
    return schema, count, pa.Table.from_batches(batches, schema).slice(0, wanted)


def _first_groups(metadata: Any, wanted: int) -> list[int]:
    """The row groups that hold the first rows."""
    groups, there = [], 0
    for place in range(metadata.num_row_groups):
        if there >= wanted:
            break
        groups.append(place)
        there += metadata.row_group(place).num_rows
    return groups


def _other_json(source: Source) -> Description | None:
    """The description of JSON that is no table: an object, or an array of other things."""
    source.file.seek(0)
    try:
        found = json.load(source.file)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"`{source.name}` is damaged JSON: {error}",
            hint="did the command or the copy that made it fail?",
        ) from error
    source.file.seek(0)
    if isinstance(found, list) and all(isinstance(row, dict) for row in found):
        return None
    said: dict[str, Any] = found if isinstance(found, dict) else {"items": len(found)}
    return Description(source.name, "json", "JSON, not a table", source.size, metadata=said)
