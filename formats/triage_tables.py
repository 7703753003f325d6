"""The tables that triage writes: names and types of their columns."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from nncli.errors import UsageError
from nncli.formats.arrow_columns import column_of
from nncli.formats.tables import demand_table

NUMBERS = ("value", "low", "high")

EVALUATION = pa.schema(
    [
        ("score", pa.string()),
        ("against", pa.string()),
        ("metric", pa.string()),
        ("at", pa.float64()),
        *((name, pa.float64()) for name in (*NUMBERS, "p")),
        ("n", pa.int64()),
        ("note", pa.string()),
    ]
)
CURVE = pa.schema(
    [
        ("score", pa.string()),
        ("coverage", pa.float64()),
        ("metric", pa.string()),
        *((name, pa.float64()) for name in NUMBERS),
        ("n", pa.int64()),
    ]
)
REFERRAL = pa.schema(
    [
        ("score", pa.string()),
        ("referred", pa.float64()),
        ("metric", pa.string()),
        *((name, pa.float64()) for name in NUMBERS),
        ("n", pa.int64()),
    ]
)


def demand_tables(targets: Mapping[str, str], *, overwrite: bool) -> None:
    """Refuse outputs that cannot be, before the work.

    Args:
        targets: Files, and their formats as asked for.
        overwrite: Replace files that nncli did not write.

    Raises:
        UsageError: A suffix contradicts the format.
        ArtifactError: A file cannot be written.
    """
    for target, wanted in targets.items():
        demand_table(target, format=wanted, overwrite=overwrite)


def demand_different(**targets: str | None) -> None:
    """Refuse two outputs of one name.

    Raises:
        UsageError: There are.
    """
    known: dict[str, str] = {}
    for option, target in targets.items():
        if target is None:
            continue
        if target in known:
            raise UsageError(f"`--{known[target]}` and `--{option}` are the same file")
        known[target] = option


def table_of_cases(ids: NDArray[Any], columns: Mapping[str, NDArray[Any]]) -> pa.Table:
    """A row a case: its identifier, and columns."""
    return pa.table({name: column_of(one) for name, one in {"example_id": ids, **columns}.items()})
