"""Readers, partitions, controls and code lengths against theory and scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score

from nncli.errors import ArtifactError, UsageError
from nncli.probing import (
    Effort,
    Settings,
    Task,
    cells,
    choose_readers,
    divide,
    probe,
    target_of,
    together,
)
from nncli.probing.control_tasks import control_values
from nncli.probing.cross_entropy import probabilities
from nncli.probing.description_length import online_code_length
from nncli.probing.features import Training, rotate, standardise
from nncli.probing.logistic import solve
from nncli.probing.partition import duplicates
from nncli.probing.readers import READERS
from nncli.probing.ridge import cross_validate, fit
from nncli.probing.scoring import METRICS, interval, value_of

EPS = float(np.finfo(np.float64).eps)


def gaussian_classes(seed=53, n=1024, d=16, c=4):
    """A linear-Gaussian task with four classes."""
    r = np.random.default_rng(seed)
    w = r.standard_normal((d, c))
    x = r.standard_normal((n, d))
    return x, (x @ w + 1.5 * r.standard_normal((n, c))).argmax(1)


def log_loss(weight, bias, x, y, penalty):
    p = probabilities(x @ weight + bias, "softmax")
    return -np.log(p[np.arange(len(y)), y]).sum() + penalty / 2 * (weight**2).sum()


def task_of(x, y, *, train=0.75, folds=3, targets=None, types=None):
    targets = targets or (target_of(y, "y", source="x"),)
    count = int(train * len(x))
    bounds = tuple(np.linspace(0, count, folds + 1).astype(int).tolist())
    rows = np.arange(len(x))
    return Task(
        x=x.astype(np.float64),
        rounding=EPS,
        train=count,
        folds=bounds,
        targets=targets,
        values=tuple(one.values for one in targets),
        group=rows,
        types=rows % (len(x) // 10) if types is None else types,
    )


def read(task, reader, settings, effort):
    """Probe the one target of a task with one reader."""
    return probe(task, [choose_readers([reader], task.targets[0], settings)], effort)


QUICK = Effort(controls=2, orders=0, resamples=200)


@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_logistic_solutions_have_the_objective_of_scikit_learn(penalty):
    x, y = gaussian_classes()
    found = solve(x, y[None], np.array([penalty]), outputs=4, spectrum=Training(x).spectrum)
    peer = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=5000).fit(x, y)
    wanted = log_loss(peer.coef_.T, peer.intercept_, x, y, penalty)
    assert found.converged
    assert found.value[0] == pytest.approx(wanted, rel=1e-5)
    assert log_loss(found.weight[0], found.bias[0], x, y, penalty) == pytest.approx(
        wanted, rel=1e-5
    )


def test_a_fit_on_few_rows_has_the_log_loss_of_scikit_learn_on_other_rows():
    x, y = gaussian_classes(n=460, d=31)
    fresh, x, known, y = x[150:], x[:150], y[150:], y[:150]
    target = target_of(y.tolist(), "y", source="x")
    for penalty in (0.1, 1.0, 10.0):
        data = Training(x, (0, 50, 100, 150))
        found = READERS["linear"].choose(data, target.values, target, Settings((penalty,)))
        peer = LogisticRegression(C=1 / penalty, tol=1e-12, max_iter=9999).fit(x, y)
        told, wanted = (
            log_loss(weight, bias, fresh, known, 0.0)
            for weight, bias in (
                (found.arrays["weight"], found.arrays["bias"]),
                (peer.coef_.T, peer.intercept_),
            )
        )
        assert told == pytest.approx(wanted, rel=1e-4)


def test_with_two_classes_a_penalty_is_two_over_the_c_of_scikit_learn():
    x, y = gaussian_classes(n=300, c=2)
    told = {"spectrum": Training(x).spectrum, "outputs": 2, "tolerance": 1e-10}
    weight = solve(x, y[None], np.array([3.0]), **told).weight[0]
    peer = LogisticRegression(C=2 / 3.0, tol=1e-10, max_iter=5000).fit(x, y)
    assert np.abs(weight[:, 1] - weight[:, 0] - peer.coef_[0]).max() < 1e-4


def test_problems_that_share_a_matrix_are_those_that_are_solved_alone():
    x, y = gaussian_classes(n=300)
    told = {"spectrum": Training(x).spectrum, "outputs": 4, "tolerance": 1e-10}
    gaps = [slice(0, 100), slice(200, 300), slice(0, 0)]
    together = solve(x, y[None], np.full(3, 2.0), without=gaps, **told)
    for place, gap in enumerate(gaps):
        rows = np.r_[0 : gap.start, gap.stop : 300]
        peer = LogisticRegression(C=0.5, tol=1e-10, max_iter=5000).fit(x[rows], y[rows])
        wanted = peer.coef_.T - peer.coef_.T.mean(axis=1, keepdims=True)
        assert np.abs(together.weight[place] - wanted).max() < 1e-3


def test_what_was_learnt_at_another_penalty_changes_the_steps_and_not_the_solution():
    x, y = gaussian_classes()
    told = {"spectrum": Training(x).spectrum, "outputs": 4, "tolerance": 1e-9}
    strong = solve(x, y[None], np.array([10.0]), **told)
    further = solve(x, y[None], np.array([0.1]), start=strong, **told)
    alone = solve(x, y[None], np.array([0.1]), **told)
    assert further.value[0] == pytest.approx(alone.value[0], rel=1e-8)
    assert further.steps < alone.steps


def test_values_of_its_own_for_each_problem_are_solved_side_by_side():
    x, y = gaussian_classes(n=300)
    several = np.stack([y, y[::-1]])
    told = {"spectrum": Training(x).spectrum, "outputs": 4, "tolerance": 1e-10}
    found = solve(x, several, np.array([1.0, 5.0]), **told)
    for place, (one, penalty) in enumerate(zip(several, (1.0, 5.0), strict=True)):
        peer = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=5000).fit(x, one)
        wanted = log_loss(peer.coef_.T, peer.intercept_, x, one, penalty)
        assert found.value[place] == pytest.approx(wanted, rel=1e-7)


def test_labels_that_go_together_are_as_many_logistic_regressions():
    x, y = gaussian_classes(n=400)
    labels = np.stack([y > 1, y % 2 == 0]).astype(float)
    told = {"spectrum": Training(x).spectrum, "link": "sigmoid", "outputs": 2}
    found = solve(x, labels[None], np.array([1.0]), tolerance=1e-10, **told)
    for place, one in enumerate(labels):
        peer = LogisticRegression(C=1.0, tol=1e-10, max_iter=5000).fit(x, one)
        assert np.abs(found.weight[0][:, place] - peer.coef_[0]).max() < 1e-3


def test_float32_products_give_the_value_to_a_millionth():
    x, y = gaussian_classes()
    told = {"spectrum": Training(x).spectrum, "tolerance": 1e-6, "outputs": 4}
    wide = solve(x, y[None], np.array([1.0]), **told)
    narrow = solve(x.astype(np.float32), y[None], np.array([1.0]), **told)
    assert narrow.value[0] == pytest.approx(wide.value[0], rel=3e-6)


def test_the_penalty_that_inner_folds_choose_is_that_of_the_loop_people_write():
    x, y = gaussian_classes(n=300)
    x = (x - x.mean(0)) / x.std(0)
    data = Training(x, (0, 100, 200, 300))
    settings = Settings(penalties=(0.1, 10.0, 1000.0))
    fitted = READERS["linear"].choose(data, y, target_of(y, "y", source="x"), settings)
    losses = []
    for penalty in settings.penalties:
        loss = 0.0
        for at in (0, 100, 200):
            kept = np.r_[0:at, at + 100 : 300]
            model = LogisticRegression(C=1 / penalty, tol=1e-9, max_iter=5000).fit(x[kept], y[kept])
            held = slice(at, at + 100)
            loss -= model.predict_log_proba(x[held])[np.arange(100), y[held]].sum()
        losses.append(loss)
    assert fitted.penalty == settings.penalties[int(np.argmin(losses))]


def test_ridge_is_the_closed_form():
    x, y = gaussian_classes(n=100)
    targets = np.stack([y, y**2], axis=1).astype(float)
    for penalty in (0.01, 7.0):
        weights, bias = fit(x, targets, [penalty])
        peer = Ridge(alpha=penalty, solver="svd").fit(x, targets)
        assert np.abs(weights[0] - peer.coef_.T).max() < 1e-8
        assert np.abs(bias[0] - peer.intercept_).max() < 1e-8


def test_folds_of_ridge_from_one_gram_matrix_are_those_that_are_fitted_alone():
    x, y = gaussian_classes(n=90)
    targets, penalties = y[:, None].astype(float), [0.5, 50.0]
    errors, whole = cross_validate(Training(x, (0, 30, 60, 90)), targets, penalties)
    weights, _ = whole.fit(penalties)
    for place, penalty in enumerate(penalties):
        wanted = 0.0
        for at in (0, 30, 60):
            kept = np.r_[0:at, at + 30 : 90]
            model = Ridge(alpha=penalty, solver="svd").fit(x[kept], y[kept])
            wanted += ((model.predict(x[at : at + 30]) - y[at : at + 30]) ** 2).sum() / 90
        assert errors[place, 0] == pytest.approx(wanted, rel=1e-8)
        assert np.abs(weights[place][:, 0] - Ridge(alpha=penalty).fit(x, y).coef_).max() < 1e-8


def test_more_features_than_rows_give_the_solution_in_all_features():
    x, y = gaussian_classes(n=60, d=200)
    rows = x.copy()
    scaling = standardise(rows, 60, EPS)
    reduced, told, _ = rotate(rows, 60, scaling)
    assert reduced.shape[1] < 60
    weights, bias = fit(reduced, y[:, None].astype(float), [3.0])
    raw, shift = told.to_features(weights[0], bias[0])
    standard = (x - x.mean(0)) / x.std(0)
    peer = Ridge(alpha=3.0).fit(standard, y)
    assert np.abs(x @ raw[:, 0] + shift[0] - peer.predict(standard)).max() < 1e-8


def test_half_of_the_reference_case_reads_the_other_half_as_well_as_scikit_learn():
    # scikit-learn, C = 1, tol = 1e-10: 0.818359375 of the second half
    x, y = gaussian_classes()
    told = {"outputs": 4, "spectrum": Training(x[:512]).spectrum, "tolerance": 1e-9}
    one = solve(x[:512], y[None, :512], np.array([1.0]), **told)
    answers = (x[512:] @ one.weight[0] + one.bias[0]).argmax(axis=1)
    assert (answers == y[512:]).mean() == 0.818359375


class TestCodeLength:
    def test_the_online_code_of_the_reference_case(self):
        # scikit-learn, C = 1, tol = 1e-10: 851.2682 bits for 2048
        x, y = gaussian_classes()
        target = target_of(y, "y", source="x")

        def answer(seen, new):
            told = {"outputs": 4, "spectrum": Training(x).spectrum, "tolerance": 1e-9}
            one = solve(x[seen], y[None, seen], np.array([1.0]), **told)
            return x[new] @ one.weight[0] + one.bias[0]

        ends = [64, 128, 256, 512, 1024]
        found = online_code_length(y, target, answer, [np.arange(1024)], ends=ends)
        assert found.bits == pytest.approx(851.2682, rel=1e-4)
        assert found.compression == pytest.approx(2.405822, rel=1e-4)

    def test_knowing_nothing_costs_the_uniform_code_and_the_name_of_the_penalty(self):
        y = np.arange(64) % 4
        target = target_of(y, "y", source="x")
        found = online_code_length(
            y,
            target,
            lambda seen, new: np.zeros((len(new), 4)),
            [np.arange(64)],
            ends=[4, 16, 64],
            choices=8,
        )
        assert found.bits == pytest.approx(64 * 2 + 3)

    def test_a_class_never_seen_costs_the_logarithm_of_what_was_seen(self):
        y = np.array([0, 0, 0, 0, 1])
        target = target_of(y, "y", source="x")
        certain = np.array([[50.0, -50.0]])
        found = online_code_length(
            y,
            target,
            lambda seen, new: np.repeat(certain, len(new), 0),
            [np.arange(5)],
            ends=[4, 5],
        )
        assert found.bits == pytest.approx(4 + np.log2(4 + 2))


class TestPartition:
    def test_groups_and_duplicates_are_never_on_both_sides_nor_in_two_folds(self):
        r = np.random.default_rng(0)
        x = r.standard_normal((300, 5))
        x[280:] = x[r.integers(0, 280, 20)] * (1 + 1e-9)
        same = duplicates(lambda: iter([x[:128], x[128:]]), 0, np.zeros(300, np.int64))
        names = r.integers(0, 60, 300)
        group = together([same, names])
        for seed in range(5):
            found = divide(
                group, names % 3, usable=np.ones(300, bool), share=0.25, folds=4, seed=seed,
                source="x",
            )  # fmt: skip
            assert sorted([*found.train, *found.test]) == list(range(300))
            parts = [found.test, *(found.train[a:b] for a, b in zip(found.folds, found.folds[1:]))]  # noqa: B905
            for place, one in enumerate(parts):
                for other in parts[place + 1 :]:
                    assert not set(names[one]) & set(names[other])
                    near = np.abs(x[one][:, None] - x[other][None]).max(axis=2)
                    assert near.min() > 1e-6

    def test_rows_that_differ_little_but_differ_are_different_examples(self):
        x = np.random.default_rng(0).standard_normal((50, 3))
        x[1] = x[0] + 1e-3
        same = duplicates(lambda: iter([x]), 0, np.zeros(50, np.int64))
        assert len(np.unique(same)) == 50

    def test_every_side_has_its_share_of_every_class(self):
        y = np.repeat([0, 1, 2], [100, 60, 20])
        found = divide(
            np.arange(180), y, usable=np.ones(180, bool), share=0.25, folds=5, seed=0, source="x"
        )
        assert np.bincount(y[found.test]).tolist() == [25, 15, 5]
        for a, b in zip(found.folds, found.folds[1:]):  # noqa: B905
            assert np.bincount(y[found.train[a:b]], minlength=3).tolist() == [15, 9, 3]

    @pytest.mark.parametrize("each", [1, 2, 3])
    def test_the_sides_have_their_sizes_where_every_class_is_rare(self, each):
        y = np.arange(600) // each
        found = divide(
            np.arange(600), y, usable=np.ones(600, bool), share=0.25, folds=5, seed=0, source="x"
        )
        assert len(found.test) == pytest.approx(150, rel=0.06)
        assert np.diff(found.folds) == pytest.approx(np.full(5, 90), rel=0.15)

    def test_groups_joined_by_either_column_hang_together(self):
        assert together([["a", "a", "b", "c"], [1, 2, 2, 3]]).tolist() == [0, 0, 0, 1]

    def test_too_few_groups_are_refused(self):
        with pytest.raises(ArtifactError, match="3 groups"):
            divide(
                np.arange(30) % 3, None, usable=np.ones(30, bool), share=0.25, folds=5, seed=0,
                source="x",
            )  # fmt: skip


class TestScores:
    def test_average_precision_is_that_of_scikit_learn(self):
        r = np.random.default_rng(1)
        y = r.integers(0, 2, 200)
        score = np.round(r.standard_normal(200) + y, 1)  # with ties
        target = target_of(y, "y", source="x")
        answers = np.stack([np.zeros(200), score], axis=1)
        found = value_of(METRICS["average-precision"].of(answers, y, target, None), 200)
        assert found == pytest.approx(average_precision_score(y, score))

    def test_the_interval_of_a_mean_is_that_of_the_normal_theory(self):
        r = np.random.default_rng(2)
        y = r.integers(0, 2, 2000)
        answers = np.eye(2)[np.where(r.random(2000) < 0.8, y, 1 - y)]
        target = target_of(y, "y", source="x")
        statistic = METRICS["accuracy"].of(answers, y, target, None)
        found = interval(statistic, np.arange(2000), resamples=2000, seed=0)
        half = 1.96 * np.sqrt(0.8 * 0.2 / 2000)
        assert found.high - found.low == pytest.approx(2 * half, rel=0.08)
        grouped = interval(statistic, np.arange(2000) // 10, resamples=500, seed=0)
        assert grouped.value == found.value

    def test_all_right_has_the_bound_of_clopper_and_pearson(self):
        y = np.arange(20) % 2
        target = target_of(y, "y", source="x")
        statistic = METRICS["accuracy"].of(np.eye(2)[y], y, target, None)
        found = interval(statistic, np.arange(20), resamples=100, seed=0, proportion=True)
        assert (found.value, found.high) == (1.0, 1.0)
        assert found.low == pytest.approx(0.025 ** (1 / 20))


class TestReading:
    def test_on_random_labels_the_interval_holds_chance_and_the_code_does_not_compress(self):
        r = np.random.default_rng(3)
        x, y = r.standard_normal((400, 10)), r.integers(0, 4, 400)
        effort = Effort(controls=2, orders=2, resamples=300)
        (one,) = read(task_of(x, y), "linear", Settings(), effort)
        (row,) = one.rows
        assert row["low"] < 0.25 < row["high"]
        assert row["compression"] < 1.02

    def test_control_accuracy_rises_with_what_a_reader_can_memorise(self):
        r = np.random.default_rng(4)
        x = r.standard_normal((600, 20))
        y = (x[:, 0] > 0).astype(int)
        types = cells(x, 600, least=2, seed=0)
        found = []
        for hidden in (1, 4, 64):
            settings = Settings(penalties=(0.01,), hidden=hidden)
            task = task_of(x, y, types=types)
            (one,) = read(task, "mlp", settings, QUICK)
            found.append(one.rows[0]["control"])
        assert found[0] < found[2]
        assert found[2] > 0.6

    def test_control_labels_depend_on_the_type_alone_and_have_the_frequencies_of_the_task(self):
        types, values = np.arange(3000) // 3, np.repeat([0, 1], [2400, 600])
        for one in control_values(values, types, draws=2, seed=0):
            assert (one.reshape(-1, 3).std(axis=1) == 0).all()
            assert one.mean() == pytest.approx(0.2, abs=0.05)

    @pytest.mark.parametrize("reader", ["linear", "ridge", "knn", "prototype", "mass-mean", "mlp"])
    def test_every_reader_reads_what_is_plain_to_see(self, reader):
        r = np.random.default_rng(5)
        y = r.integers(0, 3, 240)
        x = r.standard_normal((240, 4)) + 8 * np.eye(4)[y]
        (one,) = read(task_of(x, y), reader, Settings(), QUICK)
        row = one.rows[0]
        assert row["value"] > 0.95
        assert row["baseline"] < 0.6
        assert row["selectivity"] == pytest.approx(row["value"] - row["control"])

    @pytest.mark.parametrize("reader", ["ridge", "knn", "mlp"])
    def test_numbers_are_read(self, reader):
        r = np.random.default_rng(6)
        x = r.standard_normal((400, 3))
        y = x[:, 0] * 50 + 1000 + r.standard_normal(400)
        (one,) = read(task_of(x, y), reader, Settings(), QUICK)
        row = one.rows[0]
        assert row["value"] > 0.8
        assert abs(row["baseline"]) < 0.1

    def test_a_layer_that_is_constant_says_so_and_knows_no_more_than_the_majority(self):
        y = np.arange(80) % 2
        (one,) = read(task_of(np.ones((80, 3)), y), "linear", Settings(), QUICK)
        assert one.rows[0]["value"] == one.rows[0]["baseline"] == 0.5
        assert "constant" in one.rows[0]["note"]

    def test_a_class_seen_only_in_the_test_part_is_named_and_has_a_finite_loss(self):
        x, y = gaussian_classes(n=200)
        y = np.where(np.arange(200) < 150, y % 3, 3)
        effort = Effort(controls=1, orders=1, resamples=50, metrics=("accuracy", "log-loss"))
        (one,) = read(task_of(x, y), "linear", Settings(), effort)
        assert one.rows[0]["value"] == 0.0
        assert np.isfinite(one.rows[1]["value"])
        assert "no training example has: 3" in one.rows[0]["note"]

    def test_the_test_part_does_not_change_what_is_fitted(self):
        x, y = gaussian_classes(n=200)
        changed = x.copy()
        changed[150:] *= 100
        found = [
            read(task_of(one, y), "linear", Settings(), QUICK)[0].raw().arrays["weight"]
            for one in (x, changed)
        ]
        assert np.array_equal(*found)

    def test_a_reader_of_raw_features_answers_as_the_fitted_one(self):
        x, y = gaussian_classes(n=200, d=300)
        for reader in ("linear", "knn", "mlp"):
            (one,) = read(task_of(x, y), reader, Settings(), QUICK)
            assert np.abs(one.raw().answers_to_raw(x[150:]) - one.answers).max() < 1e-6


class TestTargets:
    def test_what_a_column_holds_says_what_the_target_is(self):
        assert target_of([1.5, 2.5], "y", source="x").kind == "numbers"
        assert target_of(["b", "a", None], "y", source="x").classes == ("a", "b")
        assert target_of([[0, 1], [1, 0]], "y", source="x").kind == "labels"
        assert target_of([0, 3, 1], "y", source="x").values.tolist() == [0, 3, 1]
        assert target_of([-1, 70], "y", source="x").values.tolist() == [0, 1]
        assert target_of([1, 2], "y", source="x", task="numbers").kind == "numbers"

    def test_missing_values_are_not_known(self):
        assert target_of([1.0, None, float("nan"), 2.0], "y", source="x").known.tolist() == [
            True, False, False, True,
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("values", "task", "message"),
        [
            (["a", "a"], "auto", "one class only"),
            ([None, None], "auto", "no value"),
            (["a", "b"], "numbers", "no number"),
            ([1.0, 1.0], "auto", "everywhere"),
            ([[0, 1], [1]], "auto", "lists of 1 to 2"),
            ([[0, 2], [1, 0]], "auto", "no labels"),
            ([1.0, float("inf")], "auto", "holds inf"),
        ],
    )
    def test_what_cannot_be_read_is_refused_by_the_name_of_the_column(self, values, task, message):
        with pytest.raises((ArtifactError, UsageError), match=message) as error:
            target_of(values, "colour", source="x.parquet", task=task)
        assert "`colour` in `x.parquet`" in error.value.message
