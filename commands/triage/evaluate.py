"""`nncli triage evaluate`: what a score is worth for handing cases on."""

from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin, demand_other_output
from nncli.parameters import Finite

if TYPE_CHECKING:
    from nncli.formats.scored_joins import ScoredCases
    from nncli.triage.quantities import Question

COVERAGES = (0.5, 0.8, 0.9, 0.95)


@click.command("evaluate", cls=options.Command)
@click.argument("scores", type=options.artifact, nargs=-1, required=True)
@click.option(
    "--score", "doubts", multiple=True, metavar="COLUMN",
    help="A score, higher for more doubtful cases (repeatable).  [default: confidence of models; "
    "every number of tables]",
)  # fmt: skip
@click.option(
    "--confidence", "confidences", multiple=True, metavar="COLUMN",
    help="A score that is higher for surer cases (repeatable).",
)  # fmt: skip
@click.option(
    "--outcome", metavar="COLUMN",
    help="What keeping a case costs, such as 1 for an error.  [default: error of the model, or "
    "outcome, error, correct]",
)  # fmt: skip
@click.option(
    "--correct", metavar="COLUMN", help="1 where the answer is right, in place of --outcome."
)  # fmt: skip
@click.option(
    "--against", metavar="SCORE",
    help="The score that others are compared with.  [default: the first]",
)  # fmt: skip
@click.option(
    "--coverage", "coverages", type=Finite(0, 1), multiple=True, default=COVERAGES,
    show_default=True, metavar="SHARE", help="Share of cases kept (repeatable).",
)  # fmt: skip
@click.option(
    "--risk", "risks", type=Finite(), multiple=True, metavar="R",
    help="Say how many cases can be kept at this risk (repeatable).",
)  # fmt: skip
@click.option("--groups", metavar="COLUMN", help="Cases of equal COLUMN are drawn together.")
@click.option(
    "--curve", type=options.artifact, metavar="FILE",
    help="Write risk, deferred risk, caught share and risk left over all coverages.",
)  # fmt: skip
@click.option(
    "--points", type=click.IntRange(min=1), default=99, show_default=True, metavar="N",
    help="Coverages of the curve, between none and all.",
)  # fmt: skip
@click.option(
    "--resamples", type=click.IntRange(min=0), default=1000, show_default=True, metavar="B",
    help="Draws of cases for intervals.",
)  # fmt: skip
@options.seed
@options.threads
@options.output
@options.table_format
@options.overwrite
def command(
    *,
    scores: tuple[str, ...],
    curve: str | None,
    output: str,
    table_format: str,
    overwrite: bool,
    **asked: Any,
) -> None:
    """Say what a score is worth for handing cases on.

    SCORES are tables with a row a case (example_id, scores, outcome) and files of `nncli predict`,
    whose models have a confidence and an error; all are joined by example_id. The surest cases are
    kept, the most doubtful are deferred. Cases of equal score have the mean over all their orders.

    Writes a table with a row for each score and metric (aurc, excess-aurc, auroc, kept-risk,
    deferred-risk, caught, ..., at a coverage): value, low and high (95 %), p, n; then the
    differences from one score (against), with paired intervals.

    \b
    Examples:
      nncli triage evaluate predictions.parquet
      nncli triage evaluate predictions.parquet --score margin --score entropy --curve c.parquet
      nncli predict net.safetensors --split test | nncli triage evaluate - --risk 0.05 -f csv
    """
    demand_one_stdin(*scores)
    for target in (output, curve):
        demand_other_output(target or "-", scores)
    from nncli.formats.scored_cases import read_sources
    from nncli.formats.scored_joins import Wanted, join
    from nncli.formats.tables import from_rows, write_table
    from nncli.formats.triage_tables import CURVE, EVALUATION, demand_different, demand_tables
    from nncli.triage.doubts import doubts_of
    from nncli.triage.evaluation import evaluate, meanings

    demand_different(output=output, curve=curve)
    demand_tables({output: table_format, **({curve: "auto"} if curve else {})}, overwrite=overwrite)
    sources = read_sources(scores, doubts_of)
    names = {"scores": asked["doubts"], "confidences": asked["confidences"]}
    told = {one: asked[one] for one in ("outcome", "correct", "groups")}
    cases = join(sources, Wanted(**names, **told))
    question = _question(cases, asked)
    inputs = list({one.name: one for one in sources}.values())
    entry = lineage.entry(
        "table",
        inputs=inputs,
        seed=asked["seed"],
        metrics=meanings(question),
        outcome=cases.outcome,
        dropped=cases.dropped,
    )
    found = evaluate(question, points=asked["points"] if curve else 0)
    made = from_rows(found.rows, EVALUATION)
    write_table(output, made, entry, format=table_format, overwrite=overwrite)
    if curve:
        write_table(curve, from_rows(found.curve, CURVE), entry, overwrite=overwrite)


def _question(cases: "ScoredCases", asked: dict[str, Any]) -> "Question":
    import numpy as np

    from nncli.errors import UsageError, closest
    from nncli.triage.quantities import Question

    against = asked["against"] or cases.names[0]
    if against not in cases.names:
        raise UsageError(f"`--against {against}` is no score here; {closest(against, cases.names)}")
    group = None if cases.group is None else np.unique(cases.group, return_inverse=True)[1]
    return Question(
        cases.names,
        cases.scores,
        cases.outcomes,
        accuracy=cases.errors,
        coverages=tuple(sorted(set(asked["coverages"]))),
        risks=tuple(sorted(set(asked["risks"]))),
        against=cases.names.index(against),
        group=group,
        resamples=asked["resamples"],
        seed=asked["seed"],
    )
