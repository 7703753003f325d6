"""Functional scores of a table, joined to the representations they belong to."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError
from nncli.grounding.layout import Columns, listed
from nncli.grounding.members import Member, member_key
from nncli.grounding.pairs import Pairs, Representation
from nncli.grounding.score_names import Score, scores_of, wanted_scores

F64 = NDArray[np.float64]
Rows = dict[str, list[int]]

NAME_COLUMNS = (
    "name", "member", "model", "model_id", "capture", "checkpoint", "path", "file", "a",
)  # fmt: skip
DIGEST, LAYER = "digest", "layer"
NO_SCORES = ("n", "se", "low", "high", "index", "row", "", "Unnamed: 0")
LOWEST = ("loss", "error", "perplexity", "nll", "mse")


def lowest_is_best(score: str) -> bool:
    """Whether the name of a score is that of an error."""
    measured = score.lower().split(", ")[0]
    return any(word in measured for word in LOWEST)


def join_scores(
    columns: Columns,
    members: Mapping[str, Member],
    items: Sequence[tuple[str, Representation]],
    wanted: Sequence[str] = (),
    *,
    source: str,
) -> dict[str, F64]:
    """Scores of representations.

    Rows belong to a member by the digest of its checkpoint, else by a column that names it, else
    by all factors that the table has; and to a layer, if the table has a column of that name. In
    the long form, with `metric` and `value`, each metric is a score. `scores_of` says what several
    readers, targets or splits make of it.

    Args:
        columns: The table.
        members: The members.
        items: For each representation the name of its member, and itself.
        wanted: The scores; by default all columns of numbers that vary and are no factor.
        source: The file, for errors.

    Returns:
        For each score its value for each representation, (items,); NaN where it is null.

    Raises:
        ArtifactError: The table names no member, or has no such score.
        MismatchError: A member has no row, or several.
    """
    rows = _rows_of(columns, members, source)
    own = [_of_layer(columns, rows[member], one.layer) for member, one in items]
    mine = sorted({row for its in (own if any(own) else rows.values()) for row in its})
    found = {}
    for score in _choose(columns, members, mine, wanted, source):
        values = [
            _single(columns, its, score, one, source)
            for its, (_, one) in zip(own, items, strict=True)
        ]
        found[score.name] = np.array(values)
    if not wanted:
        found = {name: one for name, one in found.items() if _varies(one)}
    if not found:
        raise ArtifactError(
            f"no column of `{source}` is a score that differs between the representations; "
            f"its columns are {listed(columns)}",
            hint="name one with `--score`",
        )
    return found


def scored_pairs(
    pairs: Pairs,
    members: Mapping[str, Member],
    columns: Columns,
    wanted: Sequence[str] = (),
    *,
    source: str,
) -> Pairs:
    """Pairs with the differences of scores; see `join_scores`.

    Args:
        pairs: The pairs.
        members: The members, by `member_key`.
        columns: The table of scores.
        wanted: The scores.
        source: The file, for errors.
    """
    owned = [(member_key(one.model, one.group), one) for one in pairs.items]
    return pairs.with_scores(join_scores(columns, members, owned, wanted, source=source))


def _varies(values: F64) -> bool:
    known = values[~np.isnan(values)]
    return len(known) > 1 and bool(np.ptp(known) > 0)


def _rows_of(columns: Columns, members: Mapping[str, Member], source: str) -> Rows:
    """The rows of each member."""
    best: tuple[int, str, Rows] = (0, "", {})
    for how, matches in _ways(columns, members):
        size = len(next(iter(columns.values())))
        rows = {
            name: [row for row in range(size) if matches(one, row)] for name, one in members.items()
        }
        count = sum(bool(one) for one in rows.values())
        if count == len(members):
            return rows
        best = max(best, (count, how, rows), key=lambda one: one[0])
    if not best[0]:
        raise ArtifactError(
            f"no row of `{source}` belongs to any of {listed(members, 4)}; its columns are "
            f"{listed(columns)}",
            hint="it needs a column `name`, or columns of the factors: seed, step, ...",
        )
    lonely = [name for name, one in best[2].items() if not one]
    raise MismatchError(
        f"`{source}` has no row for {listed(lonely, 4)} (joined by {best[1]})",
        hint="score every network of the population, or leave those out that have no score",
    )


def _ways(
    columns: Columns, members: Mapping[str, Member]
) -> list[tuple[str, Callable[[Member, int], bool]]]:
    """The ways in which rows may belong to members, the surest first."""
    ways: list[tuple[str, Callable[[Member, int], bool]]] = []
    if DIGEST in columns:
        ways.append((DIGEST, partial(_same_digest, columns[DIGEST])))
    there = [name for name in NAME_COLUMNS if name in columns]
    ways += [(f"`{name}`", partial(_named, columns[name])) for name in there]
    shared = _shared(columns, members)
    if shared:
        ways.append((listed(shared), partial(_alike, columns, shared)))
    return ways


def _same_digest(digests: Sequence[Any], one: Member, row: int) -> bool:
    return one.digest is not None and bool(digests[row] == one.digest)


def _named(names: Sequence[Any], one: Member, row: int) -> bool:
    return one.called(names[row])


def _shared(columns: Columns, members: Mapping[str, Member]) -> list[str]:
    """The factors that the table has as columns."""
    return [name for name in columns if any(name in one.factors for one in members.values())]


def _alike(columns: Columns, factors: Sequence[str], one: Member, row: int) -> bool:
    known = [name for name in factors if one.factors.get(name) is not None]
    return bool(known) and all(columns[name][row] == one.factors[name] for name in known)


def _choose(
    columns: Columns,
    members: Mapping[str, Member],
    rows: Sequence[int],
    wanted: Sequence[str],
    source: str,
) -> list[Score]:
    """The scores that are asked for, or all there are."""
    keys = (*NAME_COLUMNS, DIGEST, LAYER, *_shared(columns, members))
    usual = () if wanted else NO_SCORES
    return wanted_scores(scores_of(columns, rows, (*keys, *usual)), wanted, source=source)


def _of_layer(columns: Columns, rows: list[int], layer: str) -> list[int]:
    if LAYER not in columns or not layer:
        return rows
    return [row for row in rows if columns[LAYER][row] is None or str(columns[LAYER][row]) == layer]


def _single(
    columns: Columns, rows: Sequence[int], score: Score, one: Representation, source: str
) -> float:
    mine = score.rows(columns, rows)
    values = {columns[score.column][row] for row in mine}
    called = f"`{one.model}`" + (f", layer `{one.layer}`" if one.layer else "")
    if not mine:
        raise MismatchError(f"`{source}` has no `{score.name}` for {called}")
    if len(values) > 1:
        differ = [
            name
            for name, its in columns.items()
            if name != score.column and len({repr(its[row]) for row in mine}) > 1
        ]
        raise MismatchError(
            f"`{source}` has {len(mine)} rows for {called} with different `{score.name}`"
            + (f"; they differ in {listed(differ, 4)}" if differ else ""),
            hint="keep one row for each network, or layer of one",
        )
    value: Any = next(iter(values))
    return float("nan") if value is None else float(value)
