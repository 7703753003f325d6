"""`nncli bias-variance`: where the risk of a family of models comes from."""

from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin, demand_other_output
from nncli.options.progress import progress
from nncli.parameters import Choice, Finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from nncli.bias_variance.cells import Arrangement, Cell
    from nncli.bias_variance.report import Result, Training, Units
    from nncli.formats.prediction_raters import Raters
    from nncli.formats.prediction_sets import PredictionSet

NUMBERS = ("value", "se", "low", "high")


@click.command("bias-variance", cls=options.Command)
@click.argument("predictions", type=options.artifact, nargs=-1, required=True)
@click.option(
    "--by",
    multiple=True,
    metavar="FACTOR",
    help="Column along which there is a curve: width, epsilon, file, ... (repeatable).  "
    "[default: the factor that varies]",
)
@click.option(
    "--nested",
    metavar="COLUMNS",
    help="Levels of seeds, outermost first, such as `seed,seed2`.  [default: part, seed and seed2 "
    "as recorded]",
)
@click.option(
    "--loss",
    "losses",
    type=Choice("nncli.bias_variance.answers:LOSSES"),
    multiple=True,
    help="squared, cross-entropy, zero-one or kohavi-wolpert (repeatable).  [default: all there "
    "are]",
)
@click.option(
    "--on",
    type=Choice(["probs", "logits", "hard"]),
    help="What the squared loss is taken of: hard is the class alone.  [default: probabilities, "
    "where there are some]",
)
@click.option(
    "--unit",
    type=Choice(["nats", "bits"]),
    default="nats",
    show_default=True,
    help="Unit of cross-entropy.",
)
@click.option(
    "--class-mean", is_flag=True, help="Average the squared loss over classes, do not sum it."
)
@click.option(
    "--raters",
    type=options.artifact,
    metavar="TABLE",
    help="Labels of several raters: a row for each, with example_id and label.",
)
@click.option(
    "--cluster",
    metavar="COLUMN",
    help="Examples come in groups (patients, documents): the column that says which.",
)
@click.option(
    "--ties",
    type=Choice(["first", "average"]),
    default="first",
    show_default=True,
    help="Votes of equals (zero-one) go to the first class, or to each with equal chances.",
)
@click.option(
    "--series",
    type=options.artifact,
    multiple=True,
    metavar="RUNS",
    help="Where the models come from: says where the training error ends (repeatable).",
)
@click.option(
    "--interpolated",
    type=Finite(0, 1),
    default=0.01,
    show_default=True,
    metavar="SHARE",
    help="Training error that counts as none.",
)
@click.option(
    "--per-example",
    type=options.artifact,
    metavar="FILE",
    help="Write the parts of the risk at each example too.",
)
@options.renormalise
@options.threads
@options.output
@options.table_format
@options.overwrite
def command(
    *,
    predictions: tuple[str, ...],
    by: tuple[str, ...],
    nested: str | None,
    raters: str | None,
    cluster: str | None,
    series: tuple[str, ...],
    per_example: str | None,
    renormalise: bool,
    threads: int | None,
    output: str,
    table_format: str,
    overwrite: bool,
    **asked: Any,
) -> None:
    """Split the risk of a family of models into bias and variance.

    PREDICTIONS are files of `nncli predict`, or any table or tensors like them, taken as one: the
    answers of two or more models that differ in their seed, or in the part of the data they were
    trained on. Bias is what the models get wrong together, variance what they disagree about.

    Writes a table with a row for each point of the curve (a width, a split, a perturbation), loss
    (squared, cross-entropy, zero-one, kohavi-wolpert) and metric (risk, bias, variance, ...):
    value, se, low and high (95 %, over models and examples), models, n.

    \b
    Examples:
      nncli bias-variance predictions.parquet
      nncli bias-variance predictions.parquet --loss squared --per-example each.parquet
      nncli predict runs/ --split test | nncli bias-variance - --unit bits -f csv
    """
    demand_one_stdin(*predictions, *series, *((raters,) if raters else ()))

    from nncli.bias_variance.cells import arrange, with_shape
    from nncli.bias_variance.report import rows_of
    from nncli.formats.prediction_raters import read_raters
    from nncli.formats.prediction_sets import open_prediction_set
    from nncli.formats.tables import create_table, from_rows
    from nncli.formats.training_errors import read_training_errors

    for target in (output, per_example):
        demand_other_output(target or "-", [*predictions, *series, raters or "-"])
    _demand_outputs(output, table_format, per_example, overwrite)
    trained = [read_training_errors(one) for one in series]
    rated = read_raters(raters) if raters else None
    apart = "file" in by
    how: dict[str, Any] = {"renormalise": renormalise, "apart": apart, "cluster": cluster}
    with open_prediction_set(predictions, **how) as found:
        facts = [with_shape(one.facts) for one in found.respondents]
        levels = [one.strip() for one in nested.split(",")] if nested else None
        arrangement = arrange(facts, by, levels)
        inputs = [*found.files, *([rated] if rated else []), *trained]
        results, units, clipped = _results(found, arrangement, rated, asked)
        told = {name: asked[name] for name in ("on", "unit", "class_mean", "ties")}
        told["cluster"] = cluster
        entry = lineage.entry(
            "table",
            inputs=inputs,
            columns=list(arrangement.columns),
            axis=arrangement.axis,
            levels=sorted({one for cell in arrangement.cells for one in cell.ensemble.levels}),
            clipped=clipped,
            tied=sum(one.found.tied for one in results),
            **told,
        )
        rows = rows_of(
            arrangement,
            results,
            units,
            training=_training(trained, results, facts),
            interpolated=asked["interpolated"],
        )
        schema = _schema(
            facts,
            arrangement.columns,
            noted=any(row["note"] for row in rows),
            clustered=cluster is not None,
        )
        if per_example is not None:
            each = lineage.entry("table", inputs=inputs, columns=list(arrangement.columns))
            _write_examples(per_example, results, units, schema, each, overwrite=overwrite)
        with create_table(output, schema, entry, format=table_format, overwrite=overwrite) as table:
            table.write(from_rows(rows, schema))


