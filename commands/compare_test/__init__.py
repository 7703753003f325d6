"""`nncli compare-test`: which measure of similarity to believe."""

from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.errors import UsageError
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin, demand_other_output, typed
from nncli.options.listings import listing_format, write_metrics
from nncli.parameters import Choice

if TYPE_CHECKING:
    pass


@click.command("compare-test", cls=options.Command)
@click.argument("captures", metavar="[CAPTURES]...", type=options.artifact, nargs=-1)
@click.option(
    "--scores",
    "table",
    type=options.artifact,
    metavar="TABLE",
    help="What the networks are worth: a table with scores, a series, or predictions.",
)
@click.option("--score", multiple=True, metavar="NAME", help="Score (repeatable).")
@click.option(
    "--lowest", is_flag=True, help="The lowest score is the best, as it is of losses and errors."
)
@click.option(
    "--pairs",
    type=options.artifact,
    metavar="TABLE",
    help="Pairs measured already: by `nncli compare`, or a published table.",
)
@click.option("--left", multiple=True, metavar="COLUMN", help="Column that names the left side.")
@click.option("--right", multiple=True, metavar="COLUMN", help="Column that names the right side.")
@click.option(
    "--measure",
    multiple=True,
    metavar="COLUMN",
    help="Column of --pairs that is a measure, or a metric of its long form (repeatable).",
)
@click.option(
    "--similarity",
    multiple=True,
    metavar="COLUMN",
    help="Measure of --pairs of which larger is more alike (repeatable).",
)
@click.option(
    "--difference",
    multiple=True,
    metavar="COLUMN",
    help="Column of --pairs that is a functional difference (repeatable).",
)
@options.metric("nncli.similarity.parameters:NAMES", "all")
@options.list_metrics
@click.option(
    "--pairing",
    type=Choice(["same-layer", "all"]),
    help="What a layer is held against: the same layer of other networks, or all layers of all.  "
    "[default: same-layer; all that --pairs has]",
)
@options.layers
@click.option("--group", metavar="FACTOR", help="Hold networks against those of equal FACTOR only.")
@click.option(
    "--reference",
    metavar="best|all|NAME",
    help="What others are held against: the network with the best score, every one in turn, or "
    "one.  [default: best; all where only differences are known]",
)
@click.option(
    "--reference-layer", multiple=True, metavar="GLOB",
    help="Layers that references are of (repeatable).  [default: every layer]",
)  # fmt: skip
@click.option("--each", is_flag=True, help="A row for each reference, not their mean.")
@click.option("--paper", is_flag=True, help="Repeat the published analysis, self-pairs included.")
@click.option(
    "--deletion",
    is_flag=True,
    help="Say how many principal components a layer can lose before a measure notices.",
)
@click.option(
    "--permutations", type=click.IntRange(min=0), default=999, show_default=True, metavar="B",
    help="Relabellings of the networks for p.",
)  # fmt: skip
@click.option(
    "--resamples", type=click.IntRange(min=0), default=999, show_default=True, metavar="B",
    help="Draws of networks for intervals.",
)  # fmt: skip
@options.reduce_captured
@options.assume_aligned
@options.seed
@options.threads
@options.output
@options.table_format
@options.overwrite
def command(
    *,
    captures: tuple[str, ...],
    pairs: str | None,
    table: str | None,
    list_metrics: bool,
    deletion: bool,
    output: str,
    table_format: str,
    overwrite: bool,
    **asked: Any,
) -> None:
    """Say which measure of similarity to believe, on a population of networks.

    A measure is sensitive if networks that it calls far apart also behave differently. CAPTURES are
    activations of the same examples by several networks (four or more; a folder stands for those
    inside), and --scores says how good each network is. Or --pairs is a table with a row for each
    pair of representations, measured before.

    Writes a table with a row for each score and measure, the best measure first: spearman (rank
    correlation of distance and functional difference, with its 95 % interval over networks, low and
    high), p_mantel, first (how often it would be the best), kendall, partial (given the difference
    in depth), bad_fraction (close by the measure, far in function), models, n (pairs) and note.

    \b
    Examples:
      nncli compare-test captures/ --scores runs/ --score test_accuracy
      nncli compare-test captures/ --scores predictions.parquet --metric cka-family -o trust.parquet
      nncli compare-test --pairs pairs.parquet --scores runs/ --score test_loss --reference all
      nncli compare-test captures/ --deletion --metric linear-cka --metric procrustes
    """
    if list_metrics:
        write_metrics(output, listing_format(table_format, output), overwrite)
        return
    _demand_form(captures, pairs, table, deletion=deletion, asked=asked)
    tables = [one for one in (pairs, table) if one]
    demand_one_stdin(*captures, *tables)
    demand_other_output(output, tables)

    from contextlib import ExitStack

    from nncli.commands.compare_test.measured import of_captures
    from nncli.commands.compare_test.published import of_pairs
    from nncli.commands.compare_test.tables import schema_of
    from nncli.formats.tables import create_table, from_rows

    with ExitStack() as stack:
        if pairs is not None:
            made = of_pairs(pairs, table, asked)
        else:
            made = of_captures(captures, table, asked, stack, deletion=deletion)
        schema = schema_of(made.columns)
        seed = None if asked["paper"] or deletion else asked["seed"]
        entry = lineage.entry("table", inputs=made.inputs, seed=seed, **made.facts)
        writer = stack.enter_context(
            create_table(output, schema, entry, format=table_format, overwrite=overwrite)
        )
        writer.write(from_rows(made.rows(), schema))


def _demand_form(
    captures: tuple[str, ...],
    pairs: str | None,
    table: str | None,
    *,
    deletion: bool,
    asked: dict[str, Any],
) -> None:
    """Refuse options that do not go together, rather than pass over them."""
    if pairs is None and not captures:
        raise UsageError("name four captures or more, or a folder of them, or a table of `--pairs`")
    if pairs is not None and (captures or deletion):
        what = "captures" if captures else "`--deletion`"
        raise UsageError(f"{what} and `--pairs` do not go together: pairs are measured already")
    for name in ("left", "right", "measure", "similarity", "difference"):
        if pairs is None and asked[name]:
            raise UsageError(f"`--{name}` names a column of `--pairs TABLE`")
    if pairs is None and not deletion and table is None:
        raise UsageError(
            "`--scores TABLE` is needed: it says how good each network is",
            hint="such as the folder of `nncli train`, or predictions of `nncli predict`",
        )
    unused = ("score", "group", "reference", "reference_layer", "pairing", "paper")
    if deletion and (table or any(asked[name] for name in unused)):
        raise UsageError("`--deletion` has no scores, groups, references, pairing or paper to take")
    if pairs is not None and typed("metrics"):
        raise UsageError("`--pairs` are measured already: `--measure` chooses, not `--metric`")
    if asked["paper"] and asked["group"]:
        raise UsageError("`--paper` has no groups: leave out `--group`")
