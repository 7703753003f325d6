"""Groups of subcommands, which are found without being imported.

As cheap to import as click: every command's `--help` pays for it.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from nncli.errors import UsageError, closest


class Subcommand(NamedTuple):
    """Where a subcommand lives and what it is for, so that help need not import it."""

    module: str
    summary: str


class Group(click.Group):
    """Subcommands in a table.

    Attributes:
        table: Where each lives, by its name.
        package: The package that their modules are in.
    """

    def __init__(
        self, *args: Any, table: Mapping[str, Subcommand], package: str, **settings: Any
    ) -> None:
        told = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}
        settings["context_settings"] = {**told, **settings.get("context_settings", {})}
        super().__init__(*args, **settings)
        self.table = table
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the built-in subcommands."""
        return sorted(self.table)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one subcommand."""
        if name not in self.table:
            return None
        module = import_module(f"{self.package}.{self.table[name].module}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand, or say which one was probably meant."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and (ctx.resilient_parsing or name.startswith("-")):
            return super().resolve_command(ctx, args)
        if command is None:
            within = ctx.command_path.partition(" ")[2]
            raise UsageError(
                f"there is no command `{f'{within} {name}'.strip()}`; {closest(name, self.table)}",
                hint=f"`{ctx.command_path} --help` lists the commands",
            )
        return name, command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.summary) for name, one in self.table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the subcommands, from the table, and the options."""
        known = [CompletionItem(name, help=one.summary) for name, one in self.table.items()]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [item for item in known if item.value.startswith(incomplete)] + options
