"""`nncli bias-variance`: where the risk of a family of models comes from."""

from typing import Any

import click

from nncli import options
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin, demand_other_output
from nncli.parameters import Choice, Finite


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
    from nncli.commands.bias_variance.decomposing import decompose_all, training_errors
    from nncli.commands.bias_variance.writing import demand_outputs, schema_of, write_examples
    from nncli.formats.prediction_raters import read_raters
    from nncli.formats.prediction_sets import open_prediction_set
    from nncli.formats.tables import create_table, from_rows
    from nncli.formats.training_errors import read_training_errors

    for target in (output, per_example):
        demand_other_output(target or "-", [*predictions, *series, raters or "-"])
    demand_outputs(output, table_format, per_example, overwrite)
    trained = [read_training_errors(one) for one in series]
    rated = read_raters(raters) if raters else None
    apart = "file" in by
    how: dict[str, Any] = {"renormalise": renormalise, "apart": apart, "cluster": cluster}
    with open_prediction_set(predictions, **how) as found:
        facts = [with_shape(one.facts) for one in found.respondents]
        levels = [one.strip() for one in nested.split(",")] if nested else None
        arrangement = arrange(facts, by, levels)
        inputs = [*found.files, *([rated] if rated else []), *trained]
        results, units, clipped = decompose_all(found, arrangement, rated, asked)
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
            training=training_errors(trained, results, facts),
            interpolated=asked["interpolated"],
        )
        schema = schema_of(
            facts,
            arrangement.columns,
            noted=any(row["note"] for row in rows),
            clustered=cluster is not None,
        )
        if per_example is not None:
            each = lineage.entry("table", inputs=inputs, columns=list(arrangement.columns))
            write_examples(per_example, results, units, schema, each, overwrite=overwrite)
        with create_table(output, schema, entry, format=table_format, overwrite=overwrite) as table:
            table.write(from_rows(rows, schema))
