"""The contents of a description as text: its tensors, its rows, its files."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nncli.formats.describe import Description, Member, TensorLine
from nncli.formats.tensor_groups import TensorGroup, grouped, natural, one_by_one
from nncli.formats.text_parts import (
    DIGEST,
    DIGEST_LETTERS,
    LONGEST_TEXT,
    marked,
    plain,
    printable,
    size_text,
    value_text,
)
from nncli.formats.text_values import shown

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import RenderableType
    from rich.table import Table

    Statistics = Mapping[str, Mapping[str, Any]]

MOST_COLUMNS = 8  # beyond which columns without a value are left out
NUMBERS = ("minimum", "mean", "maximum", "std")


def layer_facts(found: Description) -> Mapping[str, Mapping[str, Any]]:
    """What the artifact says of single tensors, by their names; empty if it says nothing."""
    said = found.entry.facts.get("layers") if found.entry else None
    names = {one.name for one in found.tensors or ()}
    if isinstance(said, Mapping) and said and names >= set(said):
        return {name: one for name, one in said.items() if isinstance(one, Mapping)}
    return {}


def tensor_parts(
    found: Description, statistics: "Statistics | None", most: int | None
) -> "list[RenderableType]":
    """The tensors as a table, equal blocks joined if they are many, and their totals.

    Args:
        found: The description.
        statistics: Statistics by the name of the tensor.
        most: How many lines at most, `None` for all.
    """
    said = layer_facts(found)
    lines = in_order(found)
    groups = one_by_one(lines)
    if most is not None and len(groups) > most and not statistics and not said:
        groups = grouped(lines)
    rest = sum(one.count for one in groups[most:]) if most is not None else 0
    drawing = _tensor_table(groups[:most], statistics, said)
    numbers, size = sum(one.numbers for one in lines), sum(one.bytes for one in lines)
    data = found.format in ("npz", "npy") or found.kind not in (None, "checkpoint")
    word = "numbers" if data else "parameters"
    tensors = "1 tensor" if len(lines) == 1 else f"{len(lines):,} tensors"
    total = f"{tensors}, {numbers:,} {word}, {size_text(size)}"
    ends = [marked(f"and {rest:,} more; `--all` lists them", "yellow")] if rest else []
    return [plain(""), drawing, *ends, plain(total)]


def in_order(found: Description) -> Sequence[TensorLine]:
    """The tensors in the order of the network, or as one counts where a file has no order."""
    lines, said = found.tensors or (), layer_facts(found)
    if found.format not in ("safetensors", "folder"):
        return lines

    def place(line: TensorLine) -> tuple[bool, float, object]:
        order = said.get(line.name, {}).get("order")
        known = float(order) if isinstance(order, int) else float("inf")
        return not line.name.startswith("@"), known, natural(line.name)

    return sorted(lines, key=place)


def _tensor_table(
    groups: list[TensorGroup],
    statistics: "Statistics | None",
    said: Mapping[str, Mapping[str, Any]],
) -> "Table":
    extra = [
        key
        for key in dict.fromkeys(key for one in said.values() for key in one)
        if key != "order" and any(one.get(key) not in (None, False) for one in said.values())
    ]
    several = any(one.count > 1 for one in groups)
    numeric = [*NUMBERS, "not finite"] if statistics else ["numbers"]
    heads = [f"layer {key}" if key in ("dtype", "shape") else key for key in extra]
    drawing = _drawing(["tensor", "dtype", "shape", *heads], [*numeric, *(["×"] * several)])
    for one in groups:
        line = one.line
        row = [line.name, line.dtype, " × ".join(map(str, line.shape)) or "scalar"]
        row += [value_text(said.get(line.name, {}).get(key)) for key in extra]
        if statistics:
            row += _statistics_cells(statistics.get(line.name))
        else:
            row.append(f"{line.numbers:,}")
        if several:
            row.append(str(one.count) if one.count > 1 else "")
        drawing.add_row(*(plain(cell) for cell in row))
    return drawing


def _statistics_cells(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return [""] * (len(NUMBERS) + 1)
    odd = [f"{found[key]:,} {key}" for key in ("nan", "infinite") if found[key]]
    return [*(shown(found[key]) for key in NUMBERS), ", ".join(odd) or "0"]


def _drawing(left: Sequence[str], right: Sequence[str]) -> "Table":
    """An empty table with columns of text and columns of numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    drawing = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in left:
        drawing.add_column(plain(name), overflow="fold")
    for name in right:
        drawing.add_column(plain(name), justify="right", no_wrap=True)
    return drawing


