"""`nncli triage`: which cases go to the model, which to people, and how many people."""

import click

from nncli.groups import Group, Subcommand

SUBCOMMANDS = {
    "evaluate": Subcommand("evaluate", "Say what a score is worth for handing cases on."),
    "second-opinion": Subcommand("second_opinion", "Say about which cases people will differ."),
    "split": Subcommand("split", "Say how many cases to automate, in which order."),
}


@click.group("triage", cls=Group, table=SUBCOMMANDS, package="nncli.commands.triage")
def command() -> None:
    """Say which cases go to the model and which to people.

    A model errs on some cases and people on others. Each of these commands answers one question
    about who should have which case.

    \b
    Examples:
      nncli triage split predictions.parquet --human ratings.parquet
      nncli triage split predictions.parquet --human ratings.parquet --curve curve.parquet
    """
