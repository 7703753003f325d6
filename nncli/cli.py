"""The root command: finds subcommands without importing them, and turns errors into exit codes."""

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from nncli import __version__
from nncli.errors import EnvironmentFault, NncliError, NncliWarning
from nncli.exits import Terminated, exit_code_of, flush, handle_signals, show_warning
from nncli.groups import Group, Subcommand

COMPLETE = "_NNCLI_COMPLETE"


COMMANDS = {
    "attack": Subcommand("attack", "Say how near to examples networks err."),
    "bias-variance": Subcommand(
        "bias_variance", "Split the risk of models into bias and variance."
    ),
    "capture": Subcommand("capture", "Run checkpoints over data and keep the activations."),
    "cluster": Subcommand("cluster", "Say which networks of a population are near one another."),
    "compare": Subcommand("compare", "Compare two captures, layer by layer."),
    "compare-test": Subcommand("compare_test", "Say which measure of similarity to believe."),
    "completion": Subcommand("completion", "Print the completion script of a shell."),
    "merge": Subcommand("merge", "Add up sums over examples from shards."),
    "plot": Subcommand("plot", "Draw the natural picture of an artifact."),
    "predict": Subcommand("predict", "Run checkpoints over data and keep what they answer."),
    "probe": Subcommand("probe", "Say what can be read off each layer, with controls."),
    "show": Subcommand("show", "Say what is in an artifact or foreign file."),
    "train": Subcommand("train", "Train small reference networks to study."),
    "verify": Subcommand("verify", "Prove what networks cannot do, or show the input that does."),
    "triage": Subcommand("triage", "Say which cases go to the model and which to people."),
}
PLUGINS = "nncli.commands"


class Root(Group):
    """The group of all subcommands."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one subcommand; plugins are looked up only when a name is unknown."""
        if name in COMMANDS:
            return super().get_command(ctx, name)
        from importlib.metadata import entry_points

        for point in entry_points(group=PLUGINS, name=name):
            try:
                plugin: click.Command = point.load()
            except Exception as error:  # somebody else's code, which may fail in any way
                raise EnvironmentFault(
                    f"the plugin command `{name}` cannot be loaded from `{point.value}`: {error}",
                    hint="bring the package that brings it up to date, or remove it",
                ) from error
            return plugin
        return None

    def main(  # type: ignore[override]  # we always end the process
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        **extra: Any,
    ) -> None:
        """Run a command line and end the process with its exit code."""
        if os.environ.get(COMPLETE):
            self._complete()
        arguments = list(sys.argv[1:] if args is None else args)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", NncliWarning)
            warnings.showwarning = show_warning  # type: ignore[assignment]  # fewer arguments
            sys.exit(self._guarded(arguments, **extra))

    def _complete(self) -> None:
        """Answer the shell; whatever goes wrong, a person at TAB must not see a traceback."""
        try:
            self._main_shell_completion({}, "nncli", COMPLETE)
        except Exception:
            if os.environ.get("NNCLI_TRACEBACK"):
                raise
            sys.exit(NncliError.exit_code)

    def _guarded(self, arguments: list[str], **extra: Any) -> int:
        """Run, and turn whatever escapes into a message and an exit code."""
        try:
            return self._run(arguments, **extra)
        except (Exception, KeyboardInterrupt, Terminated) as error:
            return exit_code_of(error)

    def _run(self, arguments: list[str], **extra: Any) -> int:
        try:
            with self.make_context("nncli", arguments, **extra) as context:
                self.invoke(context)
        except click.exceptions.Exit as done:
            return done.exit_code
        finally:
            flush()
        return 0


@click.group(
    cls=Root,
    table=COMMANDS,
    package=PLUGINS,
    epilog="`nncli COMMAND --help` explains a command. A `-` stands for standard input or output.",
)
@click.version_option(__version__, "-V", "--version", message="nncli %(version)s")
def cli() -> None:
    """Find out how neural networks behave.

    Each command answers one question, reads and writes safetensors (tensors) and Parquet
    (tables), and joins with the others by files and pipes.
    """


def main() -> None:
    """The entry point of the `nncli` script."""
    handle_signals()
    cli.main()
