"""All splits of every order with their intervals, and which of them no other one beats."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.triage.curves import (
    Cases,
    efficient,
    intervals,
    team_errors,
    team_standard_errors,
)
from nncli.triage.splits import Split, World, curve_of

F64 = NDArray[np.float64]
Columns = dict[str, Any]


def curves_of(world: World, splits: Sequence[Split], *, priced: bool) -> list[Columns]:
    """The curve of every order on the cases of the report.

    Args:
        world: The cases.
        splits: The orders.
        priced: Whether money is told too, and the frontier of error against it.

    Returns:
        For each order columns of n + 1 values: `automated`, `fraction`, `error`, `low`, `high`,
        `score` (of the last case that is automated, NaN where there is none), and with prices
        `cost` and `frontier`: no split of an attainable order has less of both.
    """
    here = world.reported_on
    error = world.error.some(here)
    found = [_curve(error, one, here) for one in splits]
    if priced:
        goal = world.goal.some(here)
        for columns, split in zip(found, splits, strict=True):
            columns["cost"] = curve_of(goal, split)
        _mark_frontier(found, [one.order.attainable for one in splits])
    return found


def _curve(cases: Cases, split: Split, here: NDArray[np.int64]) -> Columns:
    n = len(cases)
    errors = curve_of(cases, split)
    units = n if cases.together is None else int(cases.together.max()) + 1
    score = np.full(n + 1, np.nan)
    if split.sequence is None or split.order.score is None:
        se = _mixed_standard_errors(cases)
    else:
        se = team_standard_errors(cases, split.sequence, errors)
        score[1:] = split.order.score[here[split.sequence]]
    low, high = intervals(errors, se, units)
    automated = np.arange(n + 1)
    return {
        "automated": automated,
        "fraction": automated / n,
        "error": errors,
        "low": low,
        "high": high,
        "score": score,
    }


def _mixed_standard_errors(cases: Cases) -> F64 | None:
    """Of a random order: each case is lost by both in the share automated."""
    n = len(cases)
    every = np.arange(n)
    sums = Cases(cases.machine + cases.human, np.zeros(n), cases.together)
    parts = []
    for one in (cases, sums):
        ends = team_errors(one, every)
        se = team_standard_errors(one, every, ends)
        if se is None:
            return None
        parts.append((se[0] ** 2, se[-1] ** 2))
    (people, model), (_, both) = parts
    share = every_share(n)
    together = (both - people - model) / 2
    spread: F64 = people * (1 - share) ** 2 + model * share**2 + 2 * together * share * (1 - share)
    mixed: F64 = np.sqrt(np.maximum(spread, 0))
    return mixed


def every_share(n: int) -> F64:
    """The shares 0, 1 / n, ... 1."""
    found: F64 = np.arange(n + 1) / n
    return found


def _mark_frontier(curves: Sequence[Columns], attainable: Sequence[bool]) -> None:
    """Say which splits of attainable orders no other one beats in error and cost alike."""
    there = [one for one, fits in zip(curves, attainable, strict=True) if fits]
    error = np.concatenate([one["error"] for one in there])
    cost = np.concatenate([one["cost"] for one in there])
    best = np.split(efficient(error, cost), np.cumsum([len(one["error"]) for one in there])[:-1])
    for one in curves:
        one["frontier"] = np.zeros(len(one["error"]), bool)
    for one, flags in zip(there, best, strict=True):
        one["frontier"] = flags
