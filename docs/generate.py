"""Writes the generated parts of the pages: the options of each command, from its own help.

In a page, the text between `<!-- help: NAME -->` and `<!-- end -->` is replaced. Run it with
`make docs`; a test fails when a page is stale.
"""

import re
import sys
from pathlib import Path

import click

from nncli.cli import cli

HERE = Path(__file__).parent
PAGES = [*sorted(HERE.glob("*.md")), HERE.parent / "README.md"]
BLOCK = re.compile(r"<!-- help: (?P<name>[\w -]+) -->\n.*?<!-- end -->", re.DOTALL)


def help_text(name: str) -> str:
    """The help of one command, as it prints at a width of 100 columns."""
    context, command = click.Context(cli, info_name="nncli"), cli
    for word in name.split():
        command = command.get_command(context, word) if isinstance(command, click.Group) else None
        if command is None:
            raise SystemExit(f"a page asks for the help of `{name}`, which is no command")
        settings = {**command.context_settings, "terminal_width": 100, "max_content_width": 100}
        context = click.Context(command, parent=context, info_name=word, **settings)
    return command.get_help(context)


def filled(page: str) -> str:
    """A page with every generated block made anew."""

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- help: {name} -->\n```text\n{help_text(name)}\n```\n<!-- end -->"

    return BLOCK.sub(block, page)


def main() -> None:
    """Write every page that changed, and say which."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            path.write_text(new, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(HERE.parent)}\n")


if __name__ == "__main__":
    main()
