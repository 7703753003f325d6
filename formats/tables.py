"""Tables in files: Parquet between stages; CSV, JSON and text for people and other tools.

Reading accepts Parquet, Arrow, CSV, JSON lines and a JSON array of objects. Writing chooses the
format by `--format`, else by the suffix of the output; a pipe gets Parquet, a terminal text.
"""

import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from nncli.errors import ArtifactError, UsageError, closest
from nncli.formats.arrow_columns import column
from nncli.formats.entry import KEY, Entry
from nncli.formats.output import STREAMS, TENSOR_SUFFIXES, Output, demand_suffix, open_output
from nncli.formats.sources import Source, open_source
from nncli.formats.table_headers import has_header
from nncli.formats.table_sinks import Sink, open_sink
from nncli.formats.writable import demand_writable

FORMATS = ("auto", "parquet", "csv", "jsonl", "json", "table", "markdown")
SUFFIXES = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".txt": "table",
    ".md": "markdown",
}
READABLE = "a table (Parquet, Arrow, CSV, JSON lines or a JSON array)"
ROWS = 4096  # of a row group that is gathered row by row
END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


@dataclass(frozen=True)
class Table:
    """A table that has been read.

    Attributes:
        name: The file as given.
        data: Its columns.
        entry: What it says of itself, `None` for a foreign file.
        digest: The SHA-256 of the file.
    """

    name: str
    data: pa.Table
    entry: Entry | None
    digest: str


