"""The tables of `nncli attack`: error against epsilon, and the nearest error of each example.

A network's own factors (seed, step, the epsilon it was trained with) are columns too; those whose
name means something else here get `train_` in front.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

TEXT, WHOLE, NUMBER = pa.string(), pa.int64(), pa.float64()
KINDS = {"seed": WHOLE, "step": WHOLE, "part": WHOLE, "parts": WHOLE, "partition": WHOLE}
NUMBERS = ("epsilon", "label_noise", "noise")
CURVE = {
    "label": WHOLE,
    "epsilon": NUMBER,
    "metric": TEXT,
    "value": NUMBER,
    "low": NUMBER,
    "high": NUMBER,
    "n": WHOLE,
    "note": TEXT,
}
NEAREST = {
    "label": WHOLE,
    "answer": WHOLE,
    "correct": pa.bool_(),
    "minimal_epsilon": NUMBER,
    "nearest_answer": WHOLE,
    "linf": NUMBER,
    "l2": NUMBER,
    "linear_epsilon": NUMBER,
}
KEYS = ("model_id", "attack", "norm")


def factor_columns(factors: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The column of each factor of some networks.

    Args:
        factors: Of each network, what tells it from others.

    Returns:
        Columns by factor, in order.
    """
    taken = {*KEYS, *CURVE, *NEAREST, "example_id"}
    known = dict.fromkeys(name for one in factors for name in one)
    return {name: f"train_{name}" if name in taken else name for name in known}


def curve_schema(columns: Mapping[str, str]) -> pa.Schema:
    """The columns of error against epsilon.

    Args:
        columns: See `factor_columns`.

    Returns:
        The schema.
    """
    return pa.schema(list({**_keys(columns), **CURVE}.items()))


def nearest_schema(columns: Mapping[str, str], *, text_ids: bool) -> pa.Schema:
    """The columns of the nearest error of each example.

    Args:
        columns: See `factor_columns`.
        text_ids: Whether examples are named by text.

    Returns:
        The schema.
    """
    first = {"example_id": TEXT if text_ids else WHOLE}
    return pa.schema(list({**first, **_keys(columns), **NEAREST}.items()))


def _keys(columns: Mapping[str, str]) -> dict[str, pa.DataType]:
    told = {
        column: KINDS.get(name, NUMBER if name in NUMBERS else TEXT)
        for name, column in columns.items()
    }
    return {"model_id": TEXT, **told, "attack": TEXT, "norm": TEXT}
