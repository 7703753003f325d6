"""Tables and series as curves: metrics over a factor, runs that differ in their seed averaged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from nncli.errors import ArtifactError, closest
from nncli.figures.grids import meaning
from nncli.figures.pictures import F64, Curves, Line, Panel

METRIC, VALUE, NOTE = "metric", "value", "note"
BESIDE = ("se", "low", "high", "n", NOTE, "digest", "path", "command")  # never keys
REPLICATES = ("seed", "seed2", "part", "partition", "fold", "replicate", "trial", "sample")
FACTORS = ("step", "epoch", "epsilon", "strength", "width", "depth", "parts", "label_noise")
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
MOST_PANELS = 12
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are for.

    Attributes:
        x: The column along the axis.
        y: The columns of values.
        groups: Columns that tell lines apart.
        replicates: Columns that tell repeated runs apart.
        long: Whether the values stand in one column beside the name of their metric.
    """

    x: str
    y: tuple[str, ...]
    groups: tuple[str, ...]
    replicates: tuple[str, ...]
    long: bool


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
        for title, members in _by_panel(names, roles).items()
    )
    if len(panels) > MOST_PANELS:
        raise ArtifactError(
            f"`{source}` has {len(panels)} metrics, more than fit on a page ({MOST_PANELS})",
            hint="choose with `--metric`",
        )
    lines = [line for panel in panels for line in panel.lines]
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


