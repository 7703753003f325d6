"""The options that commands share, each defined once.

The modules of the package hold what goes with them: what every command is (`command`), what
artifacts record of a call (`lineage`), what is asked of arguments together (`demands`), how far
work is (`progress`), what `--list-...` prints (`listings`) and how many threads there are
(`threads`). What a single value may be stands in `nncli.parameters`.

Importing this package must stay as cheap as importing click: every command's `--help` pays for it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from nncli.options.command import Command as Command
from nncli.options.threads import set_threads
from nncli.parameters import Artifact, BatchSize, Choice, Folder, LayerGlob, Measure, Target

F = TypeVar("F", bound=Callable[..., Any])

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
    callback=set_threads,
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

truth = click.option(
    "--truth",
    type=Choice(["label", "answer"]),
    default="label",
    show_default=True,
    help="What answers should be: the label, or the answer to the example itself.",
)
target = click.option(
    "--target",
    type=Target(),
    metavar="CLASS",
    help="Drive examples to this class, or to the `least-likely` one.  [default: any wrong one]",
)
renormalise = click.option(
    "--renormalise", is_flag=True, help="Divide probabilities that do not sum to 1 by their sum."
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


def count(
    flag: str, text: str, *, default: int | None = None, least: int = 1, metavar: str = "N"
) -> Callable[[F], F]:
    """An option of one command that takes a whole number, not below the least."""
    kind = click.IntRange(min=least)
    shown = default is not None
    return click.option(
        flag, type=kind, default=default, show_default=shown, metavar=metavar, help=text
    )


def file(
    flag: str, text: str, *, name: str | None = None, multiple: bool = False
) -> Callable[[F], F]:
    """An option of one command that names a file; the name is that of the argument."""
    names = [flag, name] if name else [flag]
    return click.option(*names, type=artifact, multiple=multiple, metavar="FILE", help=text)
