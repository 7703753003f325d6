"""`nncli triage split`: how many cases to automate, in which order."""

import click

from nncli import options


@click.command("split", cls=options.Command)
def command() -> None:
    """Say how many cases to automate, in which order."""
