import io
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from nncli.errors import ArtifactError, UsageError
from nncli.formats.entry import Entry
from nncli.formats.tables import (
    FORMATS,
    choose_format,
    create_table,
    from_rows,
    read_table,
    write_table,
)
from nncli.formats.text_tables import text_table

ENTRY = Entry(kind="table", facts={"metric": "cka"})
TABLE = pa.table(
    {
        "layer": ["block.0", None, 'a "b", c', "größe\n|"],
        "value": [0.1, None, 1e300, -0.0],
        "n": pa.array([1, None, 2**53 + 1, -5], pa.int64()),
        "ok": [True, None, False, True],
    }
)
LISTS = pa.table({"id": [1, 2, 3], "p": [[0.25, 0.75], [], None]})
FINITE = {"csv": TABLE, "jsonl": TABLE, "json": TABLE, "parquet": TABLE}


def encoded(data, form):
    sink = io.BytesIO()
    with (pa.ipc.new_stream if form == "stream" else pa.ipc.new_file)(sink, data.schema) as writer:
        for batch in data.to_batches(max_chunksize=2):
            writer.write_batch(batch)
    return sink.getvalue()


def damaged(path, content):
    path.write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        read_table(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", FINITE)
def test_a_table_comes_back_with_its_types_nulls_and_odd_cells(form, tmp_path):
    path = tmp_path / f"a.{form}"
    write_table(str(path), TABLE, ENTRY)
    assert read_table(str(path)).data.to_pydict() == TABLE.to_pydict()
    assert read_table(str(path)).data.schema.types == TABLE.schema.types


@pytest.mark.parametrize("form", ["parquet", "jsonl", "json"])
def test_lists_come_back_where_the_format_has_them(form, tmp_path):
    write_table(str(tmp_path / f"a.{form}"), LISTS, ENTRY)
    assert read_table(str(tmp_path / f"a.{form}")).data.to_pydict() == LISTS.to_pydict()


def test_lists_are_json_inside_csv(tmp_path):
    write_table(str(tmp_path / "a.csv"), LISTS, ENTRY)
    assert (tmp_path / "a.csv").read_text() == 'id,p\n1,"[0.25, 0.75]"\n2,[]\n3,\n'


def test_floats_come_back_to_the_last_bit_from_every_format(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2**63, 1000).view(np.float64)
    data = pa.table({"x": bits[np.isfinite(bits)], "y": bits[np.isfinite(bits)][::-1]})
    for form in FINITE:
        write_table(str(tmp_path / f"a.{form}"), data, ENTRY)
        assert read_table(str(tmp_path / f"a.{form}")).data.equals(data), form


STRANGE = pa.table({"x": [float("nan"), float("inf"), -float("inf"), 1.5], "i": [0, 1, 2, 3]})


def test_json_has_no_nan_and_no_infinity_so_they_are_null(tmp_path):
    for form in ("json", "jsonl"):
        write_table(str(tmp_path / f"a.{form}"), STRANGE, ENTRY)
        text = (tmp_path / f"a.{form}").read_text()
        assert "NaN" not in text
        assert "Infinity" not in text
        found = read_table(str(tmp_path / f"a.{form}")).data
        assert found["x"].to_pylist() == [None, None, None, 1.5]


def test_csv_has_infinities_and_no_nan(tmp_path):
    write_table(str(tmp_path / "a.csv"), STRANGE, ENTRY)
    found = read_table(str(tmp_path / "a.csv")).data
    assert found["x"].to_pylist() == [None, float("inf"), -float("inf"), 1.5]


def test_json_is_one_array_of_objects_and_jsonl_one_object_a_line(tmp_path):
    write_table(str(tmp_path / "a.json"), TABLE, ENTRY)
    assert json.loads((tmp_path / "a.json").read_text()) == TABLE.to_pylist()
    write_table(str(tmp_path / "a.jsonl"), TABLE, ENTRY)
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == TABLE.to_pylist()


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_a_table_without_rows_is_written_whole(form, tmp_path):
    write_table(str(tmp_path / f"a.{form}"), TABLE.slice(0, 0), ENTRY)
    text = (tmp_path / f"a.{form}").read_bytes()
    expected = {"csv": b"layer,value,n,ok\n", "json": b"[]\n", "jsonl": b""}
    assert text == expected.get(form, text)
    if form == "parquet":
        assert read_table(str(tmp_path / "a.parquet")).data.schema.names == TABLE.schema.names


def test_parquet_keeps_the_entry_and_others_have_no_place_for_it(tmp_path):
    write_table(str(tmp_path / "a.parquet"), TABLE, ENTRY)
    assert read_table(str(tmp_path / "a.parquet")).entry == ENTRY
    assert pq.read_metadata(tmp_path / "a.parquet").metadata[b"nncli"].decode() == ENTRY.to_json()
    write_table(str(tmp_path / "a.csv"), TABLE, ENTRY)
    assert read_table(str(tmp_path / "a.csv")).entry is None


def test_two_writes_are_identical_and_pieces_equal_the_whole(tmp_path):
    for form in (*FINITE, "table", "markdown"):
        write_table(str(tmp_path / "a"), TABLE, ENTRY, format=form, overwrite=True)
        write_table(str(tmp_path / "b"), TABLE, ENTRY, format=form, overwrite=True)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes(), form
        with create_table(
            str(tmp_path / "b"), TABLE.schema, ENTRY, format=form, overwrite=True
        ) as table:
            table.write(TABLE.slice(0, 3))
            table.write(TABLE.slice(3))
        if form != "parquet":  # which keeps its row groups apart
            assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes(), form
        else:
            assert read_table(str(tmp_path / "b")).data.equals(TABLE)


def test_arrow_is_read_as_file_and_as_stream(tmp_path):
    for form in ("stream", "file"):
        (tmp_path / "a").write_bytes(encoded(TABLE, form))
        assert read_table(str(tmp_path / "a")).data.equals(TABLE)
    feather.write_feather(TABLE, str(tmp_path / "a"))
    assert read_table(str(tmp_path / "a")).data.equals(TABLE)


@pytest.mark.parametrize("form", ["stream", "file", "parquet"])
def test_a_table_cut_anywhere_is_refused(form, tmp_path):
    if form == "parquet":
        write_table(str(tmp_path / "whole"), TABLE, ENTRY)
        whole = (tmp_path / "whole").read_bytes()
    else:
        whole = encoded(TABLE, form)
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        damaged(tmp_path / "a", whole[:length])


def test_an_arrow_stream_cut_between_batches_is_refused_though_pyarrow_reads_it(tmp_path):
    whole = encoded(TABLE, "stream")
    batch = whole[: -len(b"\xff\xff\xff\xff\0\0\0\0")]
    assert pa.ipc.open_stream(batch).read_all().equals(TABLE)
    assert "no end marker" in damaged(tmp_path / "a", batch)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,b\r\n1,x\r\n2,y\r\n", {"a": [1, 2], "b": ["x", "y"]}),
        (b"\xef\xbb\xbfa,b\n1,x\n", {"a": [1], "b": ["x"]}),
        (b"a;b\n1;x,y\n", {"a": [1], "b": ["x,y"]}),
        (b'"a,b,c";d\n1;2\n', {"a,b,c": [1], "d": [2]}),
        (b"a\tb\n1\tx y\n", {"a": [1], "b": ["x y"]}),
        (b'a,b\n1,"x\ny"\n', {"a": [1], "b": ["x\ny"]}),
        (b'a,b\n1,"say ""x"""\n', {"a": [1], "b": ['say "x"']}),
        (b"a,b\n1,\n,y\n", {"a": [1, None], "b": [None, "y"]}),
        (b"a,b\n1,2", {"a": [1], "b": [2]}),
        (b"value\n1\n2.5\n\n", {"value": [1.0, 2.5]}),
        (b'name\n"x"\n"y"\n', {"name": ["x", "y"]}),
    ],
)
def test_csv_is_read_in_the_forms_it_comes_in(content, expected, tmp_path):
    (tmp_path / "a").write_bytes(content)
    assert read_table(str(tmp_path / "a")).data.to_pydict() == expected


