"""`nncli verify`: prove what networks cannot do, or show the input that does it."""

from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.errors import NoAnswerError, UsageError

if TYPE_CHECKING:
    from nncli.commands.verify.questions import Questions, Task
    from nncli.verification.standing import Answer

METHODS = (
    "auto",
    "attack",
    "ibp",
    "crown",
    "alpha-crown",
    "input-split",
    "sdp",
    "relu-split",
    "milp",
)


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
    "--truth",
    type=options.Choice(["label", "answer"]),
    default="label",
    show_default=True,
    help="What answers should be: the label, or the answer to the example itself.",
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
@click.option("--timings", is_flag=True, help="Add columns with the seconds of each stage.")
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
      nncli verify checkpoint.safetensors --limit 3 --truth answer --epsilon 0.0001
      nncli verify checkpoint.safetensors --specification never.txt --timings -f csv
      nncli verify checkpoint.safetensors --specification never.txt -o verdicts.parquet
    """
    from nncli.commands.verify.questions import from_files, from_instances, near

    _demand_one_question(checkpoints, given)
    if given["instances"]:
        questions = from_instances(given)
    else:
        questions = from_files(checkpoints, given) if _files(given) else near(checkpoints, given)
    verdicts = _write(questions, given)
    if "violated" in verdicts:
        click.get_current_context().exit(1)
    if set(verdicts) - {"verified"}:
        undecided = sum(one != "verified" for one in verdicts)
        late = "timeout" in verdicts
        raise NoAnswerError(
            f"{undecided} of {len(verdicts)} properties are undecided",
            hint="give them more time with `--timeout`" if late else "try another `--method`",
        )


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


def _write(questions: "Questions", given: dict[str, Any]) -> list[str]:
    """Decide every task as its turn comes; the verdicts, in order."""
    from nncli.formats.tables import create_table, from_rows
    from nncli.formats.verdict_tables import verdict_schema
    from nncli.verification.portfolio import STAGES, Setting, decide

    timed = STAGES if given["timings"] else ()
    schema = verdict_schema(timed, local=questions.local)
    entry = options.entry("table", inputs=questions.inputs, seed=given["seed"], **questions.facts)
    form, replaced = given["table_format"], given["overwrite"]
    verdicts, violating = [], []
    with create_table(given["output"], schema, entry, format=form, overwrite=replaced) as table:
        label = "verify"
        for task in options.progress(questions.tasks, label=label, total=questions.count):
            setting = Setting(
                given["method"], task.seconds, given["seed"], int(given["max_memory"] * 1e9 / 8)
            )
            _use_threads(task, given)
            confirm = task.subject.confirming(task.asked)
            answer = decide(task.subject.network, task.asked, confirm, setting)
            table.write(from_rows([_row(task, answer, given)], schema))
            verdicts.append(answer.verdict)
            if answer.counterexample is not None:
                violating.append((task, answer.counterexample))
    if given["counterexamples"]:
        _write_counterexamples(questions, violating, given)
    return verdicts


def _use_threads(task: "Task", given: dict[str, Any]) -> None:
    """Run small networks on one thread, where the others would only wait for each other."""
    if given["threads"] is None and task.subject.is_small:
        import torch

        torch.set_num_threads(1)


def _row(task: "Task", answer: "Answer", given: dict[str, Any]) -> dict[str, Any]:
    spent = {}
    if given["timings"]:
        spent = {f"seconds_{name.replace('-', '_')}": one for name, one in answer.seconds.items()}
        spent["seconds"] = sum(answer.seconds.values())
    return {
        "model_id": task.subject.name,
        "instance": options.without_descriptor(task.asked.name),
        **task.keys,
        "method": given["method"],
        "verdict": answer.verdict,
        "bound": _finite(answer.bound),
        "attacked": _finite(answer.attacked),
        "stage": answer.stage or None,
        **spent,
        "numerics": "float64, rounding bounded",
        "seed": given["seed"],
        "words": task.asked.words,
    }


def _finite(number: float) -> float | None:
    """A number for the table; what a search has shown to be positive, and no more, is 0."""
    if abs(number) == float("inf"):
        return None
    return 0.0 if 0 < number < 1e-300 else number


def _write_counterexamples(
    questions: "Questions", found: list[tuple["Task", Any]], given: dict[str, Any]
) -> None:
    """The inputs that violate, as a dataset."""
    import numpy as np

    from nncli.formats.dataset_writers import write_dataset

    if not found:
        return
    shapes = {task.subject.network.shape for task, _ in found}
    if len(shapes) > 1:
        raise UsageError("counterexamples of networks with different inputs are no dataset")
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
