import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from nncli.cli import cli
from nncli.formats.entry import Entry
from nncli.formats.tables import write_table

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def nncli(*arguments, code=0, **settings):
    done = CliRunner().invoke(cli, ["bias-variance", *map(str, arguments)], **settings)
    assert done.exit_code == code, done.stderr
    return done


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def answers(k=5, n=40, c=3, seed=0):
    random = np.random.default_rng(seed)
    y = random.integers(0, c, n)
    z = random.standard_normal((k, n, c))
    z[:, np.arange(n), y] += 1
    return z.astype(np.float32), y


def long(z, y, ids=None, **columns):
    """The long form: columns are given a value for each model, or an array for each row."""
    k, n, c = z.shape
    told = {"model_id": [f"m{i}" for i in range(k)], "seed": list(range(k)), **columns}
    each = {
        name: np.repeat(np.array(one), n).tolist() if len(one) == k else list(one)
        for name, one in told.items()
        if one is not None
    }
    flat = pa.array(z.reshape(-1))
    return pa.table(
        {
            "example_id": np.tile(np.arange(n) if ids is None else ids, k),
            **each,
            "label": np.tile(y, k),
            "logits": pa.FixedSizeListArray.from_arrays(flat, c),
        }
    )


def wrote(name, table):
    pq.write_table(table, name)
    return name


def rows_of(*arguments, **settings):
    nncli(*arguments, "-o", "out.parquet", "--overwrite", **settings)
    return pq.read_table("out.parquet").to_pylist()


def values(*arguments, where=(), **settings):
    return {
        (row["loss"], row["metric"]): row["value"]
        for row in rows_of(*arguments, **settings)
        if all(row[name] == value for name, value in where)
    }


def expected_squared(z, y):
    p = softmax(z.astype(np.float64))
    risk = ((p - np.eye(z.shape[2])[y]) ** 2).sum(axis=2).mean()
    variance = p.var(axis=0, ddof=1).sum(axis=1).mean()
    return {"risk": risk, "bias": risk - variance, "variance": variance}


def of_loss(found, loss="squared"):
    return {metric: value for (one, metric), value in found.items() if one == loss}


def test_the_table_has_the_documented_columns_and_numbers():
    z, y = answers()
    rows = rows_of(wrote("p.parquet", long(z, y)))
    columns = ["loss", "metric", "value", "se", "low", "high", "models", "n"]
    assert list(rows[0]) == columns
    assert {(row["models"], row["n"]) for row in rows} == {(5, 40)}
    assert list(dict.fromkeys(row["loss"] for row in rows)) == [
        "squared", "cross-entropy", "zero-one", "kohavi-wolpert",
    ]  # fmt: skip
    found = {row["metric"]: row["value"] for row in rows if row["loss"] == "squared"}
    assert found == pytest.approx(expected_squared(z, y))
    for row in rows:
        assert row["low"] < row["value"] < row["high"] or row["se"] == 0


def test_both_forms_shards_and_any_order_of_rows_give_the_same(here):
    z, y = answers()
    table = long(z, y)
    whole = values(wrote("p.parquet", table))
    dense = {"logits": z, "label": y, "example_id": np.arange(40)}
    save_file(dense, "p.safetensors")
    np.savez("p.npz", **dense)
    shuffled = table.take(RANDOM.permutation(len(table)))
    by_model = [wrote("a.parquet", table[:80]), wrote("b.parquet", table[80:])]
    keep = np.array(table["example_id"].to_pylist()) < 13
    parts = [
        table.filter(pa.array(keep)),
        table.filter(pa.array(~keep)).take(np.arange(134, -1, -1)),
    ]
    by_example = [wrote(f"{i}.parquet", one) for i, one in enumerate(parts)]
    for given in (["p.safetensors"], ["p.npz"], [wrote("s.parquet", shuffled)], by_model):
        assert values(*given) == pytest.approx(whole, abs=1e-12)
    assert values(*by_example) == pytest.approx(whole, abs=1e-12)
    assert values("-", input=(here / "p.safetensors").read_bytes()) == pytest.approx(whole)


def test_files_of_a_dense_kind_in_another_order_are_joined_by_id():
    z, y = answers()
    order = RANDOM.permutation(40)
    save_file({"logits": z[:3], "label": y, "example_id": np.arange(40)}, "a.safetensors")
    save_file(
        {"logits": np.ascontiguousarray(z[3:, order]), "label": y[order],
         "example_id": np.arange(40)[order], "seed": np.array([[3, -1], [4, -1]])},
        "b.safetensors",
    )  # fmt: skip
    table = long(z[:3], y)
    found = values(wrote("a.parquet", table), "b.safetensors")
    assert of_loss(found) == pytest.approx(expected_squared(z, y))


