"""Columns by their bytes are those of pyarrow, and so are arrays from columns."""

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nncli.formats.arrow_columns import array_of, column, column_of, repeated
from nncli.formats.entry import Entry
from nncli.formats.tables import create_table

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], pa.string()),
        ([None], pa.float64()),
        (["a", None, "é", "", "\U0001f600"], pa.string()),
        ([1.5, None, 2, np.float32(0.1), np.float64(-0.0), float("inf")], pa.float64()),
        ([1, None, -(2**63), 2**63 - 1, np.int32(7)], pa.int64()),
        ([True, None, False], pa.bool_()),
        ([None] * 70 + [1], pa.int64()),
        ([[1.0, None], None, []], pa.list_(pa.float64())),
        ([1, None], pa.int32()),
        ([2**53, -(2**53), True, None], pa.float64()),
    ],
)
def test_columns_are_those_of_pyarrow(values, kind):
    made = column(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind))
    assert made.null_count == sum(one is None for one in values)


def test_nan_stays_a_number_beside_null():
    made = column([NAN, None], pa.float64())
    assert np.isnan(made[0].as_py())
    assert made[1].as_py() is None


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1.5"], pa.float64()),
        ([2**63], pa.int64()),
        ([1], pa.string()),
        (["a"], pa.bool_()),
        ([2**53 + 1], pa.float64()),
        ([0.5, np.uint64(2**63)], pa.float64()),
        ([np.bool_(True)], pa.float64()),
        ([Decimal("1.5")], pa.float64()),
        ([1, True], pa.int64()),
    ],
)
def test_values_of_another_type_are_refused_in_the_words_of_pyarrow(values, kind):
    with pytest.raises((pa.ArrowException, OverflowError)) as ours:
        column(values, kind)
    with pytest.raises((pa.ArrowException, OverflowError)) as theirs:
        pa.array(values, kind)
    assert str(ours.value) == str(theirs.value)


ARRAYS = [
    *(np.array([0, 1, 100], one) for one in "bBhHiIqQefdlL"),
    np.array([True, False, True] * 5),
    np.array([], np.int64),
    np.arange(20.0)[::3],
    np.array([1.0, NAN]),
    np.array(["a", "é"]),
    np.array(["a", None], object),
    np.array([1, None], object),
    np.array([None, None], object),
    np.array(["2020-01-01"], "datetime64[D]"),
]


@pytest.mark.parametrize("values", ARRAYS, ids=lambda one: str(one.dtype))
def test_columns_of_arrays_are_those_of_pyarrow(values):
    given = values.tolist() if values.dtype.kind == "O" else values
    expected = pa.array(given)
    made = column_of(values)
    made.validate(full=True)
    assert made.type == expected.type
    assert str(made.to_pylist()) == str(expected.to_pylist())


@pytest.mark.parametrize("values", ARRAYS[:14], ids=lambda one: str(one.dtype))
def test_values_that_are_absent_are_null(values):
    absent = np.arange(len(values)) % 2 == 0
    made = column_of(values, absent)
    made.validate(full=True)
    assert made.equals(pa.array(values, mask=absent))


@pytest.mark.parametrize("values", [np.array(["a", 1], object), np.array([3, 4], ">i4")])
def test_values_that_arrow_does_not_know_are_refused(values):
    with pytest.raises(pa.ArrowException):
        column_of(values)


def test_a_value_is_repeated():
    assert repeated("a", pa.string(), 3).equals(pa.array(["a"] * 3))
    assert repeated(None, pa.float64(), 2).equals(pa.nulls(2, pa.float64()))
    assert repeated(7, pa.int64(), 0).equals(pa.array([], pa.int64()))


COLUMNS = [
    *(pa.array([0, 1, 100], one) for one in (pa.int8(), pa.uint64(), pa.float16(), pa.float32())),
    pa.array([None, 1, None, 4], pa.int32()),
    pa.array([None, 1.5, NAN], pa.float32()),
    pa.array([], pa.int64()),
    pa.array([None], pa.uint8()),
    pa.array([True, False]),
    pa.array([True, None]),
    pa.array(["a", None]),
    pa.chunked_array([[1, 2], [None], []], pa.int64()),
    pa.chunked_array([], pa.float64()),
]


@pytest.mark.parametrize("values", COLUMNS, ids=lambda one: str(one.type))
@pytest.mark.parametrize("start", [0, 1])
def test_arrays_of_columns_are_those_of_pyarrow(values, start):
    part = values.slice(start) if len(values) > start else values
    chunked = isinstance(part, pa.ChunkedArray)
    expected = part.to_numpy() if chunked else part.to_numpy(zero_copy_only=False)
    found = array_of(part)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [pa.float64(), pa.int32()])
def test_one_piece_without_nulls_is_not_copied(kind):
    piece = pa.array(range(10), kind).slice(3)
    for values in (piece, pa.chunked_array([piece])):
        assert np.shares_memory(array_of(values), np.frombuffer(piece.buffers()[1], np.uint8))


def test_an_array_is_not_copied_into_a_column():
    values = np.arange(10.0)
    assert np.shares_memory(values, np.frombuffer(column_of(values).buffers()[1]))


def test_rows_one_by_one_are_one_row_group(tmp_path):
    schema = pa.schema([("a", pa.string()), ("b", pa.float64())])
    rows = [{"a": str(place), "b": None if place % 3 else place / 7} for place in range(500)]
    entry = Entry("table", 1)
    with create_table(str(tmp_path / "t.parquet"), schema, entry) as table:
        for row in rows:
            table.write_row(row)
    file = pq.ParquetFile(tmp_path / "t.parquet")
    assert file.metadata.num_row_groups == 1
    assert file.read().to_pylist() == rows


def test_lines_go_out_row_by_row(capfdbinary):
    schema = pa.schema([("a", pa.int64())])
    with create_table("-", schema, Entry("table", 1), format="jsonl") as table:
        for place in range(3):
            table.write_row({"a": place})
            assert json.loads(capfdbinary.readouterr().out) == {"a": place}


def test_rows_before_a_table_stay_before_it(tmp_path):
    schema = pa.schema([("a", pa.int64())])
    with create_table(str(tmp_path / "t.parquet"), schema, Entry("table", 1)) as table:
        table.write_row({"a": 1})
        table.write(pa.table({"a": [2, 3]}, schema=schema))
        table.write_row({"a": 4})
    assert pq.read_table(tmp_path / "t.parquet")["a"].to_pylist() == [1, 2, 3, 4]
