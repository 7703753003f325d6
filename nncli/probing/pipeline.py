"""From the rows of one layer to scores of readers, with all that makes them mean something."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.probing.baselines import Answered, chance, code_length, majority
from nncli.probing.description_length import CodeLength
from nncli.probing.episodes import episode_rows
from nncli.probing.features import F64, Scaling, Training, rotate, standardise
from nncli.probing.fitted import Fitted
from nncli.probing.readers import READERS
from nncli.probing.scoring import METRICS, interval, usual_metric, value_of
from nncli.probing.settings import Chosen
from nncli.probing.tasks import Effort, Outcome, Part, Reading, Task

LOWEST = ("log-loss", "mse")


def probe(task: Task, readers: Sequence[Sequence[Chosen]], effort: Effort) -> list[Outcome]:
    """Fit readers on the training part of a layer and score them on the rest.

    Args:
        task: The layer; its rows are standardised in place.
        readers: For each target its readers.
        effort: What is done beside.

    Returns:
        An outcome for each target and reader.
    """
    scaling = standardise(task.x, task.train, task.rounding)
    x, scaling, spectrum = rotate(task.x, task.train, scaling)
    data = Training(x[: task.train], task.folds, spectrum)
    found = []
    for place, target in enumerate(task.targets):
        reading = Reading(task, target, task.values[place], data, effort)
        parts = _parts(task, place, x, scaling)
        for one in readers[place]:
            if one.settings.way:
                rows = [row for part in parts for row in episode_rows(reading, one, part)]
                found.append(Outcome(target, one.label, None, scaling, rows))
                continue
            fitted = READERS[one.reader].choose(data, reading.known, target, one.settings)
            rows = [row for part in parts for row in _rows(reading, one, fitted, part, scaling)]
            answers = fitted.answers(parts[0].x)
            found.append(Outcome(target, one.label, fitted, scaling, rows, answers))
    return found


def _parts(task: Task, place: int, x: F64, scaling: Scaling) -> list[Part]:
    """The test part, and those from elsewhere, as readers see them, with one target."""
    test = slice(task.train, None)
    values = (task.values[place][test],)
    return [
        Part("test", x[test], values, task.group[test], task.types[test]),
        *(
            Part(one.name, scaling.apply(one.x), (one.values[place],), one.group)
            for one in task.shifted
        ),
    ]


def _rows(
    reading: Reading, asked: Chosen, fitted: Fitted, part: Part, scaling: Scaling
) -> list[dict[str, Any]]:
    """The scores of a reader on a part, a row for each metric."""
    target, answers = reading.target, fitted.answers(part.x)
    reader = READERS[fitted.reader]
    own = part.types is not None
    drawn = chance(reading, fitted, part, asked.settings) if own else {}
    code = code_length(reading, fitted, asked.settings) if own else None
    found = []
    for name in reading.effort.metrics or (usual_metric(target),):
        metric = METRICS[name]
        fits = target.kind in metric.kinds
        able = fits and (reader.probabilistic or not metric.probabilistic)
        row: dict[str, Any] = {
            "target": target.name,
            "reader": asked.label,
            "split": part.name,
            "metric": name,
            "penalty": fitted.penalty,
            "n": len(part.x),
            "n_train": len(reading.known),
        }
        if able:
            row |= _scored(reading, name, answers, part, drawn)
        notes = [fitted.note] if fitted.note else []
        if not able:
            what = f"`{target.name}` has no" if not fits else f"{fitted.reader} gives no"
            notes.append(f"{what} {name}")
        row |= _told(code)
        row["note"] = "; ".join([*notes, *_notes(reading, part, scaling)]) or None
        found.append(row)
    return found


def _scored(
    reading: Reading, name: str, answers: F64, part: Part, drawn: dict[str, list[Answered]]
) -> dict[str, Any]:
    def value(given: F64, values: NDArray[Any]) -> float:
        statistic = METRICS[name].of(given, values, reading.target, reading.seen)
        return value_of(statistic, len(values))

    values, effort = part.values[0], reading.effort
    score = interval(
        METRICS[name].of(answers, values, reading.target, reading.seen),
        part.group,
        resamples=effort.resamples,
        seed=effort.seed,
        proportion=name in ("accuracy", "balanced-accuracy"),
    )
    row: dict[str, Any] = {"value": score.value, "low": score.low, "high": score.high}
    row["baseline"] = value(majority(reading, len(values)), values)
    for kind, several in drawn.items():
        row[kind] = float(np.mean([value(*one) for one in several]))
    if "control" in row:
        gained = row["value"] - row["control"]
        row["selectivity"] = -gained if name in LOWEST else gained
    return row


def _notes(reading: Reading, part: Part, scaling: Scaling) -> list[str]:
    """What should be known of the examples and of the layer."""
    notes = []
    if reading.seen is not None:
        lacking = np.setdiff1d(part.values[0], np.flatnonzero(reading.seen))
        if len(lacking):
            names = ", ".join(reading.target.classes[one] for one in lacking[:5])
            notes.append(f"classes that no training example has: {names}")
    if scaling.constant == len(scaling.factor):
        notes.append("the layer is constant")
    return notes


def _told(code: CodeLength | None) -> dict[str, Any]:
    if code is None:
        return {}
    return {"mdl_bits": code.bits, "mdl_sd": code.spread, "compression": code.compression}
