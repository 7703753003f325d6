"""`nncli compare`: how alike the layers of captures are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.errors import UsageError
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin, demand_other_output, typed
from nncli.options.listings import listing_format, write_metrics
from nncli.options.progress import pair_progress
from nncli.options.threads import cores
from nncli.parameters import Choice, Finite

if TYPE_CHECKING:
    from nncli.formats.captures import Captures
    from nncli.formats.moments import StoredMoments
    from nncli.similarity import Chosen
    from nncli.similarity.structure.reports import Population, Report

LAST = "last"
DOUBTS = "tests and intervals"
OF_EXAMPLES = (
    *("against", "reduction", "null", "permutations", "samples", "settled", "blocks", "dominant"),
    *("rows", "partial", "assume_aligned"),
)


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
    metrics: tuple[str, ...],
    list_metrics: bool,
    against: str | None,
    grid: bool | None,
    layers: tuple[str, ...],
    reduction: str,
    variance: float,
    max_rank: int | None,
    null: str | None,
    permutations: int | None,
    samples: int | None,
    seed: int,
    settled: float | None,
    blocks: float | None,
    dominant: bool,
    top: int,
    rows: str | None,
    partial: bool,
    assume_aligned: bool,
    threads: int | None,
    output: str,
    table_format: str,
    overwrite: bool,
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
    asked = {
        "--settled": settled is not None,
        "--blocks": blocks is not None,
        "--dominant": dominant,
        "--partial": partial,
        DOUBTS: bool(null or permutations or samples),
    }
    _demand_one_question([name for name, wanted in asked.items() if wanted], against)
    if partial and (given := typed("metrics", "table_format")):
        raise UsageError(
            f"--partial writes sums, which all measures are made of, and no table: {given[0]} is "
            "for `compare` of the parts"
        )
    demand_one_stdin(*captures, *([against] if against else []))

    from contextlib import ExitStack

    from nncli import similarity
    from nncli.formats.captures import capture_files, open_captures
    from nncli.formats.moments import open_all_moments
    from nncli.formats.sources import open_source
    from nncli.similarity.significance.doubts import Doubts
    from nncli.similarity.structure import reports

    chosen = similarity.choose(
        metrics, similarity.Settings(variance=variance, max_rank=max_rank, seed=seed)
    )
    reference = [against] if against is not None and against != LAST else []
    drawn = seed if permutations or samples or any(map(_draws, chosen)) else None
    where = (output, table_format, overwrite)
    with ExitStack() as stack:
        files = [*capture_files(captures), *reference]
        demand_other_output(output, files)
        sources = [stack.enter_context(open_source(one)) for one in files]
        if stored := open_all_moments(sources):
            _demand_plain(stored[0].name)
            report = _report_of_sums(stored, chosen, layers, grid)
            _write_report(report, chosen, (stored, stored[0].facts["reduce"]), threads, where)
            return
        opened = open_captures(sources, assume_aligned=assume_aligned)
        stack.callback(opened.close)
        span = _places(rows, opened.members[0].n, fewest=0 if partial else 2)
        population = _population(opened.only(*span) if rows else opened, layers, reduction)
        if partial:
            _write_sums(opened, population, span, (grid is not False, reduction, threads, where))
            return
        if blocks is not None:
            report = reports.block_report(population, chosen, blocks)
        elif dominant:
            report = reports.dominant_report(population, chosen, top)
        elif settled is not None:
            wanted = opened.against_last_steps()
            report = reports.settled_report(population, chosen, wanted, settled)
        else:
            wanted = _wanted(opened, against)
            several = against is not None or len(wanted) > 1
            every = not several if grid is None else grid
            report = reports.pair_report(
                population,
                chosen,
                wanted,
                grid=every,
                labelled=several,
                doubts=Doubts(null is not None, permutations or 0, samples or 0, seed),
            )
        made_of = (opened.members, reduction)
        factors = population.factors
        _write_report(report, chosen, made_of, threads, where, factors=factors, seed=drawn)


def _population(opened: "Captures", globs: tuple[str, ...], reduction: str) -> "Population":
    """The chosen layers of all captures as matrices."""
    from nncli.layer_names import select_layers
    from nncli.similarity import layers_of
    from nncli.similarity.structure.reports import Population

    members = opened.members
    names = [select_layers(one.layers, globs, source=one.name) for one in members]
    ids = members[0].example_id
    return Population(
        opened.names,
        opened.factors(),
        layers_of(members, names, reduction),
        range(members[0].n) if ids is None else ids.tolist(),
    )


def _draws(one: "Chosen") -> bool:
    """Whether a measure draws at random."""
    return "seed" in one.metric.parameters


def _wanted(opened: "Captures", against: str | None) -> list[tuple[int, int]]:
    """Which captures are compared with which."""
    from nncli.similarity import every_two

    count = len(opened.members)
    if against == LAST:
        return opened.against_last_steps()
    if against is not None:
        return [(member, count - 1) for member in range(count - 1)]
    return [(0, 0)] if count == 1 else every_two(count)


def _demand_one_question(asked: list[str], against: str | None) -> None:
    """Refuse to write several tables at once."""
    if len(asked) > 1 and asked[-1] == DOUBTS:
        raise click.UsageError(f"{asked[0]} comes without {DOUBTS}")
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(asked)} write different things: one at a time")
    if "--settled" in asked and against != LAST:
        raise click.UsageError("--settled goes with `--against last`")
    if against is not None and "--partial" in asked:
        raise click.UsageError("--partial sums over one capture or two, --against no other")
    if against is not None and {"--blocks", "--dominant"} & set(asked):
        raise click.UsageError(f"{asked[0]} looks at each capture by itself, --against no other")


def _demand_plain(name: str) -> None:
    """Refuse to ask sums over examples for more than there is in them."""
    if given := typed(*OF_EXAMPLES):
        raise UsageError(
            f"{given[0]} needs the examples, and `{name}` holds sums over them",
            hint=f"compare the captures themselves, or leave {given[0]} out",
        )


def _places(rows: str | None, n: int, *, fewest: int) -> tuple[int, int]:
    """The first of the examples that are meant, and the one after the last."""
    ends = (int(one) if one else None for one in (rows or ":").split(":"))
    start, stop, _ = slice(*ends).indices(n)
    if rows and stop - start < fewest:
        raise UsageError(
            f"`--rows {rows}` leaves {max(stop - start, 0)} of {n} examples; a comparison needs 2"
        )
    return start, max(start, stop)


def _report_of_sums(
    stored: "Sequence[StoredMoments]",
    chosen: "Sequence[Chosen]",
    globs: tuple[str, ...],
    grid: bool | None,
) -> "Report":
    """The table of layers by their sums over examples."""
    from dataclasses import replace

    from nncli.layer_names import select_layers
    from nncli.similarity.sums.packed import in_order
    from nncli.similarity.sums.reports import layer_names, sums_report

    names = select_layers(layer_names(stored[0]), globs, source=stored[0].name)
    report = sums_report(in_order(stored), chosen, names)

    def same(*how: Any) -> Iterator[dict[str, Any]]:
        return (row for row in report.rows(*how) if row["layer_a"] == row["layer_b"])

    return replace(report, rows=same) if grid is False else report


def _write_report(
    report: "Report",
    chosen: "Sequence[Chosen]",
    made_of: "tuple[Sequence[Any], str]",
    threads: int | None,
    where: tuple[str, str, bool],
    *,
    factors: "Sequence[Mapping[str, Any]]" = (),
    seed: int | None = None,
) -> None:
    """Do the work of a report, and write its table."""
    from nncli.formats.comparisons import comparison_schema
    from nncli.formats.tables import create_table, from_rows

    output, table_format, overwrite = where
    inputs, reduction = made_of
    schema = comparison_schema(report.columns, factors)
    summaries = [one.summary() for one in chosen]
    entry = lineage.entry(
        "table", inputs=inputs, seed=seed, metrics=summaries, reduce=reduction, **report.facts
    )
    with create_table(output, schema, entry, format=table_format, overwrite=overwrite) as table:
        rows = report.rows(threads or cores(), pair_progress(report.total))
        table.write(from_rows(rows, schema))


def _write_sums(
    opened: "Captures",
    population: "Population",
    span: tuple[int, int],
    how: tuple[bool, str, int | None, tuple[str, str, bool]],
) -> None:
    """Sums over some examples, for `nncli merge`."""
    from nncli.formats.moments import KIND, create_moments, origin, shard_of, specs_of
    from nncli.similarity.sums.reports import sums_plan

    grid, reduction, threads, (output, _, overwrite) = how
    plan = sums_plan(population.layers, shard_of(opened.members, *span), grid=grid)
    facts = {**plan.facts, **origin(opened.members), "reduce": reduction}
    entry = lineage.entry(KIND, inputs=opened.members, **facts)
    with create_moments(output, specs_of(plan.outline), entry, overwrite=overwrite) as writer:
        for name, array in plan.arrays(threads or cores(), pair_progress(plan.total)).items():
            writer.write(name, array)
