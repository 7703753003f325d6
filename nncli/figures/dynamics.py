"""Learning dynamics: how alike each layer is, at each step, to what it ends as (SVCCA's figure)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from nncli.errors import ArtifactError, closest
from nncli.figures.curve_pictures import Curves
from nncli.figures.curves import curves
from nncli.figures.grids import limits
from nncli.figures.pictures import Grid, Heatmaps
from nncli.figures.table_roles import REPLICATES
from nncli.populations.trajectories import ALONG, Trajectory, factors, is_dynamics, trajectories

MOST_PANELS = 12


def of_dynamics(data: pa.Table) -> bool:
    """Whether a table is one of captures against the last step of their own run."""
    names = data.column_names
    return {"step_a", "step_b"} <= set(names) and is_dynamics(data.to_pylist(), names)


def dynamics(
    data: pa.Table,
    *,
    source: str,
    metrics: Sequence[str] = (),
    said: Sequence[Mapping[str, Any]] = (),
) -> Heatmaps:
    """Arrange a table of dynamics as matrices: layers by steps, the first layer at the bottom.

    Runs that differ in their seed are averaged; other factors and metrics have a panel each.

    Args:
        data: A table for which `of_dynamics` holds.
        source: Its name, for titles and errors.
        metrics: Only these metrics; all by default.
        said: What the table says of its metrics.

    Returns:
        The matrices.

    Raises:
        ArtifactError: A metric is not there, a value is there twice, or there are too many panels.
    """
    found = _chosen(data, metrics, source)
    groups: dict[tuple[str, str], list[Trajectory]] = {}
    for one in found:
        groups.setdefault((one.metric, _named(one.run)), []).append(one)
    if len(groups) > MOST_PANELS:
        raise ArtifactError(
            f"`{source}` has {len(groups)} maps, more than fit on a page ({MOST_PANELS})",
            hint="choose with `--metric`",
        )
    meant = {str(one.get("metric")): one for one in said}
    panels = tuple(
        _grid(group, metric, name, meant.get(metric)) for (metric, name), group in groups.items()
    )
    what = ", ".join(dict.fromkeys(one.metric for one in found))
    counts = sorted({len(group) for group in groups.values()})
    runs = " to ".join(str(one) for one in dict.fromkeys((counts[0], counts[-1])))
    caption = "against the last step of the same run"
    return Heatmaps(
        f"{what}: {source}",
        "layer, the first at the bottom",
        "step (updates)",
        panels,
        caption + (f"; mean of {runs} runs" if counts[-1] > 1 else ""),
    )


def dynamics_curves(data: pa.Table, *, source: str, metrics: Sequence[str] = ()) -> Curves:
    """The same as curves over the steps, one for each layer; see `dynamics`."""
    found = _chosen(data, metrics, source)
    rows = [
        {"layer": layer, **one.run, "step": int(step), "metric": one.metric, "value": float(value)}
        for one in found
        for layer, values in zip(one.layers, one.values, strict=True)
        for step, value in zip(one.steps, values, strict=True)
    ]
    table = pa.Table.from_pylist(rows)
    picture = curves(table, source=source, x="step")
    alone = not any(_named(one.run) for one in found)  # else colours tell more than the depth
    caption = "; ".join(filter(None, ["against the last step of the same run", picture.caption]))
    return replace(picture, ordered=alone, caption=caption)


def _chosen(data: pa.Table, metrics: Sequence[str], source: str) -> list[Trajectory]:
    found = trajectories(data.to_pylist(), data.column_names, source=source)
    there = list(dict.fromkeys(one.metric for one in found))
    for metric in metrics:
        if metric not in there:
            raise ArtifactError(f"`{source}` has no metric `{metric}`; {closest(metric, there)}")
    constant = {
        one
        for one in factors(data.column_names)
        if one not in ALONG and len({repr(run.run.get(one)) for run in found}) == 1
    }
    return [
        replace(one, run={name: value for name, value in one.run.items() if name not in constant})
        for one in found
        if not metrics or one.metric in metrics
    ]


def _named(run: Mapping[str, Any]) -> str:
    """What tells a run from those of other seeds."""
    said = {name: value for name, value in run.items() if name not in REPLICATES}
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in said.items()
    )


def _grid(
    group: Sequence[Trajectory], metric: str, name: str, said: Mapping[str, Any] | None
) -> Grid:
    layers = list(dict.fromkeys(layer for one in group for layer in one.layers))[::-1]
    steps = sorted({int(step) for one in group for step in one.steps})
    values = np.full((len(group), len(layers), len(steps)), np.nan)
    for run, one in enumerate(group):
        down = [layers.index(layer) for layer in one.layers]
        across = [steps.index(int(step)) for step in one.steps]
        values[run][np.ix_(down, across)] = one.values
    there = np.isfinite(values).sum(axis=0)
    total = np.nansum(values, axis=0)
    mean = np.divide(total, there, out=np.full(total.shape, np.nan), where=there > 0)
    title = f"{metric}, {name}" if name else metric
    columns = tuple(f"{step:,}" for step in steps)
    return Grid(title, tuple(layers), columns, mean, *limits(metric, mean, said), framed=False)
