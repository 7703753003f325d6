"""Curves of a team of model and people: known answers, bounds and coverage."""

import itertools
import math

import numpy as np
import pytest
from triage_world import reference_world

from nncli.triage.bootstrap import draw_curves, percentiles
from nncli.triage.curves import (
    Cases,
    Threshold,
    area,
    best_threshold,
    efficient,
    intervals,
    normalised_area,
    order_by,
    team_errors,
    team_standard_errors,
    threshold_splits,
)


def random_cases(n, seed, *, shares=True):
    rng = np.random.default_rng(seed)
    machine = (rng.random(n) < 0.3).astype(float)
    human = rng.integers(0, 6, n) / 5 if shares else (rng.random(n) < 0.25).astype(float)
    return Cases(machine, human), rng


def test_reference_values_of_the_curve_by_confidence_and_of_the_oracle():
    label, p, readings = reference_world()
    cases = Cases(
        ((p > 0.5).astype(int) != label).astype(float), (readings != label[:, None]).mean(axis=1)
    )
    errors = team_errors(cases, order_by(1 - np.maximum(p, 1 - p)))
    assert errors[0] == pytest.approx(0.13073333333333334, abs=1e-15)
    assert errors[-1] == pytest.approx(0.17166666666666666, abs=1e-15)
    assert errors.min() == pytest.approx(0.09853333333333297, abs=1e-12)
    assert errors.argmin() / 3000 == 0.52
    assert area(errors) == pytest.approx(0.118524933333333, abs=1e-12)
    oracle = team_errors(cases, order_by(cases.machine - cases.human))
    assert oracle.min() == pytest.approx(0.02293333333333554, abs=1e-12)
    assert oracle.argmin() / 3000 == pytest.approx(0.36566666666666664, abs=1e-15)


@pytest.mark.parametrize("seed", range(3))
def test_every_split_is_the_mean_over_who_has_which_case(seed):
    cases, rng = random_cases(23, seed)
    order = rng.permutation(23)
    errors = team_errors(cases, order)
    for j in range(24):
        automated = np.isin(np.arange(23), order[:j])
        assert errors[j] == pytest.approx(np.where(automated, cases.machine, cases.human).mean())


def test_the_ends_are_exactly_people_alone_and_the_model_alone():
    cases, rng = random_cases(100_003, 5)
    for _ in range(3):
        errors = team_errors(cases, rng.permutation(100_003))
        assert errors[0] == cases.human.mean()
        assert errors[-1] == cases.machine.mean()


def test_the_oracle_is_below_every_order_at_every_split():
    cases, _ = random_cases(6, 1)
    oracle = team_errors(cases, order_by(cases.machine - cases.human))
    for order in itertools.permutations(range(6)):
        assert (oracle <= team_errors(cases, np.array(order)) + 1e-15).all()


def test_standard_errors_are_those_of_the_mean_of_every_split():
    cases, rng = random_cases(57, 2)
    order = rng.permutation(57)
    errors = team_errors(cases, order)
    se = team_standard_errors(cases, order, errors)
    for j in range(58):
        automated = np.isin(np.arange(57), order[:j])
        lost = np.where(automated, cases.machine, cases.human)
        assert se[j] == pytest.approx(lost.std(ddof=1) / math.sqrt(57), abs=1e-12)


def test_standard_errors_of_groups_are_those_of_sums_over_groups():
    cases, rng = random_cases(60, 3)
    group = rng.integers(0, 12, 60)
    group = np.unique(group, return_inverse=True)[1]
    grouped = Cases(cases.machine, cases.human, group)
    order = rng.permutation(60)
    errors = team_errors(cases, order)
    se = team_standard_errors(grouped, order, errors)
    count = group.max() + 1
    for j in (0, 1, 17, 45, 60):
        automated = np.isin(np.arange(60), order[:j])
        off = np.where(automated, cases.machine, cases.human) - errors[j]
        sums = np.array([off[group == one].sum() for one in range(count)])
        expected = math.sqrt((sums**2).sum() * count / (count - 1)) / 60
        assert se[j] == pytest.approx(expected, abs=1e-12)


