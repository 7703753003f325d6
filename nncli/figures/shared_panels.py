"""Tables whose rows belong on common axes: the parts of a risk, a score and what it is held to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from nncli.errors import ArtifactError, closest
from nncli.figures.curve_pictures import Curves, Mark, Panel
from nncli.figures.curves import curves
from nncli.figures.table_roles import choose_axis, follows

Row = Mapping[str, Any]

PART = "part of the risk"
PARTS = ("risk", "noise", "bias", "variance")
PEAK, THRESHOLD = "variance_peak", "interpolation_threshold"
SUMMARIES = (PEAK, THRESHOLD)
MEASURED = ("loss", "metric", "value", "se", "low", "high", "models", "n", "clusters", "note")
PEAK_SAID = "variance peak, its interval"
THRESHOLD_SAID = "interpolation threshold"
BESIDE_SCORE = ("control", "shuffled", "baseline", "twin")


def shared_panels(
    data: pa.Table,
    *,
    source: str,
    facts: Mapping[str, Any],
    x: str | None = None,
    metrics: Sequence[str] = (),
) -> Curves | None:
    """The picture of a table whose rows belong on common axes; see the two functions below.

    Returns:
        The picture; `None` if the table is something else.
    """
    found = parts_of_risk(data, source=source, facts=facts, x=x, metrics=metrics)
    if found is not None or x not in (None, "layer"):
        return found
    return scores_of_readers(data, source=source, metrics=metrics)


def parts_of_risk(
    data: pa.Table,
    *,
    source: str,
    facts: Mapping[str, Any],
    x: str | None = None,
    metrics: Sequence[str] = (),
) -> Curves | None:
    """The picture of what `bias-variance` writes: a panel for each loss, its parts as lines.

    Args:
        data: A table.
        source: Its name, for the title and for errors.
        facts: What it says of itself: `axis`, and the `unit` of cross-entropy.
        x: The column along the axis; by default the factor of the curve.
        metrics: The quantities drawn; by default the risk and the parts that add up to it.

    Returns:
        The curves, with the peak of the variance and the end of the training error marked where
        the table says them; points with intervals where there is no curve. `None` if the table is
        something else.

    Raises:
        ArtifactError: A quantity is not there.
    """
    if not set(MEASURED[:3]) <= set(data.column_names):
        return None
    rows = data.to_pylist()
    there = list(dict.fromkeys(str(row["metric"]) for row in rows))
    if not {"risk", "bias", "variance"} <= set(there):
        return None
    _demand_metrics(there, metrics, source)
    wanted = list(metrics) or [one for one in PARTS if one in there]
    shown = [row for row in rows if row["metric"] in wanted and row["metric"] not in SUMMARIES]
    if not shown:
        return None
    kept = data.filter(pa.array([row["metric"] not in SUMMARIES for row in rows]))
    keys = [name for name in data.column_names if name not in MEASURED]
    keys = [name for name in keys if len(kept[name].unique()) > 1]
    axis = x or _axis(kept, keys, facts)
    others = [one for one in keys if one != axis and (axis is None or not follows(kept, one, axis))]
    only = wanted[0] if len(wanted) == 1 else ""
    title = partial(_title, others=others, unit=str(facts.get("unit") or "nats"), only=only)
    long = [
        {"metric": title(row), PART: row["metric"], "x": row.get(axis or PART)}
        | {name: row.get(name) for name in ("value", "low", "high", "note")}
        for name in wanted
        for row in shown
        if row["metric"] == name
    ]
    found = _drawn(long, source, axis)
    marks = _marks(rows, axis, others, wanted, title)
    panels = tuple(replace(one, marks=marks.get(one.y_label, ())) for one in found.panels)
    return replace(found, panels=panels)


def _demand_metrics(there: Sequence[str], metrics: Sequence[str], source: str) -> None:
    for metric in metrics:
        if metric not in there:
            raise ArtifactError(f"`{source}` has no metric `{metric}`; {closest(metric, there)}")


def _axis(data: pa.Table, keys: Sequence[str], facts: Mapping[str, Any]) -> str | None:
    told = facts.get("axis")
    return told if isinstance(told, str) and told in keys else choose_axis(data, keys)


def _title(row: Row, others: Sequence[str], unit: str, only: str) -> str:
    """What a panel shows: the loss, and which of several ensembles and sets of examples."""
    loss = str(row["loss"])
    loss += f" ({unit})" if loss == "cross-entropy" else " loss"
    told = [_setting(name, row[name]) for name in others]
    return ", ".join([f"{loss}: {only}" if only else loss, *told])


def _setting(name: str, value: Any) -> str:
    if value is None:
        return "clean" if name in ("perturbation", "strength") else f"no {name}"
    if isinstance(value, str):
        return value
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _drawn(long: Sequence[dict[str, Any]], source: str, axis: str | None) -> Curves:
    table = pa.Table.from_pylist(long)
    if axis is not None:
        names = [axis if one == "x" else one for one in table.column_names]
        found = curves(table.rename_columns(names), source=source, x=axis)
        joined = found.categories is None
    else:
        found = curves(table.drop_columns("x"), source=source, x=PART)
        joined = False
    word = "band" if joined else "lines"
    said = f"{word}: 95 % interval over models and examples"
    return replace(found, joined=joined, band=said if found.band else "")


def _marks(
    rows: Sequence[Row],
    axis: str | None,
    others: Sequence[str],
    wanted: Sequence[str],
    title: Callable[[Row], str],
) -> dict[str, tuple[Mark, ...]]:
    """For each panel its marks; the training error ends at one place for all losses."""
    found: dict[str, list[Mark]] = {}
    colour = list(wanted).index("variance") if "variance" in wanted else None
    titles: dict[str, list[Any]] = {}
    for row in rows:
        titles[title(row)] = [row[name] for name in others]
    summaries = [row for row in rows if row["metric"] in SUMMARIES and row["value"] is not None]
    for row in summaries:
        if axis is None or row.get(axis) is not None or (row["metric"] == PEAK and colour is None):
            continue
        own = [row[name] for name in others]
        if row["metric"] == PEAK:
            mark = Mark(PEAK_SAID, row["value"], row["low"], row["high"], colour)
            found.setdefault(title(row), []).append(mark)
            continue
        for name, of_panel in titles.items():
            if of_panel == own:
                found.setdefault(name, []).append(Mark(THRESHOLD_SAID, row["value"]))
    return {name: tuple(marks) for name, marks in found.items()}


def scores_of_readers(data: pa.Table, *, source: str, metrics: Sequence[str] = ()) -> Curves | None:
    """The picture of what `probe` writes: each score over the layers, and what it is held to.

    Args:
        data: A table.
        source: Its name, for the title and for errors.
        metrics: Only these scores.

    Returns:
        A panel for each target, reader and score: its value, and those of `BESIDE_SCORE` that are
        there, as lines. `None` if the table is something else.

    Raises:
        ArtifactError: A score is not there.
    """
    names = set(data.column_names)
    if not {"layer", "metric", "value", "baseline", "shuffled"} <= names:
        return None
    rows = data.to_pylist()
    _demand_metrics(list(dict.fromkeys(str(row["metric"]) for row in rows)), metrics, source)
    told = [
        name
        for name in ("capture", "target", "reader", "split")
        if name in names and len(data[name].unique()) > 1
    ]
    beside = [one for one in BESIDE_SCORE if one in names]
    lines = ["value", *(one for one in beside if data[one].null_count < data.num_rows)]
    long = [
        {"metric": ", ".join([str(row["metric"]), *(str(row[name]) for name in told)])}
        | {"layer": row["layer"], "line": name, "value": row[name]}
        | {end: row.get(end) if name == "value" else None for end in ("low", "high")}
        | {"note": row.get("note") if row[name] is None else None}
        for name in lines
        for row in rows
        if not metrics or row["metric"] in metrics
    ]
    found = curves(pa.Table.from_pylist(long), source=source, x="layer")
    panels = tuple(_value_named(one) for one in found.panels)
    return replace(found, panels=panels, band="band: 95 % interval" if found.band else "")


def _value_named(panel: Panel) -> Panel:
    lines = tuple(
        replace(one, label="reader") if one.label == "value" else one for one in panel.lines
    )
    return replace(panel, lines=lines)
