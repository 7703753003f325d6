"""`nncli probe` on targets and examples that are out of the ordinary."""

import csv
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

QUICK = ("--orders", "0", "--controls", "1", "--resamples", "50", "-f", "csv")
CANNOT = "whether readers were fitted on some of the examples of"


def rows_of(result):
    return list(csv.DictReader(io.StringIO(result.stdout)))


def write(path, **tensors):
    named = {name.replace("_at_", "@"): np.ascontiguousarray(one) for name, one in tensors.items()}
    save_file(named, path)
    return path


def three_classes(path, n=120, *, seed=0, ids=True, d=5):
    y = np.arange(n) % 3
    x = np.random.default_rng(seed).standard_normal((n, d)) + 6 * np.eye(d)[y]
    more = {"_at_example_id": np.arange(n)} if ids else {}
    return write(path, x=x, _at_label=y, **more)


@pytest.fixture
def made(tmp_path):
    return three_classes(tmp_path / "a.safetensors")


class TestLabelsThatGoTogether:
    @pytest.fixture
    def tags(self, tmp_path):
        r = np.random.default_rng(0)
        x = r.standard_normal((160, 4))
        labels = (x[:, :3] + 0.1 * r.standard_normal((160, 3)) > 0).astype(int)
        capture = write(tmp_path / "m.safetensors", x=x, _at_example_id=np.arange(160))
        table = tmp_path / "tags.parquet"
        pq.write_table(pa.table({"example_id": np.arange(160), "tags": labels.tolist()}), table)
        return capture, ("--columns", table, "--target", "tags"), labels

    def test_each_is_read(self, tags, invoke):
        capture, told, _ = tags
        more = ("--reader", "linear", "--reader", "ridge", "--reader", "mlp")
        for metric in ("accuracy", "average-precision"):
            result = invoke("probe", capture, *told, *more, *QUICK, "--metric", metric, code=0)
            assert [float(row["value"]) > 0.85 for row in rows_of(result)] == [True] * 3
            assert [row["reader"] for row in rows_of(result)] == ["linear", "ridge", "mlp"]

    def test_the_loss_is_that_of_as_many_readers_of_one_label(self, tags, tmp_path, invoke):
        from safetensors.numpy import load_file
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import log_loss

        capture, told, labels = tags
        probes = tmp_path / "p.safetensors"
        more = ("--probes", probes, "--penalty", "1", "--metric", "log-loss")
        (row,) = rows_of(invoke("probe", capture, *told, *more, *QUICK, code=0))
        x, train = load_file(capture)["x"], load_file(probes)["@train"]
        scaled = (x - x[train].mean(0)) / x[train].std(0)
        test = np.setdiff1d(np.arange(160), train)
        wanted = 0.0
        for one in labels.T:
            model = LogisticRegression(C=1.0, tol=1e-8).fit(scaled[train], one[train])
            wanted += log_loss(one[test], model.predict_proba(scaled[test]))
        assert float(row["value"]) == pytest.approx(wanted, rel=2e-3)
        share = (labels[train].sum(0) + 0.5) / (len(train) + 1)
        usual = -np.log(np.where(labels[test], share, 1 - share)).sum(axis=1).mean()
        assert float(row["baseline"]) == pytest.approx(usual)

    def test_stored_readers_of_them_are_applied(self, tags, tmp_path, invoke):
        capture, told, _ = tags
        probes = tmp_path / "p.safetensors"
        (row,) = rows_of(invoke("probe", capture, *told, "--probes", probes, *QUICK, code=0))
        applied = invoke("probe", capture, "--apply", probes, *told[:2], "-f", "csv", code=0)
        (again,) = rows_of(applied)
        assert (again["value"], again["n"]) == (row["value"], row["n"])

    def test_what_has_one_class_an_example_is_refused(self, tags, invoke):
        capture, told, _ = tags
        error = invoke("probe", capture, *told, "--predictions", "p.parquet", code=2).stderr
        assert "`--predictions` are of one target, of classes or numbers" in error
        error = invoke("probe", capture, *told, "--reader", "knn", code=2).stderr
        assert "`--reader knn` does not read `tags`, which is labels" in error

    def test_their_code_length_is_short_where_they_are_plain(self, tags, invoke):
        capture, told, _ = tags
        result = invoke("probe", capture, *told, "--orders", "1", "--controls", "0", "-f", "csv")
        assert float(rows_of(result)[0]["compression"]) > 1.5


