"""The formats a table can be written in, one class each."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import pyarrow as pa

from nncli.formats.entry import KEY, Entry
from nncli.formats.output import STANDARD, Output


class Sink(Protocol):
    """Where the rows of a table go: one class per format."""

    def write(self, data: pa.Table) -> None:
        """Take the next rows."""

    def close(self) -> None:
        """Take notice that there are no more."""


class _ParquetSink:
    def __init__(self, output: Output, schema: pa.Schema, entry: Entry) -> None:
        import pyarrow.parquet as pq

        marked = schema.with_metadata({**(schema.metadata or {}), KEY: entry.to_json()})
        self._schema = marked
        self._writer = pq.ParquetWriter(_Unclosed(output), marked, compression="zstd")

    def write(self, data: pa.Table) -> None:
        self._writer.write_table(data.cast(self._schema))

    def close(self) -> None:
        self._writer.close()


class _Unclosed(io.RawIOBase):
    """An output as pyarrow wants to see it: it must not close what is ours to commit."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._output.write(view)
        self._position += view.nbytes
        return view.nbytes


class _CsvSink:
    def __init__(self, output: Output, schema: pa.Schema, entry: Entry) -> None:
        self._output = output
        self._rows([schema.names])

    def write(self, data: pa.Table) -> None:
        self._rows(zip(*(column.to_pylist() for column in data.columns), strict=True))

    def _rows(self, rows: Iterable[Iterable[Any]]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([_cell(value) for value in row] for row in rows)
        self._output.write(text.getvalue().encode())

    def close(self) -> None:
        pass


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list | dict) else value


class _JsonlSink:
    def __init__(self, output: Output, schema: pa.Schema, entry: Entry) -> None:
        self._output = output

    def write(self, data: pa.Table) -> None:
        text = "".join(json.dumps(row, default=str) + "\n" for row in data.to_pylist())
        self._output.write(text.encode())

    def close(self) -> None:
        pass


class _JsonSink:
    def __init__(self, output: Output, schema: pa.Schema, entry: Entry) -> None:
        self._output = output
        self._begun = False

    def write(self, data: pa.Table) -> None:
        for row in data.to_pylist():
            self._output.write(b",\n " if self._begun else b"[\n ")
            self._output.write(json.dumps(row, default=str).encode())
            self._begun = True

    def close(self) -> None:
        self._output.write(b"\n]\n" if self._begun else b"[]\n")


class _TextSink:
    """Aligned text needs every row before the first line; it is for people, so rows are few."""

    def __init__(self, output: Output, schema: pa.Schema, markdown: bool) -> None:
        self._output = output
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
