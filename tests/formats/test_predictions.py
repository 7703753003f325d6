import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from nncli.errors import ArtifactError, MismatchError, NncliWarning, UsageError
from nncli.formats.entry import Entry
from nncli.formats.prediction_columns import Frame, Member
from nncli.formats.prediction_writers import create_predictions
from nncli.formats.predictions import open_predictions

RANDOM = np.random.default_rng(0)
ENTRY = Entry("predictions")
LABELS = np.array([0, 2, 1, 1], np.int64)
LOGITS = RANDOM.standard_normal((2, 4, 3)).astype(np.float32)
MEMBERS = [Member("a", {"seed": 0, "step": 10}), Member("b", {"seed": 1}, "fgsm-linf-0.1", 0.1)]
FRAME = Frame(np.array([7, 5, 3, 1]), LABELS, "test", 3, {"writer": np.array(list("wxyz"))})


def written(path, frame=FRAME, members=MEMBERS, answers=LOGITS, losses=True):
    with create_predictions(str(path), frame, members, ENTRY) as writer:
        for member, one in zip(members, answers, strict=True):
            writer.write(member, one, np.arange(len(one)) / 2 if losses else None)
    return str(path)


def long(**columns):
    return pa.table(
        {
            "example_id": [1, 2, 1, 2],
            "model_id": ["a", "a", "b", "b"],
            "label": [0, 1, 0, 1],
            "logits": [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]],
            **columns,
        }
    )


def read(tmp_path, table):
    pq.write_table(table, tmp_path / "p.parquet")
    return open_predictions(str(tmp_path / "p.parquet"))


def test_the_long_form_has_the_documented_columns(tmp_path):
    table = pq.read_table(written(tmp_path / "p.parquet"))
    name = pa.dictionary(pa.int32(), pa.string())
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
        "example_id": pa.int64(),
        "model_id": name,
        "seed": pa.int64(),
        "step": pa.int64(),
        "split": name,
        "perturbation": name,
        "strength": pa.float64(),
        "label": pa.int32(),
        "logits": pa.list_(pa.float32(), 3),
        "loss": pa.float64(),
        "writer": pa.string(),
    }
    assert table.num_rows == 8
    assert table["example_id"].to_pylist() == [7, 5, 3, 1] * 2
    assert table["step"].to_pylist() == [10] * 4 + [None] * 4
    assert table["perturbation"].to_pylist() == [None] * 4 + ["fgsm-linf-0.1"] * 4
    assert table["writer"].to_pylist() == list("wxyz") * 2
    assert np.array_equal(np.array(table["logits"].to_pylist(), np.float32), LOGITS.reshape(8, 3))


def test_each_row_group_holds_one_model(tmp_path):
    file = pq.ParquetFile(written(tmp_path / "p.parquet"))
    groups = [file.read_row_group(i)["model_id"].to_pylist() for i in range(file.num_row_groups)]
    assert groups == [["a"] * 4, ["b"] * 4]


def test_the_dense_form_has_the_documented_tensors(tmp_path):
    tensors = load_file(written(tmp_path / "p.safetensors"))
    assert np.array_equal(tensors["logits"], LOGITS)
    assert np.array_equal(tensors["label"], LABELS)
    assert np.array_equal(tensors["example_id"], [7, 5, 3, 1])
    assert np.array_equal(tensors["seed"], [[0, -1], [1, -1]])
    assert np.array_equal(tensors["loss"], np.tile(np.arange(4) / 2, (2, 1)))


@pytest.mark.parametrize("suffix", ["parquet", "safetensors", "csv", "jsonl"])
def test_what_was_written_is_read_back(tmp_path, suffix):
    with open_predictions(written(tmp_path / f"p.{suffix}")) as found:
        _is_what_was_written(found)


def _is_what_was_written(found):
    assert found.score == "logits"
    assert len(found) == 2
    assert np.array_equal(found.example_id, [7, 5, 3, 1])
    assert np.array_equal(found.label, LABELS)
    for place in range(2):
        assert np.allclose(found.answers(place), LOGITS[place], atol=1e-7)
    assert [one["model_id"] for one in found.members] == ["a", "b"]
    assert [one["seed"] for one in found.members] == [0, 1]
    assert found.members[1]["perturbation"] == "fgsm-linf-0.1"
    assert found.members[0]["step"] == 10


def test_ids_may_be_text_in_both_forms(tmp_path):
    frame = Frame(np.array(["x", "yy", "ä", ""]), None, "all", 3)
    for suffix in ("parquet", "safetensors"):
        with open_predictions(written(tmp_path / f"p.{suffix}", frame, losses=False)) as found:
            assert found.example_id.tolist() == ["x", "yy", "ä", ""]
            assert found.label is None


@pytest.mark.parametrize("suffix", ["parquet", "safetensors"])
def test_a_regression_has_one_number_an_example(tmp_path, suffix):
    frame = Frame(np.arange(4), np.array([0.5, 1.5, 2.5, 3.5]), "all", None)
    answers = RANDOM.standard_normal((2, 4))
    with open_predictions(written(tmp_path / f"p.{suffix}", frame, answers=answers)) as found:
        assert found.score == "pred"
        assert np.array_equal(found.label, frame.label)
        assert np.array_equal(found.answers(1), answers[1])


def test_rows_are_joined_by_key_whatever_their_order(tmp_path):
    shuffled = long().take([3, 0, 2, 1])
    found = read(tmp_path, shuffled)
    assert found.example_id.tolist() == [2, 1]
    assert [one["model_id"] for one in found.members] == ["b", "a"]
    assert found.answers(0).tolist() == [[6.0, 7.0], [4.0, 5.0]]
    assert found.label.tolist() == [1, 0]


