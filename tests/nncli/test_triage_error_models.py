"""Error models: what they expect, and that none judges a case that it saw."""

import numpy as np
import pytest

from nncli.errors import ArtifactError
from nncli.triage import error_models
from nncli.triage.error_models import cross_fitted
from nncli.triage.parts import REPORT, deal, divide_cases


def world(n=1500, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    rate = 1 / (1 + np.exp(1.0 - 1.5 * x[:, 0]))
    return x, rate, rng.binomial(5, rate) / 5


def test_expected_shares_are_near_the_rates_they_came_from():
    x, rate, loss = world(4000)
    fold = divide_cases(4000, None, report=0.5, folds=5, seed=0, source="r")
    judged = cross_fitted(x, loss, fold)
    assert np.abs(judged.loss - rate).mean() < 0.02
    assert judged.note is None


def test_with_a_penalty_that_is_known_it_is_the_regression_of_scikit_learn(monkeypatch):
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(error_models, "_penalty", lambda *_: 3.0)
    x, _, loss = world(400)
    fold = np.where(np.arange(400) < 300, 0, REPORT)
    found = cross_fitted(x, loss, np.where(fold == REPORT, REPORT, np.arange(400) % 2)).loss
    seen = np.flatnonzero(fold == 0)
    scaled = (x - x[seen].mean(axis=0)) / x[seen].std(axis=0)
    # a share is a right and a wrong case with weights
    rows, y = np.concatenate([scaled[seen]] * 2), np.repeat([1, 0], 300)
    weight = np.concatenate([loss[seen], 1 - loss[seen]])
    peer = LogisticRegression(C=1 / 3.0, tol=1e-10, max_iter=5000).fit(rows, y, weight)
    expected = peer.predict_proba(scaled[300:])[:, 1]
    assert np.allclose(found[300:], expected, atol=2e-4)


def test_what_a_case_costs_has_no_say_in_what_is_expected_of_it():
    x, _, loss = world(300)
    fold = divide_cases(300, None, report=0.3, folds=4, seed=1, source="r")
    before = cross_fitted(x, loss, fold).loss
    for case in (int(np.flatnonzero(fold == 2)[0]), int(np.flatnonzero(fold == REPORT)[0])):
        other = loss.copy()
        other[case] = 1 - other[case]
        after = cross_fitted(x, other, fold).loss
        same = fold == fold[case]
        assert np.array_equal(before[same], after[same])


def test_nothing_is_learnt_from_the_cases_of_the_report():
    x, _, loss = world(300)
    fold = divide_cases(300, None, report=0.5, folds=4, seed=1, source="r")
    other = np.where(fold == REPORT, 1 - loss, loss)
    assert np.array_equal(cross_fitted(x, loss, fold).loss, cross_fitted(x, other, fold).loss)


def test_where_nobody_errs_nothing_is_fitted_and_that_is_said():
    x, _, _ = world(60)
    judged = cross_fitted(x, np.zeros(60), np.arange(60) % 3)
    assert (judged.loss == 0).all()
    assert judged.note == "the loss is 0 everywhere"


def test_more_features_than_cases_are_no_difficulty():
    rng = np.random.default_rng(0)
    judged = cross_fitted(rng.standard_normal((40, 100)), rng.random(40), np.arange(40) % 4)
    assert ((judged.loss > 0) & (judged.loss < 1)).all()


def test_a_constant_feature_says_nothing():
    x, _, loss = world(200)
    fold = np.arange(200) % 4
    more = np.column_stack([x, np.full(200, 7.0)])
    assert np.allclose(
        cross_fitted(x, loss, fold).loss, cross_fitted(more, loss, fold).loss, atol=1e-5
    )


def test_shares_of_the_parts_are_kept_and_every_case_is_in_one():
    fold = divide_cases(1000, None, report=0.4, folds=3, seed=0, source="r")
    sizes = np.bincount(fold + 1)
    assert sizes[0] == pytest.approx(400, abs=1)
    assert sizes[1:].tolist() == pytest.approx([200, 200, 200], abs=1)


def test_all_cases_are_for_both_where_that_is_asked_for():
    fold = divide_cases(100, None, report=1.0, folds=5, seed=0, source="r")
    assert np.bincount(fold).tolist() == [20] * 5


def test_what_belongs_together_is_in_one_part():
    rng = np.random.default_rng(0)
    together = rng.integers(0, 40, 500)
    fold = divide_cases(500, together, report=0.5, folds=4, seed=3, source="r")
    for one in np.unique(together):
        assert len(np.unique(fold[together == one])) == 1
    assert len(np.unique(fold)) == 5


def test_the_parts_depend_on_the_seed_alone():
    told = {"report": 0.5, "folds": 4, "source": "r"}
    one = divide_cases(90, None, seed=0, **told)
    assert np.array_equal(one, divide_cases(90, None, seed=0, **told))
    assert not np.array_equal(one, divide_cases(90, None, seed=1, **told))


def test_too_few_cases_are_refused_with_their_number():
    with pytest.raises(
        ArtifactError, match=r"`r` has 5 independent cases .* for 5 folds and a part"
    ):
        divide_cases(5, None, report=0.5, folds=5, seed=0, source="r")
    with pytest.raises(ArtifactError, match="has 2 independent cases"):
        divide_cases(90, np.arange(90) % 2, report=0.5, folds=2, seed=0, source="r")


def test_every_side_gets_something_as_long_as_there_is_enough():
    units = np.repeat(np.arange(4), [97, 1, 1, 1])
    side = deal(units, [0.5, 0.25, 0.25], np.random.default_rng(0))
    assert np.unique(side).tolist() == [0, 1, 2]