def test_examples_that_some_do_not_answer_are_left_out_and_counted():
    z, y = answers()
    files = [wrote("a.parquet", long(z[:3], y)), wrote("b.parquet", long(
        z[3:, 10:], y[10:], np.arange(10, 40), model_id=["m3", "m4"], seed=[3, 4]))]  # fmt: skip
    done = nncli(*files, "-f", "csv")
    assert "10 of 40 examples are left out" in done.stderr
    assert "`m3` in `b.parquet` lacks `0`" in done.stderr
    assert of_loss(values(*files)) == pytest.approx(expected_squared(z[:, 10:], y[10:]))


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"example_id": 7}, 3, "`m0` answers example `7` twice"),
        ({"label": 2}, 3, "has two labels"),
        ({"logits": [0.0, float("nan"), 1.0]}, 3, "`m0` to example `0` in `p.parquet` holds nan"),
        ({"logits": [0.0, float("inf"), 1.0]}, 3, "`m0` to example `0` in `p.parquet` holds inf"),
    ],
)
def test_what_is_unsound_is_refused(change, code, message):
    z, y = answers()
    y[0] = 1
    rows = long(z, y).to_pylist()
    rows[0].update(change)
    done = nncli(wrote("p.parquet", pa.Table.from_pylist(rows)), code=code)
    assert message in done.stderr


def test_probabilities_off_the_simplex_are_refused_unless_asked_for():
    z, y = answers()
    p = softmax(z.astype(np.float64))
    p[1, 3] *= 1.1
    table = long(p, y).rename_columns(["example_id", "model_id", "seed", "label", "probs"])
    done = nncli(wrote("p.parquet", table), code=3)
    assert "the probabilities of `m1` to example `3`" in done.stderr
    assert "--renormalise" in done.stderr
    found = values("p.parquet", "--renormalise")
    assert of_loss(found) == pytest.approx(expected_squared(z, y))
    save_file({"probs": p, "label": y}, "p.safetensors")
    nncli("p.safetensors", code=3)
    assert of_loss(values("p.safetensors", "--renormalise")) == pytest.approx(
        expected_squared(z, y)
    )


def test_one_model_is_refused_as_wrong_usage():
    z, y = answers(k=1)
    done = nncli(wrote("p.parquet", long(z, y)), code=2)
    assert "one model: variance is between models" in done.stderr


def test_predictions_without_labels_are_refused():
    z, y = answers()
    done = nncli(wrote("p.parquet", long(z, y).drop_columns("label")), code=3)
    assert "no labels, and without them no risk" in done.stderr


def test_a_label_that_is_no_class_is_named():
    z, y = answers()
    y[4] = 3
    done = nncli(wrote("p.parquet", long(z, y)), code=3)
    assert "example `4` in `p.parquet` has the label 3" in done.stderr


def test_files_of_different_classes_or_scores_are_refused():
    z, y = answers()
    wrote("a.parquet", long(z, y))
    save_file({"logits": z[:, :, :2].copy(), "label": y}, "b.safetensors")
    assert "answers with" in nncli("a.parquet", "b.safetensors", code=3).stderr
    save_file({"probs": softmax(z), "label": y}, "b.safetensors")
    assert "holds probs" in nncli("b.safetensors", "a.parquet", code=3).stderr


def test_the_factor_that_varies_is_the_curve():
    z, y = answers(k=9)
    widths = [4, 4, 4, 16, 16, 16, 64, 64, 64]
    found = rows_of(wrote("p.parquet", long(z, y, width=widths, seed=[0, 1, 2] * 3)))
    assert next(iter(found[0])) == "width"
    for place, width in enumerate((4, 16, 64)):
        own = values("p.parquet", where=[("width", width)])
        part = z[3 * place : 3 * place + 3]
        assert of_loss(own) == pytest.approx(expected_squared(part, y))
    (top,) = [r for r in found if (r["loss"], r["metric"]) == ("squared", "variance_peak")]
    variances = [expected_squared(z[i : i + 3], y)["variance"] for i in (0, 3, 6)]
    assert top["value"] == (4, 16, 64)[int(np.argmax(variances))]
    assert top["low"] <= top["value"] <= top["high"]


