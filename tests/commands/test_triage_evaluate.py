"""`nncli triage evaluate`: tables and predictions in, values and paired differences out."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from pyarrow import csv
from scipy.stats import binomtest

from nncli.cli import cli
from nncli.formats.tables import read_table

CASES = 60


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def nncli(*arguments, code=0):
    words = ["triage", "evaluate", *map(str, arguments), "-o", "out.parquet", "--resamples", "50"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == code, done.stderr
    return done


def rows(*arguments, code=0):
    nncli(*arguments, code=code)
    listed = pq.read_table("out.parquet").to_pylist()
    return {(one["score"], one["against"], one["metric"], one["at"]): one for one in listed}


def scored(n=CASES, seed=0):
    chance = np.random.default_rng(seed)
    doubt = chance.random(n)
    error = (chance.random(n) < doubt).astype(int)
    return {"example_id": np.arange(n), "doubt": doubt, "sure": -(doubt**2), "error": error}


def write(name, columns):
    pq.write_table(pa.table(columns), name)


def predictions(name, n=CASES, models=1, seed=1, ids=None):
    chance = np.random.default_rng(seed)
    label = chance.integers(0, 3, n)
    logits = chance.standard_normal((models, n, 3)).astype(np.float32)
    logits[:, np.arange(n), label] += 1
    table = {
        "example_id": np.tile(np.arange(n) if ids is None else ids, models),
        "model_id": np.repeat([f"m{one}" for one in range(models)], n),
        "split": ["test"] * (n * models),
        "label": np.tile(label, models).astype(np.int32),
        "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits.reshape(-1)), 3),
    }
    pq.write_table(pa.table(table), name)
    return logits, label


def test_a_score_turned_round_is_a_confidence():
    write("s.parquet", scored())
    found = rows("s.parquet", "--score", "doubt", "--confidence", "sure")
    assert found["sure", None, "aurc", None]["value"] == pytest.approx(
        found["doubt", None, "aurc", None]["value"]
    )
    assert found["sure", "doubt", "auroc", None]["value"] == 0


def test_a_model_is_held_against_its_own_errors():
    logits, label = predictions("p.parquet")
    found = rows("p.parquet", "--coverage", "0.5")
    hit = logits[0].argmax(axis=1) == label
    assert found[None, None, "accuracy", None]["value"] == pytest.approx(hit.mean())
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum(axis=1, keepdims=True)
    kept = np.argsort(-shares.max(axis=1))[: CASES // 2]
    row = found["confidence", None, "kept-accuracy", 0.5]
    assert row["value"] == pytest.approx(hit[kept].mean())


def test_margin_and_entropy_are_of_the_probabilities():
    logits, label = predictions("p.parquet")
    found = rows("p.parquet", "--score", "margin", "--score", "entropy", "--coverage", "0.5")
    hit = logits[0].argmax(axis=1) == label
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum(axis=1, keepdims=True)
    two = np.sort(shares, axis=1)
    doubts = {"margin": two[:, 1] - two[:, 2], "entropy": -(shares * np.log(shares)).sum(axis=1)}
    for name, doubt in doubts.items():
        kept = np.argsort(doubt)[: CASES // 2]
        row = found[name, None, "kept-accuracy", 0.5]
        assert row["value"] == pytest.approx(hit[kept].mean()), name


def test_files_are_joined_by_example_whatever_their_order():
    write("s.parquet", scored())
    backwards = {name: values[::-1] for name, values in scored().items() if name != "doubt"}
    write("e.parquet", backwards)
    write("d.parquet", {name: scored()[name] for name in ("example_id", "doubt")})
    together = rows("d.parquet", "e.parquet", "--score", "doubt")
    alone = rows("s.parquet", "--score", "doubt")
    assert together == alone


def test_scores_of_a_table_are_held_against_the_errors_of_a_model():
    predictions("p.parquet")
    write("d.parquet", {name: scored()[name] for name in ("example_id", "doubt")})
    found = rows("p.parquet", "d.parquet", "--score", "confidence", "--score", "doubt")
    assert ("doubt", "confidence", "auroc", None) in found


def test_cases_that_lack_something_are_counted_and_left_out():
    columns = scored()
    columns["doubt"][:4] = np.nan
    write("s.parquet", columns)
    done = nncli("s.parquet", "--score", "doubt")
    assert "4 of 60 cases are left out: they lack a score or the outcome" in done.stderr
    assert read_table("out.parquet").entry.facts["dropped"] == 4
    write("d.parquet", {"example_id": np.arange(50, 70), "doubt": np.arange(20.0)})
    write("e.parquet", {name: scored()[name] for name in ("example_id", "error")})
    done = nncli("d.parquet", "e.parquet")
    assert "50 of 60 cases are left out: not every file has them" in done.stderr


def test_right_answers_may_be_given_in_place_of_errors():
    columns = scored()
    write("s.parquet", {**columns, "right": 1 - columns["error"]})
    one = rows("s.parquet", "--score", "doubt", "--correct", "right")
    other = rows("s.parquet", "--score", "doubt", "--outcome", "error")
    assert one["doubt", None, "kept-accuracy", 0.8]["value"] == pytest.approx(
        1 - other["doubt", None, "kept-risk", 0.8]["value"]
    )


def test_a_table_of_second_opinions_says_itself_what_its_scores_and_outcome_are():
    from nncli.formats.entry import Entry
    from nncli.formats.tables import write_table

    columns = {**scored(), "raters": np.full(CASES, 3)}
    columns["disagree"] = columns.pop("error")
    entry = Entry("table", facts={"scores": ["doubt"], "outcome": "disagree"})
    write_table("s.parquet", pa.table(columns), entry)
    found = rows("s.parquet")
    assert {name for name, *_ in found} == {None, "doubt"}
    assert read_table("out.parquet").entry.facts["outcome"] == "disagree"


def test_the_curve_is_written_beside():
    write("s.parquet", scored())
    nncli("s.parquet", "--score", "doubt", "--curve", "c.parquet", "--points", "4")
    curve = read_table("c.parquet")
    assert curve.data.num_rows == 4 * 6
    assert curve.data["metric"].unique().to_pylist() == [
        *("kept-risk", "deferred-risk", "caught", "left")
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["s.parquet", "--score", "dubt"], 2, "no column `dubt` in `s.parquet`; closest: `doubt`"),
        (["s.parquet", "--against", "x"], 2, "`--against x` is no score here"),
        (["s.parquet", "--outcome", "error", "--correct", "error"], 2, "say the same thing in two"),
        (["t.parquet"], 2, "nothing in `t.parquet` says what became of the cases"),
        (["u.parquet"], 3, "example `0` has several rows in `u.parquet`"),
        (["s.parquet", "v.parquet", "--score", "other"], 3, "is text in one of"),
        (["m.parquet", "d.parquet", "--score", "doubt"], 2, "there are several columns `error`"),
        (["s.parquet", "--score", "name"], 3, "`name` in `s.parquet` is text such as `a`"),
    ],
)
def test_what_cannot_be_is_refused_by_name(arguments, code, said):
    write("s.parquet", {**scored(), "name": ["a"] * CASES})
    write("d.parquet", {name: scored()[name] for name in ("example_id", "doubt")})
    write("t.parquet", {"example_id": [1, 2], "doubt": [0.1, 0.2]})
    write("u.parquet", {"example_id": [0, 0], "doubt": [0.1, 0.2], "error": [0, 1]})
    write("v.parquet", {"example_id": ["0", "1"], "other": [0.1, 0.2]})
    predictions("m.parquet", models=2)
    assert said in nncli(*arguments, code=code).stderr


def test_it_is_given_no_second_outcome_of_the_same_file():
    write("s.parquet", scored())
    done = nncli("s.parquet", "--curve", "out.parquet", code=2)
    assert "are the same file" in done.stderr


def test_a_csv_says_the_same_as_parquet(invoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chance = np.random.default_rng(0)
    said = {"example_id": np.arange(60), "s": chance.random(60), "error": chance.integers(0, 2, 60)}
    pq.write_table(pa.table(said), "t.parquet")
    csv.write_csv(pa.table(said), "t.csv")
    words = ("-f", "csv", "--resamples", "20")
    one = invoke("triage", "evaluate", "t.parquet", *words, code=0)
    assert invoke("triage", "evaluate", "t.csv", *words, code=0).stdout == one.stdout


def test_answers_that_are_neither_right_nor_wrong_are_refused():
    pq.write_table(pa.table({"example_id": [0, 1, 2], "s": [0.1, 0.2, 0.3], "ok": [1, 0, 7]}), "t")
    done = nncli("t", "--score", "s", "--correct", "ok", code=3)
    assert "`ok` of example `2` in `t` is 7, neither right (1) nor wrong (0)" in done.stderr


def test_an_area_of_gains_may_be_below_zero_and_has_an_interval_all_the_same():
    chance = np.random.default_rng(0)
    cost = chance.standard_normal(50) - 2
    table = {"example_id": np.arange(50), "s": cost + chance.standard_normal(50), "cost": cost}
    pq.write_table(pa.table(table), "t")
    nncli("t", "--score", "s", "--outcome", "cost")
    rows = [one for one in pq.read_table("out.parquet").to_pylist() if one["metric"] == "aurc"]
    assert rows[0]["low"] < rows[0]["value"] < rows[0]["high"] < 0
    assert rows[0]["value"] - rows[0]["low"] == pytest.approx(rows[0]["high"] - rows[0]["value"])


def test_a_curve_without_errors_among_the_kept_has_the_exact_bound_there():
    error = (np.arange(40) >= 30).astype(int)  # the ten most doubtful
    pq.write_table(
        pa.table({"example_id": np.arange(40), "s": np.arange(40.0), "error": error}), "t"
    )
    nncli("t", "--score", "s", "--curve", "curve.parquet", "--points", "3")
    rows = pq.read_table("curve.parquet").to_pylist()
    (row,) = [one for one in rows if one["metric"] == "kept-risk" and one["coverage"] == 0.5]
    assert (row["value"], row["low"]) == (0, 0)
    assert row["high"] == pytest.approx(binomtest(0, 20).proportion_ci(method="exact").high)
