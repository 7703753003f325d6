"""`nncli compare`: how alike the layers of captures are."""

from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.options.demands import demand_one_stdin
from nncli.options.listings import listing_format, write_metrics
from nncli.parameters import Choice, Finite

if TYPE_CHECKING:
    pass


def _check_rows(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """START:STOP as in Python, either end left out or beyond the data."""
    ends = value.split(":") if value is not None else ["", ""]
    if len(ends) != 2 or not all(one.isdecimal() or not one for one in ends):
        raise click.BadParameter(f"`{value}` is not START:STOP, such as 0:500")
    if all(ends) and int(ends[0]) > int(ends[1]):
        raise click.BadParameter(f"`{value}` ends before it starts; the other way round?")
    return value


@click.command("compare", cls=options.Command)
@click.argument("captures", metavar="CAPTURES...", type=options.artifact, nargs=-1)
@options.metric("nncli.similarity.parameters:NAMES", "linear-cka")
@options.list_metrics
@click.option(
    "--against",
    type=options.artifact,
    metavar="last|FILE",
    help="Compare each capture with one other: the last step of its run, or a file.",
)
@click.option(
    "--grid/--same",
    default=None,
    help="Every layer with every layer, or only layers of the same name.  [default: grid of one or "
    "two captures, else same]",
)
@options.layers
@options.reduce_captured
@click.option(
    "--variance",
    type=Finite(0, 1, min_open=True),
    default=0.99,
    show_default=True,
    metavar="SHARE",
    help="Share of the variance that svcca keeps of each layer.",
)
@click.option(
    "--max-rank",
    type=click.IntRange(min=1),
    metavar="K",
    help="The most directions that svcca and pwcca keep of each layer.",
)
@click.option(
    "--null",
    type=Choice(["analytic"]),
    help="How values lie to those of shuffled rows, in closed form (the CKA family).",
)
@click.option(
    "--permutations",
    type=click.IntRange(min=1),
    metavar="B",
    help="The same by B shuffles, for every metric, and p_max for the grid as a whole.",
)
@click.option(
    "--intervals",
    "samples",
    type=click.IntRange(min=2),
    metavar="B",
    help="Standard errors and 95 % intervals over examples, from B subsamples.",
)
@options.seed
@click.option(
    "--settled",
    type=float,
    metavar="LEVEL",
    help="With --against last: from which step on each layer is LEVEL or better.",
)
@click.option(
    "--blocks",
    type=float,
    metavar="LEVEL",
    help="Of each capture, the runs of layers that are all alike: at LEVEL or better.",
)
@click.option(
    "--dominant",
    is_flag=True,
    help="Of each capture, what the first principal components have to do with it.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="Examples to list of each component of --dominant.",
)
@click.option(
    "--rows",
    callback=_check_rows,
    metavar="START:STOP",
    help="Only these examples, counted from 0: a shard of them.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Write sums over these examples, which `nncli merge` adds up, and no table.",
)
@options.assume_aligned
@options.threads
@options.output
@options.table_format
@options.overwrite
def command(
    *,
    captures: tuple[str, ...],
    list_metrics: bool,
    output: str,
    table_format: str,
    overwrite: bool,
    **asked: Any,
) -> None:
    """Say how alike layers are: of two captures, of one with itself, of a whole population.

    CAPTURES are activations of the same examples: captures, or safetensors, .npz or .npy files of
    anybody; a folder stands for those inside. Rows are matched by example id, or by position where
    all come from the same data. What --partial wrote of shards of the examples is added up.

    Two captures give every layer of A with every layer of B; one gives its layers with each other;
    three or more, or a folder, give every two captures, layers of the same name.

    Writes a table with a row for each metric and pair of layers: a and b (the captures, if more
    than two, with what they differ in: seed_a, seed_b, ...), layer_a, layer_b, metric, value, what
    the metric adds (such as the dimensions it kept), n (rows compared) and note (why a value is
    missing, or what to know about it).

    \b
    Examples:
      nncli compare a.safetensors b.safetensors
      nncli compare a.safetensors b.safetensors --metric svcca --metric procrustes -o grid.parquet
      nncli capture net.safetensors | nncli compare - b.safetensors --same --layer 'block.*' -f csv
      nncli compare a.safetensors --blocks 0.9
      nncli compare a.safetensors b.safetensors --same --null analytic
      nncli compare captures/ --metric svcca --against last -o dynamics.parquet
      nncli compare a.safetensors b.safetensors --partial --rows 0:200 -o part-0.safetensors
      nncli compare part-0.safetensors part-1.safetensors --metric svcca
      nncli compare --list-metrics
    """
    if list_metrics:
        write_metrics(output, listing_format(table_format, output), overwrite)
        return
    if not captures:
        raise click.UsageError("name one capture, two, or a folder of them")
    from nncli.commands.compare.answering import answer
    from nncli.commands.compare.asking import demand_one_question

    demand_one_question(asked)
    demand_one_stdin(*captures, *([asked["against"]] if asked["against"] else []))
    answer(captures, asked, (output, table_format, overwrite))