def test_a_factor_named_by_the_user_splits_the_models():
    z, y = answers(k=8)
    table = long(z, y, width=[4, 4, 8, 8] * 2, epsilon=[0.0] * 4 + [0.1] * 4, seed=[0, 1] * 4)
    done = nncli(wrote("p.parquet", table), code=2)
    assert "models differ in `width`, `epsilon`" in done.stderr or "`epsilon`" in done.stderr
    assert "`epsilon`" in nncli("p.parquet", "--by", "width", code=2).stderr
    found = values("p.parquet", "--by", "width", "--by", "epsilon",
                   where=[("width", 8), ("epsilon", 0.1)])  # fmt: skip
    assert of_loss(found) == pytest.approx(expected_squared(z[6:], y))
    assert "closest: `width`" in nncli("p.parquet", "--by", "widht", code=2).stderr


def test_files_can_be_the_curve():
    z, y = answers(k=6)
    save_file({"logits": z[:3].copy(), "label": y}, "small.safetensors")
    save_file({"logits": z[3:].copy(), "label": y}, "large.safetensors")
    found = values("small.safetensors", "large.safetensors", "--by", "file",
                   where=[("file", "large")])  # fmt: skip
    assert of_loss(found) == pytest.approx(expected_squared(z[3:], y))
    assert "twice" in nncli("small.safetensors", "large.safetensors", code=3).stderr


def test_seeds_nest_as_recorded_or_as_asked():
    z, y = answers(k=6)
    table = long(z, y, seed=[0, 0, 1, 1, 2, 2], seed2=[0, 1] * 3)
    recorded = values(wrote("p.parquet", table))
    p = softmax(z.astype(np.float64)).reshape(3, 2, 40, 3)
    inner = p.var(axis=1, ddof=1).sum(axis=2).mean()
    outer = p.mean(axis=1).var(axis=0, ddof=1).sum(axis=1).mean() - inner / 2
    assert recorded["squared", "variance_seed"] == pytest.approx(outer)
    assert recorded["squared", "variance_seed2"] == pytest.approx(inner)
    assert recorded["squared", "variance"] == pytest.approx(outer + inner)
    renamed = table.rename_columns(
        ["example_id", "model_id", "pretraining", "finetuning", "label", "logits"]
    )
    asked = values(wrote("q.parquet", renamed), "--nested", "pretraining,finetuning")
    assert asked["squared", "variance_finetuning"] == pytest.approx(inner)
    assert "models have no `sed`" in nncli("p.parquet", "--nested", "sed", code=2).stderr


def test_parts_of_several_partitions_are_not_pooled():
    z, y = answers(k=6)
    columns = {"partition": [0, 0, 0, 1, 1, 1], "part": [1, 2, 3] * 2, "parts": [3] * 6,
               "seed": [0] * 6}  # fmt: skip
    found = of_loss(values(wrote("p.parquet", long(z, y, **columns))))
    halves = [expected_squared(z[:3], y), expected_squared(z[3:], y)]
    assert found == pytest.approx({m: np.mean([one[m] for one in halves]) for m in halves[0]})


def test_splits_and_perturbations_are_kept_apart_and_the_extra_loss_is_divided():
    z, y = answers(k=4, n=300)
    worse = z.copy()
    worse[:, np.arange(300), y] -= 1.5
    clean, shifted = long(z, y), long(worse, y)
    for name, table, change in (("a", clean, None), ("b", shifted, "blur-3")):
        column = pa.array([change] * len(table), pa.string())
        strength = pa.array([3.0 if change else None] * len(table), pa.float64())
        full = table.append_column("perturbation", column).append_column("strength", strength)
        wrote(f"{name}.parquet", full)
    found = rows_of("a.parquet", "b.parquet")
    assert [one for one in found[0] if one not in ("loss", "metric")][:2] == [
        "perturbation", "strength",
    ]  # fmt: skip
    b = pq.read_table("b.parquet")
    again = rows_of(wrote("c.parquet", b.take(RANDOM.permutation(len(b)))), "a.parquet")
    for one, other in zip(found, again, strict=True):
        for name, value in one.items():
            expected = pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
            assert other[name] == expected
    before, after = expected_squared(z, y), expected_squared(worse, y)
    (row,) = [r for r in found if (r["loss"], r["metric"]) == ("squared", "bias_share")]
    gain = {metric: after[metric] - before[metric] for metric in before}
    assert row["value"] == pytest.approx(gain["bias"] / gain["risk"])
    assert row["perturbation"] == "blur-3"
    assert row["low"] < row["value"] < row["high"]


