"""Which cases belong together, as a column says it."""

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from nncli.errors import MismatchError


def demand_groups(values: Sequence[Any], column: str, ids: NDArray[Any], *, source: str) -> None:
    """Refuse cases of which nothing says what they belong to.

    Args:
        values: (n,) what a column says of each case; nothing is `None`, NaN or an empty text.
        column: Its name.
        ids: (n,) identifiers of the cases.
        source: The table.

    Raises:
        MismatchError: A case has no value: together such cases would be one large group.
    """
    empty = [place for place, one in enumerate(values) if _is_nothing(one)]
    if empty:
        raise MismatchError(
            f"{len(empty)} of {len(ids)} cases have no `{column}` in `{source}` "
            f"(the first is `{ids[empty[0]]}`)",
            hint="fill it in, with a value of their own for cases that belong to no other",
        )


def _is_nothing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))
