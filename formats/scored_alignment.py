"""The cases that several sources of scores have in common."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError, NncliWarning
from nncli.formats.scored_cases import ID, Source

Array = NDArray[Any]


def names_of(sources: Sequence[Source]) -> str:
    """The files, each once, for messages."""
    return ", ".join(dict.fromkeys(f"`{one.name}`" for one in sources))


def common_cases(sources: Sequence[Source]) -> tuple[dict[int, Array | None], Array]:
    """Find the cases that all sources have.

    Args:
        sources: The sources.

    Returns:
        For each source, by `id`, the rows of these cases (`None` for all of them in order), and
        their identifiers.

    Raises:
        ArtifactError: A case has several rows.
        MismatchError: There are no identifiers to join by, or none in common.
    """
    first = sources[0]
    if any(one.ids is None for one in sources):
        lacking = next(one for one in sources if one.ids is None)
        if len(sources) > 1:
            raise MismatchError(f"`{lacking.name}` has no `{ID}`, and cannot be joined with others")
        n = len(next(iter(first.columns.values())))
        return {id(first): None}, np.arange(n)
    ids = _of(first)
    kept = np.ones(len(ids), bool)
    for one in sources:
        _demand_once(one)
        if (ids.dtype.kind == "U") != (_of(one).dtype.kind == "U"):
            raise MismatchError(
                f"`{ID}` is text in one of `{first.name}` and `{one.name}`, and numbers in the "
                "other"
            )
        if not np.array_equal(ids, _of(one)):
            kept &= np.isin(ids, _of(one))
    common = ids[kept]
    if not len(common):
        raise MismatchError(f"{names_of(sources)} have no `{ID}` in common")
    return {id(one): _places(_of(one), common) for one in sources}, common


def _of(source: Source) -> Array:
    assert source.ids is not None
    return source.ids


def _places(ids: Array, common: Array) -> Array | None:
    if np.array_equal(ids, common):
        return None
    order = np.argsort(ids, kind="stable")
    found: Array = order[np.searchsorted(ids, common, sorter=order)]
    return found


def _demand_once(source: Source) -> None:
    found, counts = np.unique(_of(source), return_counts=True)
    if len(found) < len(_of(source)):
        raise ArtifactError(
            f"example `{found[counts > 1][0]}` has several rows in `{source.name}`",
            hint="a score has one row a case; take one split, or one perturbation",
        )


def count_dropped(used: Sequence[Source], whole: NDArray[np.bool_]) -> int:
    """Count the cases that are left out, and say so.

    Args:
        used: The sources that say something.
        whole: (n,) which of the common cases have every score and an outcome.

    Returns:
        How many are left out.

    Warns:
        NncliWarning: Some are.
    """
    most = max(len(next(iter(one.columns.values()))) for one in used)
    lonely = most - len(whole)
    empty = int((~whole).sum())
    if lonely:
        warnings.warn(
            f"{lonely} of {most} cases are left out: not every file has them",
            NncliWarning,
            stacklevel=3,
        )
    if empty:
        warnings.warn(
            f"{empty} of {len(whole)} cases are left out: they lack a score or the outcome",
            NncliWarning,
            stacklevel=3,
        )
    return lonely + empty
