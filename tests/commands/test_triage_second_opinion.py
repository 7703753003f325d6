"""`nncli triage second-opinion`: features and ratings in, scores of disagreement out."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from nncli.cli import cli
from nncli.formats.tables import read_table

CASES = 240


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, counts = world()
    save_file({"h": x, "@example_id": np.arange(CASES)}, "a.safetensors")
    readings("ratings.parquet", counts)
    return tmp_path


def nncli(*arguments, code=0):
    words = ["triage", "second-opinion", *map(str, arguments)]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == code, done.stderr
    return done


def fitted(*arguments):
    done = nncli(*arguments, "--resamples", 50, "-o", "out.parquet")
    listed = pq.read_table("out.parquet").to_pylist()
    return done, {(one["score"], one["against"], one["metric"]): one for one in listed}


def world(seed=0):
    chance = np.random.default_rng(seed)
    x = chance.standard_normal((CASES, 3)).astype(np.float32)
    yes = chance.binomial(4, 1 / (1 + np.exp(-3 * x[:, 0])))
    return x, np.column_stack([4 - yes, yes])


def readings(name, counts, first=0):
    """A row a reading, in a mixed order."""
    case, label = [], []
    for place, row in enumerate(counts):
        case += [place + first] * int(row.sum())
        label += np.repeat(np.arange(len(row)), row).tolist()
    order = np.random.default_rng(1).permutation(len(case))
    table = {"example_id": np.array(case)[order], "label": np.array(label)[order]}
    pq.write_table(pa.table(table), name)


def test_every_score_has_its_row_and_its_difference_from_uvc():
    _, found = fitted("a.safetensors", "--ratings", "ratings.parquet", "--score", "knn-distance")
    assert {name for name, against, metric in found if metric == "auroc" and not against} == {
        *("dup", "uvc", "knn-distance")
    }
    assert ("dup", "uvc", "auroc") in found
    assert ("knn-distance", None, "bias") not in found  # it estimates nothing


def test_counts_say_the_same_as_single_readings():
    _, counts = world()
    table = {"example_id": np.arange(CASES), "count_0": counts[:, 0], "count_1": counts[:, 1]}
    pq.write_table(pa.table(table), "counts.parquet")
    _, one = fitted("a.safetensors", "--ratings", "ratings.parquet")
    _, other = fitted("a.safetensors", "--ratings", "counts.parquet")
    assert one == other


def test_cases_without_two_readings_are_counted_and_left_out():
    _, counts = world()
    counts[0], counts[1:4] = 0, [1, 0]
    readings("few.parquet", counts)
    done, found = fitted("a.safetensors", "--ratings", "few.parquet")
    assert "4 of 240 cases of `a.safetensors` are left out: 1 that nobody read, 3 with one" in (
        done.stderr
    )
    assert found["dup", None, "auroc"]["n"] == CASES - 4
    assert read_table("out.parquet").entry.facts["dropped"] == 4


def test_a_table_of_features_does_as_well_as_a_capture():
    x, _ = world()
    columns = {"example_id": np.arange(CASES), **{f"f{k}": x[:, k] for k in range(3)}}
    pq.write_table(pa.table(columns), "features.parquet")
    _, one = fitted("features.parquet", "--ratings", "ratings.parquet")
    _, other = fitted("a.safetensors", "--ratings", "ratings.parquet")
    assert one == other


def predictions(n=CASES):
    x, _ = world()
    logits = np.zeros((n, 2), np.float32)
    logits[:, 1] = 3 * x[:n, 0]
    table = {
        "example_id": np.arange(n),
        "model_id": ["m"] * n,
        "split": ["test"] * n,
        "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits.reshape(-1)), 2),
    }
    pq.write_table(pa.table(table), "p.parquet")


def test_the_uncertainty_of_a_given_classifier_is_a_score_too():
    predictions()
    _, found = fitted("a.safetensors", "--ratings", "ratings.parquet", "--predictions", "p.parquet")
    # it is the truth itself, and nothing is hidden
    bias = found["model", None, "bias"]
    assert bias["low"] < 0 < bias["high"]
    _, alone = fitted("--ratings", "ratings.parquet", "--predictions", "p.parquet")
    assert alone["model", None, "auroc"] == found["model", None, "auroc"]


def test_cases_without_predictions_are_left_out():
    predictions(200)
    told = ("--ratings", "ratings.parquet", "--predictions", "p.parquet")
    done, _ = fitted("a.safetensors", *told)
    assert "40 of 240 cases of `a.safetensors` are left out: 40 without predictions" in done.stderr


def test_scores_of_cases_go_on_to_evaluate():
    outputs = ("--scores", "s.parquet", "--curve", "c.parquet", "--points", "3")
    _, found = fitted("a.safetensors", "--ratings", "ratings.parquet", *outputs)
    table = read_table("s.parquet")
    assert table.data.column_names == [
        *("example_id", "dup", "uvc", "target", "disagree", "reader_error", "raters", "fold")
    ]
    assert sorted(np.bincount(table.data["fold"])) == pytest.approx([48] * 5, abs=2)
    done = CliRunner().invoke(cli, ["triage", "evaluate", "s.parquet", "-o", "e.parquet"])
    assert done.exit_code == 0, done.stderr
    rows = pq.read_table("e.parquet").to_pylist()
    (area,) = (one["value"] for one in rows if (one["score"], one["metric"]) == ("uvc", "auroc")
               and one["against"] is None)  # fmt: skip
    assert area == pytest.approx(found["uvc", None, "auroc"]["value"])
    curve = pq.read_table("c.parquet")
    assert set(curve["score"].to_pylist()) == {"dup", "uvc", "random"}
    assert set(curve["metric"].to_pylist()) == {"caught", "consensus-error"}


@pytest.mark.parametrize("reader", ["linear", "knn", "mlp"])
def test_a_stored_model_scores_new_cases(reader, monkeypatch):
    monkeypatch.setattr("nncli.probing.perceptron.EPOCHS", 3)
    told = ("--reader", reader, "--score", "mahalanobis", "--model", "m.safetensors")
    fitted("a.safetensors", "--ratings", "ratings.parquet", *told)
    nncli("a.safetensors", "--apply", "m.safetensors", "-o", "new.parquet")
    table = read_table("new.parquet")
    assert table.data.column_names == ["example_id", "dup", "uvc", "mahalanobis"]
    assert table.data.num_rows == CASES
    assert table.entry.facts["scores"] == ["dup", "uvc", "mahalanobis"]
    dup, x = table.data["dup"].to_numpy(), world()[0]
    assert np.corrcoef(dup, -np.abs(x[:, 0]))[0, 1] > (0.2 if reader == "knn" else -1)


def test_new_cases_must_have_the_features_that_scores_were_fitted_on():
    fitted("a.safetensors", "--ratings", "ratings.parquet", "--model", "m.safetensors")
    save_file({"h": np.zeros((3, 2), np.float32)}, "narrow.safetensors")
    done = nncli("narrow.safetensors", "--apply", "m.safetensors", code=3)
    assert "`narrow.safetensors` has 2 features, `m.safetensors` was fitted on 3" in done.stderr
    save_file({"g": np.zeros((3, 3), np.float32)}, "other.safetensors")
    done = nncli("other.safetensors", "--apply", "m.safetensors", code=3)
    assert "`other.safetensors` has no layer `h`" in done.stderr


def test_groups_are_drawn_and_held_out_together():
    table = {"example_id": np.arange(CASES), "patient": np.arange(CASES) // 8}
    pq.write_table(pa.table(table), "patients.parquet")
    told = ("--columns", "patients.parquet", "--groups", "patient", "--scores", "s.parquet")
    fitted("a.safetensors", "--ratings", "ratings.parquet", *told)
    fold = pq.read_table("s.parquet")["fold"].to_numpy().reshape(-1, 8)
    assert (fold == fold[:, :1]).all()


def grades():
    _, counts = world()
    label = np.repeat(np.tile([1, 5], CASES), counts.reshape(-1))
    case = np.repeat(np.arange(CASES), counts.sum(axis=1))
    return {"example_id": case, "label": label}


def test_the_variance_of_grades_is_of_the_grades_themselves():
    pq.write_table(pa.table(grades()), "grades.parquet")
    told = ("--target", "variance", "--scores", "s.parquet")
    fitted("a.safetensors", "--ratings", "grades.parquet", *told)
    found = pq.read_table("s.parquet")["target"].to_numpy()
    table = grades()
    each = [np.var(table["label"][table["example_id"] == k], ddof=1) for k in range(CASES)]
    assert found == pytest.approx(each)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["a.safetensors"], 2, "what do people say?"),
        (["--ratings", "ratings.parquet"], 2, "there are no features"),
        (["a.safetensors", "--ratings", "alike.parquet"], 3, "agree on every case (240)"),
        (["a.safetensors", "--ratings", "single.parquet"], 3, "has two readings or more"),
        (["a.safetensors", "--ratings", "elsewhere.parquet"], 3, "no `example_id` in common"),
        (["a.safetensors", "--ratings", "errors.parquet"], 2, "how many readers err"),
        (["a.safetensors", "--ratings", "names.parquet", "--target", "variance"], 3, "not grades"),
        (["a.safetensors", "--ratings", "ratings.parquet", "--threshold", "2"], 3, "no case is"),
        (["a.safetensors", "--ratings", "ratings.parquet", "--groups", "x"], 2, "--columns TABLE"),
        (["a.safetensors", "--ratings", "ratings.parquet", "--apply", "x"], 2, "has no place"),
        (["a.safetensors", "--apply", "a.safetensors"], 3, "holds no fitted scores"),
        (["--predictions", "w.parquet", "--ratings", "ratings.parquet"], 3, "which is none of"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(arguments, code, said):
    readings("alike.parquet", np.tile([3, 0], (CASES, 1)))
    readings("single.parquet", np.tile([1, 0], (CASES, 1)))
    readings("elsewhere.parquet", world()[1], first=1000)
    errors = {"example_id": np.arange(CASES), "human_error": np.linspace(0, 1, CASES)}
    pq.write_table(pa.table(errors), "errors.parquet")
    words = {"example_id": [0, 0, 1, 1], "label": ["a", "b", "a", "a"]}
    pq.write_table(pa.table(words), "names.parquet")
    one = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(3, np.float32)), 1)
    table = {"example_id": [0, 1, 2], "model_id": ["m"] * 3, "split": ["test"] * 3, "logits": one}
    pq.write_table(pa.table(table), "w.parquet")
    assert said in nncli(*arguments, code=code).stderr


def test_what_is_of_fitting_has_no_place_beside_a_stored_model():
    fitted("a.safetensors", "--ratings", "ratings.parquet", "--model", "m.safetensors")
    for more in (("--score", "mahalanobis"), ("--target", "entropy"), ("--folds", "4")):
        done = nncli("a.safetensors", "--apply", "m.safetensors", *more, code=2)
        assert f"`{more[0]}` has no place beside it" in done.stderr


def test_a_threshold_that_is_no_number_is_wrong_usage():
    done = nncli("a.safetensors", "--ratings", "ratings.parquet", "--threshold", "nan", code=2)
    assert "--threshold" in done.stderr


def test_cases_without_a_group_are_no_group_of_their_own():
    table = {"example_id": np.arange(CASES), "patient": pa.array([None, *range(1, CASES)])}
    pq.write_table(pa.table(table), "c.parquet")
    words = ("a.safetensors", "--ratings", "ratings.parquet", "--columns", "c.parquet")
    done = nncli(*words, "--groups", "patient", code=3)
    assert "1 of 240 cases have no `patient` in `c.parquet` (the first is `0`)" in done.stderr


def test_more_folds_than_cases_are_refused_with_the_count_of_cases():
    done = nncli("a.safetensors", "--ratings", "ratings.parquet", "--folds", 300, code=3)
    assert "has 240 independent cases that two people or more have read, too few for 300" in (
        done.stderr
    )