def _demand_outputs(
    output: str, table_format: str, per_example: str | None, overwrite: bool
) -> None:
    """Refuse outputs that cannot be, before the work."""
    from nncli.errors import UsageError
    from nncli.formats.tables import demand_table

    if per_example == output:
        raise UsageError("`--per-example` and `--output` are the same file")
    demand_table(output, format=table_format, overwrite=overwrite)
    if per_example is not None:
        demand_table(per_example, overwrite=overwrite)


def _results(
    found: "PredictionSet",
    arrangement: "Arrangement",
    rated: "Raters | None",
    asked: dict[str, Any],
) -> "tuple[list[Result], Units, int]":
    """Every cell decomposed."""
    from nncli.bias_variance.report import Units

    results: list[Result] = []
    classes, clipped = 1, 0
    cells = progress(
        arrangement.cells, label="decomposing", total=len(arrangement.cells), unit="ensemble"
    )
    for cell in cells:
        result, classes = _result(found, cell, arrangement, rated, asked)
        results.append(result)
        clipped += result.found.clipped
    _warn(found.score, asked, clipped)
    units = Units(asked["unit"] == "bits", asked["class_mean"], classes)
    return results, units, clipped


def _result(
    found: "PredictionSet",
    cell: "Cell",
    arrangement: "Arrangement",
    rated: "Raters | None",
    asked: dict[str, Any],
) -> "tuple[Result, int]":
    """One cell decomposed, and how many classes there are."""
    from nncli.bias_variance.answers import reading
    from nncli.bias_variance.clusters import codes_of
    from nncli.bias_variance.curves import Point
    from nncli.bias_variance.decomposition import Task, decompose
    from nncli.bias_variance.report import Result
    from nncli.formats.prediction_joins import join, number_of_classes, targets_of

    told = ", ".join(f"{name} {value}" for name, value in cell.key.items())
    own = [found.respondents[place] for place in cell.members]
    joined = join(own, what=f" at {told}" if told else "")
    regression = joined.is_regression(found.score) and asked["on"] != "hard" and rated is None
    how = reading(
        found.score,
        found.width,
        on=asked["on"],
        losses=asked["losses"],
        regression=regression,
    )
    classes = how.classes or number_of_classes(joined)
    source = own[0].sheets[0][0].name
    target, raters = targets_of(joined, found.score, classes, regression, rated, source=source)
    task = Task(
        ensemble=cell.ensemble,
        reading=how.of(classes),
        n=len(joined.ids),
        target=target,
        block=joined.block,
        itemsize=found.itemsize,
        raters=raters,
        clusters=None if joined.cluster is None else codes_of(joined.cluster),
        ties=asked["ties"],
    )
    at = cell.key.get(arrangement.axis) if arrangement.axis else None
    models = tuple(str(sorted(_identity(one.facts))) for one in own)
    point = Point(float("nan") if at is None else float(at), models, joined.ids, decompose(task))
    return Result(cell, point), classes


