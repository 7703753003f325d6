"""Error against the share automated at equal total effort: what readers do with what they save."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.triage.curves import Cases
from nncli.triage.effort import Steps, allocate, errors_at, even_errors, steps_of
from nncli.triage.pools import independent_errors
from nncli.triage.split_rows import mean_row
from nncli.triage.splits import Split, World

F64 = NDArray[np.float64]
Row = dict[str, Any]

EVEN, EXPECTED, POOL = "even", "expected", "pool"
STEPS = 20  # shares automated, from 0 to 1


def effort_rows(
    world: World,
    splits: Sequence[Split],
    pools: F64,
    expected: F64 | None,
    *,
    per_case: float,
) -> list[Row]:
    """The error of each order and allocation at the same number of readings.

    Args:
        world: The cases.
        splits: The orders; random ones are passed over.
        pools: (N, K) how often a vote of 1 ... K readers of each case errs; NaN beyond its pool.
        expected: (N,) the expected error of one reader; `None` where nothing expects it.
        per_case: The budget, in readings for each case of the report.

    Returns:
        The rows, for shares automated from 0 to 1; those that the budget does not reach are null.
    """
    here = world.reported_on
    error, truth = world.error.some(here), pools[here]
    profiles: dict[str, tuple[F64, Steps] | None] = {EVEN: None}
    if expected is not None:
        guess = independent_errors(expected[here], truth.shape[1])
        guess[np.isnan(truth)] = np.nan
        profiles[EXPECTED] = guess, steps_of(guess)
    profiles[POOL] = truth, steps_of(truth)
    budget = int(np.floor(per_case * len(here) + 1e-9))
    counts = np.unique(np.linspace(0, len(here), STEPS + 1).round().astype(np.int64))
    return [
        {"order": one.order.name, "allocation": name, "note": _bound(one, name)}
        | _row(error, truth, profile, rest, budget)
        for one in splits
        if one.sequence is not None
        for name, profile in profiles.items()
        for rest in (one.sequence[count:] for count in counts)
    ]


def _bound(split: Split, allocation: str) -> str | None:
    return None if split.order.attainable and allocation != POOL else "not attainable"


def _row(
    error: Cases,
    truth: F64,
    profile: tuple[F64, Steps] | None,
    rest: NDArray[np.int64],
    budget: int,
) -> Row:
    """One point: the model has all cases but some, which share the budget."""
    n = len(error)
    row: Row = {"automated": n - len(rest), "fraction": 1 - len(rest) / n, "n": n}
    if len(rest) > budget:
        return row | {"note": "the budget does not reach"}
    lost = error.machine.copy()
    row["readings"] = 0
    if len(rest) and profile is None:
        lost[rest], row["readings"] = even_errors(truth[rest], budget)
    elif len(rest):
        assert profile is not None
        among = np.zeros(n, bool)
        among[rest] = True
        made = allocate(profile[0], budget, among=among, steps=profile[1])
        lost[rest] = errors_at(truth[rest], made.readings[rest])
        row["readings"] = int(made.readings.sum())
        if not made.exact:
            row["gap"] = made.gap / n
    row["error"], row["low"], row["high"] = mean_row(lost, error)
    return row