def test_other_units_multiply_the_numbers():
    z, y = answers()
    wrote("p.parquet", long(z, y))
    plain, other = values("p.parquet"), values("p.parquet", "--unit", "bits", "--class-mean")
    for (loss, metric), value in plain.items():
        factor = {"squared": 1 / 3, "cross-entropy": 1 / np.log(2)}.get(loss, 1)
        assert other[loss, metric] == pytest.approx(value * factor)


def test_losses_can_be_chosen_and_taken_of_hard_answers_or_logits():
    z, y = answers()
    wrote("p.parquet", long(z, y))
    assert {loss for loss, _ in values("p.parquet", "--loss", "squared")} == {"squared"}
    hard, plain = values("p.parquet", "--on", "hard"), values("p.parquet")
    name = ("kohavi-wolpert", "variance")
    assert hard["squared", "variance"] == pytest.approx(2 * plain[name])
    done = nncli("p.parquet", "--on", "logits", "-o", "l.parquet")
    assert "cannot be compared between models of different scale" in done.stderr
    rows = pq.read_table("l.parquet").to_pylist()
    found = {(row["loss"], row["metric"]): row["value"] for row in rows}
    z = z.astype(np.float64)
    expected = z.var(axis=0, ddof=1).sum(axis=1).mean()
    assert found["squared", "variance"] == pytest.approx(expected)
    assert found["cross-entropy", "risk"] == pytest.approx(plain["cross-entropy", "risk"])


def test_soft_labels_give_a_row_of_noise():
    z, _ = answers()
    t = RANDOM.dirichlet(np.ones(3), 40)
    save_file({"logits": z, "label": t}, "p.safetensors")
    found = of_loss(values("p.safetensors"))
    assert found["noise"] == pytest.approx((1 - (t**2).sum(axis=1)).mean())
    assert found["risk"] == pytest.approx(found["noise"] + found["bias"] + found["variance"])
    t[3, 0] += 0.1
    save_file({"logits": z, "label": t}, "q.safetensors")
    assert "the soft label of example `3`" in nncli("q.safetensors", code=3).stderr


def test_raters_stand_for_the_label():
    z, y = answers()
    rated = RANDOM.integers(0, 3, (40, 4))
    wrote("p.parquet", long(z, y))
    ids = np.repeat(np.arange(40), 4)
    wrote("r.parquet", pa.table({"example_id": ids, "label": rated.reshape(-1)}))
    found = of_loss(values("p.parquet", "--raters", "r.parquet"))
    shares = np.eye(3)[rated].mean(axis=1)
    assert found["noise"] == pytest.approx(4 / 3 * (1 - (shares**2).sum(axis=1)).mean())
    p = softmax(z.astype(np.float64))
    risk = ((p[:, :, None] - np.eye(3)[rated]) ** 2).sum(axis=3).mean()
    assert found["risk"] == pytest.approx(risk)
    wrote("r.parquet", pa.table({"example_id": ids[3:], "label": rated.reshape(-1)[3:]}))
    done = nncli("p.parquet", "--raters", "r.parquet", code=3)
    assert "example `0` has 1 raters in `r.parquet`" in done.stderr


def test_a_regression_and_hits_have_the_squared_loss_alone():
    random = np.random.default_rng(1)
    answered, y = random.standard_normal((4, 30)), random.standard_normal(30)
    save_file({"pred": answered, "label": y}, "p.safetensors")
    found = values("p.safetensors")
    spread = answered.var(axis=0, ddof=1).mean()
    assert set(found) == {("squared", one) for one in ("risk", "bias", "variance")}
    assert found["squared", "variance"] == pytest.approx(spread)
    hits = (answered > 0).astype(np.int8)
    save_file({"correct": hits}, "c.safetensors")
    assert values("c.safetensors")["squared", "risk"] == pytest.approx((1 - hits).mean())


def test_classes_without_scores_have_the_losses_of_classes():
    z, y = answers()
    save_file({"pred": z.argmax(axis=2), "label": y}, "p.safetensors")
    found, scored = values("p.safetensors"), None
    save_file({"logits": z, "label": y}, "z.safetensors")
    scored = values("z.safetensors", "--on", "hard")
    assert found == pytest.approx(scored)


def test_each_example_can_be_written_too():
    z, y = answers()
    wrote("p.parquet", long(z, y, np.arange(100, 140)))
    rows_of("p.parquet", "--per-example", "each.parquet")
    each = pq.read_table("each.parquet").to_pydict()
    assert each["example_id"] == list(range(100, 140))
    p = softmax(z.astype(np.float64))
    assert np.allclose(each["squared_variance"], p.var(axis=0, ddof=1).sum(axis=1))
    counts = np.eye(3)[z.argmax(axis=2)].sum(axis=0)
    assert each["main"] == counts.argmax(axis=1).tolist()
    assert np.allclose(each["p_main"], counts.max(axis=1) / 5)
    text = pq.read_metadata("each.parquet").metadata[b"nncli"]
    assert Entry.from_json(text.decode(), source="each").inputs[0]["name"] == "p.parquet"


