"""Datasets in tables: which column is what, and what is refused."""

import json
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from nncli.errors import ArtifactError, NncliWarning
from nncli.formats.datasets import load
from nncli.formats.entry import Entry
from nncli.formats.tables import write_table

X = np.random.default_rng(0).normal(size=(12, 2, 3)).astype(np.float32)
Y = np.arange(12) % 3


def parquet(folder, columns, **options):
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, folder / "data.parquet", **options)
    return str(folder / "data.parquet")


def write(folder, text, name="data.csv"):
    (folder / name).write_text(text)
    return str(folder / name)


def error_of(path, **options) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        load(str(path), **options)
    return caught.value


def test_the_columns_of_numbers_of_a_csv_are_the_features(tmp_path):
    path = write(tmp_path, "a,b,label\n1,2.5,0\n3,4.5,1\n")
    data = load(path)
    assert data.x.dtype == np.float32
    assert data.x.tolist() == [[1.0, 2.5], [3.0, 4.5]]
    assert data.y.tolist() == [0, 1]


@pytest.mark.parametrize(
    "text",
    [
        "a\tb\tlabel\n1\t2.5\t0\n3\t4.5\t1\n",
        "a;b;label\n1;2.5;0\n3;4.5;1\n",
        '{"a":1,"b":2.5,"label":0}\n{"a":3,"b":4.5,"label":1}\n',
        '[{"a":1,"b":2.5,"label":0},{"a":3,"b":4.5,"label":1}]',
    ],
)
def test_equal_tables_in_other_text_formats_have_equal_digests(tmp_path, text):
    reference = write(tmp_path, "a,b,label\n1,2.5,0\n3,4.5,1\n")
    assert load(write(tmp_path, text, "other")).digest == load(reference).digest


def list_column(kind):
    flat = pa.array(X.reshape(-1))
    if kind == "nested lists":
        return pa.array(X.tolist(), pa.list_(pa.list_(pa.float32())))
    if kind == "large lists":
        return pa.array(X.tolist(), pa.large_list(pa.large_list(pa.float32())))
    if kind == "fixed lists":
        return pa.FixedSizeListArray.from_arrays(pa.FixedSizeListArray.from_arrays(flat, 3), 2)
    return pa.FixedShapeTensorArray.from_numpy_ndarray(X)


@pytest.mark.parametrize("kind", ["nested lists", "large lists", "fixed lists", "tensors"])
@pytest.mark.parametrize("name", ["x", "image", "embedding"])
def test_a_column_of_lists_or_tensors_is_the_inputs(tmp_path, kind, name):
    path = parquet(tmp_path, {name: list_column(kind), "y": Y, "hue": Y * 0.5})
    data = load(path)
    assert (data.x == X).all()
    assert data.factors["hue"].tolist() == (Y * 0.5).tolist()


@pytest.mark.parametrize("split", ["all", "train", "test"])
@pytest.mark.parametrize("limit", [None, 2, 5])
def test_row_groups_do_not_matter(tmp_path, split, limit):
    columns = {"x": list_column("nested lists"), "y": Y}
    whole = load(parquet(tmp_path, columns), split=split, limit=limit)
    pieces = load(parquet(tmp_path, columns, row_group_size=5), split=split, limit=limit)
    assert pieces.digest == whole.digest
    assert (whole.x == X[whole.example_id]).all()


def test_only_row_groups_with_chosen_rows_are_read(tmp_path, monkeypatch):
    path = parquet(tmp_path, {"x": list_column("tensors"), "y": Y}, row_group_size=3)
    true_read, read = pq.ParquetFile.read_row_group, []

    def spy(self, group, *args, **options):
        read.append(group)
        return true_read(self, group, *args, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spy)
    load(path, limit=4)
    assert read == [0, 1]


