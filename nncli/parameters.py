"""What a value on the command line may be, and how it completes.

As cheap to import as click: every command's `--help` pays for it.
"""

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from nncli.errors import closest

FARTHEST = 1e15  # radius, in units of the input: the square of much more is infinite in float32


class Artifact(click.ParamType[str]):
    """An input: a path or `-`. Whether it is there is for whoever opens it to say."""

    name = "file"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the shell's own file names."""
        return [CompletionItem(incomplete, type="file")]


class Folder(Artifact):
    """An output folder."""

    name = "folder"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the shell's own folder names."""
        return [CompletionItem(incomplete, type="dir")]


class Finite(click.FloatRange):
    """A number in a range, which "nan" and "inf" are not: comparisons let the former through."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Accept a finite number in the range."""
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{found} is no finite number", param, ctx)
        return found


class Radius(Finite):
    """The radius of a ball around inputs, not below 0."""

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Accept a number whose square float32 holds."""
        found = super().convert(value, param, ctx)
        if found > FARTHEST:
            self.fail(f"{found:g} is farther than {FARTHEST:g}, which is the most", param, ctx)
        return found


class Choice(click.ParamType[str]):
    """One of a few names, with a did-you-mean.

    Args:
        names: The names, or `module:NAME` of a mapping or sequence of them, imported only when a
            value is checked or completed, so that help does not pay for it.
        metavar: How the help calls a value when the names are imported late.
    """

    name = "choice"

    def __init__(self, names: Sequence[str] | str, metavar: str = "NAME") -> None:
        self._names = names
        self._metavar = metavar

    def names(self) -> list[str]:
        """The names there are."""
        if not isinstance(self._names, str):
            return list(self._names)
        module, name = self._names.split(":")
        return list(getattr(import_module(module), name))

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The names as the help shows them."""
        return self._metavar if isinstance(self._names, str) else f"[{'|'.join(self._names)}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept a known name, or say which was probably meant."""
        known = self.names()
        if value not in known:
            self.fail(f"`{value}` is not known; {closest(value, known)}", param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the names."""
        return [CompletionItem(name) for name in self.names() if name.startswith(incomplete)]


class Measure(Choice):
    """A name of a measure or group of measures, with or without settings behind a colon."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept what begins with a known name; the settings are for the measure to read."""
        super().convert(value.partition(":")[0], param, ctx)
        return value


class BatchSize(click.ParamType[int | None]):
    """A number of examples, or `auto`, which leaves it to the command."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Accept `auto` or a positive integer."""
        if value == "auto":
            return None
        return click.IntRange(min=1).convert(value, param, ctx)


class Selection(click.ParamType[Any]):
    """A text that a function of `nncli.selections` reads."""

    name = "selection"

    def __init__(self, reader: str) -> None:
        self.reader = reader

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        reader: Callable[[str], Any] = getattr(import_module("nncli.selections"), self.reader)
        try:
            return reader(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Target(click.ParamType[Any]):
    """The class that an attack drives examples to, or `least-likely`."""

    name = "class"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Accept the word or a whole number."""
        if isinstance(value, int) or value == "least-likely":
            return value
        if not str(value).isdecimal():
            self.fail(f"`{value}` is no class: 0, 1, ... or `least-likely`", param, ctx)
        return int(value)


class LayerGlob(click.ParamType[str]):
    """A glob over layer names; completes to those of the capture or network on the line."""

    name = "glob"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the layer names of the first file on the line (click hides it among the rest)."""
        from nncli.formats.completing import module_names, tensor_names

        given = [word for value in ctx.params.values() for word in _words(value)]
        runs = any(one.name == "arch" for one in ctx.command.params)  # it runs a network
        names = (module_names if runs else tensor_names)([*given, *ctx.args])
        return [CompletionItem(name, help=h) for name, h in names if name.startswith(incomplete)]


def _words(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, tuple) else []