def test_a_series_says_where_the_training_error_ends():
    z, y = answers(k=9)
    widths = [4, 4, 4, 16, 16, 16, 64, 64, 64]
    wrote("p.parquet", long(z, y, width=widths, seed=[0, 1, 2] * 3))
    accuracy = [0.5, 0.6, 0.7, 1.0, 0.995, 1.0, 1.0, 1.0, 1.0]
    series = pa.table(
        {"path": [f"{i}" for i in range(9)], "arch": [f"mlp:4-{w}-3" for w in widths],
         "seed": [0, 1, 2] * 3, "train_accuracy": accuracy}
    )  # fmt: skip
    write_table("manifest.parquet", series, Entry("series"))
    found = rows_of("p.parquet", "--series", "manifest.parquet")
    told = {(r["width"], r["metric"]): r["value"] for r in found}
    assert told[4, "training_error"] == pytest.approx(0.4)
    assert told[None, "interpolation_threshold"] == 16
    strict = rows_of("p.parquet", "--series", "manifest.parquet", "--interpolated", "0")
    told = {(r["width"], r["metric"]): r["value"] for r in strict}
    assert told[None, "interpolation_threshold"] == 64


def test_answers_to_the_training_data_say_where_the_training_error_ends():
    z, y = answers(k=9)
    widths = [4, 4, 4, 16, 16, 16, 64, 64, 64]
    fitted = 10 * np.eye(3, dtype=np.float32)[y][None].repeat(9, axis=0)
    fitted[:3] *= -1
    both = [
        long(one, y, width=widths, seed=[0, 1, 2] * 3, split=[split] * 9)
        for one, split in ((z, "test"), (fitted, "train"))
    ]
    rows = rows_of(wrote("p.parquet", pa.concat_tables(both)))
    told = {(r["width"], r["split"], r["metric"]): r["value"] for r in rows}
    assert told[4, "test", "training_error"] == 1.0
    assert told[None, "test", "interpolation_threshold"] == 16


def test_an_input_is_not_written_over():
    z, y = answers()
    save_file({"logits": z, "label": y}, "p.parquet")
    for option in ("--output", "--per-example"):
        done = nncli("p.parquet", option, "p.parquet", "--overwrite", code=2)
        assert "`p.parquet` is an input" in done.stderr


def test_two_models_have_values_and_a_note_in_place_of_errors():
    z, y = answers(k=2)
    rows = rows_of(wrote("p.parquet", long(z, y)))
    told = {(row["loss"], row["metric"]): row for row in rows}
    assert told["squared", "variance"]["se"] is None
    assert "two models" in told["squared", "variance"]["note"]
    assert told["squared", "risk"]["se"] is not None


def test_the_entry_says_how_it_was_made():
    z, y = answers()
    wrote("p.parquet", long(z, y))
    nncli("p.parquet", "--unit", "bits", "-o", "out.parquet")
    text = pq.read_metadata("out.parquet").metadata[b"nncli"].decode()
    entry = Entry.from_json(text, source="out")
    assert entry.command == ("bias-variance", "p.parquet", "--unit", "bits")
    assert entry.facts["unit"] == "bits"
    counts = np.sort(np.eye(3)[z.argmax(axis=2)].sum(axis=0), axis=1)
    assert entry.facts["tied"] == (counts[:, 2] == counts[:, 1]).sum() > 0
    assert entry.facts["levels"] == ["seed"]
    assert [one["name"] for one in entry.inputs] == ["p.parquet"]


def test_labels_that_are_text_are_refused_with_the_first_of_them():
    with open("a.csv", "w") as file:
        file.write("example_id,model_id,label,pred\n1,a,cat,0\n1,b,cat,1\n")
    told = nncli("a.csv", code=3).stderr
    assert "row 0 of `a.csv` has the `label` `cat`, which is neither a number nor a list" in told
    assert "counted from 0" in told
    assert "Expecting" not in told


def test_names_of_classes_that_are_large_numbers_are_refused_and_not_counted_up_to():
    with open("a.csv", "w") as file:
        file.write("example_id,model_id,label,pred\n1,a,14407640,0\n1,b,14407640,1\n")
    assert "go up to 14407640" in nncli("a.csv", code=3).stderr