def test_arrow_files_and_streams_are_read(tmp_path):
    table = pa.table({"x": list_column("tensors"), "y": Y})
    pa.feather.write_feather(table, str(tmp_path / "file"))
    with pa.ipc.new_stream(tmp_path / "stream", table.schema) as stream:
        stream.write_table(table)
    reference = load(parquet(tmp_path, table)).digest
    assert load(str(tmp_path / "file")).digest == reference
    assert load(str(tmp_path / "stream")).digest == reference


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_table_that_nncli_wrote_is_read_back(tmp_path, form):
    table = pa.table({"a": X[:, 0, 0], "b": X[:, 0, 1], "y": Y})
    path = str(tmp_path / f"data.{form}")
    write_table(path, table, Entry("dataset"))
    data = load(path)
    assert (data.x == X[:, 0, :2]).all()
    assert (data.entry is not None) == (form == "parquet")


def test_another_kind_of_table_is_refused(tmp_path):
    write_table(str(tmp_path / "t.parquet"), pa.table({"value": [1.0]}), Entry("predictions"))
    assert "holds predictions, expected" in str(error_of(tmp_path / "t.parquet"))


def test_bytes_in_lists_are_scaled_like_any_other(tmp_path):
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)
    data = load(parquet(tmp_path, {"image": column}))
    assert data.x.shape == (2, 1, 4, 3)
    assert (data.x[:, 0] == pixels.astype(np.float32) / np.float32(255)).all()


def test_text_comes_with_its_labels_and_factors(tmp_path):
    path = write(tmp_path, "id,text,score,label\n7,good film,0.9,pos\n8,bad film,0.1,neg\n")
    data = load(path)
    assert data.x is None
    assert data.text == ("good film", "bad film")
    assert data.y.tolist() == [1, 0]
    assert data.class_names == ("neg", "pos")
    assert data.factors["score"].tolist() == [0.9, 0.1]
    assert data.factors["id"].tolist() == [7, 8]


def test_the_only_column_of_text_is_the_text_if_there_are_no_numbers(tmp_path):
    assert load(write(tmp_path, "idx,review,label\n0,good,1\n1,bad,0\n")).text == ("good", "bad")
    data = load(write(tmp_path, "name,width,label\na,1,1\nb,2,0\n"))
    assert data.text is None
    assert data.x.tolist() == [[1.0], [2.0]]
    assert data.factors["name"].tolist() == ["a", "b"]


def test_row_numbers_and_marked_columns_are_factors_not_features(tmp_path):
    path = write(tmp_path, ",id,a,factor_age,label\n0,5,1.5,40,0\n1,6,2.5,50,1\n")
    data = load(path)
    assert data.x.tolist() == [[1.5], [2.5]]
    assert sorted(data.factors) == ["", "age", "id"]
    assert data.factors["age"].tolist() == [40, 50]


def test_factors_may_have_empty_cells(tmp_path):
    columns = {
        "x": [[1.0], [2.0]],
        "age": pa.array([None, 3]),
        "place": pa.array(["here", None]),
        "seen": pa.array([True, None]),
        "day": pa.array([0, None], pa.date32()),
    }
    factors = load(parquet(tmp_path, columns)).factors
    np.testing.assert_array_equal(factors["age"], [np.nan, 3])
    np.testing.assert_array_equal(factors["seen"], [1, np.nan])
    assert factors["place"].tolist() == ["here", ""]
    assert factors["day"].tolist() == ["1970-01-01", ""]


def test_the_split_column_is_believed_and_ids_are_kept(tmp_path):
    path = write(tmp_path, "example_id,a,y,split\nq,1,0,test\nr,2,1,train\ns,3,0,validation\n")
    assert load(path, split="test").example_id.tolist() == ["q"]
    assert load(path, split="train").example_id.tolist() == ["r"]
    assert load(path).example_id.tolist() == ["q", "r", "s"]
    assert load(path).source_digest is None


def test_a_split_column_of_numbers_is_a_factor(tmp_path):
    path = parquet(tmp_path, {"x": [[1.0], [2.0]], "split": [0, 1]})
    assert load(path).factors["split"].tolist() == [0, 1]


def test_token_ids_come_with_their_mask(tmp_path):
    columns = {"input_ids": [[5, 6], [7, 0]], "attention_mask": [[1, 1], [1, 0]], "label": [0, 1]}
    data = load(parquet(tmp_path, columns))
    assert data.x.dtype == np.int64
    assert data.mask.tolist() == [[True, True], [True, False]]


