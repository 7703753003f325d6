"""`nncli triage second-opinion`: about which cases will people differ?"""

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.errors import UsageError
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin, demand_other_output, typed
from nncli.options.progress import progress
from nncli.parameters import Choice, Finite

if TYPE_CHECKING:
    from nncli.commands.triage.opinion_study import OpinionStudy
    from nncli.triage.foresight import Foresight
    from nncli.triage.judging import Findings

SHARES = (0.1, 0.2, 0.3)
OUTPUTS = {"scores": "case_scores", "curve": "curve", "model": "fitted_model"}
OF_FITTING = (
    *("ratings", "target", "threshold", "direct", "reader", "extra", "table", "groups", "folds"),
    *("referred", "points", "resamples", "seed", *OUTPUTS.values()),
)


@click.command("second-opinion", cls=options.Command)
@click.argument("features", type=options.artifact, required=False)
@click.option(
    "--ratings", type=options.artifact, metavar="TABLE",
    help="What people say: a row a reading (example_id, rater_id, label), or a row a case with "
    "counts.",
)  # fmt: skip
@click.option(
    "--predictions", type=options.artifact, metavar="FILE",
    help="A classifier's answers: its own uncertainty is a score too, and without FEATURES its "
    "log-probabilities are the features.",
)  # fmt: skip
@click.option(
    "--target", type=Choice(["disagreement", "entropy", "variance"]),
    default="disagreement", show_default=True,
    help="What is foreseen of the readers of a case; variance is of grades.",
)  # fmt: skip
@click.option(
    "--threshold", type=Finite(), metavar="T",
    help="Readers disagree where the target is above T.  [default: the median]",
)  # fmt: skip
@click.option(
    "--direct", type=Choice(["regression", "classification"]), default="regression",
    show_default=True, help="Whether dup foresees the target, or that it is above the threshold.",
)  # fmt: skip
@click.option(
    "--reader", type=Choice(["linear", "knn", "mlp"]), default="linear",
    show_default=True, help="The kind of model behind dup and uvc.",
)  # fmt: skip
@click.option(
    "--score", "extra", type=Choice("nncli.triage.uncertainty:EXTRA"), multiple=True,
    help="A further score: ensemble-disagreement, knn-distance, mahalanobis, random-distillation "
    "(repeatable).",
)  # fmt: skip
@click.option(
    "--columns", "table", type=options.artifact, metavar="TABLE",
    help="Table or dataset with the column of --groups, joined by example_id.",
)  # fmt: skip
@click.option(
    "--groups", metavar="COLUMN",
    help="Cases of equal COLUMN, such as a patient, are never in two folds.",
)  # fmt: skip
@click.option(
    "--folds", type=click.IntRange(min=3), default=5, show_default=True, metavar="K",
    help="Folds of the cases: none is scored by a model that saw it.",
)  # fmt: skip
@click.option(
    "--referred", type=Finite(0, 1, min_open=True, max_open=True), multiple=True,
    default=SHARES, show_default=True, metavar="SHARE",
    help="Share of cases referred (repeatable).",
)  # fmt: skip
@click.option(
    "--scores", "case_scores", type=options.artifact, metavar="FILE",
    help="Write the scores of each case and what its readers said, for triage evaluate.",
)  # fmt: skip
@click.option(
    "--curve", type=options.artifact, metavar="FILE",
    help="Write what is caught and left over all shares referred.",
)  # fmt: skip
@click.option(
    "--points", type=click.IntRange(min=1), default=99, show_default=True, metavar="N",
    help="Shares of the curve, between none and all.",
)  # fmt: skip
@click.option(
    "--model", "fitted_model", type=options.artifact, metavar="FILE",
    help="Write the scores, fitted on all cases.",
)  # fmt: skip
@click.option(
    "--apply", "stored", type=options.artifact, metavar="FILE",
    help="Score new cases by a file of --model, and fit nothing: the output is a row a case.",
)  # fmt: skip
@click.option(
    "--resamples", type=click.IntRange(min=0), default=1000, show_default=True, metavar="B",
    help="Draws of cases for intervals.",
)  # fmt: skip
@options.layers
@options.seed
@options.threads
@options.output
@options.table_format
@options.overwrite
def command(
    *,
    features: str | None,
    stored: str | None,
    output: str,
    table_format: str,
    overwrite: bool,
    **asked: Any,
) -> None:
    """Say about which cases people will differ.

    FEATURES are a capture, or a table with example_id. dup foresees the disagreement of readers
    itself; uvc is the uncertainty of a classifier of what readers say. Both are fitted on some
    folds and judged on the others. dup wins where people see what FEATURES do not hold; where
    nothing is hidden uvc is as good or better.

    Writes a table with a row for each score and metric (auroc, spearman, bias, slope,
    calibration-error; caught, consensus-error at a share referred): value, low, high (95 %), p, n;
    then differences from uvc, with paired intervals.

    \b
    Examples:
      nncli triage second-opinion a.safetensors --ratings ratings.parquet
      nncli triage second-opinion a.safetensors --ratings ratings.parquet \\
        --score mahalanobis --scores scores.parquet --curve curve.parquet --model m.safetensors
      nncli triage second-opinion a.safetensors --apply m.safetensors -o new.parquet
    """
    given = {one: asked[one] for one in ("ratings", "predictions", "table")}
    inputs = [one for one in (features, stored, *given.values()) if one]
    demand_one_stdin(*inputs)
    told = {one: asked[name] for one, name in OUTPUTS.items()}
    for target in (output, *told.values()):
        demand_other_output(target or "-", inputs)
    from nncli.formats.triage_tables import demand_different, demand_tables

    demand_different(output=output, **told)
    tables = {one: "auto" for one in (asked["case_scores"], asked["curve"]) if one}
    demand_tables({output: table_format, **tables}, overwrite=overwrite)
    how: dict[str, Any] = {"table_format": table_format, "overwrite": overwrite}
    with ExitStack() as stack:
        if stored:
            _apply(features, stored, asked, output, stack, **how)
        else:
            _fit(features, asked, output, stack, **how)


