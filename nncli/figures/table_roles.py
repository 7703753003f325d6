"""What the columns of a table are for: the axis, the values, lines, and repeated runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from nncli.errors import ArtifactError, closest
from nncli.layer_names import select_layers

METRIC, VALUE, NOTE = "metric", "value", "note"
BESIDE = (
    *("se", "low", "high", "n", "dims_a", "dims_b", NOTE, "digest", "path", "command"),
    *("null_mean", "null_sd", "z", "p", "p_max", "reverse", "models"),
    *("baseline", "shuffled", "control", "selectivity", "twin", "mdl_bits", "mdl_sd"),
    *("compression", "penalty", "n_train", "clusters"),
)
"""Columns that are never keys."""
REPLICATES = ("seed", "seed2", "part", "partition", "fold", "replicate", "trial", "sample")
FACTORS = ("step", "epoch", "epsilon", "strength", "width", "depth", "parts", "label_noise")


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
    if x and not _is_plain(data, x):
        raise ArtifactError(f"`{x}` in `{source}` is {data[x].type}: no axis runs along that")
    long = METRIC in names and VALUE in names and not y
    values = (VALUE,) if long else _value_columns(data, x, y, metrics, source)
    for name in values:
        demand_number(data, name, source=source)
    if long:
        _demand_metrics(data[METRIC].to_pylist(), metrics, source)
    beside = {*values, *y, *BESIDE, *(() if long else _free_numbers(data))}
    if long or not y:
        beside.add(METRIC)
    keys = [name for name in names if name not in beside and _is_key(data, name)]
    axis = x or choose_axis(data, keys)
    if axis is None:
        raise ArtifactError(
            f"nothing varies in `{source}` that a curve could run along",
            hint=f"`nncli show {source}` prints the rows; `--x` names a column",
        )
    others = [name for name in keys if name != axis and not follows(data, name, axis)]
    replicates = tuple(name for name in others if name in REPLICATES)
    groups = tuple(name for name in others if name not in REPLICATES)
    return Roles(axis, values, groups, replicates, long)


def _value_columns(
    data: pa.Table, x: str | None, y: Sequence[str], metrics: Sequence[str], source: str
) -> tuple[str, ...]:
    if y:
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


def is_number(data: pa.Table, name: str) -> bool:
    """Whether a column holds numbers."""
    kind = data[name].type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _distinct(data: pa.Table, name: str) -> int:
    return len(data[name].unique().drop_null())


def demand_number(data: pa.Table, name: str, *, source: str) -> None:
    """Refuse a column of anything but numbers.

    Raises:
        ArtifactError: It is one.
    """
    if not is_number(data, name):
        raise ArtifactError(f"`{name}` in `{source}` is {data[name].type}, no number")


def _is_plain(data: pa.Table, name: str) -> bool:
    kind = data[name].type
    names = (pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary)
    return is_number(data, name) or any(test(kind) for test in (*names, pa.types.is_boolean))


def _is_key(data: pa.Table, name: str) -> bool:
    return _is_plain(data, name) and _distinct(data, name) > 1


def follows(data: pa.Table, name: str, axis: str) -> bool:
    """Whether a number says nothing beside the axis: an epoch beside a step."""
    if name in REPLICATES or not is_number(data, name):
        return False
    pairs = len(data.group_by([axis, name]).aggregate([]))
    places = len(data[axis].unique())
    return bool(pairs == places)


def choose_axis(data: pa.Table, keys: Sequence[str]) -> str | None:
    """The factor with the most values: numbers before names, either before replicates."""
    if not keys:
        return None

    def preference(name: str) -> tuple[bool, bool, int, int]:
        known = FACTORS.index(name) if name in FACTORS else len(FACTORS)
        return name in REPLICATES, not is_number(data, name), -_distinct(data, name), known

    return min(keys, key=preference)


def of_layers(data: pa.Table, globs: Sequence[str], *, source: str) -> pa.Table:
    """The rows of a table about some layers only.

    Args:
        data: Columns `layer`, or `layer_a` and `layer_b`.
        globs: Patterns, see `nncli.layer_names`; none means all.
        source: The table's name, for errors.

    Raises:
        ArtifactError: There is no such column, or a pattern matches nothing.
    """
    columns = [one for one in ("layer", "layer_a", "layer_b") if one in data.column_names]
    if globs and not columns:
        raise ArtifactError(f"`{source}` has no column `layer` for `--layer` to choose from")
    for column in columns if globs else ():
        names = [str(one) for one in data[column].to_pylist()]
        chosen = set(select_layers(dict.fromkeys(names), globs, source=source))
        data = data.filter(pa.array([name in chosen for name in names]))
    return data
