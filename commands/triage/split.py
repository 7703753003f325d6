"""`nncli triage split`: how many cases to automate, in which order."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.errors import UsageError
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin, demand_other_output
from nncli.parameters import Choice, Finite

if TYPE_CHECKING:
    from collections.abc import Callable

OUTPUTS = ("curve", "assignment", "effort")
HIGHEST = 1e100  # price: sums and squares of such are still numbers


def _price(name: str, text: str) -> "Callable[[options.F], options.F]":
    flag, price = f"--cost-{name}", Finite(min=0, max=HIGHEST)
    return click.option(flag, type=price, metavar="MONEY", help=f"Price of {text}.")


@click.command("split", cls=options.Command)
@click.argument("predictions", type=options.artifact, nargs=-1, required=True)
@click.option(
    "--human",
    type=options.artifact,
    required=True,
    metavar="RATINGS",
    help="What people say: example_id with rater_id and label, with counts, or human_error.",
)
@options.file("--features", "Features or activations for the error models, beside the answers.")
@options.layers
@click.option(
    "--order",
    "wanted",
    type=Choice("nncli.triage.splits:ORDERS"),
    multiple=True,
    help="confidence, human-error, difference, random, oracle (repeatable).  [default: all]",
)
@click.option(
    "--loss",
    type=Choice(["zero-one", "probability"]),
    default="zero-one",
    show_default=True,
    help="Of the model: an error, or one minus the probability of the right class.",
)
@options.count(
    "--readers", "How many people read a case and vote.", default=1, least=1, metavar="K"
)
@click.option(
    "--report-share",
    type=Finite(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    metavar="P",
    help="Share of the cases that splits are reported on, and nothing is fitted or chosen on; 1 "
    "for all, with a note.",
)
@options.count(
    "--folds",
    "Folds of the other cases: none is judged by a model that saw it.",
    default=5,
    least=2,
    metavar="K",
)
@options.file("--columns", "Table with further columns of the cases, by example_id.")
@click.option("--groups", metavar="COLUMN", help="Cases of equal COLUMN are no independent ones.")
@click.option(
    "--fairness",
    multiple=True,
    metavar="COLUMN",
    help="Report the splits for each value of COLUMN too (repeatable).",
)
@_price("algorithm-error", "an error of the model; with --costs a factor")
@_price("human-error", "an error of people; with --costs a factor")
@_price("algorithm-case", "a case that the model answers")
@_price("human-reading", "one reading")
@options.file("--costs", "Table with the price of each kind of mistake: label, answer, cost.")
@options.file("--curve", "Write all splits of every order.")
@options.file("--assignment", "Write who should have which case.")
@options.file("--effort", "Write error against the share automated at equal effort.")
@click.option(
    "--budget",
    type=Finite(0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="X",
    help="Readings for each case that --effort spends.",
)
@options.count(
    "--most-readers",
    "Readers that --effort gives to one case at most.",
    default=9,
    least=1,
    metavar="K",
)
@options.count(
    "--resamples", "Draws of cases, or groups, for intervals.", default=1000, least=0, metavar="B"
)
@options.renormalise
@options.seed
@options.threads
@options.output
@options.table_format
@options.overwrite
def command(
    *,
    predictions: tuple[str, ...],
    output: str,
    table_format: str,
    overwrite: bool,
    **asked: Any,
) -> None:
    """Say how many cases to automate, in which order.

    PREDICTIONS are files of `nncli predict`, or any table or tensors like them; RATINGS what people
    say of the same cases. Cases are ordered by the confidence of the model, by the errors that
    people are expected to make, by the expected difference, at random, and by what is known only
    afterwards (the oracle, a bound). The first ones are automated. How many is chosen on some of
    the cases and reported on the others.

    Writes a table with a row for people alone, the model alone, and each order: error, low and high
    (95 %) of its split, the fraction it automates, the gain over the better of both ends, the
    threshold of its score, the area under its curve, normalised so that a random order has 0 and
    the oracle 1, and the optimum of the curve (which knows the report: optimistic).

    \b
    Examples:
      nncli triage split predictions.parquet --human ratings.parquet
      nncli triage split predictions.parquet --human ratings.parquet --curve curve.parquet
      nncli triage split predictions.parquet --human ratings.parquet --assignment who.parquet \\
        --cost-algorithm-error 10 --cost-human-error 10 --cost-human-reading 1
    """
    beside = (asked[one] for one in ("human", "features", "columns", "costs"))
    given = [*predictions, *(one for one in beside if one)]
    demand_one_stdin(*given)
    if asked["human"] in predictions:
        raise UsageError(f"`{asked['human']}` cannot be predictions and RATINGS at once")
    targets = {name: asked[name] for name in OUTPUTS if asked[name]}
    for target in (output, *targets.values()):
        demand_other_output(target, given)
    import pyarrow as pa

    from nncli.commands.triage.split_study import WRITERS, open_study
    from nncli.formats.tables import from_rows, write_table
    from nncli.formats.triage_tables import demand_different, demand_tables

    demand_different(output=output, **targets)
    demand_tables(
        {output: table_format, **dict.fromkeys(targets.values(), "auto")}, overwrite=overwrite
    )
    with ExitStack() as stack:
        study = open_study(predictions, asked, stack)
        entry = lineage.entry("table", inputs=study.inputs, seed=asked["seed"], **study.told())
        rows: list[dict[str, Any]] = []
        parts: dict[str, list[Any]] = {one: [] for one in targets}
        for place, name in enumerate(study.cases.models):
            found = study.found(place)
            rows += [{"model_id": name, **row} for row in study.rows(found)]
            for kind in targets:
                parts[kind] += WRITERS[kind](study, found, name)
        made = from_rows(rows, study.schema())
        write_table(output, made, entry, format=table_format, overwrite=overwrite)
        for kind, those in parts.items():
            write_table(targets[kind], pa.concat_tables(those), entry, overwrite=overwrite)