def test_dictionaries_decimals_and_booleans_are_what_they_hold(tmp_path):
    columns = {
        "a": pa.array([Decimal("1.5"), Decimal(2)]),
        "b": [True, False],
        "label": pa.array(["v", "u"]).dictionary_encode(),
    }
    data = load(parquet(tmp_path, columns))
    assert data.x.tolist() == [[1.5, 1.0], [2.0, 0.0]]
    assert data.class_names == ("u", "v")


def test_class_names_of_hub_files_are_taken_from_their_schema(tmp_path):
    kept = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["no", "yes"]}}}}
    table = pa.table({"a": [1.0, 2.0], "label": [0, 0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(kept)})
    data = load(parquet(tmp_path, table))
    assert data.class_names == ("no", "yes")
    assert data.classes == 2


def test_a_table_needs_no_import_of_datasets_or_torch(tmp_path):
    import subprocess

    path = write(tmp_path, "a,label\n1,0\n2,1\n")
    code = (
        f"import sys; from nncli.formats.datasets import load; load({path!r});"
        "print(sorted({'datasets', 'PIL', 'torch', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_ragged_lists_name_their_row(tmp_path):
    error = error_of(parquet(tmp_path, {"x": [[1.0, 2.0], [1.0, 2.0], [1.0]]}))
    assert "`x` in" in str(error)
    assert "is ragged: row 2 has the size 1, the first row 2" in str(error)
    assert "`mask`" in error.hint


def test_ragged_inner_lists_and_later_chunks_name_their_row(tmp_path):
    nested = [[[1.0, 2.0], [1.0, 2.0]], [[1.0, 2.0], [1.0]]]
    assert "row 1 has the size 1, the first row 2" in str(
        error_of(parquet(tmp_path, {"x": nested}))
    )
    chunks = pa.chunked_array([[[1.0, 2.0]] * 2, [[1.0]] * 2])
    with pa.ipc.new_file(tmp_path / "chunks", pa.schema({"x": chunks.type})) as file:
        file.write_table(pa.table({"x": chunks}))
    assert "row 2 has the size [1], the first row [2]" in str(error_of(tmp_path / "chunks"))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1.0], None, [2.0]], "row 1 of `{}` has no `x`"),
        ([[1.0], [2.0], [None]], "row 2 of `{}` has an empty value in `x`"),
        ([[[1.0]], [None], [[1.0]]], "row 1 of `{}` has an empty value in `x`"),
    ],
)
def test_empty_inputs_name_their_row(tmp_path, column, message):
    path = parquet(tmp_path, {"x": column})
    assert str(error_of(path)) == message.format(path)


@pytest.mark.parametrize("column", ["a", "label", "text", "example_id", "split"])
def test_empty_cells_name_their_row_and_column(tmp_path, column):
    columns = {
        "a": [1.0, 2.0],
        "label": ["u", "v"],
        "example_id": ["p", "q"],
        "split": ["test", "test"],
    }
    columns |= {column: [*columns.get(column, ["word", "word"])[:1], None]}
    path = parquet(tmp_path, columns)
    assert str(error_of(path)) == f"row 1 of `{path}` has no `{column}`"


def test_an_empty_cell_of_a_csv_is_named(tmp_path):
    path = write(tmp_path, "a,b,label\n1,2,0\n3,,1\n")
    assert str(error_of(path)) == f"row 1 of `{path}` has no `b`"


def test_rows_are_named_by_their_place_in_the_source(tmp_path):
    x = np.ones((40, 1))
    x[30] = np.nan
    path = parquet(tmp_path, {"a": x[:, 0], "split": ["train"] * 20 + ["test"] * 20})
    assert f"row 30 of `{path}` holds nan" in str(error_of(path, split="test"))
    assert len(load(path, split="train")) == 20


def test_a_repeated_example_id_is_named(tmp_path):
    path = write(tmp_path, "example_id,a\nq,1\nr,2\nq,3\n")
    assert str(error_of(path)) == f"rows 0 and 2 of `{path}` have the same example_id `q`"


