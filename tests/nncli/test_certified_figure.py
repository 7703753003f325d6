"""The picture of verdicts over the radius."""

import pyarrow as pa
import pytest

from nncli.errors import ArtifactError
from nncli.figures.certified import certified, is_verdicts

VERDICTS = {
    ("crown", 0.1): ["verified", "verified", "unknown", "violated"],
    ("crown", 0.2): ["verified", "unknown", "unknown", "violated"],
    ("auto", 0.1): ["verified", "verified", "verified", "violated"],
    ("auto", 0.2): ["verified", "violated", "timeout", "violated"],
}


def table() -> pa.Table:
    rows = [
        {
            "model_id": "net",
            "instance": str(place),
            "method": method,
            "epsilon": radius,
            "verdict": v,
        }
        for (method, radius), verdicts in VERDICTS.items()
        for place, v in enumerate(verdicts)
    ]
    return pa.Table.from_pylist(rows)


def test_each_method_has_the_share_it_verified_and_attacks_the_least_they_left() -> None:
    (panel,) = certified(table(), source="t").panels
    lines = {line.label: (list(line.x), list(line.y)) for line in panel.lines}
    assert lines == {
        "verified, crown": ([0.1, 0.2], [0.5, 0.25]),
        "verified, auto": ([0.1, 0.2], [0.75, 0.25]),
        "not broken by an attack": ([0.1, 0.2], [0.75, 0.5]),
    }


def test_verdicts_without_a_radius_are_no_such_picture() -> None:
    assert is_verdicts(table().column_names)
    assert not is_verdicts(table().drop_columns("epsilon").column_names)


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(ArtifactError, match="has no rows"):
        certified(table().slice(0, 0), source="t")
