"""`nncli probe`: tables, splits, shifts, positions, and what is written beside."""

import csv
import io
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from nncli.formats.predictions import open_predictions

QUICK = ("--orders", "0", "--controls", "1", "--resamples", "50", "--reader", "ridge")


def rows_of(result):
    return list(csv.DictReader(io.StringIO(result.stdout)))


def capture(path, n=120, *, seed=0, classes=3, **more):
    r = np.random.default_rng(seed)
    y = np.arange(n) % classes
    tensors = {
        "first": r.standard_normal((n, 6)).astype(np.float32),
        "last": (r.standard_normal((n, 4)) + 6 * np.eye(4)[y]).astype(np.float32),
        "@label": y,
        "@example_id": np.arange(n),
        **more,
    }
    save_file({name: np.ascontiguousarray(one) for name, one in tensors.items()}, path)
    return path


@pytest.fixture
def made(tmp_path):
    return capture(tmp_path / "a.safetensors")


def test_the_last_layer_holds_the_label_and_the_first_does_not(made, invoke):
    first, last = rows_of(invoke("probe", made, "-f", "csv", "--orders", "1", code=0))
    assert float(first["low"]) < 1 / 3 < float(first["high"])
    assert float(last["value"]) > 0.95
    assert float(last["compression"]) > 2 > float(first["compression"])
    assert float(last["shuffled"]) < 0.6
    assert (last["reader"], last["split"], last["metric"]) == ("linear", "test", "accuracy")
    assert int(last["n"]) + int(last["n_train"]) == 120


def test_columns_of_a_table_are_targets_groups_and_types(made, tmp_path, invoke):
    table = tmp_path / "t.csv"
    lines = [f"{i},{i % 3 * 1.5 + 0.25},{i // 12},w{i % 12}" for i in range(120)]
    table.write_text("example_id,size,part,word\n" + "\n".join(lines) + "\n")
    told = ("--columns", table, "--target", "size", "--target", "@label", "--groups", "part")
    result = invoke("probe", made, *told, "--types", "word", "-f", "csv", "--orders", "0", code=0)
    kinds = {(row["target"], row["reader"], row["metric"]) for row in rows_of(result)}
    assert kinds == {("size", "ridge", "r2"), ("@label", "linear", "accuracy")}
    size = next(row for row in rows_of(result) if (row["layer"], row["target"]) == ("last", "size"))
    assert float(size["value"]) > 0.8
    # ten parts of twelve: a quarter is two or three of them, whole
    assert int(size["n"]) in (24, 36)


def test_duplicates_of_an_example_are_not_scored_by_readers_that_saw_them(tmp_path, invoke):
    # every example is there twice, and its label is random: memorising would be right
    r = np.random.default_rng(0)
    x = np.repeat(r.standard_normal((80, 3)), 2, axis=0)
    y = np.repeat(r.integers(0, 2, 80), 2)
    path = tmp_path / "twice.safetensors"
    save_file({"x": x, "@label": y, "@example_id": np.arange(160)}, path)
    told = ("--reader", "knn:neighbours=1", "--orders", "0", "-f", "csv")
    (row,) = rows_of(invoke("probe", path, *told, code=0))
    assert float(row["value"]) < 0.75


def test_a_population_has_a_row_for_each_capture_and_layer(made, tmp_path, invoke):
    other = capture(tmp_path / "b.safetensors", seed=1)
    rows = rows_of(invoke("probe", made, other, *QUICK, "-f", "csv", "--assume-aligned", code=0))
    assert [(row["capture"], row["layer"]) for row in rows] == [
        (name, layer) for name in "ab" for layer in ("first", "last")
    ]


def test_a_twin_stands_beside(made, tmp_path, invoke):
    twin = capture(tmp_path / "twin.safetensors", last=np.random.default_rng(9).random((120, 4)))
    told = ("--control-activations", twin, "--assume-aligned")
    rows = rows_of(invoke("probe", made, *told, *QUICK, "-f", "csv", code=0))
    assert float(rows[1]["value"]) > 0.9
    assert float(rows[1]["twin"]) < 0.6