@pytest.mark.parametrize("data", [pa.table({"x": [1.5, None, 2]}), pa.table({"x": ["a", None]})])
def test_a_single_column_comes_back_from_csv(data, tmp_path):
    write_table(str(tmp_path / "a.csv"), data, ENTRY)
    assert read_table(str(tmp_path / "a.csv")).data.to_pydict() == data.to_pydict()


def test_json_rows_may_lack_keys(tmp_path):
    (tmp_path / "a").write_text('[{"a": 1}, {"b": "x", "a": null}]')
    found = read_table(str(tmp_path / "a")).data.to_pydict()
    assert found == {"a": [1, None], "b": [None, "x"]}
    (tmp_path / "b").write_text('{"a": 1}\n{"b": "x", "a": null}\n')
    assert read_table(str(tmp_path / "b")).data.to_pydict() == found


@pytest.mark.parametrize(
    "content",
    [
        b"PAR1",
        b"PAR1 and no more PAR1",
        b"ARROW1\0\0",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"a,b\n1,2,3\n",
        b"a,b\n" + b"1,2\n" * 200 + b"\xff\xff,1,2\n",
        b'{"a": 1}\n{"a": "x"}\n',
        b'{"a": 1}\n{"a": \n',
        b"[1, 2]",
        b'[{"a": 1}, 2]',
        b'[{"a": 1}',
        b'[{"a": 1}, {"a": "x"}]',
        b'[{"a": 1}, {"a": 99999999999999999999999}]',
        b"[" * 100_000,
        b'[{"a": ' * 100_000,
        b'{\n"a": 1\n}',
    ],
)
def test_a_damaged_table_is_one_clear_error(content, tmp_path):
    assert "is a damaged table" in damaged(tmp_path / "a", content)