def test_a_group_for_each_case_is_no_group():
    cases, rng = random_cases(40, 4)
    order = rng.permutation(40)
    errors = team_errors(cases, order)
    alone = Cases(cases.machine, cases.human, np.arange(40))
    assert np.allclose(
        team_standard_errors(alone, order, errors), team_standard_errors(cases, order, errors)
    )


def test_one_case_has_no_standard_error_and_no_interval():
    cases = Cases(np.array([1.0]), np.array([0.0]))
    errors = team_errors(cases, np.array([0]))
    assert team_standard_errors(cases, np.array([0]), errors) is None
    low, high = intervals(errors, None, 1)
    assert np.isnan([low, high]).all()


def test_where_nothing_goes_wrong_the_interval_is_that_of_wilson_and_not_empty():
    from scipy.stats import binomtest

    low, high = intervals(np.array([0.0, 1.0]), np.array([0.0, 0.0]), 50)
    for place, hits in enumerate((0, 50)):
        expected = binomtest(hits, 50).proportion_ci(method="wilson")
        assert (low[place], high[place]) == pytest.approx((expected.low, expected.high))


def test_intervals_of_a_split_hold_the_truth_in_95_of_100_worlds():
    # a world where the truth is known: errors with probability a^2 and t^2, cut at a < 0.6
    rng = np.random.default_rng(0)
    truth = 0.6**3 / 3 + 0.4 / 3
    covered = 0
    for _ in range(1500):
        a, t = rng.random((2, 300))
        cases = Cases((rng.random(300) < a**2).astype(float), rng.binomial(3, t**2) / 3)
        order = order_by(a)
        errors = team_errors(cases, order)
        j = int((a <= 0.6).sum())
        low, high = intervals(errors, team_standard_errors(cases, order, errors), 300)
        covered += low[j] <= truth <= high[j]
    assert 0.93 <= covered / 1500 <= 0.97


def test_percentiles_of_draws_hold_the_truth_in_95_of_100_worlds():
    rng = np.random.default_rng(1)
    # people lose 1/3 everywhere, the model a^2: automating a < s loses (1 - s) / 3 + s^3 / 3
    truth_area = 1 / 3 - 1 / 6 + 1 / 12
    covered = 0
    for seed in range(300):
        a, t = rng.random((2, 200))
        cases = Cases(
            (rng.random(200) < a**2).astype(float), (rng.random(200) < t**2).astype(float)
        )
        low, high = percentiles(draw_curves(cases, [order_by(a)], draws=120, seed=seed).area[0])
        covered += low <= truth_area <= high
    assert 0.925 <= covered / 300 <= 0.975


def test_permuting_cases_changes_no_curve():
    cases, rng = random_cases(500, 6)
    score = rng.random(500)
    turn = rng.permutation(500)
    turned = Cases(cases.machine[turn], cases.human[turn])
    assert np.allclose(
        team_errors(cases, order_by(score)), team_errors(turned, order_by(score[turn]))
    )


def test_thresholds_never_part_cases_of_equal_score():
    score = np.array([0.3, 0.1, 0.3, 0.2, 0.1])
    splits = threshold_splits(score, order_by(score))
    assert np.flatnonzero(splits).tolist() == [0, 2, 3, 5]


def test_the_best_threshold_is_the_best_of_all_thresholds_and_automates_least_among_equals():
    for seed in range(20):
        cases, rng = random_cases(40, seed)
        score = rng.integers(0, 8, 40) / 8
        order = order_by(score)
        errors = team_errors(cases, order)
        rule = best_threshold(score, order, errors)
        lost = {
            cut: np.where(score <= cut, cases.machine, cases.human).mean()
            for cut in (-np.inf, *np.unique(score)[:-1], np.inf)
        }
        best = min(lost.values())
        assert np.where(rule.automated(score), cases.machine, cases.human).mean() == pytest.approx(
            best
        )
        least = min(cut for cut, value in lost.items() if value <= best + 1e-12)
        assert rule.score <= least or rule.automated(score).sum() == (score <= least).sum()


