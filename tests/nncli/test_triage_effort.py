"""Readings spent where they gain most, against every other way to spend them."""

import itertools

import numpy as np
import pytest

from nncli.triage import effort
from nncli.triage.curves import Cases
from nncli.triage.effort import allocate, errors_at, even_errors
from nncli.triage.effort_rows import EVEN, EXPECTED, POOL, effort_rows
from nncli.triage.pools import independent_errors, majority_errors
from nncli.triage.splits import Order, World, choose_splits


def best(errors, budget):
    """The lowest sum of errors over all allocations."""
    n, most = errors.shape
    value = np.where(np.isnan(errors), np.inf, errors)
    return min(
        value[range(n), list(more)].sum()
        for more in itertools.product(range(most), repeat=n)
        if n + sum(more) <= budget
    )


def spent(errors, budget):
    found = allocate(errors, budget)
    assert found.readings.min() >= 1
    assert found.readings.sum() <= budget
    return errors_at(errors, found.readings).sum(), found


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_gains_nothing_better_can_be_done_with_a_small_budget(seed):
    rng = np.random.default_rng(seed)
    errors = rng.random((4, 4))
    for budget in range(4, 17):
        found, made = spent(errors, budget)
        assert made.exact
        assert found == pytest.approx(best(errors, budget), abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_where_gains_fall_greedy_is_best_without_a_programme(seed, monkeypatch):
    monkeypatch.setattr(effort, "SMALL", 0)
    rng = np.random.default_rng(seed)
    falling = np.sort(rng.random((4, 3)), axis=1)[:, ::-1]
    errors = np.column_stack([np.full(4, 2.0), 2 - np.cumsum(falling, axis=1) / 3])
    for budget in range(4, 17):
        found, made = spent(errors, budget)
        assert made.exact
        assert found == pytest.approx(best(errors, budget), abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_where_no_programme_is_solved_the_gap_bounds_what_is_missed(seed, monkeypatch):
    monkeypatch.setattr(effort, "SMALL", 0)
    errors = np.random.default_rng(seed).random((4, 5))
    for budget in range(4, 21):
        found, made = spent(errors, budget)
        lowest = best(errors, budget)
        assert found - made.gap <= lowest + 1e-12
        if made.exact:
            assert found == pytest.approx(lowest, abs=1e-12)


def test_a_second_reader_gains_nothing_so_readings_go_by_twos():
    errors = independent_errors(np.full(3, 0.2), 5)
    assert allocate(errors, 5).readings.tolist().count(3) == 1
    assert allocate(errors, 4).readings.tolist() == [1, 1, 1]


def test_readers_go_where_people_err_sometimes_and_not_where_they_always_or_never_do():
    errors = independent_errors(np.array([0.0, 0.3, 0.9]), 9)
    assert allocate(errors, 9).readings.tolist() == [1, 7, 1]


def test_no_case_gets_more_readers_than_its_pool_has():
    errors = np.array([[0.4, 0.1, np.nan, np.nan], [0.4, 0.3, 0.2, 0.1]])
    assert allocate(errors, 100).readings.tolist() == [2, 4]
    assert errors_at(errors, np.array([4, 4])).tolist() == [0.1, 0.1]


def test_a_budget_below_one_reading_a_case_is_refused():
    with pytest.raises(ValueError, match="does not give every case a reading"):
        allocate(np.ones((3, 2)), 2)


def test_an_even_budget_is_one_reading_each_and_the_rest_by_lot():
    errors = np.array([[0.5, 0.3, 0.1], [0.2, 0.2, np.nan]])
    for budget, expected, spent in ((2, [0.5, 0.2], 2), (3, [0.4, 0.2], 3), (6, [0.1, 0.2], 5)):
        found, readings = even_errors(errors, budget)
        assert found == pytest.approx(expected)
        assert readings == spent


@pytest.mark.parametrize("seed", range(4))
def test_some_cases_share_a_budget_as_if_there_were_no_others(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    errors, among = rng.random((9, 4)), rng.random(9) < 0.6
    among[0] = True
    for limit in (effort.SMALL, 0):
        monkeypatch.setattr(effort, "SMALL", limit)
        for budget in range(int(among.sum()), 30):
            found = allocate(errors, budget, among=among, steps=effort.steps_of(errors))
            alone = allocate(errors[among], budget)
            assert (found.readings[~among] == 0).all()
            assert np.array_equal(found.readings[among], alone.readings)
            assert (found.exact, found.gap) == (alone.exact, pytest.approx(alone.gap))


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    counts = rng.multinomial(5, [0.7, 0.3], 200)
    label = np.zeros(200, int)
    cases = Cases((rng.random(200) < 0.3).astype(float), counts[:, 1] / 5)
    order = Order("confidence", rng.random(200))
    return World(cases, cases, np.zeros(200, int), (order,)), majority_errors(counts, label, 5)


def test_one_reading_a_case_and_nothing_automated_is_people_alone(world):
    made, pools = world
    rows = effort_rows(made, choose_splits(made), pools, made.error.human, per_case=1.0)
    for row in rows:
        if row["automated"] == 0:
            assert row["error"] == pytest.approx(made.error.human.mean())
        if row["automated"] == 200:
            assert row["error"] == pytest.approx(made.error.machine.mean())
            assert row["readings"] == 0


def test_all_points_keep_to_the_same_budget_and_the_bound_is_below_the_others(world):
    made, pools = world
    rows = effort_rows(made, choose_splits(made), pools, made.error.human, per_case=1.5)
    assert all(row["readings"] <= 300 for row in rows)
    by = {(row["allocation"], row["automated"]): row["error"] for row in rows}
    for automated in {row["automated"] for row in rows}:
        assert by[POOL, automated] <= by[EVEN, automated] + 1e-12
        assert by[POOL, automated] <= by[EXPECTED, automated] + 1e-12


def test_a_budget_that_does_not_reach_has_no_error_but_a_note(world):
    made, pools = world
    rows = effort_rows(made, choose_splits(made), pools, None, per_case=0.5)
    assert {row["allocation"] for row in rows} == {EVEN, POOL}
    for row in rows:
        short = row["automated"] < 100
        assert ("error" not in row) == short
        assert (row.get("note") == "the budget does not reach") == short