def _fit(
    features: str | None,
    asked: dict[str, Any],
    output: str,
    stack: ExitStack,
    *,
    table_format: str,
    overwrite: bool,
) -> None:
    """Fit scores, hold them against what readers said, and write what is asked for."""
    from nncli.commands.triage.opinion_study import open_study
    from nncli.formats.tables import from_rows, write_table
    from nncli.formats.triage_tables import EVALUATION
    from nncli.triage.foresight import cross_fit
    from nncli.triage.judging import METRICS, Effort, findings

    _demand_model(asked["fitted_model"], overwrite=overwrite)
    study = open_study(features, asked, stack)
    opinions, design, folds = study.opinions, study.design, asked["folds"]
    entry = lineage.entry(
        "table",
        inputs=study.inputs,
        seed=asked["seed"],
        metrics=[{"metric": name, "summary": said} for name, said in METRICS.items()],
        target=opinions.target,
        threshold=opinions.threshold,
        dropped=study.cases.dropped,
    )
    referred, points = tuple(sorted(set(asked["referred"]))), asked["points"]
    shares = referred, asked["resamples"], asked["seed"], points if asked["curve"] else 0
    shown = partial(progress, label="fitting", total=folds, unit="fold")
    foresight = cross_fit(study.x, opinions, study.plan, design, progress=shown)
    if study.cases.answers is not None:
        foresight = foresight.beside_answers(study.cases.answers, study.cases.score, opinions)
    found = findings(foresight, opinions, study.plan.group, design.about, Effort(*shares))
    made = from_rows(found.rows, EVALUATION)
    write_table(output, made, entry, format=table_format, overwrite=overwrite)
    _write_tables(study, foresight, found, asked, overwrite=overwrite)
    _write_model(study, asked, overwrite=overwrite)


def _write_tables(
    study: "OpinionStudy",
    foresight: "Foresight",
    found: "Findings",
    asked: dict[str, Any],
    *,
    overwrite: bool,
) -> None:
    """The scores of each case, and the referral curve."""
    from nncli.formats.tables import from_rows, write_table
    from nncli.formats.triage_tables import REFERRAL, table_of_cases

    told: dict[str, Any] = {"inputs": study.inputs, "seed": asked["seed"]}
    if asked["case_scores"]:
        columns = foresight.columns(study.opinions, study.plan)
        data = table_of_cases(study.cases.ids, columns)
        names = list(foresight.names)
        entry = lineage.entry("table", scores=names, outcome="disagree", **told)
        write_table(asked["case_scores"], data, entry, overwrite=overwrite)
    if asked["curve"]:
        entry = lineage.entry("table", **told)
        write_table(asked["curve"], from_rows(found.curve, REFERRAL), entry, overwrite=overwrite)


def _demand_model(target: str | None, *, overwrite: bool) -> None:
    from nncli.formats.opinion_models import KIND
    from nncli.formats.writable import demand_tensors

    if target:
        demand_tensors(target, kind=KIND, overwrite=overwrite)


def _write_model(study: "OpinionStudy", asked: dict[str, Any], *, overwrite: bool) -> None:
    """The scores, fitted on all cases."""
    if not asked["fitted_model"]:
        return
    from nncli.formats.opinion_models import KIND, write_scores
    from nncli.triage.foresight import fit_all

    made = fit_all(study.x, study.opinions, study.plan, study.design)
    threshold = study.opinions.threshold
    entry = lineage.entry(KIND, inputs=study.inputs, seed=asked["seed"], threshold=threshold)
    told = {"about": made.about._asdict(), "features": study.features}
    arrays: dict[str, Any] = {"scaling": made.scaling_arrays(), "scores": made.arrays}
    write_scores(asked["fitted_model"], told, entry=entry, overwrite=overwrite, **arrays)


def _apply(
    features: str | None,
    stored: str,
    asked: dict[str, Any],
    output: str,
    stack: ExitStack,
    *,
    table_format: str,
    overwrite: bool,
) -> None:
    """Score new cases by what was fitted before."""
    from nncli.commands.triage.opinion_study import features_of
    from nncli.formats.opinion_cases import open_opinion_cases
    from nncli.formats.opinion_models import read_scores
    from nncli.formats.tables import write_table
    from nncli.formats.triage_tables import table_of_cases
    from nncli.triage.foresight import Model

    if wrong := typed(*OF_FITTING):
        raise UsageError(
            f"`--apply` fits and judges nothing, so `{wrong[0]}` has no place beside it",
            hint="`nncli triage evaluate` holds the scores against an outcome",
        )
    read = read_scores(stored)
    cases = open_opinion_cases(features, asked["predictions"], None, stack)
    x, told = features_of(cases, asked["layers"], read)
    read.demand_width(told["width"], source=cases.name)
    model = Model.of_arrays(read.about, read.scaling, read.scores)
    columns = model.scores(x)
    entry = lineage.entry("table", inputs=[*cases.inputs, read], scores=list(columns))
    data = table_of_cases(cases.ids, columns)
    write_table(output, data, entry, format=table_format, overwrite=overwrite)
