"""Error of a team of a model and people over the share automated, from `nncli triage split`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nncli.errors import ArtifactError, closest
from nncli.figures.curve_pictures import Curves, Line, Panel

F64 = NDArray[np.float64]

MOST_POINTS = 400
BOUNDS = {"random": "random", "oracle": "oracle (not attainable)"}
X_LABEL = "share automated"
CAPTION = "at 0 people have all cases, at 1 the model has"


def is_team_errors(names: Sequence[str]) -> bool:
    """Whether columns are those of `--curve` or `--effort`."""
    return {"order", "automated", "fraction", "error"} <= set(names)


def team_errors(data: pa.Table, *, source: str, metrics: Sequence[str] = ()) -> Curves:
    """Arrange curves of splits: a panel for each quantity, model and allocation, a line an order.

    Args:
        data: The table.
        source: Its name, for the title and for errors.
        metrics: `error` or `cost`; both where the table has them by default.

    Returns:
        The picture.

    Raises:
        ArtifactError: The table is empty, or has no such quantity.
    """
    if not data.num_rows:
        raise ArtifactError(f"`{source}` has no rows")
    known = [one for one in ("error", "cost") if one in data.column_names]
    for one in metrics:
        if one not in known:
            raise ArtifactError(f"`{source}` has no metric `{one}`; {closest(one, known)}")
    apart = [one for one in ("model_id", "allocation") if one in data.column_names]
    orders = list(dict.fromkeys(data["order"].to_pylist()))
    keys = list(zip(*(data[one].to_pylist() for one in apart), strict=True)) if apart else []
    panels = []
    for metric in metrics or known:
        for key in dict.fromkeys(keys) if keys else [()]:
            mine = np.array([one == key for one in keys]) if keys else np.ones(len(data), bool)
            label = ", ".join([metric, *(str(one) for one in key)])
            panels.append(Panel(label, tuple(_lines(data.filter(pa.array(mine)), metric, orders))))
    band = "bands: 95 % intervals" if "low" in data.column_names else ""
    return Curves(source, X_LABEL, tuple(panels), band=band, caption=CAPTION)


def _lines(data: pa.Table, metric: str, orders: list[str]) -> list[Line]:
    names = np.array(data["order"].to_pylist())
    columns = {one: _numbers(data[one]) for one in ("fraction", metric, "low", "high")}
    found = []
    for place, order in enumerate(orders):
        rows = np.flatnonzero(names == order)
        if not len(rows):
            continue
        rows = rows[np.argsort(columns["fraction"][rows], kind="stable")]
        if len(rows) > MOST_POINTS:
            rows = rows[np.unique(np.linspace(0, len(rows) - 1, MOST_POINTS).round().astype(int))]
        bound = order in BOUNDS
        told: dict[str, Any] = {}
        if metric == "error" and not bound:
            told = {"low": columns["low"][rows], "high": columns["high"][rows]}
        x, y = columns["fraction"][rows], columns[metric][rows]
        found.append(Line(BOUNDS.get(order, order), x, y, style=int(bound), colour=place, **told))
    return found


def _numbers(column: pa.ChunkedArray) -> F64:
    """Numbers of a column, NaN where there is none."""
    found: F64 = column.to_numpy().astype(np.float64)
    return found
