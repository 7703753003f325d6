"""`nncli compare-test`: which measure of similarity to believe."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nncli import options
from nncli.errors import NncliWarning, UsageError, closest
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin, demand_other_output, typed
from nncli.options.listings import listing_format, write_metrics
from nncli.options.progress import pair_progress, progress
from nncli.options.threads import cores
from nncli.parameters import Choice

if TYPE_CHECKING:
    from contextlib import ExitStack

    import pyarrow as pa

    from nncli.grounding import Options, Pairs, Population
    from nncli.similarity import Chosen


class Table(NamedTuple):
    """What is written, and what it was made from."""

    columns: tuple[str, ...]
    rows: Callable[[], list[dict[str, Any]]]
    inputs: list[Any]
    facts: dict[str, Any]


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

    from nncli.formats.tables import create_table, from_rows

    with ExitStack() as stack:
        if pairs is not None:
            made = _of_pairs(pairs, table, asked)
        else:
            made = _of_captures(captures, table, asked, stack, deletion=deletion)
        schema = _schema(made.columns)
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


def _of_captures(
    captures: tuple[str, ...],
    table: str | None,
    asked: dict[str, Any],
    stack: "ExitStack",
    *,
    deletion: bool,
) -> Table:
    """The test on captures: distances are measured here."""
    from nncli import similarity
    from nncli.formats.captures import capture_files, open_captures
    from nncli.grounding import demand_population, population_of
    from nncli.layer_names import select_layers

    chosen = similarity.choose(asked["metrics"])
    opened = open_captures(capture_files(captures), assume_aligned=asked["assume_aligned"])
    stack.callback(opened.close)
    members = opened.members
    same = deletion or asked["pairing"] != "all"
    demand_population(opened.names, fewest=4 if same and not deletion else 2)
    names = [select_layers(one.layers, asked["layers"], source=one.name) for one in members]
    population = population_of(
        opened.names,
        members,
        opened.factors(),
        similarity.layers_of(members, names, asked["reduction"]),
        group=asked["group"],
        same_layer=same,
        with_self=asked["paper"] and not deletion,
    )
    facts = {
        "metrics": [one.summary() for one in chosen],
        "reduce": asked["reduction"],
        "pairing": "same-layer" if same else "all",
    }
    made = (
        _deleted(population, chosen, members[0].label, asked)
        if deletion
        else _tested(population, chosen, str(table), asked, same=same)
    )
    return Table(made.columns, made.rows, [*members, *made.inputs], facts)


def _tested(
    population: "Population",
    chosen: "list[Chosen]",
    table: str,
    asked: dict[str, Any],
    *,
    same: bool,
) -> Table:
    """Distances against differences of scores; the scores are joined before the work begins."""
    from dataclasses import replace

    from nncli.formats.scores import read_scores
    from nncli.grounding import Pairs, measure, scored_pairs

    scores = read_scores(table)
    pairs = Pairs.of(population.items, population.pairs)
    wanted = asked["score"] or scores.usual
    scored = scored_pairs(pairs, population.members, scores.columns, wanted, source=scores.name)
    options_of_test = _plan(scored, asked, same=same)

    def rows() -> list[dict[str, Any]]:
        distances = measure(
            population.layers,
            population.pairs,
            chosen,
            threads=asked["threads"] or cores(),
            advance=pair_progress(len(chosen) * len(population.pairs)),
        )
        measured = replace(scored, distances=distances)
        return _rows(measured, options_of_test, each=asked["each"])

    return Table(_columns(asked, same=same), rows, [scores], {})


def _deleted(
    population: "Population", chosen: "list[Chosen]", labels: Any, asked: dict[str, Any]
) -> Table:
    """Layers against themselves with components deleted."""
    from nncli.grounding import deletion_columns, deletion_rows

    each, threads = asked["each"], asked["threads"] or cores()
    shown = partial(progress, label="deleting", total=len(population.layers), unit="layer")
    made = deletion_rows(population, chosen, labels, each=each, threads=threads, shown=shown)
    return Table(deletion_columns(each=each), lambda: list(made), [], {})


def _of_pairs(pairs: str, table: str | None, asked: dict[str, Any]) -> Table:
    """The test on pairs that were measured before."""
    from nncli.formats.scores import read_scores
    from nncli.formats.tables import read_table
    from nncli.grounding import larger_is_alike, lay_out, read_pairs, scored_pairs
    from nncli.layer_names import select_layers

    read = read_table(pairs)
    columns = read.data.to_pydict()
    layout = lay_out(
        columns,
        source=read.name,
        sides=(asked["left"], asked["right"]),
        measures=asked["measure"],
        differences=asked["difference"],
        scores=() if table else asked["score"],
    )
    found, members = read_pairs(
        columns,
        layout,
        source=read.name,
        similarities=larger_is_alike(read.entry.facts if read.entry else {}, asked["similarity"]),
        measures=asked["measure"],
        group=asked["group"],
    )
    for name in asked["similarity"]:
        if name not in found.distances:
            raise UsageError(f"no measure `{name}`; {closest(name, found.distances)}")
    inputs: list[Any] = [read]
    if table is not None:
        scores = read_scores(table)
        wanted = asked["score"] or scores.usual
        found = scored_pairs(found, members, scores.columns, wanted, source=scores.name)
        inputs.append(scores)
    found = found.of_scores(asked["score"], source=read.name)
    if asked["layers"]:
        found = found.of_layers(select_layers(found.layers, asked["layers"], source=read.name))
    _warn_of_pairs(found, asked["paper"], read.name)
    same = found.same_layers() if asked["pairing"] is None else asked["pairing"] == "same-layer"
    facts = {"metrics": list(found.distances), "pairing": "same-layer" if same else "all"}
    told = _plan(found, asked, same=same)
    columns_made = _columns(asked, same=same)
    return Table(columns_made, lambda: _rows(found, told, each=asked["each"]), inputs, facts)


def _plan(pairs: "Pairs", asked: dict[str, Any], *, same: bool) -> "Options":
    """How to test; what is named wrongly is found here, before the work."""
    from nncli.grounding import Options, lowest_is_best, references_of
    from nncli.layer_names import select_layers

    layers = None
    if asked["reference_layer"]:
        layers = select_layers(pairs.layers, asked["reference_layer"], source="the population")
    names = ("reference", "paper", "permutations", "resamples", "seed")
    lowest = [one for one in pairs.differences if asked["lowest"] or lowest_is_best(one)]
    told = {name: asked[name] for name in names}
    options_of_test = Options(same_layer=same, layers=layers, lowest=lowest, **told)
    for score in pairs.differences:
        references_of(pairs, score, options_of_test)
    return options_of_test


def _rows(pairs: "Pairs", told: "Options", *, each: bool) -> list[dict[str, Any]]:
    """The table of the test."""
    from dataclasses import asdict

    from nncli.grounding import ground

    means, at_each = ground(pairs, told)
    return [asdict(one) for one in (at_each if each else means)]


def _columns(asked: dict[str, Any], *, same: bool) -> tuple[str, ...]:
    from nncli.grounding import report_columns

    each, paper, grouped = asked["each"], asked["paper"], asked["group"] is not None
    return report_columns(each=each, paper=paper, same_layer=same, grouped=grouped)


def _warn_of_pairs(pairs: "Pairs", paper: bool, name: str) -> None:
    """Say what seems to be otherwise in a table than it was taken for."""
    import warnings

    said = [
        f"`{one}` of pairs with themselves is larger than of others: is it a similarity? "
        f"then say `--similarity {one}`"
        for one in pairs.doubtful()
    ]
    if paper and not (pairs.a == pairs.b).any():
        said.append(f"`{name}` has no pairs with themselves, which the published analysis counts")
    for one in said:
        warnings.warn(one, NncliWarning, stacklevel=2)


def _schema(columns: tuple[str, ...]) -> "pa.Schema":
    import pyarrow as pa

    from nncli.grounding.report import TEXT, WHOLE

    types = {name: pa.string() for name in TEXT} | {name: pa.int64() for name in WHOLE}
    return pa.schema([(name, types.get(name, pa.float64())) for name in columns])
