"""Tables and series as curves: metrics over a factor, runs that differ in their seed averaged."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from nncli.errors import ArtifactError
from nncli.figures.curve_pictures import F64, Curves, Line, Panel
from nncli.figures.grids import meaning
from nncli.figures.table_roles import METRIC, NOTE, VALUE, Roles, find_roles, is_number

UNITS = {
    "accuracy": "accuracy (share of examples)",
    "component": "principal component",
    "epoch": "epoch",
    "epsilon": "epsilon (radius of the attack)",
    "label_noise": "label noise (share of labels)",
    "loss": "loss (mean per example)",
    "n": "examples",
    "step": "step (updates)",
    "strength": "strength (radius or severity)",
    "width": "width (units)",
}
SIDES = ("train_", "test_")
NAMES = ("model_id", "attack", "measure")  # columns whose values say themselves what they are
MOST_PANELS = 12
SCORES = (VALUE, "control", "shuffled", "baseline", "twin")  # columns of one kind in any table
Row = Mapping[str, Any]


def curves(
    data: pa.Table,
    *,
    source: str,
    x: str | None = None,
    y: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> Curves:
    """Arrange a table as curves.

    Args:
        data: Columns `metric` and `value`, or a column for each metric; and factors.
        source: The table's name, for the title and for errors.
        x: The column along the axis; by default the factor with the most values, numbers first,
            that is not a replicate (a seed).
        y: The columns to draw; by default all metrics.
        metrics: Only these metrics.

    Returns:
        A panel for each metric, train and test together; lines for each group; the mean over
        replicates with a band of one standard deviation (n - 1) and the single runs.

    Raises:
        ArtifactError: The table is empty, lacks a column or a metric, or nothing in it varies.
    """
    if not data.num_rows:
        raise ArtifactError(f"`{source}` has no rows")
    roles = find_roles(data, source=source, x=x, y=y, metrics=metrics)
    rows = data.to_pylist()
    if roles.long and metrics:
        rows = [row for row in rows if row[METRIC] in metrics]
    names = _metrics_of(rows, roles)
    categories = _categories(data, rows, roles.x)
    panels = tuple(
        _panel(title, members, rows, roles, categories)
        for title, members in _by_panel(names).items()
    )
    if len(panels) > MOST_PANELS:
        raise ArtifactError(
            f"`{source}` has {len(panels)} metrics, more than fit on a page ({MOST_PANELS})",
            hint="choose with `--metric`",
        )
    lines = [line for panel in panels for line in panel.lines]
    if not lines:
        raise ArtifactError(f"`{roles.x}` in `{source}` has no value to draw along")
    scale = "linear" if categories else axis_scale(np.concatenate([one.x for one in lines]))
    several = max((one.colour for one in lines), default=0) > 0
    return Curves(
        title=source,
        x_label=UNITS.get(roles.x, roles.x),
        panels=panels,
        scale=scale,
        categories=categories,
        ordered=several and _ordered(data, roles),
        band=_band_caption(lines),
        caption=_caption(lines, roles, rows),
    )


def _metrics_of(rows: Sequence[Row], roles: Roles) -> list[str]:
    if not roles.long:
        return list(roles.y)
    placed = [row for row in rows if row[roles.x] is not None] or rows  # a summary has no place
    return list(dict.fromkeys(str(row[METRIC]) for row in placed))


def _by_panel(names: Sequence[str]) -> dict[str, list[str]]:
    """Metrics by panel: `train_loss` and `test_loss` share one."""
    panels: dict[str, list[str]] = {}
    for name in names:
        stem = next((name.removeprefix(side) for side in SIDES if name.startswith(side)), name)
        panels.setdefault(stem, []).append(name)
    return panels


def _categories(data: pa.Table, rows: Sequence[Row], x: str) -> tuple[str, ...] | None:
    if is_number(data, x):
        return None
    return tuple(dict.fromkeys(str(row[x]) for row in rows if row[x] is not None))


def _panel(
    title: str,
    members: Sequence[str],
    rows: Sequence[Row],
    roles: Roles,
    categories: tuple[str, ...] | None,
) -> Panel:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_group(row, roles), []).append(row)
    lines = []
    for style, metric in enumerate(members):
        column = VALUE if roles.long else metric
        side = metric.removesuffix(title).strip("_") if len(members) > 1 else ""
        for place, (group, of_group) in enumerate(groups.items()):
            own = [row for row in of_group if not roles.long or row[METRIC] == metric]
            points = _points(own, column, roles, categories)
            if points is not None:
                label = ", ".join(part for part in (group, side) if part)
                # a single group leaves the colours to train and test
                colour = place if len(groups) > 1 else style
                lines.append(Line(label, **points, style=style, colour=colour))
    empty = not any(np.isfinite(line.y).any() for line in lines)
    note = _why_empty(rows) if empty else ""
    return Panel(_named(title), tuple(lines), note, common=not roles.long and title in SCORES)


def _why_empty(rows: Sequence[Row]) -> str:
    notes = sorted({str(row[NOTE]) for row in rows if row.get(NOTE)})
    return f"no values: {', '.join(notes)}" if notes else "no values"


def _named(metric: str) -> str:
    """What a metric is called on an axis, with its unit or with what it says."""
    kind, ends = meaning(metric)
    if ends is None or kind not in ("similarity", "distance"):
        return UNITS.get(metric, metric)
    return f"{metric} ({kind}, {ends[kind == 'similarity']:g} = same)"


def _group(row: Row, roles: Roles) -> str:
    if len(roles.groups) == 1 and isinstance(row[roles.groups[0]], str):
        return str(row[roles.groups[0]])
    said = {name: "" if name in NAMES else f"{name} " for name in roles.groups}
    parts = [f"{said[name]}{_short(row[name])}" for name in said if row[name] is not None]
    return ", ".join(parts)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _points(
    rows: Sequence[Row],
    column: str,
    roles: Roles,
    categories: tuple[str, ...] | None,
) -> dict[str, Any] | None:
    """What a line shows of its rows: the mean over replicates, the band, and the single runs."""
    runs: dict[tuple[Any, ...], dict[float, list[Row]]] = {}
    for row in rows:
        place = row[roles.x]
        if place is None or (categories is None and not _is_finite(place)):
            continue
        at = float(categories.index(str(place)) if categories else place)
        run = tuple(row[name] for name in roles.replicates)
        runs.setdefault(run, {}).setdefault(at, []).append(row)
    if not runs:
        return None
    x = np.array(sorted({at for run in runs.values() for at in run}))
    values = np.array([[_mean(run.get(at, ()), column) for at in x] for run in runs.values()])
    there = np.isfinite(values).sum(axis=0)
    total = np.nansum(values, axis=0)
    y = np.divide(total, there, out=np.full(len(x), np.nan), where=there > 0)
    low, high = _band(values, there, y) if len(values) > 1 else _given(runs, x, column)
    single = tuple((x, one) for one in values) if len(values) > 1 else ()
    return {"x": x, "y": y, "low": low, "high": high, "runs": single}


def _mean(rows: Sequence[Row], column: str) -> float:
    numbers = [float(row[column]) for row in rows if _is_finite(row[column])]
    return float(np.mean(numbers)) if numbers else float("nan")


def _band(values: F64, there: Any, mean: F64) -> tuple[F64 | None, F64 | None]:
    """One standard deviation (n - 1) on either side, where there are two values or more."""
    squares = np.nansum((values - mean) ** 2, axis=0)
    spread = np.sqrt(np.divide(squares, there - 1, out=np.full(len(mean), np.nan), where=there > 1))
    return mean - spread, mean + spread


def _given(
    runs: Mapping[tuple[Any, ...], Mapping[float, Sequence[Row]]], x: F64, column: str
) -> tuple[F64 | None, F64 | None]:
    """The columns `low` and `high` of the table, if they are there and belong to the values."""
    (run,) = runs.values()
    first = next(iter(run.values()))[0]
    if column != VALUE or not {"low", "high"} <= first.keys():
        return None, None
    low, high = (np.array([_mean(run.get(at, ()), end) for at in x]) for end in ("low", "high"))
    return (low, high) if np.isfinite(low).any() else (None, None)


def axis_scale(x: F64) -> str:
    """How an axis is spaced: `log` where the places are nearer to geometric than to even.

    Args:
        x: The places, in any order and with repeats.

    Returns:
        `linear`, `log`, or `symlog` if 0 is among the places and the others are geometric.
    """
    places = np.unique(x[np.isfinite(x)])
    positive = places[places > 0]
    if len(positive) < 3 or places[0] < 0 or positive[-1] / positive[0] < 20:
        return "linear"
    steps, ratios = np.diff(positive), np.diff(np.log(positive))
    if steps.std() / steps.mean() <= ratios.std() / ratios.mean():
        return "linear"
    return "symlog" if places[0] == 0 else "log"


def _ordered(data: pa.Table, roles: Roles) -> bool:
    return len(roles.groups) == 1 and is_number(data, roles.groups[0])


def _band_caption(lines: Sequence[Line]) -> str:
    if any(line.runs for line in lines):
        return "band: one standard deviation, thin: each run"
    return "band: from `low` to `high`" if any(one.low is not None for one in lines) else ""


def _caption(lines: Sequence[Line], roles: Roles, rows: Sequence[Row]) -> str:
    most = max((len(line.runs) for line in lines), default=0)
    said = [f"mean of {most} runs (by {' and '.join(roles.replicates)})"] if most else []
    keys = (*([METRIC] if roles.long else []), *roles.groups, *roles.replicates, roles.x)
    alike = max(Counter(tuple(row[name] for name in keys) for row in rows).values())
    if alike > 1:
        said.append(f"mean of up to {alike:,} rows with the same {' and '.join(keys)}")
    missing = sum(1 for row in rows for name in roles.y if not _is_finite(row[name]))
    if missing:
        said.append(f"{missing:,} of {len(rows) * len(roles.y):,} values are missing")
    return "; ".join(said)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))
