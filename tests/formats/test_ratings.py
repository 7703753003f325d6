"""What people say of cases, in three forms."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nncli.errors import ArtifactError, MismatchError, NncliWarning
from nncli.formats.ratings import read_ratings

LONG = {
    "example_id": [7, 3, 7, 3, 5],
    "rater_id": ["b", "a", "a", "c", "a"],
    "label": [1, 0, 2, 0, 2],
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def wrote(columns, name="r.parquet"):
    pq.write_table(pa.table(columns), name)
    return name


def test_readings_become_counts_by_ascending_case():
    read = read_ratings(wrote(LONG), 3)
    assert read.example_id.tolist() == [3, 5, 7]
    assert read.counts.tolist() == [[2, 0, 0], [0, 0, 1], [0, 1, 1]]
    assert read.readers.tolist() == [2, 1, 2]
    assert read.classes == (0, 1, 2)
    triples = read.readings
    named = [
        (int(read.example_id[case]), str(triples.rater_ids[who]), read.classes[label])
        for case, who, label in zip(triples.example, triples.rater, triples.label, strict=True)
    ]
    assert named == list(zip(*LONG.values(), strict=True))


def test_the_order_of_the_rows_is_no_matter():
    order = [4, 2, 0, 3, 1]
    turned = {name: [values[at] for at in order] for name, values in LONG.items()}
    one, other = read_ratings(wrote(LONG)), read_ratings(wrote(turned, "t.parquet"))
    assert np.array_equal(one.example_id, other.example_id)
    assert np.array_equal(one.counts, other.counts)


def test_without_classes_those_that_occur_are_meant_and_may_be_grades_below_zero():
    read = read_ratings(wrote({**LONG, "label": [-1, -4, 3, -4, 3]}))
    assert read.classes == (-4, -1, 3)
    assert read.values.tolist() == [-4.0, -1.0, 3.0]


def test_names_of_classes_stand_in_their_order_and_have_no_value():
    read = read_ratings(
        wrote({**LONG, "label": ["cat", "dog", "owl", "dog", "owl"]}), ["owl", "dog", "cat"]
    )
    assert read.counts.tolist() == [[0, 2, 0], [1, 0, 0], [1, 0, 1]]
    with pytest.raises(ArtifactError, match="are names such as `owl`, not grades"):
        read.values  # noqa: B018


def test_numbers_stand_for_names_by_their_place():
    read = read_ratings(wrote(LONG), ["owl", "dog", "cat"])
    assert read.counts.tolist() == [[2, 0, 0], [0, 0, 1], [0, 1, 1]]


def test_a_label_outside_the_classes_is_refused_with_its_case():
    with pytest.raises(
        ArtifactError, match=r"example `7` has the label `2` in `r.parquet`, which is none of the 2"
    ):
        read_ratings(wrote(LONG), 2)


def test_a_reader_who_reads_a_case_twice_is_refused_by_name():
    twice = {**LONG, "rater_id": ["b", "a", "b", "c", "a"]}
    with pytest.raises(ArtifactError, match=r"rater `b` reads example `7` twice .*1 such reading"):
        read_ratings(wrote(twice))


def test_without_readers_every_reading_is_of_another():
    read = read_ratings(wrote({name: LONG[name] for name in ("example_id", "label")}))
    assert len(read.readings.rater_ids) == 5


def test_counts_come_in_a_list_or_in_columns():
    ids = [2, 1, 4]
    lists = read_ratings(wrote({"example_id": ids, "counts": [[1, 2], [0, 3], [4, 0]]}), 2)
    columns = {"example_id": ids, "count_0": [1, 0, 4], "count_1": [2, 3, 0]}
    assert lists.counts.tolist() == [[0, 3], [1, 2], [4, 0]]
    assert read_ratings(wrote(columns, "c.parquet"), 2).counts.tolist() == lists.counts.tolist()


def test_counts_of_named_classes_go_to_their_places():
    read = read_ratings(
        wrote({"example_id": [1], "count_dog": [2], "count_cat": [5]}), ["cat", "dog"]
    )
    assert read.counts.tolist() == [[5, 2]]
    with pytest.raises(ArtifactError, match="readings of `dog`, which is none of the 2 classes"):
        read_ratings("r.parquet", ["cat", "owl"])


def test_counts_of_fewer_classes_leave_the_others_empty_and_of_more_are_refused():
    name = wrote({"example_id": [1], "counts": [[2, 5, 1]]})
    assert read_ratings(name, 4).counts.tolist() == [[2, 5, 1, 0]]
    with pytest.raises(ArtifactError, match="readings of `2`, which is none of the 2 classes"):
        read_ratings(name, 2)


@pytest.mark.parametrize("counts", [[[1, -1]], [[0.5, 1.0]]])
def test_counts_are_whole_and_not_below_zero(counts):
    with pytest.raises(ArtifactError, match="counts that are no whole numbers from 0 on"):
        read_ratings(wrote({"example_id": [1], "counts": counts}))


def test_errors_of_people_are_shares():
    read = read_ratings(wrote({"example_id": [2, 1], "human_error": [0.25, 1.0]}))
    assert read.human_error.tolist() == [1.0, 0.25]
    assert read.counts is None
    with pytest.raises(
        ArtifactError, match=r"`human_error` of example `1` in `r.parquet` is 1.5, no share"
    ):
        read_ratings(wrote({"example_id": [2, 1], "human_error": [0.25, 1.5]}))


def test_a_case_has_one_row_of_counts():
    with pytest.raises(ArtifactError, match="example `2` has two rows"):
        read_ratings(wrote({"example_id": [2, 2], "counts": [[1, 0], [1, 0]]}))


@pytest.mark.parametrize(
    ("columns", "left"),
    [
        ({**LONG, "label": [1, None, 2, 0, 2]}, 1),
        ({"example_id": [1, 2, 3], "counts": [[1, 0], [0, 0], [0, 0]]}, 2),
        ({"example_id": [1, 2], "human_error": [None, 0.5]}, 1),
        ({"example_id": [1, 2], "human_error": [float("nan"), 0.5]}, 1),
    ],
)
def test_rows_that_say_nothing_are_left_out_and_counted(columns, left):
    with pytest.warns(NncliWarning, match=f"^{left} of "):
        assert read_ratings(wrote(columns)).dropped == left


def test_a_table_that_says_nothing_at_all_is_refused():
    with pytest.raises(ArtifactError, match="counts no reading of any case"):
        read_ratings(wrote({"example_id": [1], "counts": [[0, 0]]}))
    with pytest.raises(ArtifactError, match="has neither `label` nor `counts` nor `human_error`"):
        read_ratings(wrote({"example_id": [1], "x": [1]}))
    with pytest.raises(ArtifactError, match="has no row with `label`"):
        read_ratings(wrote({"example_id": [1], "label": pa.array([None], pa.int64())}))


def test_a_row_without_a_case_is_refused():
    with pytest.raises(ArtifactError, match=r"row 1 of `r.parquet` has no `example_id`"):
        read_ratings(wrote({"example_id": [1, None], "label": [0, 1]}))


def test_cases_are_found_by_their_identifier():
    read = read_ratings(wrote(LONG))
    assert read.places(np.array([7, 8, 3]), of="p").tolist() == [2, -1, 0]
    with pytest.raises(MismatchError, match=r"no case of `p` is in `r.parquet`"):
        read.places(np.array([70, 80]), of="p")
    with pytest.raises(MismatchError, match=r"is text in one of `r.parquet` and `p`"):
        read.places(np.array(["7"]), of="p")


def test_cases_of_another_split_are_others():
    both = {"example_id": [1, 1, 2], "label": [0, 1, 1], "split": ["train", "test", "test"]}
    read = read_ratings(wrote(both))
    assert len(read) == 3
    test = read.places(np.array([1, 2]), "test", of="p")
    assert read.counts[test].tolist() == [[0, 1], [0, 1]]
    assert read.places(np.array([1, 2]), "train", of="p").tolist() != test.tolist()
    with pytest.raises(MismatchError, match="no case of the split `all`"):
        read.places(np.array([1]), "all", of="p")


def test_a_case_of_two_splits_needs_to_be_told_apart():
    both = {"example_id": [1, 1], "label": [0, 1], "split": ["train", "test"]}
    with pytest.raises(MismatchError, match="example `1` is in several splits"):
        read_ratings(wrote(both)).places(np.array([1]), of="p")


def test_predictions_are_not_taken_for_what_people_say(tmp_path):
    path = tmp_path / "p.parquet"
    said = {"example_id": [0, 1], "model_id": ["m", "m"], "label": [0, 1]}
    pq.write_table(pa.table({**said, "probs": [[0.9, 0.1], [0.4, 0.6]]}), path)
    with pytest.raises(ArtifactError, match=r"p.parquet` holds predictions, expected what people"):
        read_ratings(str(path))


def test_rows_without_counts_and_rows_that_count_nobody_are_told_apart(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("example_id,count_0,count_1\n0,1,2\n1,,1\n2,0,0\n3,0,0\n")
    wanted = "3 of 4 rows of `.*` are left out: 1 without `count_0`, 2 that count nobody"
    with pytest.warns(NncliWarning, match=wanted):
        assert len(read_ratings(str(path))) == 1
