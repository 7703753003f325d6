"""A description as text for people: identity, lineage, facts, contents, notes.

Names and values come from files that nobody vouches for, so whatever is not printable is escaped:
no file can move the cursor or colour the screen.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nncli.formats.describe import Description
from nncli.formats.describe_contents import file_parts, layer_facts, table_parts, tensor_parts
from nncli.formats.describe_lineage import lineage
from nncli.formats.text_parts import marked, plain, printable, size_text, value_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

MOST_LINES = 40  # of tensors, facts or files, without `--all`


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
        parts.append(lineage(found.entry, everything=everything))
    facts = _facts(found, digest)
    if facts:
        parts += [plain(""), _fact_table(facts, most)]
    if found.tensors is not None:
        parts += tensor_parts(found, statistics, most)
    if found.columns is not None:
        parts += table_parts(found, statistics)
    if found.files is not None:
        alone = found.tensors is None and found.rows is None and not found.metadata
        parts += file_parts(found.files, most, listed=everything or alone)
    if found.notes:
        parts.append(plain(""))
    parts += [marked(f"note: {note}", "yellow") for note in found.notes]
    return _printed(parts)


def _headline(found: Description) -> "Text":
    from rich.text import Text

    said = [found.what, size_text(found.bytes)]
    if found.rows is not None and found.files is None:
        said.insert(1, f"{found.rows:,} rows")
    line = Text.assemble((printable(found.name), "bold"), ": ")
    if found.kind:
        line.append(printable(found.kind), "bold cyan").append(" in ")
    return line.append(printable(", ".join(said)))


def _facts(found: Description, digest: str | None) -> list[tuple[str, str]]:
    """Names and values of everything that is said about the file, in one list."""
    said: dict[str, Any] = {"digest": digest} if digest else {}
    said |= found.entry.facts if found.entry else {}
    if layer_facts(found):
        said.pop("layers", None)
    said |= found.metadata
    whole = {"digest"} if digest else set()
    lines = [(key, value_text(one, whole=key in whole)) for key, one in said.items()]
    return [(printable(key), value) for key, value in lines if value]


def _fact_table(facts: list[tuple[str, str]], most: int | None) -> "Table":
    from rich.table import Table

    drawing = Table.grid(padding=(0, 2))
    drawing.add_column(style="cyan", no_wrap=True)
    drawing.add_column(overflow="fold")
    for key, value in facts[:most]:
        drawing.add_row(plain(key), plain(value))
    if most is not None and len(facts) > most:
        drawing.add_row(f"and {len(facts) - most} more; `--all`", "")
    return drawing


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
