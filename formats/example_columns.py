"""Columns of a table or dataset for the examples of a capture, joined by their identifiers."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError, NncliWarning, UsageError, closest
from nncli.formats.activations import Activations
from nncli.formats.datasets import load
from nncli.formats.entry import Entry
from nncli.formats.sources import open_source
from nncli.formats.tables import read_table

ID = "example_id"
LABEL = "@label"
TABLES = ("parquet", "arrow-file", "arrow-stream", "csv", "json", "jsonl")


@dataclass(frozen=True)
class ExampleColumns:
    """Columns, a row an example.

    Attributes:
        name: The file as given.
        digest: Its digest.
        entry: What it says of itself, `None` for a foreign file.
        columns: The columns by name.
        ids: The identifiers, `None` where there are none.
    """

    name: str
    digest: str
    entry: Entry | None
    columns: dict[str, list[Any]]
    ids: list[Any] | None

    def of(self, column: str, ids: NDArray[Any] | None, n: int, *, capture: str) -> list[Any]:
        """A column for the examples of a capture.

        Args:
            column: Which one.
            ids: (n,) the identifiers of the examples, `None` where the capture has none.
            n: How many examples.
            capture: What the capture is called, for errors.

        Returns:
            A value an example; `None` where the table has none.

        Raises:
            ArtifactError: There is no such column, or an example has two values.
            MismatchError: The rows do not correspond.

        Warns:
            NncliWarning: Examples have no row, or rows are taken by position.
        """
        if column not in self.columns:
            raise ArtifactError(
                f"`{self.name}` has no column `{column}`; {closest(column, self.columns)}"
            )
        values = self.columns[column]
        if self.ids is None or ids is None:
            return self._by_position(values, n, capture)
        return self._by_id(column, values, ids, capture)

    def _by_position(self, values: list[Any], n: int, capture: str) -> list[Any]:
        if len(values) != n:
            raise MismatchError(
                f"`{self.name}` has {len(values)} rows, `{capture}` has {n} examples, and one of "
                "them has no identifiers to join by",
                hint="a column `example_id`, with what `nncli show` tells of the capture's",
            )
        warnings.warn(
            f"`{self.name}` and `{capture}` do not both have identifiers: taken by position",
            NncliWarning,
            stacklevel=3,
        )
        return values

    def _by_id(self, column: str, values: list[Any], ids: NDArray[Any], capture: str) -> list[Any]:
        text = ids.dtype.kind == "U"
        keys = [str(one) for one in self.ids or ()] if text else list(self.ids or ())
        known: dict[Any, Any] = {}
        for key, value in zip(keys, values, strict=True):
            first = known.setdefault(key, value)
            if first != value and (first == first or value == value):  # noqa: PLR0124 -- NaN is none
                raise ArtifactError(f"`{self.name}` gives example `{key}` two values of `{column}`")
        wanted = ids.tolist()
        lonely = sum(one not in known for one in wanted)
        if lonely == len(wanted):
            raise MismatchError(f"`{self.name}` and `{capture}` have no example id in common")
        if lonely:
            warnings.warn(
                f"{lonely} of {len(wanted)} examples of `{capture}` have no row in `{self.name}`",
                NncliWarning,
                stacklevel=3,
            )
        return [known.get(one) for one in wanted]


def read_example_columns(name: str | None) -> ExampleColumns | None:
    """Read the columns of a table, or of a dataset.

    Args:
        name: A table, with `example_id` if its rows are to be joined by that; or what `--data`
            takes, of which the label and the further columns are meant; or nothing.

    Returns:
        The columns, `None` if there is no table.

    Raises:
        ArtifactError: It is neither.
    """
    if name is None:
        return None
    if name == "-" or _is_table(name):
        table = read_table(name)
        columns = table.data.to_pydict()
        return ExampleColumns(table.name, table.digest, table.entry, columns, columns.get(ID))
    found = load(name)
    columns = {one: values.tolist() for one, values in found.factors.items()}
    if found.y is not None:
        columns.setdefault("label", _named(found.y, found.class_names))
    ids = found.example_id.tolist()
    return ExampleColumns(found.name, found.digest, found.entry, columns, ids)


def _is_table(name: str) -> bool:
    from pathlib import Path

    if not Path(name).exists() or Path(name).is_dir():
        return False
    with open_source(name) as source:
        return source.format in TABLES


def _named(y: NDArray[Any], names: Sequence[str] | None) -> list[Any]:
    if names is None or not np.issubdtype(y.dtype, np.integer):
        listed: list[Any] = y.tolist()
        return listed
    return [names[one] for one in y.tolist()]


def values_of(name: str, capture: Activations, table: ExampleColumns | None) -> list[Any]:
    """A column for the examples of a capture: its own `@label`, or one of a table.

    Args:
        name: The column, `@label` for the labels of the capture.
        capture: Whose examples.
        table: The table, if there is one.

    Returns:
        A value an example.

    Raises:
        UsageError: There is no table to have the column.
        ArtifactError: The capture has no labels, or the table no such column.
    """
    if name != LABEL:
        if table is None:
            raise UsageError(
                f"`{name}` is a column of what?", hint="`--columns TABLE`, with `example_id`"
            )
        return table.of(name, capture.example_id, capture.n, capture=capture.name)
    if capture.label is None:
        raise ArtifactError(
            f"`{capture.name}` has no labels",
            hint="`--columns TABLE --target COLUMN` takes them from a table",
        )
    found: list[Any] = capture.label.tolist()
    return found


def text_of(
    name: str | None, capture: Activations, table: ExampleColumns | None
) -> list[list[str]]:
    """A column by which examples go together, as text, if one is named; see `values_of`."""
    return [[str(one) for one in values_of(name, capture, table)]] if name else []


def others_than(
    used: NDArray[Any] | None, source_digest: str | None, capture: Activations
) -> NDArray[np.bool_]:
    """Which examples of a capture are none of some others, by their identifiers.

    Args:
        used: Identifiers of the others, `None` where they have none.
        source_digest: The digest of the data that these are places in, if they are that.
        capture: The capture.

    Returns:
        (n,) True where an example is another one; everywhere if the identifiers say nothing.
    """
    if used is None or capture.example_id is None or capture.source_digest != source_digest:
        return np.ones(capture.n, bool)
    return ~np.isin(capture.example_id, used)
