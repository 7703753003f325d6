"""The formats a table can be written in, one class each."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any, Literal

import pyarrow as pa

from nncli.formats.entry import KEY, Entry, finite
from nncli.formats.output import STANDARD, Output


class Sink:
    """Where the rows of a table go: one class per format."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, data: pa.Table) -> None:
        """Take the next rows."""
        raise NotImplementedError

    def close(self) -> None:
        """Take notice that there are no more."""

    def abandon(self) -> None:
        """Take notice that the work failed: what is missing must stay missing."""


class _ParquetSink(Sink):
    def __init__(self, output: Output, schema: pa.Schema, entry: Entry) -> None:
        import pyarrow.parquet as pq

        super().__init__(output)
        self._schema = schema.with_metadata({**(schema.metadata or {}), KEY: entry.to_json()})
        self._stream = _Unclosed(output)
        self._begin = partial(pq.ParquetWriter, self._stream, self._schema, compression="zstd")

    @cached_property
    def _writer(self) -> Any:
        """Begun with the first rows: work that fails before them leaves a pipe empty."""
        return self._begin()

    def write(self, data: pa.Table) -> None:
        if data.schema.equals(self._schema):
            data = data.replace_schema_metadata(self._schema.metadata)
        else:  # which imports all of pyarrow.compute
            data = data.cast(self._schema)
        self._writer.write_table(data)

    def close(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        # the writer would still put a footer under what it has when it is collected, and so make
        # half a table on a pipe pass for a whole one
        self._stream.output = None
        if "_writer" in self.__dict__:
            self._writer.close()


class _Unclosed(io.RawIOBase):
    """An output as pyarrow wants to see it: it must not close what is ours to commit."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self.output: Output | None = output
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        view = memoryview(data)
        if self.output is not None:
            self.output.write(view)
        self._position += view.nbytes
        return view.nbytes


class _CsvSink(Sink):
    def __init__(self, output: Output, schema: pa.Schema, entry: Entry) -> None:
        super().__init__(output)
        # the quotes tell a single column of text from text that is no table
        lone = schema.types == [pa.string()]
        self._quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if lone else csv.QUOTE_MINIMAL
        self._header = [schema.names]  # with the first rows: an error before them is alone

    def write(self, data: pa.Table) -> None:
        self._begin()
        self._rows(zip(*(column.to_pylist() for column in data.columns), strict=True))

    def close(self) -> None:
        self._begin()

    def _begin(self) -> None:
        header, self._header = self._header, []
        self._rows(header)

    def _rows(self, rows: Iterable[Iterable[Any]]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", quoting=self._quoting)
        writer.writerows([_cell(value) for value in row] for row in rows)
        self._output.write(text.getvalue().encode())


def _cell(value: object) -> object:
    if isinstance(value, float) and math.isnan(value):
        return None
    return _json(value) if isinstance(value, list | dict) else value


def _json(value: object) -> str:
    """One line of JSON; it knows no NaN and no infinity, so they are null."""
    return json.dumps(finite(value), default=str, ensure_ascii=False, allow_nan=False)


class _JsonlSink(Sink):
    def __init__(self, output: Output, schema: pa.Schema, entry: Entry) -> None:
        super().__init__(output)

    def write(self, data: pa.Table) -> None:
        self._output.write("".join(_json(row) + "\n" for row in data.to_pylist()).encode())


class _JsonSink(Sink):
    def __init__(self, output: Output, schema: pa.Schema, entry: Entry) -> None:
        super().__init__(output)
        self._begun = False

    def write(self, data: pa.Table) -> None:
        for row in data.to_pylist():
            self._output.write(b",\n " if self._begun else b"[\n ")
            self._output.write(_json(row).encode())
            self._begun = True

    def close(self) -> None:
        self._output.write(b"\n]\n" if self._begun else b"[]\n")


class _TextSink(Sink):
    """Aligned text needs every row before the first line; it is for people, so rows are few."""

    def __init__(self, output: Output, schema: pa.Schema, markdown: bool) -> None:
        super().__init__(output)
        self._schema = schema
        self._markdown = markdown
        self._parts: list[pa.Table] = []

    def write(self, data: pa.Table) -> None:
        self._parts.append(data)

    def close(self) -> None:
        from nncli.formats.text_tables import text_table

        data = pa.concat_tables([self._schema.empty_table(), *self._parts])
        terminal = self._output.target == STANDARD and not self._markdown
        text = text_table(data, markdown=self._markdown, terminal=terminal)
        self._output.write(text.encode())


def open_sink(form: str, output: Output, schema: pa.Schema, entry: Entry) -> Sink:
    """Begin the table in one concrete format.

    Args:
        form: `parquet`, `csv`, `jsonl`, `json`, `table` or `markdown`.
        output: Where the bytes go.
        schema: Names and types of the columns.
        entry: The metadata entry; text formats have no place for it.

    Returns:
        The sink for the rows.
    """
    if form in ("table", "markdown"):
        return _TextSink(output, schema, form == "markdown")
    plain: dict[str, Callable[[Output, pa.Schema, Entry], Sink]] = {
        "parquet": _ParquetSink,
        "csv": _CsvSink,
        "jsonl": _JsonlSink,
        "json": _JsonSink,
    }
    return plain[form](output, schema, entry)