def table_parts(found: Description, statistics: "Statistics | None") -> "list[RenderableType]":
    """The columns of a table, with statistics if they are given, and its first rows.

    Args:
        found: The description.
        statistics: Statistics by the name of the column.
    """
    from rich.text import Text

    from nncli.formats.text_tables import text_table

    assert found.head is not None
    columns = found.columns or ()
    parts: list[RenderableType] = [plain("")]
    if statistics:
        drawing = _drawing(["column", "type"], [*NUMBERS, "not finite"])
        for one in columns:
            cells = _statistics_cells(statistics.get(one.name))
            drawing.add_row(*(plain(cell) for cell in (one.name, one.type, *cells)))
        parts += [drawing, plain("")]
    else:
        listed = ", ".join(f"{one.name} {_short_type(one.type)}" for one in columns)
        parts.append(plain(f"columns: {listed}"))
    if found.head.num_rows:
        head, empty = _without_nulls(_safe(found.head))
        parts.append(Text.from_ansi(text_table(head, terminal=True).rstrip("\n")))
        if empty:
            parts.append(marked(f"null in these rows: {', '.join(empty)}", "dim"))
    rest = (found.rows or 0) - found.head.num_rows
    if rest:
        parts.append(marked(f"and {rest:,} more rows; `--rows N` shows N", "yellow"))
    return parts


def _short_type(name: str) -> str:
    """An Arrow type as people read it: `float[10]`, not `fixed_size_list<element: float>[10]`."""
    name = re.sub(r"dictionary<values=(\w+), [^>]*>", r"\1", name)
    name = re.sub(r"fixed_size_list<\w+: ([^<>]*)>(\[\d+\])", r"\1\2", name)
    return re.sub(r"^(?:large_)?list<\w+: ([^<>]*)>$", r"\1[]", name)


def _without_nulls(head: "pa.Table") -> "tuple[pa.Table, list[str]]":
    """Rows without the columns that hold nothing, and the names of those, if that saves room."""
    empty = [name for name in head.column_names if head[name].null_count == head.num_rows]
    if len(head.column_names) <= MOST_COLUMNS or len(empty) == len(head.column_names):
        return head, []
    return head.drop_columns(empty), empty


def _safe(head: "pa.Table") -> "pa.Table":
    """Rows whose text holds nothing but printable characters."""
    import pyarrow as pa

    from nncli.formats.arrow_columns import column as texts

    columns, names = [], []
    for name, column in zip(head.column_names, head.columns, strict=True):
        columns.append(
            column
            if _is_safe(column)
            else texts([_cell(one) for one in column.to_pylist()], pa.string())
        )
        names.append(printable(name))
    return pa.table(columns, names=names)


def _is_safe(column: "pa.ChunkedArray") -> bool:
    """Whether a column can be shown as it is: numbers, or short printable text."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return True
    cells = column.to_pylist() if pa.types.is_string(kind) else [b""]
    return all(one is None or _cell(one) == one for one in cells)


def _cell(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return f"({len(value):,} bytes)"
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{printable(key)}: {_cell(one)}" for key, one in value.items()) + "}"
        )
    text = shown(value) if not isinstance(value, list) else shown([_leaf(one) for one in value])
    text = printable(text)
    if text.startswith(DIGEST):
        return text[: len(DIGEST) + DIGEST_LETTERS]
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def _leaf(value: object) -> object:
    return value if isinstance(value, int | float | list) else _cell(value)


def file_parts(
    files: tuple[Member, ...], most: int | None, *, listed: bool
) -> "list[RenderableType]":
    """The files of a folder or an archive, or how many they are.

    Args:
        files: The files.
        most: How many lines at most, `None` for all.
        listed: Name them.
    """
    if not listed:
        return [plain(f"{len(files):,} file{'s' if len(files) != 1 else ''}; `--all` lists them")]
    drawing = _drawing(["file"], ["bytes"])
    for one in files[:most]:
        drawing.add_row(plain(one.name), f"{one.bytes:,}")
    rest = len(files) - most if most is not None else 0
    ends = [marked(f"and {rest:,} more; `--all` lists them", "yellow")] if rest > 0 else []
    return [plain(""), drawing, *ends]