def test_bytes_that_are_no_text_are_damage_wherever_they_stand(tmp_path):
    text = pa.array([b"ok", b"\xff\xfe"], pa.binary()).view(pa.string())
    for data in (
        pa.table({"a": text}),
        pa.table({"a": [1]}).replace_schema_metadata({b"nncli": b"\xff{}"}),
    ):
        pq.write_table(data, tmp_path / "b")
        with pytest.raises(ArtifactError):
            read_table(str(tmp_path / "b"))


def test_an_arrow_stream_whose_offsets_lead_outside_is_damage(tmp_path):
    whole = encoded(pa.table({"a": ["x" * 77, "y" * 900]}), "stream")
    sound, wild = (np.array([0, 77, end], np.int32).tobytes() for end in (977, 2**30))
    assert whole.count(sound) == 1
    assert "damaged" in damaged(tmp_path / "a", whole.replace(sound, wild))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04.", b"PK\x03\x04", b"text\n", b"\x93NUMPY", b"\x89PNG", b"a,b\n\xff\xff,1\n"],
)
def test_what_is_no_table_is_refused(content, tmp_path):
    told = damaged(tmp_path / "a", content)
    assert "expected a table (Parquet, Arrow, CSV, JSON lines or a JSON array)" in told or (
        not content
    )


def test_a_column_that_appears_twice_is_refused(tmp_path):
    assert "more than one column `a`" in damaged(tmp_path / "a", b"a,a\n1,2\n")


def test_columns_are_chosen_by_name_and_a_wrong_name_is_met_with_close_ones(tmp_path):
    write_table(str(tmp_path / "a.parquet"), TABLE, ENTRY)
    chosen = read_table(str(tmp_path / "a.parquet"), columns=["n", "layer"])
    assert chosen.data.column_names == ["n", "layer"]
    with pytest.raises(ArtifactError, match="has no column `vlaue`; closest: `value`"):
        read_table(str(tmp_path / "a.parquet"), columns=["vlaue"])


@pytest.mark.parametrize(
    ("target", "wanted", "expected"),
    [
        ("a.parquet", "auto", "parquet"),
        ("a.CSV", "auto", "csv"),
        ("a.json", "auto", "json"),
        ("a.ndjson", "auto", "jsonl"),
        ("a.md", "auto", "markdown"),
        ("a.txt", "auto", "table"),
        ("a", "auto", "parquet"),
        ("a.data", "auto", "parquet"),
        ("a.data", "csv", "csv"),
        ("a.csv", "csv", "csv"),
        ("-", "json", "json"),
        ("-", "auto", "parquet"),
        ("/dev/stdout", "auto", "parquet"),
    ],
)
def test_the_format_follows_from_the_suffix_or_the_option(target, wanted, expected):
    assert choose_format(target, wanted) == expected


def test_a_suffix_that_contradicts_the_option_is_wrong_usage():
    with pytest.raises(UsageError, match=r"ends in `\.csv`, but `--format json` was asked for"):
        choose_format("a.csv", "json")


@pytest.mark.parametrize("target", ["a.png", "a.PDF", "a.tsv", "a.xlsx", "a.csv.gz"])
@pytest.mark.parametrize("wanted", ["auto", "csv"])
def test_a_name_that_promises_what_is_never_written_is_wrong_usage(target, wanted):
    with pytest.raises(UsageError, match=r"but a table is to be written") as refused:
        choose_format(target, wanted)
    assert "`.parquet`, `.csv`" in refused.value.hint
    assert ("nncli plot" in refused.value.hint) == (target.lower()[-3:] in {"png", "pdf"})