class TestExamples:
    def test_a_class_only_of_the_capture_elsewhere_is_named_and_always_missed(
        self, made, tmp_path, invoke
    ):
        r = np.random.default_rng(1)
        y, ids = np.repeat([0, 3], 20), np.arange(500, 540)
        other = write(
            tmp_path / "b.safetensors",
            x=r.standard_normal((40, 5)) + 6 * np.eye(5)[y],
            _at_label=y,
            _at_example_id=ids,
        )
        told = ("--test-on", other, "--metric", "accuracy", "--metric", "log-loss")
        rows = rows_of(invoke("probe", made, *told, *QUICK, code=0))
        there = [row for row in rows if row["split"] == "b"]
        assert float(there[0]["value"]) == pytest.approx(0.5, abs=0.05)
        assert 0 < float(there[1]["value"]) < 20
        for row in rows:
            assert ("classes that no training example has: 3" in row["note"]) == (row in there)

    @pytest.mark.parametrize("reader", ["linear", "ridge", "knn", "prototype", "mass-mean"])
    def test_features_that_are_constant_change_nothing(self, tmp_path, invoke, reader):
        y = np.arange(90) % 3
        x = np.random.default_rng(2).standard_normal((90, 3)) + np.eye(3)[y]
        told, same = {"_at_label": y, "_at_example_id": np.arange(90)}, np.full((90, 2), 7.3)
        plain = write(tmp_path / "p.safetensors", x=x, **told)
        padded = write(tmp_path / "q.safetensors", x=np.hstack([x, same]), **told)
        found = [
            rows_of(invoke("probe", one, "--reader", reader, *QUICK, code=0))[0]["value"]
            for one in (plain, padded)
        ]
        assert found[0] == found[1]

    @pytest.mark.parametrize("reader", ["linear", "ridge", "knn", "prototype", "mass-mean", "mlp"])
    def test_fewer_examples_than_features_are_read_by_all(self, tmp_path, invoke, reader):
        path = three_classes(tmp_path / "w.safetensors", n=150, d=200)
        (row,) = rows_of(invoke("probe", path, "--reader", reader, *QUICK, code=0))
        assert float(row["value"]) > 0.4
        assert float(row["high"]) <= 1

    def test_one_class_is_refused_by_the_name_of_the_column(self, tmp_path, invoke):
        x = np.random.default_rng(0).random((30, 2))
        path = write(tmp_path / "x.safetensors", x=x, _at_label=np.full(30, 4))
        error = invoke("probe", path, code=3).stderr
        assert "`@label` in" in error
        assert "has one class only, `4`: there is nothing to read" in error

    def test_examples_without_a_value_are_left_out(self, made, tmp_path, invoke):
        table = tmp_path / "t.csv"
        lines = [f"{i},{'' if i % 4 == 0 else 'abc'[i % 3]}" for i in range(120)]
        table.write_text("example_id,kind\n" + "\n".join(lines) + "\n")
        told = ("--columns", table, "--target", "kind")
        (row,) = rows_of(invoke("probe", made, *told, *QUICK, code=0))
        assert int(row["n"]) + int(row["n_train"]) == 90
        assert float(row["value"]) > 0.9

    def test_numbers_without_a_value_are_left_out(self, made, tmp_path, invoke):
        size = np.where(np.arange(120) % 5 == 0, np.nan, np.arange(120) % 3 * 1.5)
        table = tmp_path / "t.parquet"
        pq.write_table(pa.table({"example_id": np.arange(120), "size": size}), table)
        told = ("--columns", table, "--target", "size")
        (row,) = rows_of(invoke("probe", made, *told, *QUICK, code=0))
        assert int(row["n"]) + int(row["n_train"]) == 96
        assert float(row["value"]) > 0.8

    def test_text_is_no_number_and_the_column_is_named(self, made, tmp_path, invoke):
        table = tmp_path / "t.csv"
        table.write_text("example_id,kind\n" + "".join(f"{i},w{i % 3}\n" for i in range(120)))
        told = ("--columns", table, "--target", "kind", "--task", "numbers")
        error = invoke("probe", made, *told, code=2).stderr
        assert "`kind` in" in error
        assert "has `w0`, which is no number" in error

    def test_a_wider_reader_learns_more_of_a_task_that_is_not_there(self, tmp_path, invoke):
        r = np.random.default_rng(4)
        x = r.standard_normal((400, 12))
        path = write(
            tmp_path / "x.safetensors",
            x=x,
            _at_label=(x[:, 0] > 0).astype(int),
            _at_example_id=np.arange(400),
        )
        readers = [f"mlp:hidden={one}" for one in (1, 8, 128)]
        told = [word for one in readers for word in ("--reader", one)]
        more = ("--penalty", "0.01", "--controls", "4", "--orders", "0", "-f", "csv")
        rows = rows_of(invoke("probe", path, *told, *more, code=0))
        control = [float(row["control"]) for row in rows]
        assert control[0] < control[1] < control[2]
        assert float(rows[2]["selectivity"]) < float(rows[0]["selectivity"])

    def test_groups_are_on_one_side_so_that_remembering_them_is_of_no_use(self, tmp_path, invoke):
        r = np.random.default_rng(5)
        group = np.repeat(np.arange(60), 4)
        x = r.standard_normal((60, 6))[group] + 0.05 * r.standard_normal((240, 6))
        y = r.integers(0, 2, 60)[group]
        path = write(tmp_path / "g.safetensors", x=x, _at_label=y, _at_example_id=np.arange(240))
        table = tmp_path / "t.csv"
        lines = "".join(f"{i},{one}\n" for i, one in enumerate(group))
        table.write_text("example_id,who\n" + lines)
        told = ("--reader", "knn:neighbours=1", *QUICK)
        (free,) = rows_of(invoke("probe", path, *told, code=0))
        more = ("--columns", table, "--groups", "who")
        (held,) = rows_of(invoke("probe", path, *told, *more, code=0))
        assert float(free["value"]) > 0.95
        assert float(held["value"]) < 0.75


