"""What every subcommand is: a click command that can be quiet, verbose and asked for help."""

from typing import Any

import click

from nncli.errors import NncliWarning


class Command(click.Command):
    """A subcommand: a click command with the options that every one of them has."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        settings.setdefault("context_settings", {"max_content_width": 100})
        settings["context_settings"].setdefault("help_option_names", ["-h", "--help"])
        super().__init__(*args, **settings)
        self.params += [_quiet(), _verbose()]


def _quiet() -> click.Option:
    def silence(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            import warnings

            ctx.meta["nncli.quiet"] = True
            warnings.simplefilter("ignore", NncliWarning)

    help_text = "No warnings and no progress on standard error."
    return click.Option(
        ["-q", "--quiet"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=silence,
        help=help_text,
    )


def _verbose() -> click.Option:
    def speak(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            import warnings

            warnings.simplefilter("default")

    return click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        expose_value=False,
        callback=speak,
        help="Show the warnings of the libraries underneath too.",
    )
