"""What a score is held against: the majority, shuffled values, control tasks, a code length."""

from dataclasses import replace
from typing import Any

import numpy as np

from nncli.probing.control_tasks import control_values, shuffled_values
from nncli.probing.description_length import CodeLength, online_code_length, orders_of_groups
from nncli.probing.features import F64, Index
from nncli.probing.fitted import Fitted
from nncli.probing.readers import READERS
from nncli.probing.settings import COARSE, FINE, Settings
from nncli.probing.tasks import Part, Reading

Answered = tuple[F64, Any]


def majority(reading: Reading, rows: int) -> F64:
    """What somebody answers who knows the frequencies of the training part alone, (rows, K)."""
    target, known = reading.target, reading.known
    mean = target.encoded(known).mean(axis=0)
    if target.kind == "numbers":
        return np.tile(mean, (rows, 1))
    share = (mean * len(known) + 0.5) / (len(known) + 1)
    log = np.log(share)
    return np.tile(log - np.log1p(-share) if target.kind == "labels" else log, (rows, 1))


def chance(
    reading: Reading, fitted: Fitted, part: Part, settings: Settings
) -> dict[str, list[Answered]]:
    """Answers of the same reader, with the same penalty, where there is nothing to read.

    Args:
        reading: What is read.
        fitted: The reader.
        part: The rows it answers.
        settings: What the reader is told.

    Returns:
        For `shuffled` values and `control` tasks, which part of the rows have types for: answers
        and the values they should be, of each draw. Empty where nothing is drawn.
    """
    effort, train = reading.effort, reading.task.train
    if not effort.controls or part.types is None:
        return {}
    told: dict[str, Any] = {"draws": effort.controls, "seed": effort.seed}
    shuffled = shuffled_values(reading.known, **told)
    controls = control_values(reading.values, reading.task.types, **told)
    several = [*shuffled, *(one[:train] for one in controls)]
    # what is averaged over draws need not be known to the last digit
    rough = replace(settings, tolerance=COARSE)
    made = READERS[fitted.reader].fit(reading.data, several, reading.target, fitted.penalty, rough)
    answers = [one.answers(part.x) for one in made]
    found = {"shuffled": [(one, part.values[0]) for one in answers[: effort.controls]]}
    common = np.isin(part.types, reading.task.types[:train])
    if common.any():
        found["control"] = [
            (one[common], values[train:][common])
            for one, values in zip(answers[effort.controls :], controls, strict=True)
        ]
    return found


def code_length(reading: Reading, fitted: Fitted, settings: Settings) -> CodeLength | None:
    """The online code length of the training values; `None` where there is none.

    Args:
        reading: What is read.
        fitted: The reader, whose penalty all readers of the code have.
        settings: What it is told.
    """
    reader, effort = READERS[fitted.reader], reading.effort
    if not (effort.orders and reader.probabilistic) or reading.target.kind == "numbers":
        return None
    # a code pays for each answer: at a weak penalty a fit that is rough costs bits
    fine = replace(settings, tolerance=FINE)
    linear = set(fitted.arrays) == {"weight", "bias"}

    def answer(seen: Index, new: Index) -> F64:
        data, known = reading.data, [reading.known[seen]]
        part, directions = data.spanned(seen) if linear else (data.some(seen), None)
        one = reader.fit(part, known, reading.target, fitted.penalty, fine)[0]
        rows = data.x[new]
        return one.answers(rows if directions is None else rows @ directions)

    group = reading.task.group[: reading.task.train]
    orders = orders_of_groups(group, count=effort.orders, seed=effort.seed)
    choices = len(settings.penalties) if reader.penalised else 1
    return online_code_length(reading.known, reading.target, answer, orders, choices=choices)