class TestExamplesElsewhere:
    def test_identifiers_that_both_have_tell_who_was_trained_on(self, made, tmp_path, invoke):
        other = three_classes(tmp_path / "b.safetensors", seed=1)
        result = invoke("probe", made, "--test-on", other, *QUICK, code=0)
        assert CANNOT not in result.stderr
        test, there = rows_of(result)
        assert there["n"] == test["n"]  # the same identifiers: only the test part is new

    @pytest.mark.parametrize("lacking", ["a", "b"])
    def test_without_identifiers_it_is_said_that_nobody_can_tell(self, tmp_path, invoke, lacking):
        made, other = (
            three_classes(tmp_path / f"{one}.safetensors", seed=one == "b", ids=one != lacking)
            for one in "ab"
        )
        result = invoke("probe", made, "--test-on", other, *QUICK, code=0)
        assert f"{lacking}.safetensors` has no `@example_id`: {CANNOT}" in result.stderr
        assert int(rows_of(result)[1]["n"]) == 120

    def test_readers_applied_where_nobody_can_tell_say_so(self, made, tmp_path, invoke):
        probes, other = tmp_path / "p.safetensors", tmp_path / "b.safetensors"
        three_classes(other, seed=1, ids=False)
        invoke("probe", made, "--probes", probes, *QUICK, code=0)
        result = invoke("probe", other, "--apply", probes, "-f", "csv", code=0)
        assert f"b.safetensors` has no `@example_id`: {CANNOT}" in result.stderr
        assert int(rows_of(result)[0]["n"]) == 120
        same = invoke("probe", made, "--apply", probes, "-f", "csv", code=0)
        assert CANNOT not in same.stderr


class TestEpisodes:
    def test_a_row_beside_those_of_other_readers(self, made, invoke):
        told = ("--reader", "prototype", "--reader", "prototype:way=2,shot=3,episodes=50")
        rows = rows_of(invoke("probe", made, *told, *QUICK, code=0))
        assert [row["reader"] for row in rows] == [
            "prototype",
            "prototype:way=2,shot=3,episodes=50",
        ]
        assert float(rows[1]["value"]) > 0.95
        assert (rows[1]["baseline"], rows[1]["penalty"]) == ("0.5", "")
        assert "50 episodes" in rows[1]["note"]

    def test_there_is_no_reader_of_theirs_to_keep(self, made, tmp_path, invoke):
        told = ("--reader", "prototype:way=2", "--probes", tmp_path / "p.safetensors")
        error = invoke("probe", made, *told, code=2).stderr
        assert "each episode of `prototype:way=2,shot=1` has prototypes of its own" in error
        assert not (tmp_path / "p.safetensors").exists()

    def test_more_classes_than_there_are_are_refused(self, made, invoke):
        error = invoke("probe", made, "--reader", "prototype:way=5", code=2).stderr
        assert "`--reader prototype:way=5,shot=1` wants 5 classes, `@label` has 3" in error


class TestNamesOfOtherCaptures:
    def test_each_has_a_split_of_its_own_whatever_the_files_are_called(
        self, made, tmp_path, invoke, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        others = ("noise/shifted", "blur/shifted", "blur/test", "clear")
        for place, name in enumerate(others):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            three_classes(f"{name}.safetensors", seed=place)
        told = [word for name in others for word in ("--test-on", f"{name}.safetensors")]
        rows = rows_of(invoke("probe", made, *told, *QUICK, "-q", code=0))
        splits = ["test", "noise/shifted", "blur/shifted", "blur/test", "clear"]
        assert [row["split"] for row in rows] == splits


class TestOptions:
    @pytest.mark.parametrize("option", ["--penalty", "--test-share"])
    def test_a_number_that_is_none_is_refused(self, made, invoke, option):
        for value in ("nan", "inf"):
            found = invoke("probe", made, option, value, *QUICK, code=2)
            assert f"invalid value for `{option}`" in found.stderr

    def test_a_target_that_is_named_twice_is_read_once(self, made, invoke):
        rows = rows_of(invoke("probe", made, *("--target", "@label") * 2, *QUICK, code=0))
        assert [row["target"] for row in rows] == ["@label"]
