"""The options that commands share, each defined once, and what goes with them.

Importing this module must stay as cheap as importing click: every command's `--help` pays for it.
"""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nncli import __version__
from nncli.errors import NncliWarning, UsageError
from nncli.parameters import Artifact, BatchSize, Folder, LayerGlob
from nncli.parameters import Choice as Choice  # noqa: PLC0414 -- commands ask for it here
from nncli.parameters import Finite as Finite  # noqa: PLC0414 -- and for it
from nncli.parameters import Measure as Measure  # noqa: PLC0414 -- and for it
from nncli.parameters import Target as Target  # noqa: PLC0414 -- and for it

if TYPE_CHECKING:
    from nncli.formats.entry import Entry

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
GIVEN = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)
# options that cannot change what an artifact says, and so are not recorded in it
UNRECORDED = {
    "output",
    "overwrite",
    "quiet",
    "verbose",
    "jobs",
    "threads",
    "table_format",
    "matrix",
    "per_example",
    "adversarial",
    "help",
} | {"curve", "assignment", "effort", "case_scores", "fitted_model"}


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


def _set_threads(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    """Limit the libraries before they are imported, and torch also after."""
    if value is not None:
        for name in THREAD_VARIABLES:
            os.environ[name] = str(value)
        if "torch" in sys.modules:
            import torch

            torch.set_num_threads(value)
    return value


artifact = Artifact()
folder = Folder()

data = click.option(
    "--data",
    default="digits",
    show_default=True,
    metavar="SPEC",
    help="Dataset: `digits`, a file (artifact, .npz, Parquet, CSV), a folder, `hf:NAME` or "
    "`spheres:DIMENSION`.",
)
split = click.option(
    "--split",
    type=Choice(["train", "test", "all"]),
    default="all",
    show_default=True,
    help="Part of the dataset, the same for everybody.",
)
limit = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N examples."
)
layers = click.option(
    "--layer",
    "layers",
    type=LayerGlob(),
    multiple=True,
    metavar="GLOB",
    help="Layers by name, such as 'block.*' (repeatable); '**' crosses dots.",
)
seed = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of all chance.",
)
device = click.option(
    "--device",
    type=Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    envvar="NNCLI_DEVICE",
    help="Where networks run.",
)
dtype = click.option(
    "--dtype",
    type=Choice(["float32", "float16", "bfloat16", "float64"]),
    default="float32",
    show_default=True,
    help="Type of the numbers written.",
)
batch_size = click.option(
    "--batch-size",
    type=BatchSize(),
    default="auto",
    show_default=True,
    metavar="N|auto",
    help="Examples per forward pass; auto goes by the size of the activations.",
)
jobs = click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Work on N things side by side."
)
threads = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    is_eager=True,
    callback=_set_threads,
    help="Threads of the linear algebra.  [default: all cores]",
)
output = click.option(
    "-o",
    "--output",
    type=artifact,
    default="-",
    metavar="FILE",
    help="Where to write.  [default: standard output]",
)
table_format = click.option(
    "-f",
    "--format",
    "table_format",
    type=Choice(["auto", "parquet", "csv", "jsonl", "json", "table", "markdown"]),
    default="auto",
    show_default=True,
    help="Format of the table; auto goes by the suffix, a terminal (text) or a pipe (Parquet).",
)
overwrite = click.option(
    "--overwrite", is_flag=True, help="Replace an existing file even if nncli did not write it."
)
arch = click.option(
    "--arch",
    metavar="SPEC",
    help="Architecture: `mlp:64-128-10`, `cnn:...`, `transformer:...`, `rnn:...`, `file.py:Name`.",
)


list_metrics = click.option(
    "--list-metrics", is_flag=True, help="Print what can be chosen as --metric, and nothing else."
)
reduce_captured = click.option(
    "--reduce",
    "reduction",
    type=Choice(["flatten", "mean", "positions"]),
    default="flatten",
    show_default=True,
    help="What becomes of tokens and places of maps: features, their mean, or examples.",
)
assume_aligned = click.option(
    "--assume-aligned", is_flag=True, help="Take rows by position, whatever the files record."
)


def metric(names: str, default: str) -> Callable[[F], F]:
    """The option `--metric`, repeatable, over a registry given as `module:NAME`."""
    return click.option(
        "--metric",
        "metrics",
        type=Measure(names),
        multiple=True,
        default=(default,),
        show_default=True,
        help="What to compute (repeatable); settings go behind a colon, such as "
        "svcca:variance=0.9; see --list-metrics.",
    )


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


def typed(*names: str) -> list[str]:
    """Those of some options of the running command that the user gave, as `--flag`."""
    ctx = click.get_current_context()
    given = [one for one in ctx.command.params if ctx.get_parameter_source(one.name or "") in GIVEN]
    return [max(one.opts, key=len) for one in given if one.name in names]


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


def progress(
    iterable: Iterable[T], *, label: str, total: int | None = None, unit: str = "it"
) -> Iterable[T]:
    """Show how far long work is, on standard error and only if that is a terminal.

    Args:
        iterable: The work.
        label: What is going on.
        total: How many items there are.
        unit: What an item is.

    Returns:
        The same items.
    """
    context = click.get_current_context(silent=True)
    quiet = context is not None and context.meta.get("nncli.quiet", False)
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if quiet or os.environ.get("NNCLI_NO_PROGRESS") or not terminal:
        return iterable
    from tqdm import tqdm

    shown: Iterable[T] = tqdm(iterable, desc=label, total=total, unit=unit, leave=False)
    return shown


def pair_progress(total: int) -> Callable[[float], None]:
    """Progress of a comparison in pairs of layers, of which parts may be reported."""
    ticks = iter(progress(range(total), label="comparing", total=total, unit="pair"))
    done = 0.0

    def advance(more: float) -> None:
        nonlocal done
        whole = int(done + more + 1e-9) - int(done + 1e-9)
        done += more
        for _ in range(whole):
            next(ticks, None)

    return advance


def write_metrics(output: str, table_format: str, overwrite: bool) -> None:
    """Write the registry of measures of similarity as a table, for `--list-metrics`."""
    import pyarrow as pa

    from nncli.formats.tables import write_table
    from nncli.similarity import METRICS

    data = pa.Table.from_pylist([one.summary() for one in METRICS.values()])
    write_table(output, data, entry("table"), format=table_format, overwrite=overwrite)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def listing_format(wanted: str, output: str) -> str:
    """The format of what a `--list-...` option prints: it is read by people, in a pipe too."""
    return "table" if (wanted, output) == ("auto", "-") else wanted


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
