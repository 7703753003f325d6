"""What is asked of the arguments of one call together, and which of them the user gave."""

import os
from collections.abc import Iterable

import click

from nncli.errors import UsageError
from nncli.options.lineage import GIVEN


def typed(*names: str) -> list[str]:
    """Those of some options of the running command that the user gave, as `--flag`."""
    ctx = click.get_current_context()
    given = [one for one in ctx.command.params if ctx.get_parameter_source(one.name or "") in GIVEN]
    return [max(one.opts, key=len) for one in given if one.name in names]


def demand_one_stdin(*names: str) -> None:
    """Refuse `-` for more than one input.

    Raises:
        UsageError: Two inputs want standard input.
    """
    if sum(name == "-" for name in names) > 1:
        raise UsageError(
            "only one input can be standard input", hint="use files, or `<(command)` for the other"
        )


def demand_other_output(output: str, inputs: Iterable[str]) -> None:
    """Refuse to write over what is read.

    Raises:
        UsageError: The output is one of the inputs.
    """
    if not os.path.isfile(output):
        return
    for name in inputs:
        if os.path.isfile(name) and os.path.samefile(output, name):
            raise UsageError(
                f"`{output}` is an input, and would be replaced",
                hint="choose another name for `-o`",
            )