def read_table(source: str | Source, columns: Sequence[str] | None = None) -> Table:
    """Read a table.

    Args:
        source: The name as given (`-` for standard input), or a source that is already open.
        columns: Only these columns, which must be there; all by default.

    Returns:
        The table.

    Raises:
        ArtifactError: It is no table, cut short, damaged, or lacks a column.
    """
    with open_source(source) if isinstance(source, str) else source as opened:
        read = _READERS.get(opened.format)
        if read is None:
            raise opened.expected(READABLE)
        try:
            data = read(opened)
            data.validate(full=True)  # offsets and text, which pyarrow takes on trust
            names = data.column_names
        except (pa.ArrowException, OSError, ValueError, OverflowError, RecursionError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise ArtifactError(
                f"`{opened.name}` is a damaged table: {reason}",
                hint="did the command or the copy that made it fail?",
            ) from error
        _refuse_repeats(names, source=opened.name)
        for column in columns or ():
            demand_column(data, column, source=opened.name)
        text = (data.schema.metadata or {}).get(KEY.encode())
        told = text.decode("utf-8", "replace") if text else None
        entry = Entry.from_json(told, source=opened.name) if told else None
        return Table(opened.name, data.select(columns) if columns else data, entry, opened.digest)


def demand_column(data: pa.Table, column: str, *, source: str) -> None:
    """Refuse a table that lacks a column.

    Raises:
        ArtifactError: It does; the message names close ones.
    """
    if column not in data.column_names:
        raise ArtifactError(
            f"`{source}` has no column `{column}`; {closest(column, data.column_names)}"
        )


def _refuse_repeats(names: list[str], *, source: str) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ArtifactError(f"`{source}` has more than one column `{twice}`")


def _read_parquet(source: Source) -> pa.Table:
    import pyarrow.parquet as pq

    # `read_table` would import all of pyarrow.dataset, and close the file it is given
    return pq.ParquetFile(pa.PythonFile(source.file, mode="r")).read()


def _read_arrow_file(source: Source) -> pa.Table:
    with pa.ipc.open_file(source.file) as reader:
        return reader.read_all()


def _read_arrow_stream(source: Source) -> pa.Table:
    # pyarrow takes a stream cut between two batches for a whole one, so its end is demanded
    source.file.seek(-len(END_OF_STREAM), io.SEEK_END)
    ending = source.file.read()
    source.file.seek(0)
    if ending != END_OF_STREAM:
        raise ValueError("the Arrow stream has no end marker: it was cut short")
    with pa.ipc.open_stream(source.file) as reader:
        return reader.read_all()


def _read_csv(source: Source) -> pa.Table:
    from pyarrow import csv

    first = re.sub('"[^"]*"', "", source.file.readline().decode("utf-8-sig"))
    source.file.seek(0)
    delimiter = max(",;\t", key=first.count)
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    return _empty_is_null(csv.read_csv(source.file, parse_options=parse))


def _empty_is_null(data: pa.Table) -> pa.Table:
    """CSV cannot tell an empty text from none; numbers have been read so already."""
    import pyarrow.compute as pc  # which takes a tenth of a second to make its functions

    empty, none = column(["", None], pa.string())
    for place, field in enumerate(data.schema):
        if pa.types.is_string(field.type):
            given = data.column(place)
            kept = pc.if_else(pc.equal(given, empty), none, given)
            data = data.set_column(place, field, kept)
    return data


def _read_jsonl(source: Source) -> pa.Table:
    from pyarrow import json as arrow_json

    return arrow_json.read_json(source.file)


def _read_json(source: Source) -> pa.Table:
    rows = json.load(source.file)
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise ValueError("JSON is read as a table only if it is an array of objects")
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


_READERS = {
    "parquet": _read_parquet,
    "arrow-file": _read_arrow_file,
    "arrow-stream": _read_arrow_stream,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "json": _read_json,
}


def choose_format(target: str, wanted: str) -> str:
    """Settle the format of a table output.

    Args:
        target: The path, or `-`.
        wanted: One of `FORMATS`; `auto` goes by the suffix, a terminal, or a pipe.

    Returns:
        A concrete format.

    Raises:
        UsageError: The suffix says one thing and `--format` another.
    """
    if wanted == "auto" and target in STREAMS:
        terminal = sys.stdout is not None and sys.stdout.isatty()
        return "table" if terminal else "parquet"
    suffix = Path(target).suffix.lower()
    demand_suffix(target, "a table", others=TENSOR_SUFFIXES)
    named = SUFFIXES.get(suffix)
    if wanted == "auto":
        return named or "parquet"
    if named and named != wanted:
        raise UsageError(
            f"`{target}` ends in `{suffix}`, but `--format {wanted}` was asked for",
            hint="leave out `--format`, or change the suffix",
        )
    return wanted


class TableWriter:
    """Writes a table piece by piece; a context manager that commits on success."""

    def __init__(self, output: Output, sink: Sink, schema: pa.Schema, *, gathers: bool) -> None:
        self._output = output
        self._sink = sink
        self._schema = schema
        self._rows: list[Mapping[str, Any]] = []
        self._most = ROWS if gathers else 1

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._flush()
                self._sink.close()
                self._output.commit()
            else:
                self._sink.abandon()
        finally:
            self._output.discard()

    def write(self, data: pa.Table) -> None:
        """Write the next rows.

        Raises:
            ArtifactError: They could not be written.
        """
        self._flush()
        self._sink.write(data)

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Write the next row.

        Lines of text go out at once, so that a reader, and a file that the shell opened, has what
        is there so far. Parquet is of no use before its end, so rows are gathered to groups.

        Raises:
            ArtifactError: It could not be written.
        """
        self._rows.append(row)
        if len(self._rows) >= self._most:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            self._sink.write(from_rows(rows, self._schema))


def create_table(
    target: str,
    schema: pa.Schema,
    entry: Entry,
    *,
    format: str = "auto",
    overwrite: bool = False,
) -> TableWriter:
    """Begin a table whose rows come later.

    Args:
        target: A path, or `-` for standard output.
        schema: Names and types of the columns.
        entry: The metadata entry (kept by Parquet alone; text formats have no place for it).
        format: One of `FORMATS`.
        overwrite: Replace a file that nncli did not write.

    Returns:
        A context manager; the file appears when it is left without an error.

    Raises:
        ArtifactError: The output cannot be written.
        UsageError: Suffix and format contradict each other.
    """
    form = choose_format(target, format)
    output = open_output(
        target,
        kind=entry.kind,
        overwrite=overwrite,
        binary=form == "parquet",
        older=_older(form, schema.names),
    )
    try:
        sink = open_sink(form, output, schema, entry)
        return TableWriter(output, sink, schema, gathers=form == "parquet")
    except BaseException:
        output.discard()
        raise


def demand_table(
    target: str, *, kind: str = "table", format: str = "auto", overwrite: bool = False
) -> None:
    """Refuse the output of a table before the work whose result decides its columns.

    Args:
        target: A path, or `-` for standard output.
        kind: The kind of artifact.
        format: One of `FORMATS`.
        overwrite: Replace a file that nncli did not write.

    Raises:
        ArtifactError: The output cannot be written.
        UsageError: Suffix and format contradict each other.
    """
    form = choose_format(target, format)
    demand_writable(
        target,
        kind=kind,
        overwrite=overwrite,
        binary=form == "parquet",
        older=_older(form, None),
    )


def _older(form: str, names: Sequence[str] | None) -> Callable[[Path], bool] | None:
    """Whether a file is an older table of some columns, which Parquet says itself."""
    return None if form == "parquet" else lambda path: has_header(path, form, names)


def write_table(
    target: str,
    data: pa.Table,
    entry: Entry,
    *,
    format: str = "auto",
    overwrite: bool = False,
) -> None:
    """Write a whole table; see `create_table`."""
    with create_table(target, data.schema, entry, format=format, overwrite=overwrite) as writer:
        writer.write(data)


def from_rows(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """A table of row dictionaries; a column that a row lacks is null.

    Args:
        rows: The rows.
        schema: Names and types of the columns, in order.

    Returns:
        The table.
    """
    listed = list(rows)
    columns = [column([row.get(one.name) for row in listed], one.type) for one in schema]
    return pa.Table.from_arrays(columns, schema=schema)
