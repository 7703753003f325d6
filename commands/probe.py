"""`nncli probe`: what can be read off the layers of a network."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from nncli import options
from nncli.errors import UsageError
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin
from nncli.options.progress import progress
from nncli.parameters import Choice, Finite, Measure

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from nncli.formats.probe_answers import Reading
    from nncli.formats.probe_inputs import Probed
    from nncli.probing import Application, Design, Effort, Elsewhere, Settings, Survey, Target

OWN = "test"  # the split of the part that readers are scored on by themselves
F = TypeVar("F", bound="Callable[..., Any]")


def _count(flag: str, default: int, metavar: str, least: int, text: str) -> "Callable[[F], F]":
    kind = click.IntRange(min=least)
    return click.option(
        flag, type=kind, default=default, show_default=True, metavar=metavar, help=text
    )


def _file(flag: str, name: str, text: str, *, multiple: bool = False) -> "Callable[[F], F]":
    return click.option(
        flag, name, type=options.artifact, multiple=multiple, metavar="FILE", help=text
    )


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
@_count("--folds", 5, "K", 2, "Folds of the training part, by which the penalty is chosen.")
@click.option(
    "--penalty",
    "penalties",
    type=Finite(min=0, min_open=True),
    multiple=True,
    metavar="L",
    help="Strength of the L2 penalty, 1 / C (repeatable).  [default: 0.01, 0.1, ... 100000]",
)
@_file(
    "--control-activations",
    "twin",
    "The same layers of a randomly initialised twin, for the column twin.",
)
@_file("--train-on", "train_on", "Fit readers on this capture, and score them on ACTIVATIONS too.")
@_file(
    "--test-on",
    "test_on",
    "Score readers on this capture too, such as of shifted data (repeatable).",
    multiple=True,
)
@click.option("--per-position", is_flag=True, help="A probe for each token, or place of a map.")
@_count("--controls", 5, "R", 0, "Control tasks, and shuffles of the targets.")
@_count(
    "--orders",
    3,
    "R",
    0,
    "Orders of the examples over which the code length is averaged; 0 for none.",
)
@_count("--resamples", 999, "B", 0, "Draws of test examples, or groups, for intervals.")
@_file(
    "--predictions",
    "predictions",
    "Write what readers answer to the test part, as `nncli predict` does.",
)
@_file("--probes", "probes", "Write the fitted readers.")
@click.option(
    "--learned",
    type=click.FloatRange(min=0, max=1, min_open=True),
    metavar="LEVEL",
    help="From which step on each layer's score is LEVEL of the way from its baseline to what it "
    "ends at, in place of scores.",
)
@_file("--apply", "stored", "Score the readers of --probes on ACTIVATIONS, and fit nothing.")
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
    from nncli.formats.probe_answers import Reading, demand_outputs
    from nncli.formats.probe_inputs import probe_schema
    from nncli.formats.tables import create_table, from_rows

    with ExitStack() as stack:
        if stored:
            work = _applying(activations, stored, asked, stack)
        else:
            work = _fitting(activations, asked, stack)
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
            schema = _learned_schema(work)
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
        _write_readings(work, readings, asked, overwrite=overwrite)


def _learned_schema(work: "Work") -> "pa.Schema":
    """The columns of `--learned`, after making sure that there are steps."""
    from nncli.formats.probe_inputs import learned_schema

    if "step" not in work.factors[0] or work.positions:
        raise UsageError(
            "`--learned` is about captures of several steps, each layer probed as a whole",
            hint="`nncli train --save-steps` keeps steps, `nncli capture` captures them all",
        )
    return learned_schema(work.factors)


class Work(NamedTuple):
    """What is to be done, and what it is made from."""

    read: "Probed"
    targets: "list[Target]"
    inputs: list[Any]
    facts: dict[str, Any]
    positions: bool
    survey: "Survey | Application"

    @property
    def several(self) -> bool:
        """Whether there is more than one capture."""
        return len(self.read.captures.members) > 1

    @property
    def factors(self) -> list[dict[str, Any]]:
        """What tells captures apart."""
        return self.read.captures.factors() if self.several else [{}]


def _fitting(activations: tuple[str, ...], asked: dict[str, Any], stack: ExitStack) -> Work:
    """Open the captures, divide their examples, and say what is to be fitted."""
    from nncli import probing
    from nncli.formats.probe_inputs import open_probed
    from nncli.layer_names import select_layers

    told = {name: asked[name] for name in ("train_on", "test_on", "twin", "assume_aligned")}
    read = open_probed(stack, activations, columns=asked["table"], **told)
    targets = []
    for name in dict.fromkeys(asked["names"]):
        values, source = read.values(name)
        targets.append(probing.target_of(values, name, source=source, task=asked["task"]))
    probing.demand_metrics(asked["metrics"], targets)
    plan = _plan(read, targets, asked)
    captures = read.captures.members
    survey = probing.Survey(
        captures=captures,
        names=[select_layers(one.layers, asked["layers"], source=one.name) for one in captures],
        plan=plan,
        effort=_effort(asked),
        reduction=asked["reduction"],
        per_position=asked["per_position"],
        elsewhere=_elsewhere(read, plan),
        twin=read.twin,
    )
    if asked["predictions"] or asked["probes"]:
        survey.demand_readers()
    facts = {"reduce": asked["reduction"], "metrics": probing.told(asked["metrics"], targets)}
    return Work(read, targets, read.inputs, facts, asked["per_position"], survey)


def _plan(read: "Probed", targets: "list[Target]", asked: dict[str, Any]) -> "list[Design]":
    """The readers, the sides, and the types of the control task."""
    from nncli import probing

    settings, first, seed = _settings(asked), read.first, asked["seed"]
    readers = [probing.choose_readers(asked["readers"], one, settings) for one in targets]
    types, least = read.text(asked["types"]), max(one.outputs for one in targets)
    return probing.designs(
        targets,
        readers,
        probing.groups_of(first, read.text(asked["groups"])),
        probing.together(types) if types else probing.types_of(first, least=least, seed=seed),
        share=asked["test_share"],
        folds=asked["folds"],
        seed=seed,
        source=first.name,
    )


def _elsewhere(read: "Probed", plan: "list[Design]") -> "list[Elsewhere]":
    """Further captures, less the examples that readers are fitted on."""
    from nncli.checkpoint_names import short_names
    from nncli.probing import Elsewhere, trained_on

    files = [lineage.without_descriptor(one.name) for one in read.others]
    names = short_names([OWN, *files])[1:]
    found, start = [], read.first.n
    for name, one, allowed in zip(names, read.others, read.allowed(trained_on(plan)), strict=True):
        found.append(Elsewhere(name, one, start, allowed))
        start += one.n
    return found


def _settings(asked: dict[str, Any]) -> "Settings":
    from nncli.probing import PENALTIES, Settings

    return Settings(tuple(sorted(set(asked["penalties"]))) or PENALTIES, seed=asked["seed"])


def _effort(asked: dict[str, Any]) -> "Effort":
    from nncli.probing import Effort

    told = {name: asked[name] for name in ("controls", "orders", "resamples", "seed")}
    return Effort(**told, metrics=tuple(dict.fromkeys(asked["metrics"])))


def _applying(
    activations: tuple[str, ...], stored: str, asked: dict[str, Any], stack: ExitStack
) -> Work:
    """Open captures and the readers that were fitted before."""
    from nncli import probing
    from nncli.formats.probe_inputs import open_probed, untrained
    from nncli.formats.probes import read_probes

    if asked["train_on"] or asked["test_on"] or asked["probes"] or asked["twin"]:
        raise UsageError("`--apply` fits nothing: it takes ACTIVATIONS and `--columns` alone")
    known = read_probes(stored)
    read = open_probed(
        stack, activations, columns=asked["table"], assume_aligned=asked["assume_aligned"]
    )
    group = probing.groups_of(read.first, read.text(asked["groups"]))
    allowed = untrained(known.train, known.source_digest, read.first, fitted=known.name)
    targets: dict[str, Target] = {}
    for one in known.probes:
        name = str(one.about["target"])
        if name not in targets:
            targets[name] = probing.coded(read.values(name)[0], one.about, read.first.name)

    application = probing.Application(
        captures=read.captures.members,
        readers=[known.of_capture(name) for name in read.captures.names],
        targets=targets,
        group=group,
        allowed=allowed,
        effort=_effort(asked),
    )
    positions = any(one.about.get("position") is not None for one in known.probes)
    facts = {"metrics": probing.told(asked["metrics"], list(targets.values()))}
    inputs = [*read.captures.members, known, *([read.table] if read.table else [])]
    return Work(read, list(targets.values()), inputs, facts, positions, application)


def _write_readings(
    work: Work, readings: "list[Reading]", asked: dict[str, Any], *, overwrite: bool
) -> None:
    """Write answers and fitted readers, where they are wanted."""
    from nncli.formats.probe_answers import write_answers, write_readers
    from nncli.probing import losses_of

    first, target = work.read.first, work.targets[0]
    told = {"inputs": work.inputs, "seed": asked["seed"]}
    if asked["predictions"]:
        names = None if target.kind == "numbers" else list(target.classes)
        entry = lineage.entry("predictions", **told, class_names=names)
        also: dict[str, Any] = {"several": work.several, "overwrite": overwrite}
        write_answers(asked["predictions"], readings, first, entry, losses_of(target), **also)
    if asked["probes"]:
        entry, train = (
            lineage.entry("probes", **told, source=first.source_digest),
            work.survey.train,
        )
        write_readers(asked["probes"], readings, first, train, entry, overwrite=overwrite)
