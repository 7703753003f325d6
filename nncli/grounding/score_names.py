"""The scores of a table: what was measured, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nncli.errors import ArtifactError, closest
from nncli.grounding.layout import METRIC, VALUE, Columns, is_numbers, listed

HOW = ("target", "reader", "split", "position", "perturbation")


@dataclass(frozen=True)
class Score:
    """A score: a column, in the rows that were measured in one way.

    Attributes:
        name: Such as `accuracy`, or `accuracy, knn, shifted` where there are several readers and
            splits.
        measured: The first part of it.
        column: The column that holds its values.
        where: What other columns say in its rows.
    """

    name: str
    measured: str
    column: str
    where: Mapping[str, Any] = field(default_factory=dict)

    def rows(self, columns: Columns, rows: Sequence[int]) -> list[int]:
        """Those of some rows that are of this score."""
        told = [(columns[name], value) for name, value in self.where.items()]
        return [row for row in rows if all(values[row] == value for values, value in told)]


def scores_of(columns: Columns, rows: Sequence[int], no_scores: Sequence[str]) -> list[Score]:
    """The scores that there are.

    A score is a column of numbers, or in the long form a metric. Where columns that say how it was
    measured (`HOW`) differ between rows, each of their combinations is a score of its own, and
    their values are part of its name.

    Args:
        columns: The table.
        rows: The rows that belong to the population.
        no_scores: Columns that say whose a row is, or are no scores for another reason.

    Returns:
        The scores, in the order of the table.
    """
    how = [
        name
        for name in HOW
        if name in columns
        and name not in no_scores
        and len({columns[name][row] for row in rows}) > 1
    ]
    if is_long(columns):
        keys = [METRIC, *how]
        ways = dict.fromkeys(tuple(columns[name][row] for name in keys) for row in rows)
        return [
            Score(_name(str(way[0]), how, way[1:]), str(way[0]), VALUE, _told(keys, way))
            for way in ways
        ]
    numbers = [
        name
        for name, values in columns.items()
        if is_numbers(values) and name not in (*no_scores, *how)
    ]
    ways = dict.fromkeys(tuple(columns[name][row] for name in how) for row in rows)
    return [
        Score(_name(name, how, way), name, name, _told(how, way))
        for name in numbers
        for way in ways
    ]


def is_long(columns: Columns) -> bool:
    """Whether each row of a table has one score, named in `metric`."""
    return METRIC in columns and is_numbers(columns.get(VALUE, ()))


def wanted_scores(there: Sequence[Score], wanted: Sequence[str], *, source: str) -> list[Score]:
    """The scores that are asked for.

    Args:
        there: The scores that there are.
        wanted: Names; `accuracy` stands for all accuracies where there are several. All if empty.
        source: The file, for errors.

    Returns:
        The scores, in the order in which they were asked for.

    Raises:
        ArtifactError: There is no such score.
    """
    found: dict[str, Score] = {}
    for name in wanted or [one.name for one in there]:
        exact = [one for one in there if one.name == name]
        mine = exact or [one for one in there if one.measured == name]
        if not mine:
            names = [one.name for one in there]
            raise ArtifactError(
                f"`{source}` has no score `{name}`; {closest(name, names)}",
                hint=f"its scores are {listed(names)}" if len(names) > 3 else None,
            )
        found |= {one.name: one for one in mine}
    return list(found.values())


def _name(measured: str, how: Sequence[str], way: Sequence[Any]) -> str:
    """A name; accuracies of predictions say their perturbation already."""
    parts = [measured]
    for column, value in zip(how, way, strict=True):
        said = f"position {value}" if column == "position" else str(value)
        if value is not None and said not in measured.split(", "):
            parts.append(said)
    return ", ".join(parts)


def _told(columns: Sequence[str], way: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(columns, way, strict=True))
