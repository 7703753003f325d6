"""Tables over pairs of things as heat maps: a similarity of every layer with every other."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from nncli.errors import ArtifactError, closest
from nncli.figures.pictures import F64, Grid, Heatmaps
from nncli.figures.table_roles import demand_number, is_number

SIDES = ("_a", "_b")
ROW, COLUMN, METRIC, VALUE, NOTE = "layer_a", "layer_b", "metric", "value", "note"


def pair_columns(names: Sequence[str]) -> tuple[str, str] | None:
    """The two columns that name the pairs of a table, such as `layer_a` and `layer_b`.

    Returns:
        The first columns `NAME_a` and `NAME_b` that are both there, `layer` before any other;
        `None` if there are none or if there is no column `value`.
    """
    stems = [name.removesuffix(SIDES[0]) for name in names if name.endswith(SIDES[0])]
    stems = [stem for stem in stems if stem + SIDES[1] in names]
    stems.sort(key=lambda stem: stem != "layer")
    if not stems or VALUE not in names:
        return None
    return stems[0] + SIDES[0], stems[0] + SIDES[1]


def diagonal(data: pa.Table) -> pa.Table | None:
    """A table that pairs every thing with itself only, as a table of single things.

    Returns:
        The table with the pair of columns as one (`layer`), ready for `curves`; `None` if other
        pairs are in it.
    """
    pair = pair_columns(data.column_names)
    if pair is None or data[pair[0]].to_pylist() != data[pair[1]].to_pylist():
        return None
    stem = pair[0].removesuffix(SIDES[0])
    kept = [name for name in (METRIC, VALUE, "low", "high", "n", NOTE) if name in data.column_names]
    return data.select([pair[0], *kept]).rename_columns([stem, *kept])


def sides_of(inputs: Sequence[str]) -> tuple[str, str]:
    """What the two sides of a table belong to: its two inputs, or its only one twice."""
    if len(inputs) > 2 or not inputs:
        return "", ""
    return inputs[0], inputs[-1]


def heatmaps(
    data: pa.Table,
    *,
    source: str,
    metrics: Sequence[str] = (),
    sides: tuple[str, str] = ("", ""),
    said: Sequence[Mapping[str, Any]] = (),
) -> Heatmaps:
    """Arrange a table of pairs as matrices, one for each metric.

    Args:
        data: Columns `layer_a`, `layer_b`, `value`, and perhaps `metric` and `note`.
        source: The table's name, for titles and errors.
        metrics: Only these metrics; all by default.
        sides: Names of what the rows and the columns belong to.
        said: What the table says of its metrics: `metric`, `kind`, `low` and `high` of each.

    Returns:
        The matrices; names are in the order of their first appearance, the first row at the top.

    Raises:
        ArtifactError: The table is empty, lacks a metric, or gives a pair two values.
    """
    pair = pair_columns(data.column_names)
    if pair is None:
        raise ArtifactError(f"`{source}` has no pairs of columns such as `{ROW}` and `{COLUMN}`")
    if not data.num_rows:
        raise ArtifactError(f"`{source}` has no rows")
    demand_number(data, VALUE, source=source)
    names = data[METRIC].to_pylist() if METRIC in data.column_names else [VALUE] * data.num_rows
    wanted = _wanted(list(dict.fromkeys(map(str, names))), metrics, source)
    meant = {str(one.get("metric")): one for one in said}
    notes = data[NOTE].to_pylist() if NOTE in data.column_names else [None] * data.num_rows
    one, other = (data[name].to_pylist() for name in pair)
    cells: dict[str, list[Cell]] = {metric: [] for metric in wanted}
    for name, *cell in zip(names, one, other, data[VALUE].to_pylist(), notes, strict=True):
        cells.get(str(name), []).append(Cell(*cell))
    panels = tuple(_grid(cells[metric], metric, source, meant.get(metric)) for metric in wanted)
    stem = pair[0].removesuffix(SIDES[0])
    labels = tuple(
        f"{stem}s of {side}" if side else f"{stem} {end[1]}"
        for side, end in zip(sides, SIDES, strict=True)
    )
    what = ", ".join(wanted)
    both = f"within {sides[0]}" if sides[0] == sides[1] else f"{sides[0]} and {sides[1]}"
    title = f"{what}: {both if all(sides) else source}"
    return Heatmaps(title, labels[0], labels[1], panels, _caption(data))


def _wanted(there: list[str], metrics: Sequence[str], source: str) -> list[str]:
    for metric in metrics:
        if metric not in there:
            raise ArtifactError(f"`{source}` has no metric `{metric}`; {closest(metric, there)}")
    return [one for one in there if not metrics or one in metrics]


class Cell(NamedTuple):
    """One row of a table of pairs."""

    row: object
    column: object
    value: float | None
    note: object


def _grid(
    cells: Sequence[Cell], metric: str, source: str, meaning: Mapping[str, Any] | None
) -> Grid:
    rows = list(dict.fromkeys(str(cell.row) for cell in cells))
    columns = list(dict.fromkeys(str(cell.column) for cell in cells))
    place = {name: index for index, name in enumerate(rows)}
    across = {name: index for index, name in enumerate(columns)}
    numbers: F64 = np.full((len(rows), len(columns)), np.nan)
    notes: dict[tuple[int, int], str] = {}
    seen: set[tuple[int, int]] = set()
    for left, right, value, note in cells:
        at = place[str(left)], across[str(right)]
        if at in seen:
            raise ArtifactError(
                f"`{source}` has two values of {metric} for `{left}` and `{right}`",
                hint="choose the rows of one comparison before plotting",
            )
        seen.add(at)
        if value is not None and math.isfinite(value):
            numbers[at] = value
        else:
            notes[at] = str(note or "no value")
    low, high, alike = limits(metric, numbers, meaning)
    return Grid(metric, tuple(rows), tuple(columns), numbers, low, high, alike, notes)


def limits(
    metric: str, values: F64, said: Mapping[str, Any] | None = None
) -> tuple[float, float, str]:
    """The ends of the colours of a metric, and which end means that two things are the same.

    A known measure has the same colours in every picture: its own range. Of an unknown one the
    range of the values is taken, or 0 to 1 if they all lie there.

    Args:
        metric: The name of the measure.
        values: What is to be shown, NaN where there is nothing.
        said: What the table says of the measure: `kind`, `low`, `high`; else the registry is asked.

    Returns:
        The value at each end, and `high` (similarity), `low` (distance) or nothing.
    """
    kind, ends = meaning(metric, said)
    if ends is not None and ends[0] < ends[1]:
        return *ends, "high" if kind == "similarity" else "low"
    there = values[np.isfinite(values)]
    low, high = (float(there.min()), float(there.max())) if there.size else (0.0, 1.0)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0:
        low = 0.0
    if low == high:
        high = low + (abs(low) or 1.0)
    return low, high, "low" if "distance" in metric else ""


def meaning(
    metric: str, said: Mapping[str, Any] | None = None
) -> tuple[str, tuple[float, float] | None]:
    """What is known of a metric: `similarity` or `distance`, and its range.

    Args:
        metric: Its name.
        said: What a table says of it; else the registry of similarities is asked.

    Returns:
        The kind, nothing if it is not known, and the range, `None` if it is not known or has no
        end.
    """
    from nncli.similarity.registry import METRICS

    known = METRICS.get(metric.partition(":")[0])
    if said is None and known is not None:
        said = {"kind": known.kind, "low": known.low, "high": known.high}
    said = said or {}
    low, high = said.get("low"), said.get("high")
    whole = all(isinstance(one, int | float) and math.isfinite(one) for one in (low, high))
    return str(said.get("kind", "")), (float(low), float(high)) if whole else None  # type: ignore[arg-type]


def _caption(data: pa.Table) -> str:
    if "n" not in data.column_names or not is_number(data, "n"):
        return ""
    counts = sorted({count for count in data["n"].to_pylist() if count is not None})
    if not counts:
        return ""
    return f"n = {counts[0]:,}" if len(counts) == 1 else f"n = {counts[0]:,} to {counts[-1]:,}"
