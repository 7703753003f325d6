"""Which picture a table is: a population, dynamics, pairs of layers, a summary, or curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from nncli.errors import ArtifactError, UsageError
from nncli.figures.certified import certified, is_verdicts
from nncli.figures.curves import curves
from nncli.figures.dynamics import dynamics, dynamics_curves, of_dynamics
from nncli.figures.grids import diagonal, heatmaps, pair_columns, sides_of
from nncli.figures.pictures import Picture
from nncli.figures.populations import is_population, populations
from nncli.figures.shared_panels import shared_panels
from nncli.figures.summaries import against_one, summary
from nncli.figures.team_errors import is_team_errors, team_errors

STEP = ("step", "step_a")


def table_picture(
    data: pa.Table,
    *,
    source: str,
    facts: Mapping[str, Any],
    inputs: Sequence[str] = (),
    x: str | None = None,
    y: Sequence[str] = (),
    metrics: Sequence[str] = (),
    colour: str | None = None,
) -> Picture:
    """The natural picture of a table, by its columns.

    Args:
        data: The table.
        source: Its name, for titles and errors.
        facts: What it says of itself: `metrics` with their meaning, `trees` of a population.
        inputs: What it was made from.
        x: The column along the axis of curves; dynamics become curves by `step`.
        y: The columns that are drawn as curves.
        metrics: Only these metrics.
        colour: The column that colours show; for populations only.

    Returns:
        The picture.

    Raises:
        ArtifactError: The table has no picture.
        UsageError: `colour` is given, and it is no table of `nncli cluster`.
    """
    names = data.column_names
    if is_population(names) and not (x or y):
        return populations(data, facts, source=source, metrics=metrics, colour=colour)
    if colour is not None:
        raise UsageError(f"`--colour` does not fit `{source}`, which is not of `nncli cluster`")
    told = facts.get("metrics")
    said = [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
    found: Picture | None = None
    if not (x or y) and is_team_errors(names):
        found = team_errors(data, source=source, metrics=metrics)
    elif not (x or y) and is_verdicts(names):
        found = certified(data, source=source)
    elif not (x or y):
        found = summary(data, source=source, said=said, metrics=metrics)
    if found is None and not y:
        found = shared_panels(data, source=source, facts=facts, x=x, metrics=metrics)
    if found is None and not y and (not x or x in STEP) and of_dynamics(data):
        if x:
            return dynamics_curves(data, source=source, metrics=metrics)
        return dynamics(data, source=source, metrics=metrics, said=said)
    if found is None and pair_columns(names) and not (x or y):
        found = against_one(data, source=source, metrics=metrics)
    if found is not None:
        return found
    if pair_columns(names) and not (x or y):
        _demand_two(data, source)
        single = diagonal(data)
        if single is None:
            sides = sides_of(inputs)
            return heatmaps(data, sides=sides, said=said, source=source, metrics=metrics)
        data = single
    return curves(data, source=source, x=x, y=y, metrics=metrics)


def _demand_two(data: pa.Table, source: str) -> None:
    """Refuse a whole population, which is no picture before it is arranged."""
    if not {"a", "b"} <= set(data.column_names):
        return
    count = data.group_by(["a", "b"]).aggregate([]).num_rows
    if count > 1:
        raise ArtifactError(
            f"`{source}` compares {count} pairs of captures, which have no one picture",
            hint=f"`nncli cluster {source} | nncli plot -` draws who is near whom; "
            "`--x` and `--y` draw curves",
        )
