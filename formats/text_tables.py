"""Tables as text: aligned for a terminal, or Markdown for a page."""

import io
import json
import re

import pyarrow as pa

DIGITS = 6  # significant digits shown to people; files keep all
LIST_ITEMS = 4
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def shown(value: object) -> str:
    """One value as a person reads it: a number to six digits, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{DIGITS}g}"
    if isinstance(value, list):
        more = f", ... {len(value)}" if len(value) > LIST_ITEMS else ""
        return "[" + ", ".join(shown(one) for one in value[:LIST_ITEMS]) + more + "]"
    text = json.dumps(value, default=str) if isinstance(value, dict) else str(value)
    # a foreign file must not move the cursor of the terminal it is shown on
    return CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def text_table(data: pa.Table, *, markdown: bool = False, terminal: bool = False) -> str:
    """A table as aligned text.

    Args:
        data: The rows.
        markdown: Draw it in GitHub's Markdown.
        terminal: It goes to standard output: use the colours and the width of the terminal there,
            if it is one.

    Returns:
        Lines, a newline at the end of each.
    """
    from rich.box import MARKDOWN, SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawing = Table(
        box=MARKDOWN if markdown else SIMPLE_HEAD, pad_edge=markdown, show_edge=markdown
    )

    def cell(value: object) -> Text:
        return Text(shown(value).replace("|", "\\|") if markdown else shown(value))

    for field in data.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        drawing.add_column(
            cell(field.name),
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=number,
        )
    for row in zip(*(column.to_pylist() for column in data.columns), strict=True):
        drawing.add_row(*map(cell, row))
    outer = Console()
    live = terminal and outer.is_terminal
    text = io.StringIO()
    console = Console(
        file=text,
        width=outer.width if live else 10_000,
        force_terminal=live,
        no_color=outer.no_color,
        color_system="standard" if live else None,
    )
    console.print(drawing)
    lines = text.getvalue().split("\n")[:-1]
    if markdown:  # its box has an empty line above and below
        lines = lines[1:-1]
    return "".join(line.rstrip() + "\n" for line in lines)