def test_rules_of_nobody_and_everybody_are_infinite():
    score, order = np.array([0.1, 0.2]), np.array([0, 1])
    assert best_threshold(score, order, np.array([0.0, 1.0, 1.0])) == Threshold(-np.inf)
    assert best_threshold(score, order, np.array([1.0, 1.0, 0.0])) == Threshold(np.inf)


def test_the_area_of_a_straight_line_is_the_mean_of_its_ends():
    assert area(np.linspace(0.2, 0.6, 11)) == pytest.approx(0.4)


def test_the_normalised_area_is_0_for_chance_1_for_the_oracle_and_undefined_where_they_agree():
    assert normalised_area(0.3, 0.3, 0.1) == 0
    assert normalised_area(0.1, 0.3, 0.1) == 1
    assert normalised_area(0.4, 0.3, 0.1) == pytest.approx(-0.5)
    assert normalised_area(0.3, 0.3, 0.3) is None


@pytest.mark.parametrize("seed", range(5))
def test_the_frontier_holds_what_no_other_split_beats(seed):
    rng = np.random.default_rng(seed)
    error, cost = rng.integers(0, 10, (2, 60)) / 10
    found = efficient(error, cost)
    for one in range(60):
        beaten = (
            (error <= error[one])
            & (cost <= cost[one])
            & ((error < error[one]) | (cost < cost[one]))
        ).any()
        assert not (found[one] and beaten)
        if not beaten:
            same = (error == error[one]) & (cost == cost[one])
            assert found[same].sum() == 1


def draws_by_hand(cases, order, weights):
    """The same sums for one draw, case by case."""
    order = np.repeat(order, weights[order])
    again = Cases(cases.machine[order], cases.human[order])
    return team_errors(again, np.arange(len(order)))


def test_a_draw_is_the_curve_of_the_cases_that_were_drawn():
    cases, rng = random_cases(30, 7)
    order = rng.permutation(30)
    drawn = draw_curves(cases, [order, None], draws=8, seed=3)
    chance = np.random.default_rng([3, 0x626F])
    weights = chance.multinomial(30, np.full(30, 1 / 30), 8)
    for one, weight in enumerate(weights):
        errors = draws_by_hand(cases, order, weight)
        assert drawn.people[one] == pytest.approx(errors[0], abs=1e-6)
        assert drawn.model[one] == pytest.approx(errors[-1], abs=1e-6)
        assert drawn.area[0, one] == pytest.approx(area(errors), abs=1e-6)
        assert drawn.area[1, one] == pytest.approx((errors[0] + errors[-1]) / 2, abs=1e-6)


def test_draws_of_many_cases_in_groups_spread_as_means_do():
    cases, rng = random_cases(40_000, 8)
    order = order_by(rng.random(40_000))
    errors = team_errors(cases, order)
    se = team_standard_errors(cases, order, errors)
    drawn = draw_curves(cases, [order], draws=1000, seed=0)
    assert drawn.people.std() == pytest.approx(se[0], rel=0.08)
    assert drawn.model.std() == pytest.approx(se[-1], rel=0.08)
    assert drawn.model.mean() == pytest.approx(errors[-1], abs=4 * se[-1] / 30)
    assert drawn.area[0].mean() == pytest.approx(area(errors), abs=4 * se[0] / 40)


def test_cases_that_belong_together_are_drawn_together():
    machine = np.repeat([0.0, 1.0], 50)
    grouped = Cases(machine, np.zeros(100), np.repeat([0, 1], 50))
    drawn = draw_curves(grouped, [np.arange(100)], draws=200, seed=0)
    assert set(np.round(drawn.model, 6)) == {0.0, 0.5, 1.0}


def test_draws_are_the_same_for_the_same_seed_and_shared_by_all_orders():
    cases, rng = random_cases(50, 9)
    order = rng.permutation(50)
    one = draw_curves(cases, [order, order], draws=150, seed=4)
    assert np.array_equal(one.area[0], one.area[1])
    assert np.array_equal(one.area, draw_curves(cases, [order, order], draws=150, seed=4).area)
    assert not np.array_equal(one.area, draw_curves(cases, [order, order], draws=150, seed=5).area)