def _identity(facts: dict[str, Any]) -> "Sequence[tuple[str, str]]":
    """What tells models apart, whatever they were shown."""
    beside = ("split", "perturbation", "strength", "file")
    return [(name, str(value)) for name, value in facts.items() if name not in beside]


def _warn(score: str, asked: dict[str, Any], clipped: int) -> None:
    import warnings

    from nncli.errors import NncliWarning

    if asked["on"] == "logits":
        warnings.warn(
            "squared losses of logits cannot be compared between models of different scale",
            NncliWarning,
            stacklevel=2,
        )
    if clipped:
        warnings.warn(
            f"{clipped} probabilities were below 1e-15, which stands for them in cross-entropy",
            NncliWarning,
            stacklevel=2,
        )


def _training(
    trained: "Sequence[Any]", results: "Sequence[Result]", models: "Sequence[dict[str, Any]]"
) -> "Training | None":
    """The training errors, from the series, else from what was answered to the training data.

    The latter are errors of training only if models saw all of those data, with true labels.
    """
    import numpy as np

    from nncli.bias_variance.cells import with_shape
    from nncli.bias_variance.report import Training, training_of_cells

    if not trained:
        whole = not any(one.get("part") or one.get("label_noise") for one in models)
        return training_of_cells(results) if whole else None
    facts = [with_shape(one) for series in trained for one in series.facts]
    return Training(facts, np.concatenate([one.errors for one in trained]))


def _schema(
    facts: "Sequence[dict[str, Any]]",
    columns: "Sequence[str]",
    *,
    noted: bool,
    clustered: bool,
) -> "pa.Schema":
    """The columns of the result; `note` only where something is to be said."""
    import pyarrow as pa

    kinds = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}

    def kind_of(name: str) -> pa.DataType:
        types = {type(one[name]) for one in facts if one.get(name) is not None}
        if name == "strength" or types == {int, float}:
            return pa.float64()
        return kinds.get(next(iter(types)), pa.string()) if len(types) == 1 else pa.string()

    return pa.schema(
        [
            *((name, kind_of(name)) for name in columns),
            ("loss", pa.string()),
            ("metric", pa.string()),
            *((name, pa.float64()) for name in NUMBERS),
            ("models", pa.int64()),
            ("n", pa.int64()),
            *([("clusters", pa.int64())] if clustered else []),
            *([("note", pa.string())] if noted else []),
        ]
    )


def _write_examples(
    target: str,
    results: "Sequence[Result]",
    units: "Units",
    schema: "pa.Schema",
    entry: Any,
    *,
    overwrite: bool,
) -> None:
    """The parts of the risk at each example, cell by cell."""
    import pyarrow as pa

    from nncli.bias_variance.report import per_example
    from nncli.formats.tables import create_table

    tables = []
    for one in results:
        columns = {
            name: pa.repeat(pa.scalar(value, schema.field(name).type), one.found.n)
            for name, value in one.cell.key.items()
        }
        ids = {"example_id": one.point.examples}
        tables.append(pa.table({**columns, **ids, **per_example(one, units)}))
    with create_table(target, tables[0].schema, entry, overwrite=overwrite) as writer:
        for table in tables:
            writer.write(table.cast(tables[0].schema))
