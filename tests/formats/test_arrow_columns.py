"""Columns by their bytes are those of pyarrow, and no table needs pandas."""

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from nncli.cli import cli
from nncli.formats.arrow_columns import column
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


def test_a_table_command_does_not_import_pandas(tmp_path, python):
    rows = np.random.default_rng(0).standard_normal((2, 20, 3)).astype(np.float32)
    for name, one in zip(("one.npz", "two.npz"), rows, strict=True):
        np.savez(tmp_path / name, layer=one)
    found = python(
        "import sys\n"
        "from nncli.cli import main\n"
        "sys.argv = ['nncli', 'compare', 'one.npz', 'two.npz', '-q', '-o', 'alike.parquet']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "print(sorted({'pandas', 'torch'} & set(sys.modules)))\n",
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == b"[]"
    assert pq.read_table(tmp_path / "alike.parquet").num_rows
    assert CliRunner().invoke(cli, ["show", str(tmp_path / "alike.parquet")]).exit_code == 0