def find_roles(
    data: pa.Table,
    *,
    source: str,
    x: str | None = None,
    y: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> Roles:
    """Find out what the columns of a table are for; see `curves`.

    Raises:
        ArtifactError: A column or metric that was asked for is not there, or nothing varies.
    """
    names = data.column_names
    for name in (*([x] if x else []), *y):
        if name not in names:
            raise ArtifactError(f"`{source}` has no column `{name}`; {closest(name, names)}")
    long = METRIC in names and VALUE in names and not y
    values = (VALUE,) if long else _value_columns(data, x, y, metrics, source)
    if long:
        _demand_metrics(data[METRIC].to_pylist(), metrics, source)
    beside = {*values, *y, *BESIDE, METRIC, *(() if long else _free_numbers(data))}
    keys = [name for name in names if name not in beside and _is_key(data, name)]
    axis = x or _choose_axis(data, keys)
    if axis is None:
        raise ArtifactError(
            f"nothing varies in `{source}` that a curve could run along",
            hint=f"`nncli show {source}` prints the rows; `--x` names a column",
        )
    others = [name for name in keys if name != axis and not _follows(data, name, axis)]
    replicates = tuple(name for name in others if name in REPLICATES)
    groups = tuple(name for name in others if name not in REPLICATES)
    return Roles(axis, values, groups, replicates, long)


def _value_columns(
    data: pa.Table, x: str | None, y: Sequence[str], metrics: Sequence[str], source: str
) -> tuple[str, ...]:
    if y:
        for name in y:
            if not _is_number(data, name):
                raise ArtifactError(f"`{name}` in `{source}` is {data[name].type}, no number")
        return tuple(y)
    found = [name for name in _free_numbers(data) if name != x]
    _demand_metrics(found, metrics, source)
    found = [name for name in found if not metrics or name in metrics]
    if not found:
        raise ArtifactError(
            f"`{source}` has no column of values to draw; {closest('value', data.column_names)}",
            hint="name one with `--y`",
        )
    return tuple(found)


def _free_numbers(data: pa.Table) -> list[str]:
    """The columns of numbers that are measured, not set: neither factors nor replicates."""
    return [
        name
        for name in data.column_names
        if pa.types.is_floating(data[name].type)
        and name not in (*FACTORS, *REPLICATES, *BESIDE)
        and data[name].null_count < data.num_rows
    ]


def _demand_metrics(there: Sequence[str], metrics: Sequence[str], source: str) -> None:
    for metric in metrics:
        if metric not in there:
            known = list(dict.fromkeys(there))
            raise ArtifactError(f"`{source}` has no metric `{metric}`; {closest(metric, known)}")


def _is_number(data: pa.Table, name: str) -> bool:
    kind = data[name].type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _distinct(data: pa.Table, name: str) -> int:
    return len(pa.array(data[name].unique()).drop_null())


def _is_key(data: pa.Table, name: str) -> bool:
    kind = data[name].type
    plain = _is_number(data, name) or pa.types.is_string(kind) or pa.types.is_dictionary(kind)
    return bool(plain and _distinct(data, name) > 1)


def _follows(data: pa.Table, name: str, axis: str) -> bool:
    """Whether a number says nothing beside the axis: an epoch beside a step."""
    if name in REPLICATES or not _is_number(data, name):
        return False
    pairs = len(data.group_by([axis, name]).aggregate([]))
    places = len(data[axis].unique())
    return bool(pairs == places)


def _choose_axis(data: pa.Table, keys: Sequence[str]) -> str | None:
    """The factor with the most values: numbers before names, either before replicates."""
    if not keys:
        return None

    def preference(name: str) -> tuple[bool, bool, int, int]:
        known = FACTORS.index(name) if name in FACTORS else len(FACTORS)
        return name in REPLICATES, not _is_number(data, name), -_distinct(data, name), known

    return min(keys, key=preference)


def _metrics_of(rows: Sequence[Row], roles: Roles) -> list[str]:
    if not roles.long:
        return list(roles.y)
    return list(dict.fromkeys(str(row[METRIC]) for row in rows))


def _by_panel(names: Sequence[str], roles: Roles) -> dict[str, list[str]]:
    """Metrics by panel: `train_loss` and `test_loss` share one."""
    panels: dict[str, list[str]] = {}
    for name in names:
        stem = next((name.removeprefix(side) for side in SIDES if name.startswith(side)), name)
        panels.setdefault(stem, []).append(name)
    return panels


def _categories(data: pa.Table, rows: Sequence[Row], x: str) -> tuple[str, ...] | None:
    if _is_number(data, x):
        return None
    return tuple(dict.fromkeys(str(row[x]) for row in rows if row[x] is not None))


def _panel(
    title: str,
    members: Sequence[str],
    rows: Sequence[Row],
    roles: Roles,
    categories: tuple[str, ...] | None,
) -> Panel:
    labels = list(dict.fromkeys(_group(row, roles) for row in rows))
    lines = []
    for style, metric in enumerate(members):
        chosen = [row for row in rows if not roles.long or row[METRIC] == metric]
        column = VALUE if roles.long else metric
        side = metric.removesuffix(title).strip("_") if len(members) > 1 else ""
        for colour, group in enumerate(labels):
            own = [row for row in chosen if _group(row, roles) == group]
            label = ", ".join(part for part in (group, side) if part)
            # a single group leaves the colours to train and test
            hue = colour if len(labels) > 1 else style
            line = _line(label, own, column, roles, categories)
            if line is not None:
                lines.append(Line(**{**line, "style": style, "colour": hue}))
    notes = {str(row[NOTE]) for row in rows if row.get(NOTE)}
    empty = not any(np.isfinite(line.y).any() for line in lines)
    note = "no values" + (f": {', '.join(sorted(notes))}" if notes else "") if empty else ""
    return Panel(_named(title), tuple(lines), note)


def _named(metric: str) -> str:
    """What a metric is called on an axis, with its unit or with what it says."""
    kind, ends = meaning(metric)
    if ends is None or kind not in ("similarity", "distance"):
        return UNITS.get(metric, metric)
    return f"{metric} ({kind}, {ends[kind == 'similarity']:g} = same)"


def _group(row: Row, roles: Roles) -> str:
    if len(roles.groups) == 1 and isinstance(row[roles.groups[0]], str):
        return str(row[roles.groups[0]])
    parts = [f"{name} {_short(row[name])}" for name in roles.groups if row[name] is not None]
    return ", ".join(parts)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _line(
    label: str,
    rows: Sequence[Row],
    column: str,
    roles: Roles,
    categories: tuple[str, ...] | None,
) -> dict[str, Any] | None:
    """A line from its rows: the mean over replicates, the band, and the single runs."""
    runs: dict[tuple[Any, ...], dict[float, list[Row]]] = {}
    for row in rows:
        place = row[roles.x]
        if place is None:
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
    return {"label": label, "x": x, "y": y, "low": low, "high": high, "runs": single}


def _mean(rows: Sequence[Row], column: str) -> float:
    numbers = [float(row[column]) for row in rows if row[column] is not None]
    numbers = [one for one in numbers if np.isfinite(one)]
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
    if column != VALUE or "low" not in first or "high" not in first:
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
    return len(roles.groups) == 1 and _is_number(data, roles.groups[0])


def _band_caption(lines: Sequence[Line]) -> str:
    if any(line.runs for line in lines):
        return "band: one standard deviation, thin: each run"
    return "band: from `low` to `high`" if any(one.low is not None for one in lines) else ""


def _caption(lines: Sequence[Line], roles: Roles, rows: Sequence[Row]) -> str:
    most = max((len(line.runs) for line in lines), default=0)
    said = [f"mean of {most} runs (by {' and '.join(roles.replicates)})"] if most else []
    missing = sum(1 for row in rows for name in roles.y if not _is_finite(row[name]))
    if missing:
        said.append(f"{missing:,} of {len(rows) * len(roles.y):,} values are missing")
    return "; ".join(said)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))