def test_what_is_scored_elsewhere_leaves_out_the_examples_it_was_fitted_on(made, tmp_path, invoke):
    shifted = capture(tmp_path / "shift.safetensors", n=200, seed=2)
    rows = rows_of(invoke("probe", made, "--test-on", shifted, *QUICK, "-f", "csv", code=0))
    there = [row for row in rows if row["layer"] == "last"]
    assert [row["split"] for row in there] == ["test", "shift"]
    assert int(there[1]["n"]) == 200 - int(there[0]["n_train"])
    swapped = invoke("probe", shifted, "--train-on", made, *QUICK, "-f", "csv", code=0)
    assert rows_of(swapped) == rows


def test_readers_are_applied_again_to_what_they_were_not_fitted_on(made, tmp_path, invoke):
    probes, answers = tmp_path / "p.safetensors", tmp_path / "answers.parquet"
    told = ("--probes", probes, "--predictions", answers, "--layer", "last")
    (fitted,) = rows_of(invoke("probe", made, *told, *QUICK, "-f", "csv", code=0))
    (again,) = rows_of(invoke("probe", made, "--apply", probes, "-f", "csv", code=0))
    assert (again["value"], again["n"]) == (fitted["value"], fitted["n"])
    with open_predictions(str(answers)) as read:
        right = read.answers(0).argmax(axis=1) == read.label
        assert right.mean() == pytest.approx(float(fitted["value"]))
        assert read.members[0]["layer"] == "last"
        assert not set(read.example_id.tolist()) & set(load_file(probes)["@train"].tolist())


def test_each_position_has_a_probe_of_its_own(tmp_path, invoke):
    r = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = r.standard_normal((90, 4, 3))
    x[:, 2] += 6 * np.eye(3)[y]
    path = tmp_path / "t.safetensors"
    save_file({"tokens": x, "@label": y, "@example_id": np.arange(90)}, path)
    rows = rows_of(invoke("probe", path, "--per-position", *QUICK, "-f", "csv", code=0))
    assert [row["position"] for row in rows] == ["0", "1", "2", "3"]
    assert int(np.argmax([float(row["value"]) for row in rows])) == 2
    assert float(rows[2]["value"]) > 0.9


def test_positions_as_examples_stay_on_the_side_of_their_example(tmp_path, invoke):
    r = np.random.default_rng(1)
    y = r.integers(0, 2, 60)
    x = np.repeat(r.standard_normal((60, 1, 3)), 5, axis=1) + 1e-3 * r.standard_normal((60, 5, 3))
    path = tmp_path / "t.safetensors"
    save_file({"tokens": x, "@label": y, "@example_id": np.arange(60)}, path)
    told = ("--reduce", "positions", "--reader", "knn:neighbours=1", "--orders", "0")
    (row,) = rows_of(invoke("probe", path, *told, "-f", "csv", code=0))
    assert float(row["value"]) < 0.8  # 1 if another position of the example were known
    assert int(row["n"]) + int(row["n_train"]) == 300


def test_the_entry_says_what_the_metric_means(made, tmp_path, invoke):
    path = tmp_path / "t.parquet"
    invoke("probe", made, *QUICK, "-o", path, code=0)
    facts = json.loads(invoke("show", path, "-f", "json", code=0).stdout)
    assert "share of right answers" in json.dumps(facts)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--target", "colour"), 2, "`colour` is a column of what?"),
        (
            ("--reader", "linear", "--task", "numbers"),
            2,
            "`@label`, which is numbers",
        ),
        (("--metric", "r2"), 2, "`--metric r2` is for numbers"),
        (("--layer", "middle"), 3, "no layer"),
        (("--reduce", "positions", "--predictions", "p.parquet"), 2, "one answer an example"),
        (("--folds", "120"), 3, "too few"),
    ],
)
def test_what_cannot_be_is_refused_by_name(made, invoke, arguments, code, message):
    assert message in invoke("probe", made, *arguments, code=code).stderr


def test_a_capture_without_labels_says_where_labels_come_from(tmp_path, invoke):
    path = tmp_path / "x.safetensors"
    save_file({"x": np.zeros((9, 2))}, path)
    assert "--columns TABLE --target COLUMN" in invoke("probe", path, code=3).stderr


def test_a_number_that_is_none_is_found_by_layer_and_row(tmp_path, invoke):
    x = np.random.default_rng(0).random((60, 2))
    x[7, 1] = np.nan
    path = tmp_path / "x.safetensors"
    save_file({"x": x, "@label": np.arange(60) % 2}, path)
    error = invoke("probe", path, *QUICK, code=3).stderr
    assert "layer `x` holds NaN or infinity in row 7" in error