def test_one_model_may_be_several_members(tmp_path):
    found = read(tmp_path, long(model_id=["a"] * 4, perturbation=[None, None, "blur-1", "blur-1"]))
    assert [one["perturbation"] for one in found.members] == [None, "blur-1"]


def test_splits_keep_equal_ids_apart(tmp_path):
    table = long(example_id=[1, 1, 1, 1], split=["train", "test", "train", "test"])
    assert len(read(tmp_path, table).example_id) == 2


def test_an_example_answered_twice_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="`a` answers example `1` twice"):
        read(tmp_path, long(example_id=[1, 1, 1, 2]))


def test_an_example_with_two_labels_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"example `2` .* has two labels: 1 and, in row 3, 0"):
        read(tmp_path, long(label=[0, 1, 0, 0]))


def test_a_nan_is_named_by_model_and_example(tmp_path):
    bad = [[0.0, 1.0], [2.0, 3.0], [4.0, float("nan")], [6.0, 7.0]]
    with pytest.raises(ArtifactError, match=r"`b` to example `1` in .* holds nan"):
        read(tmp_path, long(logits=bad))


def test_models_with_different_numbers_of_classes_are_refused(tmp_path):
    bad = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0, 6.0], [6.0, 7.0]]
    with pytest.raises(MismatchError, match="3 numbers in row 2, 2 in row 0"):
        read(tmp_path, long(logits=bad))


def probabilities(rows):
    return long().drop_columns("logits").append_column("probs", pa.array(rows))


def test_probabilities_outside_0_to_1_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"`a` to example `2` in .* holds -0.5"):
        read(tmp_path, probabilities([[1.0, 0.0], [-0.5, 1.5], [0.5, 0.5], [0.5, 0.5]]))


def test_probabilities_that_do_not_sum_to_1_are_refused_or_warned_of(tmp_path):
    with pytest.raises(ArtifactError, match="not to 1"):
        read(tmp_path, probabilities([[0.5, 0.4], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]))
    with pytest.warns(NncliWarning, match="0.0001 off a sum of 1"):
        read(tmp_path, probabilities([[0.5, 0.4999], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]))


def test_examples_that_not_every_model_answers_are_left_out_and_counted(tmp_path):
    with pytest.warns(NncliWarning, match=r"2 of 3 examples .* left out.*\(`a` lacks `3`\)"):
        found = read(tmp_path, long(example_id=[1, 2, 1, 3], label=[0, 1, 0, 1]))
    assert found.example_id.tolist() == [1]
    with pytest.raises(MismatchError, match="no example"):
        read(tmp_path, long(example_id=[1, 2, 3, 4]))


def test_a_table_without_answers_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="holds no predictions"):
        read(tmp_path, long().drop_columns("logits"))
    with pytest.raises(ArtifactError, match="`logits`, `pred`: which are the answers"):
        read(tmp_path, long(pred=[0, 1, 0, 1]))


def test_a_foreign_dense_file_needs_only_its_answers(tmp_path):
    save_file({"probs": np.full((2, 3, 4), 0.25, np.float32)}, tmp_path / "p.safetensors")
    with open_predictions(str(tmp_path / "p.safetensors")) as found:
        assert [one["model_id"] for one in found.members] == ["0", "1"]
        assert found.example_id.tolist() == [0, 1, 2]
        assert found.answers(1).shape == (3, 4)


def test_a_dense_file_is_checked_too(tmp_path):
    path = str(tmp_path / "p.safetensors")
    logits = np.zeros((2, 3, 4), np.float32)
    logits[1, 2, 0] = np.inf
    save_file({"logits": logits, "example_id": np.array([4, 5, 6])}, path)
    with open_predictions(path) as found:
        found.answers(0)
        with pytest.raises(ArtifactError, match=r"`1` to example `6` in .* holds inf"):
            found.answers(1)
    save_file({"logits": logits, "example_id": np.array([4, 5, 4])}, path)
    with pytest.raises(ArtifactError, match="example `4` is twice"):
        open_predictions(path)
    save_file({"logits": logits[0]}, path)
    with pytest.raises(ArtifactError, match=r"expected .members, examples, classes"):
        open_predictions(path)


def test_equal_predictions_are_equal_bytes(tmp_path):
    for suffix in ("parquet", "safetensors"):
        one, two = (written(tmp_path / f"{k}.{suffix}") for k in "ab")
        assert (tmp_path / one).read_bytes() == (tmp_path / two).read_bytes()


def test_suffix_and_format_must_agree(tmp_path):
    for target, form in (("p.safetensors", "parquet"), ("p.csv", "safetensors")):
        with pytest.raises(UsageError):
            create_predictions(str(tmp_path / target), FRAME, MEMBERS, ENTRY, format=form)
    assert not list(tmp_path.iterdir())


def test_the_entry_says_what_the_answers_are_and_in_the_dense_form_whose(tmp_path):
    text = pq.read_metadata(written(tmp_path / "p.parquet")).metadata[b"nncli"]
    facts = json.loads(text)["facts"]
    assert (facts["score"], facts["classes"], facts["n"]) == ("logits", 3, 4)
    assert "members" not in facts
    with open_predictions(written(tmp_path / "p.safetensors")) as found:
        assert found.entry.facts["members"][1] == {
            "model_id": "b",
            "factors": {"seed": 1},
            "perturbation": "fgsm-linf-0.1",
            "strength": 0.1,
        }
