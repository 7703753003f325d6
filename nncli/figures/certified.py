"""Certified accuracy over the radius, beside what attacks leave, from `nncli verify`."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.figures.curve_pictures import Curves, Line, Panel

F64 = NDArray[np.float64]
X_LABEL = "epsilon"
CAPTION = "the truth lies between what is verified and what no attack has broken"
COLUMNS = {"model_id", "epsilon", "method", "verdict"}


def is_verdicts(names: Sequence[str]) -> bool:
    """Whether columns are those of `nncli verify` on neighbourhoods of examples."""
    return set(names) >= COLUMNS


def certified(data: pa.Table, *, source: str) -> Curves:
    """Arrange verdicts: a panel a network, a line a method, and one of what attacks leave.

    Args:
        data: The table.
        source: Its name, for the title and for errors.

    Returns:
        The picture.

    Raises:
        ArtifactError: The table is empty.
    """
    if not data.num_rows:
        raise ArtifactError(f"`{source}` has no rows")
    columns = {name: np.array(data[name].to_pylist()) for name in COLUMNS}
    methods = list(dict.fromkeys(columns["method"].tolist()))
    panels = [
        Panel(
            f"share of examples, {model}",
            tuple(_lines(columns, columns["model_id"] == model, methods)),
            common=True,
        )
        for model in dict.fromkeys(columns["model_id"].tolist())
    ]
    return Curves(source, X_LABEL, tuple(panels), band="", caption=CAPTION)


def _lines(
    columns: dict[str, NDArray[np.generic]], mine: NDArray[np.bool_], methods: list[str]
) -> list[Line]:
    found = []
    radii = np.unique(columns["epsilon"][mine].astype(np.float64))
    broken = columns["verdict"] == "violated"
    for place, method in enumerate(methods):
        rows = mine & (columns["method"] == method)
        own = np.unique(columns["epsilon"][rows].astype(np.float64))
        if len(own) and method != "attack":
            y = _shares(columns["epsilon"], rows, columns["verdict"] == "verified", own)
            found.append(Line(f"verified, {method}", own, y, colour=place))
    left = _least_shares(columns, mine, ~broken, radii, methods)
    found.append(Line("not broken by an attack", radii, left, style=1, colour=len(methods)))
    return found


def _shares(
    epsilon: NDArray[np.generic], rows: NDArray[np.bool_], good: NDArray[np.bool_], at: F64
) -> F64:
    """The share of the rows of each radius that are good."""
    return np.array([good[rows & (epsilon == one)].mean() for one in at])


def _least_shares(
    columns: dict[str, NDArray[np.generic]],
    mine: NDArray[np.bool_],
    good: NDArray[np.bool_],
    at: F64,
    methods: list[str],
) -> F64:
    """At each radius the least share over the methods: what the strongest of them has left."""
    each = []
    for method in methods:
        rows = mine & (columns["method"] == method)
        known = [bool((rows & (columns["epsilon"] == one)).any()) for one in at]
        shares = np.full(len(at), np.inf)
        shares[known] = _shares(columns["epsilon"], rows, good, at[known])
        each.append(shares)
    least: F64 = np.min(each, axis=0)
    return least
