"""The root command: finds subcommands without importing them, and turns errors into exit codes."""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

import click

from nncli import __version__
from nncli.errors import NncliError, NncliWarning, UsageError, closest

CLOSED_PIPE = 141
INTERRUPTED = 130
OUR_BUG = 70
ISSUES = "https://github.com/nncli/nncli/issues"


class Subcommand(NamedTuple):
    """Where a subcommand lives and what it is for, so that help need not import it."""

    module: str
    summary: str


COMMANDS = {
    "capture": Subcommand("capture", "Run checkpoints over data and keep the activations."),
    "compare": Subcommand("compare", "Compare two captures, layer by layer."),
    "completion": Subcommand("completion", "Print the completion script of a shell."),
    "plot": Subcommand("plot", "Draw the natural picture of an artifact."),
    "predict": Subcommand("predict", "Run checkpoints over data and keep what they answer."),
    "show": Subcommand("show", "Say what is in an artifact or foreign file."),
    "train": Subcommand("train", "Train small reference networks to study."),
}
PLUGINS = "nncli.commands"


class Root(click.Group):
    """The group of all subcommands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the built-in subcommands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one subcommand; plugins are looked up only when a name is unknown."""
        if name in COMMANDS:
            module = import_module(f"nncli.commands.{COMMANDS[name].module}")
            command: click.Command = module.command
            return command
        from importlib.metadata import entry_points

        for point in entry_points(group=PLUGINS, name=name):
            plugin: click.Command = point.load()
            return plugin
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand, or say which one was probably meant."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            if name.startswith("-"):
                return super().resolve_command(ctx, args)
            raise UsageError(
                f"there is no command `{name}`; {closest(name, COMMANDS)}",
                hint="`nncli --help` lists the commands",
            )
        return name, command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.summary) for name, one in COMMANDS.items()])

    def main(  # type: ignore[override]  # we always end the process
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        **extra: Any,
    ) -> None:
        """Run a command line and end the process with its exit code."""
        if "_NNCLI_COMPLETE" in os.environ:
            self._main_shell_completion({}, "nncli", "_NNCLI_COMPLETE")
        arguments = list(sys.argv[1:] if args is None else args)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", NncliWarning)
            warnings.showwarning = show_warning  # type: ignore[assignment]  # fewer arguments
            sys.exit(self._guarded(arguments, **extra))

    def _guarded(self, arguments: list[str], **extra: Any) -> int:
        """Run, and turn whatever escapes into a message and an exit code."""
        try:
            return self._run(arguments, **extra)
        except (click.ClickException, NncliError) as error:
            return report(error)
        except BrokenPipeError:
            return _closed_pipe()
        except (KeyboardInterrupt, click.Abort):
            return _interrupted()
        except Exception as error:  # the last resort, so that no traceback passes for an answer
            return _our_bug(error)

    def _run(self, arguments: list[str], **extra: Any) -> int:
        try:
            with self.make_context("nncli", arguments, **extra) as context:
                self.invoke(context)
        except click.exceptions.Exit as done:
            return done.exit_code
        finally:
            sys.stdout.flush()
        return 0


def show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any
) -> None:
    """Print a warning as one line on standard error."""
    text = message if issubclass(category, NncliWarning) else f"{category.__name__}: {message}"
    click.echo(f"nncli: warning: {text}", err=True)


def report(error: click.ClickException | NncliError) -> int:
    """Print an error, and the way out if there is one, on standard error.

    Args:
        error: Ours, or one of click's, which is put into our words.

    Returns:
        The exit code.
    """
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return UsageError.exit_code
    if isinstance(error, NncliError):
        _print_error(error.message, error.hint)
        return error.exit_code
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    hint = f"see `{context.command_path} --help`" if context else None
    _print_error(message[:1].lower() + message[1:].replace("'", "`"), hint)
    return UsageError.exit_code if isinstance(error, click.UsageError) else NncliError.exit_code


def _print_error(message: str, hint: str | None) -> None:
    click.echo(f"{_coloured('nncli: error:', 'red')} {message}", err=True)
    if hint:
        click.echo(f"{_coloured('hint:', 'cyan')} {hint}", err=True)


def _coloured(text: str, colour: str) -> str:
    plain = os.environ.get("NO_COLOR") or not sys.stderr.isatty()
    return text if plain else click.style(text, fg=colour, bold=True)


def _closed_pipe() -> int:
    """End silently, as a process killed by SIGPIPE; Python must not flush into the pipe again."""
    with suppress(OSError, ValueError):  # without a descriptor there is nothing left to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return CLOSED_PIPE


def _interrupted() -> int:
    """Die by the signal itself, so that shell loops stop too."""
    if sys.stderr.isatty():
        click.echo("", err=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    return INTERRUPTED


def _our_bug(error: Exception) -> int:
    if os.environ.get("NNCLI_TRACEBACK"):
        import traceback

        traceback.print_exc()
    reason = " ".join(str(error).split()) or "no message"
    _print_error(
        f"a bug in nncli: {type(error).__name__}: {reason}",
        f"report it at {ISSUES} with the output of the same command under `NNCLI_TRACEBACK=1`",
    )
    return OUR_BUG


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
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
    cli.main()
