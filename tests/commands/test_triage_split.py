"""`nncli triage split`, from files to files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from nncli.formats.entry import Entry
from nncli.formats.tables import write_table

READERS = 5


def world(n=600, seed=41):
    """Binary cases: label, probability of one class, readings, and what says who errs."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    a, t = rng.random(n), rng.random(n)
    of_model, of_people = 0.02 + 0.45 * a**2, 0.02 + 0.35 * t**2
    answer = np.where(rng.random(n) < of_model, 1 - label, label)
    sure = np.clip(1 - of_model + 0.05 * rng.standard_normal(n), 0.5, 0.999)
    p = np.where(answer == 1, sure, 1 - sure)
    wrong = rng.random((n, READERS)) < of_people[:, None]
    return label, p, np.where(wrong, 1 - label[:, None], label[:, None]), a, t


def predictions(ids, label, p, model="m", **more):
    probs = pa.FixedSizeListArray.from_arrays(pa.array(np.stack([1 - p, p], 1).reshape(-1)), 2)
    columns = {"example_id": ids, "model_id": [model] * len(ids), "split": ["test"] * len(ids)}
    return pa.table({**columns, "label": label, "probs": probs, **more})


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with predictions, ratings, features and columns of 600 cases."""
    monkeypatch.chdir(tmp_path)
    label, p, readings, a, t = world()
    ids = np.arange(600)
    pq.write_table(predictions(ids, label, p), "p.parquet")
    rows = {"example_id": np.repeat(ids, 5), "rater_id": np.tile(np.arange(5), 600)}
    pq.write_table(pa.table({**rows, "label": readings.reshape(-1)}), "r.parquet")
    pq.write_table(pa.table({"example_id": ids, "a": a, "t": t}), "f.parquet")
    site = np.where(t > 0.7, "north", "south")
    pq.write_table(pa.table({"example_id": ids, "site": site, "patient": ids // 3}), "c.parquet")
    return tmp_path


def rows(result):
    """The CSV that a run printed, by order."""
    lines = [line.split(",") for line in result.stdout.splitlines()]
    named = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    return {row["order"]: row for row in named if not row.get("subgroup")}


def split(invoke, *more, code=0, human="r.parquet"):
    words = ("triage", "split", "p.parquet", "--human", human, "-f", "csv", "--resamples", "40")
    return invoke(*words, *more, code=code)


def test_reference_values_of_3000_cases(invoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # in this order, so that it draws the numbers of the reference
    label, p, readings, _, _ = world(3000)
    ids = np.arange(3000)
    pq.write_table(predictions(ids, label, p), "p.parquet")
    table = {"example_id": np.repeat(ids, 5), "label": readings.reshape(-1)}
    pq.write_table(pa.table(table), "r.parquet")
    found = rows(split(invoke, "--report-share", "1"))
    confidence, oracle = found["confidence"], found["oracle"]
    assert float(found["all-human"]["error"]) == pytest.approx(0.13073333333333334, abs=1e-12)
    assert float(found["all-algorithm"]["error"]) == pytest.approx(0.17166666666666666, abs=1e-12)
    assert float(confidence["optimum"]) == pytest.approx(0.09853333333333297, abs=1e-12)
    assert float(confidence["optimum_fraction"]) == pytest.approx(0.52, abs=1e-12)
    assert float(confidence["area"]) == pytest.approx(0.118524933333333, abs=1e-12)
    assert float(oracle["optimum"]) == pytest.approx(0.02293333333333554, abs=1e-12)
    assert float(oracle["optimum_fraction"]) == pytest.approx(0.36566666666666664, abs=1e-12)


def test_with_features_the_difference_is_the_best_order_that_can_be_had(files, invoke):
    plain, more = rows(split(invoke)), rows(split(invoke, "--features", "f.parquet"))
    assert float(more["difference"]["normalised"]) > float(plain["difference"]["normalised"]) + 0.1
    assert float(more["difference"]["error"]) < float(more["all-human"]["error"])
    assert plain["confidence"] == more["confidence"]


def test_activations_are_features_too(files, invoke):
    read = pq.read_table("f.parquet")
    x = np.stack([read["a"].to_numpy(), read["t"].to_numpy()], 1).astype(np.float32)
    save_file({"deep": x, "@example_id": np.arange(600)}, "f.safetensors")
    save_file({"deep": x[::-1].copy(), "@example_id": np.arange(600)[::-1].copy()}, "g.safetensors")
    one, turned = (
        rows(split(invoke, "--features", name, "--layer", "de*"))
        for name in ("f.safetensors", "g.safetensors")
    )
    assert one == turned
    assert float(one["difference"]["normalised"]) > 0.3


def test_the_order_of_rows_in_files_is_no_matter(files, invoke):
    before = split(invoke, "--features", "f.parquet").stdout
    rng = np.random.default_rng(0)
    for name in ("p.parquet", "r.parquet", "f.parquet"):
        data = pq.read_table(name)
        pq.write_table(data.take(rng.permutation(data.num_rows)), name)
    assert split(invoke, "--features", "f.parquet").stdout == before


def test_readings_counts_and_errors_are_three_ways_to_say_the_same(files, invoke):
    read = pq.read_table("r.parquet")
    label = pq.read_table("p.parquet")["label"].to_numpy()
    ones = read["label"].to_numpy().reshape(600, 5).sum(axis=1)
    counts = np.stack([5 - ones, ones], 1)
    ids = np.arange(600)
    pq.write_table(pa.table({"example_id": ids, "counts": counts.tolist()}), "counts.parquet")
    error = 1 - counts[ids, label] / 5
    pq.write_table(pa.table({"example_id": ids, "human_error": error}), "errors.parquet")
    found = [split(invoke, human=one).stdout for one in ("r.parquet", "counts.parquet")]
    assert found[0] == found[1]
    assert rows(split(invoke, human="errors.parquet"))["oracle"]["error"] == pytest.approx(
        rows(split(invoke))["oracle"]["error"]
    )


def test_all_splits_are_written_with_their_ends(files, invoke):
    found = rows(split(invoke, "--curve", "curve.parquet"))
    curve = pq.read_table("curve.parquet")
    orders = np.array(curve["order"].to_pylist())
    assert sorted(set(orders)) == ["confidence", "difference", "human-error", "oracle", "random"]
    for order in set(orders):
        mine = curve.filter(pa.array(orders == order))
        error, low, high = (mine[name].to_numpy() for name in ("error", "low", "high"))
        assert mine["automated"].to_pylist() == list(range(301))
        assert error[0] == pytest.approx(float(found["all-human"]["error"]), abs=1e-15)
        assert error[-1] == pytest.approx(float(found["all-algorithm"]["error"]), abs=1e-15)
        assert ((low <= error) & (error <= high)).all()


def test_the_assignment_follows_the_threshold_of_the_most_promising_order(files, invoke):
    found = rows(split(invoke, "--features", "f.parquet", "--assignment", "who.parquet"))
    who = pq.read_table("who.parquet")
    assert who["example_id"].to_pylist() == list(range(600))
    route, score = np.array(who["route"].to_pylist()), who["score"].to_numpy()
    threshold = float(found["difference"]["threshold"])
    assert ((route == "algorithm") == (score <= threshold)).all()
    part = np.array(who["part"].to_pylist())
    assert (part == "report").sum() == 300
    automated = (route[part == "report"] == "algorithm").mean()
    assert automated == pytest.approx(float(found["difference"]["fraction"]))


def test_effort_keeps_to_its_budget(files, invoke):
    split(invoke, "--effort", "effort.parquet", "--budget", "1.5", "--most-readers", "5")
    effort = pq.read_table("effort.parquet").to_pylist()
    assert {row["allocation"] for row in effort} == {"even", "expected", "pool"}
    assert all(row["readings"] is None or row["readings"] <= 450 for row in effort)


def test_money_is_told_where_there_are_prices(files, invoke):
    prices = ("--cost-algorithm-error", "10", "--cost-human-error", "10")
    found = rows(split(invoke, *prices, "--cost-human-reading", "1", "--curve", "c1.parquet"))
    human, model = found["all-human"], found["all-algorithm"]
    assert float(human["cost"]) == pytest.approx(1 + 10 * float(human["error"]))
    assert float(model["cost"]) == pytest.approx(10 * float(model["error"]))
    assert {"cost", "frontier"} <= set(pq.read_table("c1.parquet").column_names)


def test_kinds_of_mistakes_can_have_prices(files, invoke):
    (files / "costs.csv").write_text("label,answer,cost\n1,0,20\n0,1,2\n")
    found = rows(split(invoke, "--costs", "costs.csv"))
    assert float(found["difference"]["cost"]) <= float(found["all-human"]["cost"]) + 0.3
    (files / "costs.csv").write_text("label,answer,cost\n1,0,20\n")
    result = split(invoke, "--costs", "costs.csv", code=3)
    assert "no price for the answer `1` where `0` is right" in result.stderr


def test_subgroups_are_reported_and_patients_stay_together(files, invoke):
    told = ("--columns", "c.parquet", "--fairness", "site", "--groups", "patient")
    result = split(invoke, *told, "--assignment", "who.parquet")
    assert "site,north,difference," in result.stdout
    part = np.array(pq.read_table("who.parquet")["part"].to_pylist())
    assert all(len(set(part[at : at + 3])) == 1 for at in range(0, 600, 3))


def test_several_models_have_rows_of_their_own(files, invoke):
    label, p, *_ = world()
    other = predictions(np.arange(600), label, np.clip(1 - p, 0.01, 0.99), model="worse")
    pq.write_table(pa.concat_tables([pq.read_table("p.parquet"), other]), "p.parquet")
    result = split(invoke, "--order", "confidence", "--assignment", "who.parquet")
    assert result.stdout.splitlines()[0].startswith("model_id,order,error")
    assert sum(",confidence," in line for line in result.stdout.splitlines()) == 2
    assert pq.read_table("who.parquet")["model_id"].to_pylist() == ["m"] * 600 + ["worse"] * 600


def test_cases_that_nobody_read_are_left_out_and_counted(files, invoke):
    read = pq.read_table("r.parquet")
    pq.write_table(read.slice(50), "r.parquet")
    result = split(invoke, "-o", "s.parquet", "-f", "parquet")
    assert "10 of 600 cases of `p.parquet` are left out: nobody has read them" in result.stderr
    assert "`0`" in result.stderr
    import json

    facts = json.loads(pq.read_metadata("s.parquet").metadata[b"nncli"])["facts"]
    assert facts["unread"] == 10


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--order", "diference"), 2, "`diference` is not known; closest: `difference`"),
        (("--fairness", "site"), 2, "`--fairness` is a column of what?"),
        (("--layer", "x"), 2, "`--layer` is of what?"),
        (("--columns", "c.parquet", "--groups", "sight"), 3, "no column `sight`; closest: `site`"),
        (("--folds", "400"), 3, "600 independent cases that people have read, too few for 400"),
        (("--curve", "x.parquet", "--effort", "x.parquet"), 2, "are the same file"),
        (("--curve", "p.parquet"), 2, "`p.parquet` is an input"),
        (("--report-share", "0"), 2, "0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(files, invoke, more, code, message):
    if "--folds" in more:
        more = (*more, "--report-share", "1", "--columns", "c.parquet", "--groups", "patient")
        message = "200 independent cases that people have read, too few for 400 folds"
    result = split(invoke, *more, code=code)
    assert message in result.stderr
    assert result.stdout == ""


def test_files_that_do_not_fit_are_refused_by_name(files, invoke):
    pq.write_table(pa.table({"example_id": ["a", "b"], "label": [0, 1]}), "text.parquet")
    result = split(invoke, human="text.parquet", code=3)
    assert "`example_id` is text in one of `text.parquet` and `p.parquet`" in result.stderr
    pq.write_table(pa.table({"example_id": [1, 2], "label": [0, 2]}), "classes.parquet")
    result = split(invoke, human="classes.parquet", code=3)
    assert "example `2` has the label `2` in `classes.parquet`" in result.stderr
    pq.write_table(pa.table({"example_id": [9999], "label": [0]}), "others.parquet")
    result = split(invoke, human="others.parquet", code=3)
    assert "no case of `p.parquet` is in `others.parquet`" in result.stderr
    pq.write_table(pa.table({"example_id": np.arange(9), "x": np.arange(9.0)}), "few.parquet")
    result = split(invoke, "--features", "few.parquet", code=3)
    assert "591 of 600 cases of `r.parquet` have no features in `few.parquet`" in result.stderr


def test_labels_that_are_given_for_ratings_are_noticed(files, invoke):
    result = split(invoke, human="p.parquet", code=2)
    assert "`p.parquet` cannot be predictions and RATINGS at once" in result.stderr
    labels = pq.read_table("p.parquet", columns=["example_id", "label"])
    pq.write_table(labels, "labels.parquet")
    result = split(invoke, human="labels.parquet")
    assert "every reading in `labels.parquet` is right" in result.stderr
    assert float(rows(result)["difference"]["error"]) == 0


def test_predictions_without_labels_are_refused_with_the_way_out(files, invoke):
    pq.write_table(pq.read_table("p.parquet").drop_columns(["label"]), "p.parquet")
    result = split(invoke, code=3)
    assert "`p.parquet` has no labels, so nobody knows who errs" in result.stderr


def test_hits_and_errors_of_people_are_enough_for_the_bound(files, invoke):
    ids = np.arange(600)
    hits = {"example_id": ids, "model_id": ["m"] * 600, "correct": (ids % 4 > 0).astype(np.int8)}
    pq.write_table(pa.table(hits), "p.parquet")
    pq.write_table(pa.table({"example_id": ids, "human_error": ids % 3 / 4}), "e.parquet")
    found = rows(split(invoke, "--report-share", "1", human="e.parquet"))
    assert sorted(found) == ["all-algorithm", "all-human", "oracle", "random"]
    expected = np.minimum(ids % 4 == 0, ids % 3 / 4).mean()
    assert float(found["oracle"]["error"]) == pytest.approx(expected)
    result = split(invoke, "--effort", "x.parquet", human="e.parquet", code=2)
    assert "`--effort` needs readings or counts of them" in result.stderr
    assert not (files / "x.parquet").exists()


def test_several_splits_are_refused(files, invoke):
    data = pq.read_table("p.parquet")
    parts = ["train"] * 300 + ["test"] * 300
    at = data.column_names.index("split")
    pq.write_table(data.set_column(at, "split", pa.array(parts)), "p.parquet")
    assert "several splits: test, train" in split(invoke, code=3).stderr


def test_the_picture_of_the_curves_has_a_line_for_each_order(files, invoke):
    split(invoke, "--curve", "c1.parquet", "--effort", "e.parquet", "--most-readers", "3")
    for name in ("c1.parquet", "e.parquet"):
        text = invoke("plot", name, "-f", "text", code=0).stdout
        for order in ("confidence", "difference", "oracle"):
            assert order in text
    assert invoke("plot", "c1.parquet", "-o", "c1.png", code=0).stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ("--budget", "nan"),
        ("--budget", "inf"),
        ("--report-share", "nan"),
        ("--cost-human-reading", "nan"),
        ("--cost-algorithm-error", "inf"),
        ("--cost-algorithm-error", "1e300"),
    ],
)
def test_numbers_that_are_none_and_prices_beyond_all_sums_are_wrong_usage(files, invoke, words):
    done = split(invoke, *words, code=2)
    assert words[0] in done.stderr
    assert not done.stdout


def test_prices_that_are_all_zero_choose_nothing_and_are_refused(files, invoke):
    free = ("--cost-algorithm-error", "0", "--cost-human-error", "0")
    assert "every price is 0" in split(invoke, *free, code=2).stderr
    split(invoke, *free, "--cost-human-reading", "1", code=0)


def test_nothing_is_written_where_an_output_turns_out_impossible(files, invoke):
    errors = {"example_id": np.arange(600), "human_error": np.linspace(0, 1, 600)}
    pq.write_table(pa.table(errors), "e.parquet")
    effort = split(invoke, "--effort", "f.csv", human="e.parquet", code=2)
    votes = split(invoke, "--readers", "3", human="e.parquet", code=2)
    oracle = split(invoke, "--order", "oracle", "--assignment", "who.csv", code=2)
    assert "`--effort` needs readings" in effort.stderr
    assert "`--readers 3` needs readings" in votes.stderr
    assert "oracle" in oracle.stderr
    assert not effort.stdout + votes.stdout + oracle.stdout
    assert not (files / "f.csv").exists()
    assert not (files / "who.csv").exists()


def test_cases_without_a_group_are_no_group(files, invoke):
    patient = pa.array([None, None, *range(598)])
    pq.write_table(pa.table({"example_id": np.arange(600), "patient": patient}), "g.parquet")
    done = split(invoke, "--columns", "g.parquet", "--groups", "patient", code=3)
    assert "2 of 600 cases have no `patient` in `g.parquet` (the first is `0`)" in done.stderr


def test_tables_that_nncli_wrote_are_features_too(files, invoke):
    split(invoke, "--features", "f.parquet", "--assignment", "who.parquet")
    found = rows(split(invoke, "--features", "who.parquet"))
    plain = rows(split(invoke))
    assert float(found["difference"]["normalised"]) > float(plain["difference"]["normalised"])


def test_tables_whose_rows_are_no_cases_and_predictions_are_no_features(files, invoke):
    split(invoke, "--curve", "curve.parquet")
    done = split(invoke, "--features", "curve.parquet", code=3)
    assert "`curve.parquet` has no `example_id`: its rows are no cases" in done.stderr
    label, p, *_ = world()
    write_table("q.parquet", predictions(np.arange(600), label, p), Entry("predictions"))
    done = split(invoke, "--features", "q.parquet", code=3)
    assert "`q.parquet` holds predictions, expected features" in done.stderr
    assert "answers of PREDICTIONS are features by themselves" in done.stderr
