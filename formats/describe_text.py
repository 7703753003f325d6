"""A description as text for people: identity, lineage, facts, contents, notes.

Names and values come from files that nobody vouches for, so whatever is not printable is escaped:
no file can move the cursor or colour the screen.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nncli.formats.describe import Description, Member
from nncli.formats.entry import Entry
from nncli.formats.tensor_groups import TensorGroup, grouped, one_by_one
from nncli.formats.text_tables import shown

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

MOST_LINES = 40  # of tensors, facts or files, without `--all`
LONGEST_TEXT = 160
DIGEST_LETTERS = 12
STATISTICS = ("minimum", "mean", "maximum", "std")


def description_text(
    found: Description,
    *,
    digest: str | None = None,
    statistics: Mapping[str, Mapping[str, Any]] | None = None,
    everything: bool = False,
) -> str:
    """A description as lines of text, in colour if standard output is a terminal.

    Args:
        found: The description.
        digest: The digest of the input, if it was asked for.
        statistics: Statistics by the name of the tensor or column, if they were asked for.
        everything: Shorten no list.

    Returns:
        Lines, a newline at the end of each.
    """
    most = None if everything else MOST_LINES
    parts: list[RenderableType] = [_headline(found)]
    if found.entry:
        parts.append(_lineage(found.entry))
    facts = _facts(found, digest)
    if facts:
        parts += [_plain(""), _fact_table(facts, most)]
    if found.tensors is not None:
        parts += _tensors(found, statistics, most)
    if found.columns is not None:
        parts += _table(found, statistics)
    if found.files is not None:
        whole = everything or (found.tensors is None and found.rows is None and not found.metadata)
        parts += _files(found.files, most) if whole else [_plain(f"{len(found.files):,} files")]
    if found.notes:
        parts.append(_plain(""))
    parts += [_marked(f"note: {note}", "yellow") for note in found.notes]
    return _printed(parts)


def printable(text: object) -> str:
    """Text with everything that is not printable escaped."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text)
    )


def size_text(count: int) -> str:
    """A number of bytes as people read it: exact below 10 kB, in powers of 1000 above."""
    if count < 10_000:
        return f"{count:,} bytes"
    size, unit = float(count), ""
    for unit in ("kB", "MB", "GB", "TB", "PB"):  # noqa: B007 -- the last unit is used below
        size /= 1000
        if size < 999.5:
            break
    return f"{size:.3g} {unit}"


def _plain(text: str) -> "Text":
    from rich.text import Text

    return Text(printable(text))


def _marked(text: str, style: str) -> "Text":
    from rich.text import Text

    return Text(printable(text), style=style)


def _headline(found: Description) -> "Text":
    from rich.text import Text

    said = [found.what, size_text(found.bytes)]
    if found.rows is not None:
        said.insert(1, f"{found.rows:,} rows")
    line = Text.assemble((printable(found.name), "bold"), ": ")
    if found.kind:
        line.append(printable(found.kind), "bold cyan").append(" in ")
    return line.append(printable(", ".join(said)))


def _lineage(entry: Entry) -> "Tree":
    from rich.tree import Tree

    tree = Tree(_made_by(entry.to_dict()), guide_style="dim")
    _grow(tree, entry.inputs)
    return tree


def _grow(tree: "Tree", inputs: Sequence[Mapping[str, Any]]) -> None:
    from rich.text import Text

    for one in inputs:
        digest = str(one.get("digest", "")).removeprefix("sha256:")[:DIGEST_LETTERS]
        line = Text.assemble((printable(one.get("name", "?")), "bold"), (f" {digest}", "dim"))
        made = one.get("entry")
        if isinstance(made, Mapping):
            line.append(f" {printable(made.get('kind', ''))}", "cyan")
            branch = tree.add(line.append(": ").append(_made_by(made)))
            _grow(branch, [part for part in made.get("inputs", ()) if isinstance(part, Mapping)])
        else:
            tree.add(line)


def _made_by(entry: Mapping[str, Any]) -> "Text":
    import shlex

    from rich.text import Text

    words = shlex.join(printable(word) for word in entry.get("command", ()))
    line = Text(f"nncli {words}" if words else "made without a command", style="green")
    said = [f"nncli {entry['version']}"] if entry.get("version") else []
    if entry.get("seed") is not None:
        said.append(f"seed {entry['seed']}")
    return line.append(printable(f"  ({', '.join(said)})"), "dim") if said else line


def _facts(found: Description, digest: str | None) -> list[tuple[str, str]]:
    """Names and values of everything that is said about the file, in one list."""
    said: dict[str, Any] = {"digest": digest} if digest else {}
    said |= found.entry.facts if found.entry else {}
    if _layer_facts(found):
        said.pop("layers", None)
    said |= found.metadata
    whole = {"digest"} if digest else set()
    lines = [(key, _value(one, whole=key in whole)) for key, one in said.items()]
    return [(printable(key), value) for key, value in lines if value]


def _value(value: object, *, whole: bool = False) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        text = ", ".join(f"{key} {_value(one)}" for key, one in value.items() if one is not None)
    elif isinstance(value, list | tuple):
        text = ", ".join(_value(one) for one in value)
    elif isinstance(value, float):
        text = shown(value)
    else:
        text = str(value)
    text = printable(" ".join(text.split()))
    if text.startswith("sha256:") and not whole:
        return text[: len("sha256:") + DIGEST_LETTERS]
    if len(text) > LONGEST_TEXT:
        return f"{text[:LONGEST_TEXT]}... ({len(text):,} characters; `-f json` has all)"
    return text


