"""`nncli probe`: what can be read off the layers of a network."""

from contextlib import ExitStack
from typing import Any

import click

from nncli import options
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin
from nncli.options.progress import progress
from nncli.parameters import Choice, Finite, Measure


@click.command("probe", cls=options.Command)
@click.argument("activations", type=options.artifact, nargs=-1, required=True)
@click.option(
    "--target",
    "names",
    multiple=True,
    default=("@label",),
    show_default=True,
    metavar="COLUMN",
    help="What is to be read: @label, or a column of --columns (repeatable).",
)
@click.option(
    "--columns",
    "table",
    type=options.artifact,
    metavar="TABLE",
    help="Table or dataset with further columns for the examples, joined by example_id.",
)
@click.option(
    "--task",
    type=Choice(["auto", "classes", "numbers"]),
    default="auto",
    show_default=True,
    help="What targets are; auto: floats are numbers, lists of 0 and 1 labels, others classes.",
)
@click.option(
    "--reader",
    "readers",
    type=Measure("nncli.probing:READERS"),
    multiple=True,
    help="linear, ridge, knn, prototype, mass-mean, mlp (repeatable); settings go behind a colon, "
    "such as knn:neighbours=5 or prototype:way=5,shot=1.  [default: linear; ridge for numbers]",
)
@click.option(
    "--metric",
    "metrics",
    type=Choice("nncli.probing:METRICS"),
    multiple=True,
    help="accuracy, balanced-accuracy, log-loss, average-precision, r2, mse (repeatable).  "
    "[default: accuracy; r2 for numbers]",
)
@click.option(
    "--groups", metavar="COLUMN", help="Examples of equal COLUMN are never on both sides."
)
@click.option(
    "--types",
    metavar="COLUMN",
    help="Types of the control task, such as the word.  [default: cells of the first layer]",
)
@click.option(
    "--test-share",
    type=Finite(0, 1, min_open=True, max_open=True),
    default=0.25,
    show_default=True,
    metavar="P",
    help="Share of the examples that readers are scored on, and never fitted on.",
)
@options.count(
    "--folds",
    "Folds of the training part, by which the penalty is chosen.",
    default=5,
    least=2,
    metavar="K",
)
@click.option(
    "--penalty",
    "penalties",
    type=Finite(min=0, min_open=True),
    multiple=True,
    metavar="L",
    help="Strength of the L2 penalty, 1 / C (repeatable).  [default: 0.01, 0.1, ... 100000]",
)
@options.file(
    "--control-activations",
    "The same layers of a randomly initialised twin, for the column twin.",
    name="twin",
)
@options.file("--train-on", "Fit readers on this capture, and score them on ACTIVATIONS too.")
@options.file(
    "--test-on",
    "Score readers on this capture too, such as of shifted data (repeatable).",
    multiple=True,
)
@click.option("--per-position", is_flag=True, help="A probe for each token, or place of a map.")
@options.count(
    "--controls", "Control tasks, and shuffles of the targets.", default=5, least=0, metavar="R"
)
@options.count(
    "--orders",
    "Orders of the examples over which the code length is averaged; 0 for none.",
    default=3,
    least=0,
    metavar="R",
)
@options.count(
    "--resamples",
    "Draws of test examples, or groups, for intervals.",
    default=999,
    least=0,
    metavar="B",
)
@options.file(
    "--predictions",
    "Write what readers answer to the test part, as `nncli predict` does.",
)
@options.file("--probes", "Write the fitted readers.")
@click.option(
    "--learned",
    type=click.FloatRange(min=0, max=1, min_open=True),
    metavar="LEVEL",
    help="From which step on each layer's score is LEVEL of the way from its baseline to what it "
    "ends at, in place of scores.",
)
@options.file(
    "--apply", "Score the readers of --probes on ACTIVATIONS, and fit nothing.", name="stored"
)
@options.layers
@options.reduce_captured
@options.assume_aligned
@options.seed
@options.threads
@options.output
@options.table_format
@options.overwrite
def command(
    *,
    activations: tuple[str, ...],
    stored: str | None,
    output: str,
    table_format: str,
    overwrite: bool,
    **asked: Any,
) -> None:
    """Say what can be read off each layer, and what that is worth.

    Readers are fitted on one part of the examples of ACTIVATIONS (captures of the same examples; a
    folder stands for those inside) and scored on the rest. The penalty is chosen by
    cross-validation inside the first part. Examples of one group, and examples seen twice, are
    never on both sides.

    Writes a table with a row for each layer, target and reader: value with its 95 % interval (low,
    high), baseline (the most frequent class, or the mean), shuffled (the same reader on shuffled
    targets), control (on labels that depend on the type of an example alone), selectivity (value
    less control), mdl_bits and compression (the online code length of the training targets),
    penalty, n and note.

    \b
    Examples:
      nncli probe a.safetensors
      nncli probe captures/ --layer head --reader linear --reader knn -o probe.parquet
      nncli probe a.safetensors --reader ridge --predictions p.parquet --probes ridge.safetensors
      nncli probe a.safetensors --test-on b.safetensors --orders 0 -f csv
    """
    given = (asked["table"], asked["twin"], asked["train_on"], stored, *asked["test_on"])
    demand_one_stdin(*activations, *(one for one in given if one))
    from nncli.commands.probe.applying import applying
    from nncli.commands.probe.fitting import fitting
    from nncli.commands.probe.writing import learned_table_schema, write_readings
    from nncli.formats.probe_answers import Reading, demand_outputs
    from nncli.formats.probe_inputs import probe_schema
    from nncli.formats.tables import create_table, from_rows

    with ExitStack() as stack:
        if stored:
            work = applying(activations, stored, asked, stack)
        else:
            work = fitting(activations, asked, stack)
        demand_outputs(
            asked["predictions"],
            asked["probes"],
            [one.kind for one in work.targets],
            rows_are_examples=asked["reduction"] != "positions",
            overwrite=overwrite,
        )
        schema = probe_schema(
            work.factors, several=work.several, positions=work.positions, twin=bool(asked["twin"])
        )
        learned = asked["learned"]
        if learned is not None:
            schema = learned_table_schema(work)
        entry = lineage.entry("table", inputs=work.inputs, seed=asked["seed"], **work.facts)
        table = stack.enter_context(
            create_table(output, schema, entry, format=table_format, overwrite=overwrite)
        )
        readings: list[Reading] = []
        scores: list[dict[str, Any]] = []
        steps = work.survey.steps()
        for step in progress(steps, label="probing", total=len(steps), unit="layer"):
            name, factors = work.read.captures.names[step[0]], work.factors[step[0]]
            for rows, found in work.survey.take(step):
                mine = [{"capture": name, **factors, **row} for row in rows]
                if learned is None:
                    table.write(from_rows(mine, schema))
                else:
                    scores += mine
                if asked["predictions"] or asked["probes"]:
                    readings += [Reading.of(name, factors, one) for one in found]
        if learned is not None:
            from nncli.probing import learning_order

            order = learning_order(scores, list(work.factors[0]), learned)
            table.write(from_rows(order, schema))
        write_readings(work, readings, asked, overwrite=overwrite)
