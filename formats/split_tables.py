"""The tables of splits, and the table of what mistakes cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.formats.arrow_columns import column_of, repeated
from nncli.formats.columns import to_values
from nncli.formats.entry import Entry
from nncli.formats.tables import demand_column, read_table

MODEL = ("model_id", pa.string())
COSTS = ("cost", "cost_low", "cost_high")
GAIN = ("gain", "gain_low", "gain_high")
AREA = ("area", "normalised", "normalised_low", "normalised_high")


def split_schema(*, several: bool, priced: bool, subgroups: bool) -> pa.Schema:
    """Columns of the table of splits.

    Args:
        several: There is more than one model.
        priced: Money is told.
        subgroups: There are rows of subgroups.
    """
    numbers = ("error", "low", "high", "fraction", *(COSTS if priced else ()), *GAIN)
    groups = [("column", pa.string()), ("subgroup", pa.string())] if subgroups else []
    return pa.schema(
        [
            *([MODEL] if several else []),
            *groups,
            ("order", pa.string()),
            *((name, pa.float64()) for name in (*numbers, "threshold", *AREA)),
            *((name, pa.float64()) for name in ("optimum", "optimum_fraction")),
            ("n", pa.int64()),
            ("note", pa.string()),
        ]
    )


def curve_schema(*, several: bool, priced: bool) -> pa.Schema:
    """Columns of the curves: a row for every split of every order."""
    money = [("cost", pa.float64()), ("frontier", pa.bool_())] if priced else []
    return pa.schema(
        [
            *([MODEL] if several else []),
            ("order", pa.string()),
            ("automated", pa.int64()),
            *((name, pa.float64()) for name in ("fraction", "error", "low", "high", "score")),
            *money,
        ]
    )


def curve_table(columns: Mapping[str, Any], schema: pa.Schema, told: Mapping[str, str]) -> pa.Table:
    """One curve as rows of a table; NaN is null.

    Args:
        columns: Arrays of one length.
        schema: From `curve_schema`.
        told: What is the same in all rows.
    """
    count = len(columns["automated"])
    made = []
    for field in schema:
        if field.name in told:
            made.append(repeated(told[field.name], field.type, count))
        else:
            values = columns[field.name]
            absent = np.isnan(values) if values.dtype.kind == "f" else None
            made.append(column_of(values, absent).cast(field.type))
    return pa.table(made, schema=schema)


def effort_schema(*, several: bool) -> pa.Schema:
    """Columns of error against the share automated at equal effort."""
    return pa.schema(
        [
            *([MODEL] if several else []),
            ("order", pa.string()),
            ("allocation", pa.string()),
            ("automated", pa.int64()),
            ("fraction", pa.float64()),
            ("readings", pa.int64()),
            *((name, pa.float64()) for name in ("error", "low", "high", "gap")),
            ("n", pa.int64()),
            ("note", pa.string()),
        ]
    )


def assignment_table(
    ids: NDArray[Any],
    routes: NDArray[np.bool_],
    score: NDArray[np.float64] | None,
    reported: NDArray[np.bool_],
    model: str | None,
) -> pa.Table:
    """Who has which case.

    Args:
        ids: (N,) identifiers.
        routes: (N,) whether the model has it.
        score: (N,) what the cases are ordered by, the lowest first; `None` where nothing orders.
        reported: (N,) whether it was kept for the report.
        model: Which model, where there are several.
    """
    whose = np.array(["human", "algorithm"])[routes.astype(np.int64)]
    part = np.array(["choose", "report"])[reported.astype(np.int64)]
    known = (
        pa.nulls(len(ids), pa.float64()) if score is None else column_of(score).cast(pa.float64())
    )
    columns = {
        "example_id": column_of(ids),
        "route": column_of(whose),
        "score": known,
        "part": column_of(part),
    }
    if model is not None:
        columns = {"model_id": repeated(model, pa.string(), len(ids)), **columns}
    return pa.table(columns)


@dataclass(frozen=True, eq=False)
class MistakePrices:
    """What each kind of mistake costs.

    Attributes:
        name: The file as given.
        digest: Its SHA-256.
        entry: What it says of itself.
        matrix: (C, C) the price of answering the column where the row is right.
    """

    name: str
    digest: str
    entry: Entry | None
    matrix: NDArray[np.float64]


def read_mistake_prices(name: str, classes: Sequence[Any]) -> MistakePrices:
    """Read a table of prices: `label`, `answer` and `cost`.

    Args:
        name: The file as given.
        classes: (C,) numbers or names of the classes.

    Returns:
        The prices; right answers cost nothing where the table does not say so.

    Raises:
        ArtifactError: A class is unknown, a price is none, or a kind of mistake has no price.
    """
    table = read_table(name)
    for column in ("label", "answer", "cost"):
        demand_column(table.data, column, source=name)
    place = {str(one): at for at, one in enumerate(classes)}
    place |= {str(at): at for at in range(len(classes))}
    matrix = np.full((len(classes), len(classes)), np.nan)
    np.fill_diagonal(matrix, 0.0)
    price = to_values(table.data["cost"])
    if price.dtype.kind not in "iuf" or not np.isfinite(price).all() or (price < 0).any():
        raise ArtifactError(f"`cost` in `{name}` holds something else than prices from 0 on")
    pairs = zip(
        table.data["label"].to_pylist(), table.data["answer"].to_pylist(), price, strict=True
    )
    for label, answer, cost in pairs:
        for one in (label, answer):
            if str(one) not in place:
                raise ArtifactError(f"`{one}` in `{name}` is none of the {len(classes)} classes")
        matrix[place[str(label)], place[str(answer)]] = cost
    if np.isnan(matrix).any():
        row, column = np.argwhere(np.isnan(matrix))[0]
        raise ArtifactError(
            f"`{name}` has no price for the answer `{classes[column]}` where `{classes[row]}` is "
            "right",
            hint="every kind of mistake needs one; right answers cost nothing",
        )
    return MistakePrices(table.name, table.digest, table.entry, matrix)