@pytest.mark.parametrize("target", ["a.tmp", "curve-0.1", "a.v2"])
def test_a_name_that_promises_nothing_is_a_parquet_file(target):
    assert choose_format(target, "auto") == "parquet"


def test_the_option_of_the_command_line_offers_what_there_is():
    from nncli import options

    assert options.table_format(lambda: None).__click_params__[0].type.names() == list(FORMATS)


HALF = """
import sys
import pyarrow as pa
from nncli.formats.entry import Entry
from nncli.formats.tables import create_table
data = pa.table({"x": list(range(20_000))})
with create_table(sys.argv[1], data.schema, Entry("table"), format=sys.argv[2]) as table:
    table.write(data)
    raise RuntimeError("half way")
"""


def test_half_a_table_on_a_pipe_is_cut_and_not_closed_as_if_it_were_whole(tmp_path, python):
    done = python(HALF, "-", "parquet")
    assert done.stdout.startswith(b"PAR1")
    assert b"Exception ignored" not in done.stderr
    damaged(tmp_path / "a", done.stdout)
    assert not python(HALF, "-", "json").stdout.endswith(b"]\n")


@pytest.mark.parametrize("form", ["parquet", "csv", "json"])
def test_half_a_table_leaves_no_file(form, tmp_path, python):
    done = python(HALF, tmp_path / "a", form)
    assert done.stderr.rstrip().endswith(b"RuntimeError: half way")
    assert b"Exception ignored" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_ends_the_writer_with_a_broken_pipe_only():
    script = HALF.replace("raise", "print('unreachable', file=sys.stderr)\n    raise")
    script = script.replace("    table.write(data)", "    while True: table.write(data)")
    for form in ("parquet", "csv"):
        with subprocess.Popen(
            [sys.executable, "-c", script, "-", form],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as work:
            work.stdout.read(10)
            work.stdout.close()
            told = work.stderr.read().decode()
        assert "BrokenPipeError" in told
        assert "unreachable" not in told


def test_rows_become_columns_and_what_a_row_lacks_is_null():
    schema = pa.schema([("a", pa.int64()), ("b", pa.float64())])
    found = from_rows(iter([{"a": 1}, {"b": 2.0, "c": "ignored"}]), schema)
    assert found.to_pydict() == {"a": [1, None], "b": [None, 2.0]}
    assert from_rows([], schema).schema == schema


def test_text_is_aligned_with_numbers_to_the_right_and_nothing_for_null():
    data = pa.table({"layer": ["a", None], "value": [0.123456789, None], "p": [[1, 2], [3] * 9]})
    assert text_table(data).splitlines() == [
        "layer      value   p",
        "─" * 38,
        "a       0.123457   [1, 2]",
        "                   [3, 3, 3, 3, ... 9]",
    ]


def test_a_row_of_nulls_is_a_line_too():
    assert len(text_table(pa.table({"a": [None, 1, None]})).splitlines()) == 5


def test_markdown_is_a_table_whose_bars_are_escaped():
    data = pa.table({"a|b": ["x|y", "z"], "n": [1, 22]})
    assert text_table(data, markdown=True).splitlines() == [
        "| a\\|b |  n |",
        "|------|----|",
        "| x\\|y |  1 |",
        "| z    | 22 |",
    ]


def test_cells_cannot_move_the_cursor_or_break_a_line():
    data = pa.table({"[bold]x[/]": ["\x1b[2J\n", "\u009b1A"]})
    text = text_table(data)
    assert text.isprintable() or all(one.isprintable() or one == "\n" for one in text)
    assert "\\x1b[2J\\n" in text
    assert "[bold]x[/]" in text


def test_a_terminal_gets_text_and_a_pipe_parquet(tmp_path, terminal, python):
    script = (
        HALF.replace('    raise RuntimeError("half way")', "")
        .replace("20_000", "3")
        .replace("format=sys.argv[2]", "")
    )
    code, shown = terminal(sys.executable, "-c", script, "-", environment={"NO_COLOR": "1"})
    assert code == 0
    assert [line.strip() for line in shown.splitlines() if line.strip()][-3:] == ["0", "1", "2"]
    assert "\x1b[3" not in shown
    (tmp_path / "a").write_bytes(python(script, "-").stdout)
    assert read_table(str(tmp_path / "a")).data.to_pydict() == {"x": [0, 1, 2]}
