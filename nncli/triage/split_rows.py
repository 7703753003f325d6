"""What is told of splits: a row an order, for all cases of the report and for subgroups of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.triage.bootstrap import Drawn, draw_curves, percentiles
from nncli.triage.curves import (
    Cases,
    Flags,
    difference_interval,
    intervals,
    normalised_area,
    order_by,
)
from nncli.triage.splits import ORACLE, Split, World, areas_of, curve_of

F64 = NDArray[np.float64]
Row = dict[str, Any]

PEOPLE, MODEL = "all-human", "all-algorithm"
SAME = "chosen on the cases of the report"
ALONE = "one independent case has no interval"


def summary_rows(
    world: World, splits: Sequence[Split], *, priced: bool, draws: int, seed: int
) -> list[Row]:
    """A row for people alone, for the model alone, and for each order.

    Args:
        world: The cases.
        splits: What was chosen.
        priced: Whether the goal is money.
        draws: Of the bootstrap; 0 for no intervals of areas.
        seed: Of these.

    Returns:
        The rows.
    """
    here = world.reported_on
    error, goal = world.error.some(here), world.goal.some(here)
    # one more, without which areas are not normalised
    orders = [*(one.sequence for one in splits), order_by(error.machine - error.human)]
    drawn = draw_curves(error, orders, draws=draws, seed=seed) if draws else None
    better = _better_end(world)
    rows = [_end_row(error, goal, False, priced), _end_row(error, goal, True, priced)]
    areas, random, oracle = areas_of(error, list(splits))
    for place, split in enumerate(splits):
        row = _split_row(error, split) | _cost_of(goal, split.sequence, split.automated, priced)
        row |= gain_row(goal, split, better=better)
        row |= {"area": areas[place], **_normalised(areas[place], random, oracle, drawn, place)}
        row["note"] = _note(world, split, row["normalised"] is None)
        rows.append(row)
    return [_explained(row) for row in rows]


def _explained(row: Row) -> Row:
    """A row that says why it has no interval, if it has none."""
    if row.get("low") is None and row["n"]:
        row["note"] = "; ".join(filter(None, [row.get("note"), ALONE]))
    return row


def _better_end(world: World) -> bool:
    """Whether the model alone loses less than people alone where splits are chosen."""
    where = world.goal.some(world.chosen_on)
    return bool(where.machine.mean() < where.human.mean())


def team(cases: Cases, automated: Flags) -> F64:
    """What is lost in each case: by the model where it is automated, else by people."""
    return np.where(automated, cases.machine, cases.human)


def mean_row(values: F64, cases: Cases, scale: float = 1.0) -> tuple[float, float | None, Any]:
    """A mean over cases with its interval, in which those that belong together are one draw."""
    mean = float(values.mean())
    units, se = _standard_error(values, cases)
    if se is None:
        return mean, None, None
    low, high = intervals(np.array(mean), np.array(se), units, scale)
    return mean, float(low), float(high)


def _standard_error(values: F64, cases: Cases) -> tuple[int, float | None]:
    """How many independent cases or groups there are, and the standard error of the mean."""
    units = len(values) if cases.together is None else int(cases.together.max()) + 1
    if units < 2:
        return units, None
    sums: F64 = values - values.mean()
    if cases.together is not None:
        sums = np.bincount(cases.together, sums).astype(np.float64)
    return units, float(np.sqrt((sums**2).sum() * units / (units - 1)) / len(values))


def _end_row(error: Cases, goal: Cases, automated: bool, priced: bool) -> Row:
    flags = np.full(len(error), automated)
    value, low, high = mean_row(team(error, flags), error)
    row: Row = {"order": MODEL if automated else PEOPLE, "error": value, "low": low, "high": high}
    row |= {"fraction": float(automated), "n": len(error)}
    return row | _cost_row(goal, flags, priced)


def _split_row(error: Cases, split: Split) -> Row:
    flags = _flags(len(error), split.sequence, split.automated)
    value, low, high = mean_row(team(error, flags), error)
    errors = curve_of(error, split)
    best = int(errors.argmin())
    finite = np.isfinite(split.threshold.score) and split.sequence is not None
    return {
        "order": split.order.name,
        "error": value,
        "low": low,
        "high": high,
        "fraction": split.automated / len(error),
        "threshold": split.threshold.score if finite else None,
        "optimum": float(errors[best]),
        "optimum_fraction": best / len(error),
        "n": len(error),
    }


def _flags(n: int, sequence: NDArray[np.int64] | None, automated: int) -> Flags:
    """Which cases are automated; of a random order all or none."""
    if sequence is None:
        return np.full(n, automated > 0)
    found = np.zeros(n, bool)
    found[sequence[:automated]] = True
    return found


def _cost_of(goal: Cases, sequence: Any, automated: int, priced: bool) -> Row:
    return _cost_row(goal, _flags(len(goal), sequence, automated), priced)


def _cost_row(goal: Cases, flags: Flags, priced: bool) -> Row:
    if not priced:
        return {}
    value, low, high = mean_row(team(goal, flags), goal, _top(goal))
    return {"cost": value, "cost_low": low, "cost_high": high}


def _top(goal: Cases) -> float:
    """The largest loss there is."""
    return max(float(goal.machine.max()), float(goal.human.max()), 1e-300)


def gain_row(goal: Cases, split: Split, *, better: bool) -> Row:
    """What the split gains over people alone or the model alone, whichever was better before.

    Args:
        goal: What is lost in the cases of the report.
        split: The split.
        better: Whether the model alone was better than people alone where the split was chosen.

    Returns:
        The gain and its interval, that of a mean of differences: none where there is but one
        independent case, and no width where the split is that end itself.
    """
    end = goal.machine if better else goal.human
    flags = _flags(len(goal), split.sequence, split.automated)
    gained = end - team(goal, flags)
    gain = float(gained.mean())
    if split.threshold.score == (np.inf if better else -np.inf):
        return {"gain": gain, "gain_low": gain, "gain_high": gain}
    units, se = _standard_error(gained, goal)
    if se is None:
        return {"gain": gain}
    low, high = difference_interval(gain, se, units, _top(goal))
    return {"gain": gain, "gain_low": low, "gain_high": high}


def _normalised(found: float, random: float, oracle: float, drawn: Drawn | None, place: int) -> Row:
    value = normalised_area(found, random, oracle)
    row: Row = {"normalised": value}
    if drawn is not None and value is not None:
        chance = (drawn.people + drawn.model) / 2
        gap = chance - drawn.area[-1]
        shares = (chance - drawn.area[place])[gap > 0] / gap[gap > 0]
        row["normalised_low"], row["normalised_high"] = percentiles(shares)
    return row


def _note(world: World, split: Split, no_area: bool) -> str | None:
    notes = [split.order.note] if split.order.note else []
    if world.optimistic and split.order.name != ORACLE:
        notes.append(SAME)
    if no_area:
        notes.append("no order is better than another")
    return "; ".join(notes) or None


def subgroup_rows(
    world: World,
    splits: Sequence[Split],
    columns: Mapping[str, Sequence[Any]],
    *,
    priced: bool,
) -> list[Row]:
    """The same splits in each subgroup: their error, and the share that they automate.

    Args:
        world: The cases.
        splits: What was chosen, for all alike.
        columns: For each column its value in every case, `None` where it is unknown.
        priced: Whether the goal is money.

    Returns:
        A row for each column, value and order; of subgroups without a case only their name.
    """
    here = world.reported_on
    n = len(world.fold)
    routes = {PEOPLE: np.zeros(n, bool), MODEL: np.ones(n, bool)}
    routes |= {one.order.name: one.routes(n) for one in splits}
    rows = []
    for column, values in columns.items():
        named = np.array(["" if one is None else str(one) for one in values])
        for value in np.unique(named):
            inside = here[named[here] == value]
            about = {"column": column, "subgroup": str(value)}
            for name, flags in routes.items():
                rows.append(about | _subgroup_row(world, name, inside, flags[inside], priced))
    return rows


def _subgroup_row(
    world: World, name: str, inside: NDArray[np.int64], flags: Flags, priced: bool
) -> Row:
    row: Row = {"order": name, "n": len(inside)}
    if not len(inside):
        return row | {"note": "no case of the report"}
    error = world.error.some(inside)
    row["error"], row["low"], row["high"] = mean_row(team(error, flags), error)
    row["fraction"] = float(flags.mean())
    return _explained(row | _cost_row(world.goal.some(inside), flags, priced))