def _fact_table(facts: list[tuple[str, str]], most: int | None) -> "Table":
    from rich.table import Table

    drawing = Table.grid(padding=(0, 2))
    drawing.add_column(style="cyan", no_wrap=True)
    drawing.add_column(overflow="fold")
    for key, value in facts[:most]:
        drawing.add_row(_plain(key), _plain(value))
    if most is not None and len(facts) > most:
        drawing.add_row(f"and {len(facts) - most} more; `--all`", "")
    return drawing


def _layer_facts(found: Description) -> Mapping[str, Mapping[str, Any]]:
    """What the artifact says of single tensors, by their names."""
    said = found.entry.facts.get("layers") if found.entry else None
    names = {one.name for one in found.tensors or ()}
    if isinstance(said, Mapping) and said and names >= set(said):
        return {name: one for name, one in said.items() if isinstance(one, Mapping)}
    return {}


def _tensors(
    found: Description, statistics: Mapping[str, Mapping[str, Any]] | None, most: int | None
) -> "list[RenderableType]":
    lines = found.tensors or ()
    said = _layer_facts(found)
    groups = one_by_one(lines)
    if most is not None and len(groups) > most and not statistics and not said:
        groups = grouped(lines)
    rest = sum(one.count for one in groups[most:]) if most is not None else 0
    drawing = _tensor_table(groups[:most], statistics, said)
    numbers, size = sum(one.numbers for one in lines), sum(one.bytes for one in lines)
    data = found.format in ("npz", "npy") or found.kind not in (None, "checkpoint")
    word = "numbers" if data else "parameters"
    total = f"{len(lines):,} tensors, {numbers:,} {word}, {size_text(size)}"
    ends = [_marked(f"and {rest:,} more; `--all` lists them", "yellow")] if rest else []
    return [_plain(""), drawing, *ends, _plain(total)]


def _tensor_table(
    groups: list[TensorGroup],
    statistics: Mapping[str, Mapping[str, Any]] | None,
    said: Mapping[str, Mapping[str, Any]],
) -> "Table":
    extra = list(dict.fromkeys(key for one in said.values() for key in one))
    several = any(one.count > 1 for one in groups)
    numeric = [*STATISTICS, "not finite"] if statistics else ["numbers"]
    drawing = _drawing(["tensor", "dtype", "shape", *extra], [*numeric, *(["×"] * several)])
    for one in groups:
        line = one.line
        row = [line.name, line.dtype, " × ".join(map(str, line.shape)) or "scalar"]
        row += [_value(said.get(line.name, {}).get(key)) for key in extra]
        if statistics:
            row += _statistics_cells(statistics.get(line.name))
        else:
            row.append(f"{line.numbers:,}")
        if several:
            row.append(str(one.count) if one.count > 1 else "")
        drawing.add_row(*(_plain(cell) for cell in row))
    return drawing


def _statistics_cells(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return [""] * (len(STATISTICS) + 1)
    odd = [f"{found[key]:,} {key}" for key in ("nan", "infinite") if found[key]]
    return [*(shown(found[key]) for key in STATISTICS), ", ".join(odd) or "0"]


def _drawing(left: Sequence[str], right: Sequence[str]) -> "Table":
    """An empty table with columns of text and columns of numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    drawing = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in left:
        drawing.add_column(_plain(name), overflow="fold")
    for name in right:
        drawing.add_column(_plain(name), justify="right", no_wrap=True)
    return drawing


def _table(
    found: Description, statistics: Mapping[str, Mapping[str, Any]] | None
) -> "list[RenderableType]":
    from rich.text import Text

    from nncli.formats.text_tables import text_table

    assert found.head is not None
    columns = found.columns or ()
    parts: list[RenderableType] = [_plain("")]
    if statistics:
        drawing = _drawing(["column", "type"], [*STATISTICS, "not finite"])
        for one in columns:
            cells = _statistics_cells(statistics.get(one.name))
            drawing.add_row(*(_plain(cell) for cell in (one.name, one.type, *cells)))
        parts.append(drawing)
    else:
        parts.append(_plain("columns: " + ", ".join(f"{one.name} {one.type}" for one in columns)))
    if found.head.num_rows:
        parts.append(Text.from_ansi(text_table(_safe(found.head), terminal=True).rstrip("\n")))
    rest = (found.rows or 0) - found.head.num_rows
    if rest:
        parts.append(_marked(f"and {rest:,} more rows; `--rows N` shows N", "yellow"))
    return parts


def _safe(head: "pa.Table") -> "pa.Table":
    """Rows whose text holds nothing but printable characters."""
    import pyarrow as pa

    columns, names = [], []
    for name, column in zip(head.column_names, head.columns, strict=True):
        kind = column.type
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        cells = column if number else [_cell(one) for one in column.to_pylist()]
        columns.append(cells)
        names.append(printable(name))
    return pa.table(columns, names=names)


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
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def _leaf(value: object) -> object:
    return value if isinstance(value, int | float | list) else _cell(value)


def _files(files: tuple[Member, ...], most: int | None) -> "list[RenderableType]":
    drawing = _drawing(["file"], ["bytes"])
    for one in files[:most]:
        drawing.add_row(_plain(one.name), f"{one.bytes:,}")
    rest = len(files) - most if most is not None else 0
    ends = [_marked(f"and {rest:,} more; `--all` lists them", "yellow")] if rest > 0 else []
    return [_plain(""), drawing, *ends]


def _printed(parts: "Sequence[RenderableType]") -> str:
    from rich.console import Console

    outer = Console()
    text = io.StringIO()
    console = Console(
        file=text,
        width=outer.width if outer.is_terminal else 10_000,
        force_terminal=outer.is_terminal,
        no_color=outer.no_color,
        color_system="standard" if outer.is_terminal else None,
        highlight=False,
    )
    for part in parts:
        console.print(part, soft_wrap=not outer.is_terminal)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())