def test_a_table_without_inputs_lists_its_columns(tmp_path):
    error = error_of(write(tmp_path, "id,label\n1,0\n2,1\n"))
    assert "holds no inputs; its columns are `id`, `label`" in str(error)
    assert "columns of numbers" in error.hint


def test_two_columns_for_one_role_are_refused(tmp_path):
    error = error_of(write(tmp_path, "x,y,label\n1,2,0\n"))
    assert "has the columns `y`, `label`, each could be the label" in str(error)
    assert "factor_label" in error.hint
    error = error_of(parquet(tmp_path, {"u": [[1.0]], "v": [[1.0]]}))
    assert "several columns of lists or images: `u`, `v`" in str(error)
    assert "call the one that holds the inputs `x`" in error.hint
    assert "`a` and `factor_a`: one factor" in str(
        error_of(parquet(tmp_path, {"x": [[1.0]], "a": [1], "factor_a": [1]}))
    )


def test_repeated_column_names_are_refused(tmp_path):
    table = pa.table([pa.array([1.0]), pa.array([2.0])], names=["a", "a"])
    with pa.ipc.new_file(tmp_path / "twice", table.schema) as file:
        file.write_table(table)
    for path in (tmp_path / "twice", parquet(tmp_path, table)):
        assert str(error_of(path)) == f"`{path}` has more than one column `a`"


@pytest.mark.parametrize("line", ["5.1,3.5,0", "0,0,7", "1;2;3", '"5.1"\t"2"'])
def test_a_csv_without_a_header_is_refused(tmp_path, line):
    error = error_of(write(tmp_path, f"{line}\n{line}\n"))
    assert "has no header: its first line starts" in str(error)
    assert "put the names of the columns into the first line" in error.hint


def test_columns_that_pandas_numbered_are_names(tmp_path):
    assert load(write(tmp_path, ",0,1\n0,5,6\n1,7,8\n")).x.tolist() == [[5, 6], [7, 8]]
    assert load(write(tmp_path, "0,1\n5,6\n7,8\n")).x.tolist() == [[5, 6], [7, 8]]


def test_columns_that_cannot_be_factors_are_left_out_with_a_warning(tmp_path):
    path = parquet(tmp_path, {"x": [[1.0], [2.0]], "boxes": [[1], [1, 2]]})
    with pytest.warns(NncliWarning, match="`boxes` in .* left out: not single values"):
        assert load(path).factors == {}


def test_a_truncated_parquet_is_damaged(tmp_path):
    path = parquet(tmp_path, {"x": list_column("tensors"), "y": Y})
    with open(path, "rb") as file:
        whole = file.read()
    for cut in (10, len(whole) // 2, len(whole) - 3):
        (tmp_path / "cut").write_bytes(whole[:cut])
        assert "is a damaged table" in str(error_of(tmp_path / "cut"))


def test_text_that_is_not_utf8_and_offsets_that_lead_outside_are_damage(tmp_path):
    path = parquet(tmp_path, {"text": ["snow", "rain"], "label": [0, 1]}, use_dictionary=False)
    (tmp_path / "text").write_bytes(Path(path).read_bytes().replace(b"snow", b"sn\xffw"))
    assert "is a damaged table" in str(error_of(tmp_path / "text"))
    offsets = np.array([0, 70001, 140002], np.int32)
    column = pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.zeros(140002)))
    with pa.ipc.new_file(tmp_path / "arrow", pa.schema({"x": column.type})) as file:
        file.write_table(pa.table({"x": column}))
    sound = (tmp_path / "arrow").read_bytes()
    broken = offsets.copy()
    broken[1] = 2**30
    assert sound.count(offsets.tobytes()) == 1
    (tmp_path / "arrow").write_bytes(sound.replace(offsets.tobytes(), broken.tobytes()))
    assert "is a damaged table" in str(error_of(tmp_path / "arrow", split="test"))


def test_a_table_without_rows_is_an_error(tmp_path):
    path = parquet(tmp_path, {"x": pa.array([], pa.list_(pa.float32()))})
    assert str(error_of(path)) == f"`{path}` has no rows"
    assert "has no rows" in str(error_of(parquet(tmp_path, {"a": pa.array([], pa.float32())})))
