"""What an artifact records of the command that made it: its arguments, inputs and seed."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nncli import __version__

if TYPE_CHECKING:
    from nncli.formats.entry import Entry

GIVEN = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)
# options that cannot change what an artifact says, and so are not recorded in it
UNRECORDED = {
    *("output", "overwrite", "table_format", "matrix"),
    *("quiet", "verbose", "help", "jobs", "threads"),
    # further outputs
    *("per_example", "adversarial", "curve", "assignment", "effort", "case_scores"),
    "fitted_model",
}


def entry(
    kind: str, *, schema: int = 1, inputs: Iterable[Any] = (), seed: int | None = None, **facts: Any
) -> "Entry":
    """The metadata entry of an artifact that the running command makes.

    Args:
        kind: What the artifact is.
        schema: Version of the layout of that kind.
        inputs: What it was made from: objects with a `name`, a `digest` and an `entry`.
        seed: The seed, if chance was involved.
        facts: What readers of the kind need; JSON values.

    Returns:
        The entry, without anything that differs between equal runs.
    """
    from nncli.formats.entry import Entry

    return Entry(
        kind=kind,
        schema=schema,
        command=tuple(command_line(click.get_current_context())),
        version=__version__,
        inputs=tuple(_input(one) for one in inputs),
        seed=seed,
        facts=facts,
    )


def _input(one: Any) -> dict[str, Any]:
    found = {"name": portable(one.name), "digest": one.digest}
    parent = getattr(one, "entry", None)
    return {**found, "entry": parent.as_parent()} if parent is not None else found


def without_descriptor(name: str) -> str:
    """`-` for any pipe, whatever its number, and other names as they are."""
    return "-" if name.startswith(("/dev/fd/", "/proc/self/fd/", "/dev/stdin")) else name


def portable(name: str) -> str:
    """A name as artifacts record it: pipes are `-`, absolute paths lose their folders."""
    name = without_descriptor(name)
    name = os.fsencode(name).decode("utf-8", "replace")  # Linux allows any bytes in file names
    return Path(name).name if Path(name).is_absolute() else name


def command_line(ctx: click.Context) -> list[str]:
    """The arguments that were given, in the order of the help, less those that change nothing."""
    words = ctx.command_path.removeprefix("nncli ").split()
    for param in ctx.command.params:
        name = param.name or ""
        if ctx.get_parameter_source(name) in GIVEN and param.expose_value:
            words += _recorded(param, ctx.params.get(name))
    return words


def _recorded(param: click.Parameter, value: Any) -> list[str]:
    """One parameter as words of a command line."""
    if param.name in UNRECORDED or value is None:
        return []
    if isinstance(param, click.Option) and param.is_flag:
        names = param.opts if value else param.secondary_opts
        return [max(names, key=len)] if names else []
    flag = [max(param.opts, key=len)] if isinstance(param, click.Option) else []
    words = []
    for one in value if param.multiple else [value]:
        parts = one if isinstance(one, tuple) else (one,)
        words += [*flag, *(portable(str(part)) for part in parts if part is not None)]
    return words
