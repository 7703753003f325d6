"""`nncli verify`: prove what networks cannot do, or show the input that does it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.errors import MismatchError, NoAnswerError, UsageError

if TYPE_CHECKING:
    from nncli.formats.datasets import Dataset
    from nncli.origins import Origin
    from nncli.verification.exact import Asked
    from nncli.verification.standing import Answer
    from nncli.verification.subjects import Subject

METHODS = ("auto", "attack", "ibp", "crown", "alpha-crown", "input-split", "relu-split")


@click.command("verify", cls=options.Command)
@click.argument("checkpoints", type=options.artifact, nargs=-1)
@click.option(
    "--vnnlib",
    "vnnlibs",
    type=options.artifact,
    multiple=True,
    metavar="FILE",
    help="A property in VNN-LIB (repeatable): the file describes what must not happen.",
)
@click.option(
    "--specification",
    "specifications",
    type=options.artifact,
    multiple=True,
    metavar="FILE",
    help="A property in plain words (repeatable): `input 0 in [0, 1]`, `y[2] is largest`.",
)
@click.option(
    "--instances",
    type=options.artifact,
    metavar="FILE",
    help="A list of networks, properties and time-outs (CSV), in place of CHECKPOINTS.",
)
@options.data
@options.split
@options.limit
@options.arch
@click.option(
    "--epsilon",
    "epsilons",
    multiple=True,
    metavar="E",
    help="How far inputs may be from each example of --data: `0.1`, `8/255` (repeatable).",
)
@click.option(
    "--norm",
    type=options.Choice(["linf", "l2", "l1"]),
    default="linf",
    show_default=True,
    help="Norm of the neighbourhoods.",
)
@click.option(
    "--limits",
    type=(float, float),
    metavar="LOW HIGH",
    help="Least and greatest that inputs can be.  [default: 0 1 where the data lie in it]",
)
@click.option(
    "--method",
    type=options.Choice(METHODS),
    default="auto",
    show_default=True,
    help="All stages, cheap ones first (auto), or one with what it rests on.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for each property.",
)
@click.option(
    "--max-memory",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    metavar="GB",
    help="Memory for the numbers of a bound, about.",
)
@click.option(
    "--counterexamples",
    type=options.artifact,
    metavar="FILE",
    help="Write the inputs that violate as a dataset (safetensors).",
)
@options.seed
@options.threads
@options.output
@options.table_format
@options.overwrite
def command(*, checkpoints: tuple[str, ...], **given: Any) -> None:
    """Prove that CHECKPOINTS cannot violate a property, or find the input that does.

    Exit code 0: all properties hold. 1: some are violated. 4: some are undecided, none violated.

    \b
    Examples:
      nncli verify checkpoint.safetensors --limit 5 --epsilon 0.02
      nncli verify checkpoint.safetensors --limit 5 --epsilon 0.05 -o verdicts.parquet
    """
    _demand_one_question(checkpoints, given)
    if given["instances"]:
        questions = _from_instances(given)
    else:
        questions = _from_files(checkpoints, given) if _files(given) else _near(checkpoints, given)
    verdicts = _write(questions, given)
    if "violated" in verdicts:
        click.get_current_context().exit(1)
    if set(verdicts) - {"verified"}:
        undecided = sum(one != "verified" for one in verdicts)
        raise NoAnswerError(
            f"{undecided} of {len(verdicts)} properties are undecided",
            hint="give them more time with `--timeout`",
        )


@dataclass(frozen=True)
class _Task:
    """One network and one property."""

    subject: "Subject"
    asked: "Asked"
    seconds: float
    keys: dict[str, Any]
    label: int | None = None


@dataclass(frozen=True)
class _Questions:
    """What one call decides, and what it was made from."""

    tasks: Iterator[_Task]
    count: int
    inputs: list[Any]
    local: bool
    facts: dict[str, Any]


def _files(given: dict[str, Any]) -> bool:
    return bool(given["vnnlibs"] or given["specifications"])


def _demand_one_question(checkpoints: tuple[str, ...], given: dict[str, Any]) -> None:
    """Refuse a call that asks nothing, or in two ways."""
    asked = {
        "--instances": bool(given["instances"]),
        "--vnnlib or --specification": _files(given),
        "--epsilon": bool(given["epsilons"]),
    }
    ways = [name for name, one in asked.items() if one]
    if not ways:
        raise UsageError(
            "nothing is asked of the network",
            hint="`--epsilon 0.1` asks whether examples of `--data` keep their class within 0.1; "
            "or name a property with `--vnnlib`, `--specification` or `--instances`",
        )
    if len(ways) > 1:
        raise UsageError(f"`{ways[0]}` and `{ways[1]}` exclude each other")
    if given["instances"] and checkpoints:
        raise UsageError("`--instances` names its own networks", hint="leave out CHECKPOINTS")
    if not given["instances"] and not checkpoints:
        raise UsageError("no checkpoint is given")
    inputs = (*checkpoints, *given["vnnlibs"], *given["specifications"])
    options.demand_one_stdin(*inputs)
    for place in (given["output"], given["counterexamples"]):
        if place:
            options.demand_other_output(place, inputs)


def _near(checkpoints: tuple[str, ...], given: dict[str, Any]) -> _Questions:
    """Neighbourhoods of examples."""
    from nncli.checkpoints import expand
    from nncli.formats.datasets import load
    from nncli.origins import data_facts, survey

    examples = load(given["data"], split=given["split"], limit=given["limit"])
    if examples.x is None or examples.x.dtype.kind != "f":
        raise MismatchError(f"`{examples.name}` holds texts or token ids, which have no neighbours")
    if examples.y is None or examples.y.dtype.kind != "i":
        raise MismatchError(f"`{examples.name}` has no classes that examples could keep")
    origins = survey(expand(checkpoints), given["arch"], "cpu")
    return _Questions(
        _neighbourhoods(origins, examples, given),
        len(origins) * len(examples.y) * len(given["epsilons"]),
        [*origins, examples],
        local=True,
        facts={"data": data_facts(examples, given["limit"], options.portable)},
    )


def _neighbourhoods(
    origins: "list[Origin]", examples: "Dataset", given: dict[str, Any]
) -> Iterator[_Task]:
    import torch

    from nncli.attacks.ball import valid_box
    from nncli.verification.neighbourhoods import robustness

    assert examples.x is not None
    assert examples.y is not None
    x = torch.from_numpy(examples.x)
    limits = given["limits"] or valid_box(x)
    for subject in _subjects(origins, tuple(x.shape[1:])):
        for row, label, name in zip(x, examples.y.tolist(), examples.example_id, strict=True):
            for epsilon in given["epsilons"]:
                asked = robustness(
                    str(name), row, label, epsilon,
                    outputs=subject.network.outputs, norm=given["norm"], limits=limits,
                )  # fmt: skip
                keys = {"label": label, "norm": given["norm"], "epsilon": _number(epsilon)}
                yield _Task(subject, asked, given["timeout"], keys, label)


def _number(epsilon: str) -> float:
    from fractions import Fraction

    return float(Fraction(epsilon))


def _subjects(origins: "list[Origin]", shape: tuple[int, ...]) -> "Iterator[Subject]":
    from nncli.checkpoint_names import short_names
    from nncli.verification.subjects import subject

    names = short_names([options.without_descriptor(one.name) for one in origins])
    for name, origin in zip(names, origins, strict=True):
        model = origin.load()
        yield subject(name, origin.digest, model.module, shape, drop_softmax=True)


def _from_files(checkpoints: tuple[str, ...], given: dict[str, Any]) -> _Questions:
    """Properties in files, each asked of each network."""
    from nncli.checkpoints import expand
    from nncli.formats.vnnlib import read_vnnlib
    from nncli.origins import survey

    origins = survey(expand(checkpoints), given["arch"], "cpu")
    properties = [read_vnnlib(name) for name in given["vnnlibs"]]
    texts = given["specifications"]
    return _Questions(
        _asked_of_all(origins, properties, texts, given),
        len(origins) * (len(properties) + len(texts)),
        [*origins, *properties],
        local=False,
        facts={},
    )


def _asked_of_all(
    origins: "list[Origin]", properties: list[Any], texts: tuple[str, ...], given: dict[str, Any]
) -> Iterator[_Task]:
    from nncli.formats.specification_text import read_specification

    for origin in origins:
        for one in properties:
            yield _file_task(origin, one, given["timeout"])
        for name in texts:
            subject = _subject_of(origin, None)
            network = subject.network
            one = read_specification(name, inputs=network.inputs, outputs=network.outputs)
            yield _specified(subject, one, given["timeout"])


def _file_task(origin: "Origin", one: Any, seconds: float) -> _Task:
    return _specified(_subject_of(origin, one), one, seconds)


def _specified(subject: "Subject", one: Any, seconds: float) -> _Task:
    from nncli.verification.asking import asked, demand_fit

    network = subject.network
    demand_fit(
        one.name, inputs=one.inputs, outputs=one.outputs, network=subject.name,
        network_inputs=network.inputs, network_outputs=network.outputs,
    )  # fmt: skip
    question = asked(one.name, one.cases, inputs=one.inputs, outputs=one.outputs)
    return _Task(subject, question, seconds, {})


def _subject_of(origin: "Origin", specification: Any) -> "Subject":
    from nncli.verification.subjects import subject

    model = origin.load()
    shape = model.input_shape or (
        specification and (specification.shape or (specification.inputs,))
    )
    if shape is None:
        raise MismatchError(
            f"`{origin.name}` does not say what shape its inputs have",
            hint="name its architecture with `--arch`",
        )
    return subject(origin.name, origin.digest, model.module, shape, drop_softmax=False)


def _from_instances(given: dict[str, Any]) -> _Questions:
    """A list of networks and properties."""
    from nncli.formats.instances import read_instances

    listed = read_instances(given["instances"])
    return _Questions(_listed(listed.rows, given), len(listed.rows), [listed], False, {})


def _listed(rows: Any, given: dict[str, Any]) -> Iterator[_Task]:
    from nncli.checkpoints import expand
    from nncli.formats.vnnlib import read_vnnlib
    from nncli.origins import survey

    for row in rows:
        (origin,) = survey(expand((str(row.network),)), given["arch"], "cpu")
        seconds = given["timeout"] if options.typed("timeout") else row.seconds
        yield _file_task(origin, read_vnnlib(str(row.property)), seconds)


def _write(questions: _Questions, given: dict[str, Any]) -> list[str]:
    """Decide every task as its turn comes; the verdicts, in order."""
    from nncli.formats.tables import create_table, from_rows
    from nncli.formats.verdict_tables import verdict_schema
    from nncli.verification.portfolio import STAGES, Setting, decide

    schema = verdict_schema(STAGES, local=questions.local)
    entry = options.entry("table", inputs=questions.inputs, seed=given["seed"], **questions.facts)
    form, replaced = given["table_format"], given["overwrite"]
    verdicts, violating = [], []
    with create_table(given["output"], schema, entry, format=form, overwrite=replaced) as table:
        label = "verify"
        for task in options.progress(questions.tasks, label=label, total=questions.count):
            setting = Setting(
                given["method"], task.seconds, given["seed"], int(given["max_memory"] * 1e9 / 8)
            )
            confirm = task.subject.confirming(task.asked)
            answer = decide(task.subject.network, task.asked, confirm, setting)
            table.write(from_rows([_row(task, answer, given["seed"])], schema))
            verdicts.append(answer.verdict)
            if answer.counterexample is not None:
                violating.append((task, answer.counterexample))
    if given["counterexamples"]:
        _write_counterexamples(questions, violating, given)
    return verdicts


def _row(task: _Task, answer: "Answer", seed: int) -> dict[str, Any]:
    spent = {f"seconds_{name.replace('-', '_')}": one for name, one in answer.seconds.items()}
    return {
        "model_id": task.subject.name,
        "instance": options.without_descriptor(task.asked.name),
        **task.keys,
        "verdict": answer.verdict,
        "bound": _finite(answer.bound),
        "attacked": _finite(answer.attacked),
        "stage": answer.stage or None,
        "seconds": sum(answer.seconds.values()),
        **spent,
        "numerics": "float64, rounding bounded",
        "seed": seed,
        "words": task.asked.words,
    }


def _finite(number: float) -> float | None:
    """A number for the table; what a search has shown to be positive, and no more, is 0."""
    if abs(number) == float("inf"):
        return None
    return 0.0 if 0 < number < 1e-300 else number


def _write_counterexamples(
    questions: _Questions, found: list[tuple[_Task, Any]], given: dict[str, Any]
) -> None:
    """The inputs that violate, as a dataset."""
    import numpy as np

    from nncli.formats.dataset_writers import write_dataset

    if not found:
        return
    shapes = {task.subject.network.shape for task, _ in found}
    if len(shapes) > 1:
        raise MismatchError("counterexamples of networks with different inputs are no dataset")
    x = np.stack(
        [point.numpy().reshape(next(iter(shapes))).astype(np.float32) for _, point in found]
    )
    labels = [-1 if task.label is None else task.label for task, _ in found]
    write_dataset(
        given["counterexamples"],
        x,
        np.array(labels, dtype=np.int64),
        example_id=np.array([task.asked.name for task, _ in found]),
        factors={},
        entry=options.entry("dataset", inputs=questions.inputs, seed=given["seed"]),
        overwrite=given["overwrite"],
    )
