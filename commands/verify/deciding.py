"""Decide every task of a call in turn, and write what is known of it."""

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nncli.errors import NncliWarning, UsageError
from nncli.options import lineage
from nncli.options.progress import progress

if TYPE_CHECKING:
    from nncli.commands.verify.questions import Questions, Task
    from nncli.verification.standing import Answer

TENSORS = {"counterexamples": "dataset", "certificate": "certificate", "bounds": "bounds"}
SIDE = (*TENSORS, "ranges", "results")  # what else is written
NUMERICS = {  # whether outputs are those of float32
    False: "float64, rounding bounded",
    True: "float32 network, rounding bounded",
}


def decide_all(questions: "Questions", given: dict[str, Any]) -> list[str]:
    """Decide every task as its turn comes; the verdicts, in order."""
    from nncli.commands.verify.certificates import Proofs
    from nncli.commands.verify.findings import Counterexamples, Results
    from nncli.commands.verify.ranges import Ranges
    from nncli.formats.tables import create_table
    from nncli.formats.verdict_tables import verdict_schema
    from nncli.verification.stages import STAGES

    demand_places(given)
    timed = STAGES if given["timings"] else ()
    single = given["float_margin"]
    change = given["output_change"] is not None
    schema = verdict_schema(timed, local=questions.local, single=single, change=change)
    entry = lineage.entry("table", inputs=questions.inputs, seed=given["seed"], **questions.facts)
    form, replaced = given["table_format"], given["overwrite"]
    makers: dict[Any, Any] = {
        ("counterexamples",): Counterexamples,
        ("certificate",): Proofs,
        ("bounds", "ranges"): Ranges,
        ("results",): Results,
    }
    collecting = [
        make(questions, given)
        for names, make in makers.items()
        if any(given[name] for name in names)
    ]
    verdicts = []
    with create_table(given["output"], schema, entry, format=form, overwrite=replaced) as table:
        for asked in progress(questions.tasks, label="verify", total=questions.count):
            task, margin = _with_margin(asked, given) if single else (asked, 0.0)
            answer = _decided(task, margin, given)
            table.write_row(_row(task, answer, given) | {"float_margin": _finite(margin)})
            verdicts.append(answer.verdict)
            for one in collecting:
                one.take(task, answer)
    for one in collecting:
        one.write()
    return verdicts


def _decided(task: "Task", margin: float, given: dict[str, Any]) -> "Answer":
    """Decide a task; where float32 may overflow, nothing is proved, and inputs are only tried."""
    from nncli.verification.portfolio import decide
    from nncli.verification.stages import Setting

    if task.asked.squares is not None and given["method"] == "milp":
        told = "`--method milp` decides linear conditions; quadratic ones stay unknown"
        warnings.warn(told, NncliWarning, stacklevel=2)
    setting = Setting(
        given["method"] if margin < float("inf") else "attack",
        task.seconds,
        given["seed"],
        numbers_at_once(given),
        record=bool(given["certificate"]),
        strengthened=given["float_margin"],
    )
    confirm = task.subject.confirming(task.asked)
    return decide(task.subject.network, task.asked, confirm, setting)


def _with_margin(task: "Task", given: dict[str, Any]) -> "tuple[Task, float]":
    """A task with room for the rounding of float32, and the most room that a condition has."""
    from time import monotonic

    from nncli.verification.float_margin import strengthened_in_time

    begun = monotonic()
    found = strengthened_in_time(
        task.asked, task.subject.as_it_runs, numbers_at_once(given), task.seconds / 2
    )
    left = max(task.seconds - (monotonic() - begun), 0.1)
    return replace(task, asked=found.question, seconds=left), found.margin


def demand_places(given: dict[str, Any]) -> None:
    """Refuse, before the work, places that what goes beside the table cannot be written to.

    Raises:
        UsageError: Two of them are the same, or a suffix is that of something else.
        ArtifactError: One holds a file that is not to be replaced, or cannot be written.
    """
    taken = {given["output"]: "--output"}
    for name in SIDE:
        place = given[name]
        if not place:
            continue
        if place in taken:
            where = "standard output" if place == "-" else f"`{place}`"
            raise UsageError(f"`{taken[place]}` and `--{name}` would both go to {where}")
        taken[place] = f"--{name}"
        _demand_place(name, place, overwrite=given["overwrite"])


def _demand_place(name: str, place: str, *, overwrite: bool) -> None:
    from nncli.formats.competition_results import KIND, holds_answer
    from nncli.formats.tables import demand_table
    from nncli.formats.writable import demand_tensors, demand_writable

    if name in TENSORS:
        demand_tensors(place, kind=TENSORS[name], overwrite=overwrite)
    elif name == "ranges":
        demand_table(place, overwrite=overwrite)
    else:
        replaced = overwrite or holds_answer(place)
        demand_writable(place, kind=KIND, overwrite=replaced, binary=False)


def numbers_at_once(given: dict[str, Any]) -> int:
    """Numbers of float64 that a bound may hold."""
    return int(given["max_memory"] * 1e9 / 8)


def _row(task: "Task", answer: "Answer", given: dict[str, Any]) -> dict[str, Any]:
    spent = {}
    if given["timings"]:
        spent = {f"seconds_{name.replace('-', '_')}": one for name, one in answer.seconds.items()}
        spent["seconds"] = sum(answer.seconds.values())
    return {
        "model_id": task.subject.name,
        "instance": lineage.without_descriptor(task.asked.name),
        **task.keys,
        "method": given["method"],
        "verdict": answer.verdict,
        "bound": _finite(_margin(task, answer.bound)),
        "attacked": _finite(_margin(task, answer.attacked)),
        "stage": answer.stage or None,
        **spent,
        "numerics": NUMERICS[given["float_margin"]],
        "seed": given["seed"],
        "words": task.asked.words,
    }


def _margin(task: "Task", margin: float) -> float:
    """Of squares of distances as one of distances, where these are asked about."""
    from nncli.verification.neighbourhoods import margin_of_distance

    return margin if task.change is None else margin_of_distance(margin, task.change)


def _finite(number: float) -> float | None:
    """A number for the table; what a search has shown to be positive, and no more, is 0."""
    if abs(number) == float("inf"):
        return None
    return 0.0 if 0 < number < 1e-300 else number
