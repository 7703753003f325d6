"""The table of `nncli verify`: one row a network and property."""

from collections.abc import Iterable

import pyarrow as pa

TEXT, WHOLE, NUMBER = pa.string(), pa.int64(), pa.float64()
QUESTION = {
    "model_id": TEXT,
    "instance": TEXT,
    "label": WHOLE,
    "norm": TEXT,
    "epsilon": NUMBER,
}
ANSWER = {
    "method": TEXT,
    "verdict": TEXT,
    "bound": NUMBER,
    "attacked": NUMBER,
    "stage": TEXT,
}
LAST = {"numerics": TEXT, "seed": WHOLE, "words": TEXT}
CHECKED = pa.schema(
    [
        ("model_id", TEXT),
        ("instance", TEXT),
        ("verdict", TEXT),
        ("stage", TEXT),
        ("reason", TEXT),
        ("numerics", TEXT),
        ("property", TEXT),
        ("words", TEXT),
    ]
)
RANGES = pa.schema(
    [
        ("model_id", TEXT),
        ("instance", TEXT),
        ("region", WHOLE),
        ("output", WHOLE),
        ("low", NUMBER),
        ("attacked_low", NUMBER),
        ("attacked_high", NUMBER),
        ("high", NUMBER),
        ("numerics", TEXT),
        ("seed", WHOLE),
    ]
)
RATES = pa.schema(
    [
        *((name, QUESTION[name]) for name in QUESTION),
        ("lipschitz", NUMBER),
        ("sampled", NUMBER),
        ("margin", NUMBER),
        ("radius", NUMBER),
        ("numerics", TEXT),
        ("seed", WHOLE),
    ]
)


def verdict_schema(
    stages: Iterable[str], *, local: bool, single: bool = False, change: bool = False
) -> pa.Schema:
    """The columns.

    Args:
        stages: Stages that have a column of seconds each, beside one for their sum. Without any,
            the table holds nothing that differs between equal runs.
        local: Whether the properties are about neighbourhoods of examples.
        single: Whether they are about outputs in float32, so that bounds leave room for rounding.
        change: Whether they are about how far outputs move.

    Returns:
        The schema.
    """
    asked = QUESTION if local else {name: QUESTION[name] for name in ("model_id", "instance")}
    each = {f"seconds_{name.replace('-', '_')}": NUMBER for name in stages}
    spent = {"seconds": NUMBER, **each} if each else {}
    if change:
        asked = {**asked, "output_change": NUMBER}
    margin = {"float_margin": NUMBER} if single else {}
    return pa.schema(list({**asked, **ANSWER, **margin, **spent, **LAST}.items()))
