"""Text tables cannot say who wrote them: what is replaced, and what is kept."""

import pyarrow as pa
import pytest

from nncli.errors import ArtifactError
from nncli.formats.entry import Entry
from nncli.formats.tables import SUFFIXES, create_table, demand_table, write_table

ENTRY = Entry("table")
TABLE = pa.table({"layer": ["a", "b|"], "value": [0.5, None], "p_max": [1, 2]})
TEXTS = {suffix: form for suffix, form in SUFFIXES.items() if form != "parquet"}


@pytest.mark.parametrize("suffix", TEXTS)
@pytest.mark.parametrize("rows", [0, 2])
def test_a_text_table_is_replaced_by_one_of_the_same_columns(suffix, rows, tmp_path):
    target, fresh = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_table(str(target), TABLE.slice(0, rows), ENTRY)
    demand_table(str(target))
    write_table(str(target), TABLE.slice(1), ENTRY)
    write_table(str(fresh), TABLE.slice(1), ENTRY)
    assert target.read_bytes() == fresh.read_bytes()


@pytest.mark.parametrize("suffix", TEXTS)
@pytest.mark.parametrize(
    "other",
    [
        TABLE.append_column("remark", pa.array(["", "x"])),
        TABLE.select(["value", "layer", "p_max"]),
        TABLE.select(["layer", "value"]),
    ],
    ids=["more", "reordered", "fewer"],
)
def test_one_of_other_columns_is_kept_and_the_way_out_is_named(suffix, other, tmp_path):
    target = tmp_path / f"a{suffix}"
    write_table(str(target), other, ENTRY)
    old = target.read_bytes()
    with pytest.raises(ArtifactError, match="exists and has other columns") as caught:
        create_table(str(target), TABLE.schema, ENTRY)
    assert caught.value.hint == "choose another name, or replace it with `--overwrite`"
    assert target.read_bytes() == old
    assert [one.name for one in tmp_path.iterdir()] == [target.name]
    write_table(str(target), TABLE, ENTRY, overwrite=True)
    assert target.read_bytes() != old


@pytest.mark.parametrize("suffix", TEXTS)
@pytest.mark.parametrize(
    "content",
    [
        b"Dear diary,\n",
        b"Subject,Reaction time (s)\n1,0.3\n",
        b"layer;value;p_max\na;0.5;1\n",
        b"\xef\xbb\xbflayer,value,p_max\n",
        b"[1, 2]\n",
        b'{"layer": \n',
        b"\x00\xff\xfe",
        b'"layer',
        b"\n\n",
        b"[" * 100_000,
    ],
)
def test_what_is_no_table_of_ours_is_kept_from_the_start(suffix, content, tmp_path):
    target = tmp_path / f"a{suffix}"
    target.write_bytes(content)
    for refused in (
        lambda: demand_table(str(target)),
        lambda: write_table(str(target), TABLE, ENTRY),
    ):
        with pytest.raises(ArtifactError, match="exists and"):
            refused()
    assert target.read_bytes() == content


@pytest.mark.parametrize("suffix", TEXTS)
def test_notes_come_and_go(suffix, tmp_path):
    target = str(tmp_path / f"a{suffix}")
    noted = TABLE.append_column("note", pa.array(["", "x"]))
    for one in (TABLE, noted, TABLE):
        write_table(target, one, ENTRY)


def test_an_empty_file_is_replaced_as_ever(tmp_path):
    (tmp_path / "a.csv").touch()
    write_table(str(tmp_path / "a.csv"), TABLE, ENTRY)


def test_a_parquet_file_says_itself_who_wrote_it(tmp_path):
    target = str(tmp_path / "a")
    write_table(target, TABLE, ENTRY)
    write_table(target, TABLE.select(["value"]), ENTRY)
    write_table(target, TABLE, ENTRY, format="csv")  # our table, in another form
    with pytest.raises(ArtifactError, match="was not written by nncli"):
        write_table(target, TABLE, ENTRY)


def test_columns_with_odd_names_are_recognised(tmp_path):
    odd = pa.table({'a "b", c': [1], "d|e\nf": ["x"]})
    for suffix in TEXTS:
        target = str(tmp_path / f"a{suffix}")
        write_table(target, odd, ENTRY)
        write_table(target, odd, ENTRY)


def test_an_error_before_the_first_row_leaves_a_csv_on_a_pipe_empty(python):
    script = """
import pyarrow as pa
from nncli.formats.entry import Entry
from nncli.formats.tables import create_table
with create_table("-", pa.schema([("x", pa.int64())]), Entry("table"), format="csv"):
    raise SystemExit(3)
"""
    done = python(script)
    assert (done.returncode, done.stdout) == (3, b"")
