"""Splits: chosen on some cases, reported on others, in every order."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from nncli.errors import UsageError
from nncli.triage.answers import Answers, read_answers
from nncli.triage.costs import Prices, priced_answers, priced_readings
from nncli.triage.curves import Cases
from nncli.triage.parts import REPORT, divide_cases
from nncli.triage.split_curves import curves_of
from nncli.triage.split_rows import mean_row, subgroup_rows, summary_rows
from nncli.triage.splits import (
    DIFFERENCE,
    ORACLE,
    RANDOM,
    Order,
    World,
    choose_splits,
    most_promising,
    orders_of,
)
from nncli.triage.world import People, Terms, build_world


def simulated(n, seed, report=0.5):
    """A model that errs with a^2, people who err with t^2, and scores that say a and t."""
    rng = np.random.default_rng(seed)
    a, t = rng.random((2, n))
    cases = Cases((rng.random(n) < a**2).astype(float), rng.binomial(4, t**2) / 4)
    orders = tuple(orders_of(a, a**2, t**2, cases))
    fold = divide_cases(n, None, report=report, folds=2, seed=seed, source="r")
    return World(cases, cases, fold, orders), a, t


def rows_of(world, **told):
    splits = choose_splits(world)
    rows = summary_rows(world, splits, priced=False, **{"draws": 100, "seed": 0, **told})
    return {row["order"]: row for row in rows}


def test_splits_are_chosen_without_the_cases_of_the_report():
    world, _, _ = simulated(400, 0)
    kept = world.fold == REPORT
    other = Cases(
        np.where(kept, 1 - world.error.machine, world.error.machine),
        np.where(kept, 1 - world.error.human, world.error.human),
    )
    changed = World(other, other, world.fold, world.orders[:-1])
    before = [one.threshold for one in choose_splits(world)[:-1]]
    assert before == [one.threshold for one in choose_splits(changed)]
    assert [one.promised for one in choose_splits(changed)] == [
        one.promised for one in choose_splits(world)[:-1]
    ]


def test_what_is_reported_is_what_the_rule_loses_on_the_cases_of_the_report():
    world, a, _ = simulated(500, 1)
    row = rows_of(world)["confidence"]
    here = world.reported_on
    automated = a[here] <= row["threshold"]
    lost = np.where(automated, world.error.machine[here], world.error.human[here])
    assert row["error"] == pytest.approx(lost.mean(), abs=1e-15)
    assert row["fraction"] == pytest.approx(automated.mean())
    assert row["n"] == 250


def test_people_alone_and_the_model_alone_are_the_ends():
    world, _, _ = simulated(300, 2)
    rows, here = rows_of(world), world.reported_on
    assert rows["all-human"]["error"] == world.error.human[here].mean()
    assert rows["all-algorithm"]["error"] == world.error.machine[here].mean()
    for one in curves_of(world, choose_splits(world), priced=False):
        assert one["error"][0] == world.error.human[here].mean()
        assert one["error"][-1] == pytest.approx(world.error.machine[here].mean(), abs=1e-15)
        assert len(one["error"]) == len(here) + 1


def test_the_oracle_is_the_lower_envelope_and_is_marked():
    world, _, _ = simulated(300, 3)
    splits = choose_splits(world)
    curves = {
        split.order.name: one["error"]
        for split, one in zip(splits, curves_of(world, splits, priced=False), strict=True)
    }
    for one in curves.values():
        assert (curves[ORACLE] <= one + 1e-12).all()
    row = rows_of(world)[ORACLE]
    assert row["note"] == "not attainable"
    assert row["normalised"] == pytest.approx(1)
    assert rows_of(world)[RANDOM]["normalised"] == 0


def test_choosing_on_the_cases_of_the_report_has_to_be_asked_for_and_is_noted():
    world, _, _ = simulated(300, 4, report=1.0)
    rows = rows_of(world)
    assert rows[DIFFERENCE]["note"] == "chosen on the cases of the report"
    assert rows[DIFFERENCE]["error"] == pytest.approx(rows[DIFFERENCE]["optimum"])
    assert rows[DIFFERENCE]["n"] == 300
    assert rows_of(simulated(300, 4)[0])[DIFFERENCE]["note"] is None


def test_the_optimum_of_the_report_is_optimistic_and_the_chosen_split_is_not():
    gaps = []
    for seed in range(60):
        world, a, t = simulated(200, seed)
        row = rows_of(world, draws=0)[DIFFERENCE]
        score = a**2 - t**2
        truth = np.where(score <= row["threshold"], a**2, t**2)
        fresh = truth[world.reported_on].mean()
        gaps.append((row["error"] - fresh, row["optimum"] - fresh))
    chosen, optimum = np.mean(gaps, axis=0)
    assert abs(chosen) < 3 * np.std([one for one, _ in gaps]) / np.sqrt(60)
    assert optimum < -0.005


def test_intervals_of_the_chosen_split_and_its_gain_hold_the_truth_in_95_of_100_worlds():
    rng = np.random.default_rng(0)
    many_a, many_t = rng.random((2, 50_000))
    covered = np.zeros(2)
    worlds = 600  # of 150 cases of the report
    for seed in range(worlds):
        world, _, _ = simulated(300, seed)
        one = [order for order in world.orders if order.name == DIFFERENCE]
        row = rows_of(replace(world, orders=tuple(one)), draws=0)[DIFFERENCE]
        threshold = row["threshold"]
        truth = np.where(many_a**2 - many_t**2 <= threshold, many_a**2, many_t**2).mean()
        covered[0] += row["low"] <= truth <= row["high"]
        covered[1] += row["gain_low"] <= 1 / 3 - truth <= row["gain_high"]
    assert (covered / worlds >= 0.93).all()
    assert (covered / worlds <= 0.97).all()


def test_the_interval_of_a_gain_is_that_of_a_paired_t_test():
    world, a, t = simulated(300, 11)
    row, here = rows_of(world, draws=0)[DIFFERENCE], world.reported_on
    automated = (a**2 - t**2)[here] <= row["threshold"]
    error = world.error.some(here)
    ends = [error.human, error.machine]
    before = world.error.some(world.chosen_on)
    end = ends[int(before.machine.mean() < before.human.mean())]
    gained = end - np.where(automated, error.machine, error.human)
    found = ttest_1samp(gained, 0).confidence_interval()
    assert (row["gain"], row["gain_low"], row["gain_high"]) == pytest.approx(
        (gained.mean(), found.low, found.high), abs=1e-14
    )


def test_a_rule_that_changes_no_case_of_the_report_may_change_others():
    # the one case that the rule automates is not among those of the report
    human = (np.arange(40) == 0).astype(float)
    cases = Cases(1 - human, human)
    fold = np.where(np.arange(40) < 20, 0, REPORT)
    score = np.arange(40.0) + 1
    score[0] = 0.0
    world = World(cases, cases, fold, (Order("confidence", score),))
    row = rows_of(world, draws=0)["confidence"]
    assert (row["gain"], row["fraction"]) == (0, 0)
    share = proportion_of_none(20)
    assert (row["gain_low"], row["gain_high"]) == pytest.approx((-share, share))


def test_a_rule_that_is_people_alone_gains_nothing_for_sure():
    cases = Cases(np.ones(40), np.tile([0.0, 0.5], 20))
    fold = np.where(np.arange(40) < 20, 0, REPORT)
    world = World(cases, cases, fold, (Order("confidence", np.arange(40.0)),))
    row = rows_of(world, draws=0)["confidence"]
    assert (row["gain"], row["gain_low"], row["gain_high"]) == (0, 0, 0)


def proportion_of_none(n):
    """The upper end of Wilson's interval for none of n."""
    return binomtest(0, n).proportion_ci(method="wilson").high


def test_permuting_cases_changes_nothing():
    world, a, t = simulated(300, 5)
    turn = np.random.default_rng(0).permutation(300)
    cases = world.error.some(turn)
    orders = tuple(orders_of(a[turn], (a**2)[turn], (t**2)[turn], cases))
    turned = World(cases, cases, world.fold[turn], orders)
    one, other = rows_of(world, draws=0), rows_of(turned, draws=0)
    for name, row in one.items():
        for column in ("error", "low", "high", "fraction", "area", "threshold"):
            assert row.get(column) == pytest.approx(other[name].get(column))


def test_a_random_order_is_a_straight_line_with_the_intervals_of_its_mixtures():
    world, _, _ = simulated(200, 6)
    splits = choose_splits(world)
    place = [one.order.name for one in splits].index(RANDOM)
    curve = curves_of(world, splits, priced=False)[place]
    here = world.reported_on
    for j in (0, 31, 100):
        f = j / 100
        lost = (1 - f) * world.error.human[here] + f * world.error.machine[here]
        mean, low, high = mean_row(lost, world.error.some(here))
        assert (curve["error"][j], curve["low"][j], curve["high"][j]) == pytest.approx(
            (mean, low, high)
        )


def test_where_people_and_the_model_err_alike_no_order_is_better_and_areas_have_no_scale():
    same = np.tile([0.0, 1.0], 50)
    cases = Cases(same, same)
    order = Order("confidence", np.linspace(0, 1, 100))
    row = rows_of(World(cases, cases, np.arange(100) % 3 - 1, (order,)))["confidence"]
    assert row["normalised"] is None
    assert row["note"] == "no order is better than another"
    assert row["gain"] == pytest.approx(0)


def test_subgroups_add_up_to_all_cases():
    world, a, _ = simulated(600, 7)
    site = np.where(a < 0.3, "north", "south").tolist()
    splits = choose_splits(world)
    whole = {
        row["order"]: row for row in summary_rows(world, splits, priced=False, draws=0, seed=0)
    }
    parts = {}
    for row in subgroup_rows(world, splits, {"site": site}, priced=False):
        parts.setdefault(row["order"], []).append(row)
    for name, rows in parts.items():
        assert sum(row["n"] for row in rows) == whole[name]["n"]
        for column in ("error", "fraction"):
            mean = sum(row["n"] * row[column] for row in rows) / whole[name]["n"]
            assert mean == pytest.approx(whole[name][column])


def test_a_subgroup_without_a_case_of_the_report_has_no_number_but_a_note():
    world, _, _ = simulated(100, 8)
    site = ["rest"] * 100
    site[int(world.chosen_on[0])] = "lone"
    rows = subgroup_rows(world, choose_splits(world), {"site": site}, priced=False)
    lone = [row for row in rows if row["subgroup"] == "lone"]
    assert lone
    assert all(row["n"] == 0 and "error" not in row for row in lone)
    assert {row["note"] for row in lone} == {"no case of the report"}


def test_one_case_alone_has_no_interval_and_says_so():
    cases = Cases(np.array([0.0, 1.0, 1.0]), np.array([0.5, 0.0, 0.0]))
    world = World(cases, cases, np.array([0, 1, REPORT]), (Order("confidence", np.arange(3.0)),))
    for row in rows_of(world).values():
        assert row["low"] is None
        assert "one independent case has no interval" in row["note"]


def test_the_split_that_promises_most_is_never_the_oracle():
    world, _, _ = simulated(300, 9)
    splits = choose_splits(world)
    promised = [one.promised for one in splits if one.order.attainable]
    assert most_promising(splits).promised == min(promised)
    with pytest.raises(UsageError, match="the oracle knows what nobody knows"):
        most_promising([one for one in splits if one.order.name == ORACLE])


def test_answers_of_every_form_say_the_same():
    logits = np.random.default_rng(0).standard_normal((50, 4))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = np.arange(50) % 4
    found = [
        read_answers("logits", logits),
        read_answers("probs", p),
        read_answers("logprobs", np.log(p)),
    ]
    for one in found:
        assert np.array_equal(one.predicted, p.argmax(axis=1))
        assert np.allclose(one.doubt, 1 - p.max(axis=1))
        assert np.allclose(one.losses(label, "probability"), 1 - p[np.arange(50), label])
        assert np.array_equal(
            one.losses(label, "zero-one"), (p.argmax(axis=1) != label).astype(float)
        )
    lead = read_answers("scores", logits).doubt
    assert np.array_equal(np.argsort(lead), np.argsort(-np.diff(np.sort(logits)[:, -2:])[:, 0]))


def test_classes_and_hits_have_no_doubt_and_no_features():
    classes = read_answers("pred", np.array([1, 0]))
    assert classes.doubt is None
    assert classes.features() is None
    hits = read_answers("p_correct", np.array([0.25, 1.0]))
    assert hits.losses(None, "zero-one").tolist() == [0.75, 0.0]
    with pytest.raises(UsageError, match="needs probabilities"):
        classes.losses(np.array([0, 0]), "probability")


def answered(n=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2))
    label = np.zeros(n, np.int64)
    right = 1 / (1 + np.exp(-(1 + x[:, 0])))
    predicted = (rng.random(n) > right).astype(np.int64)
    sure = np.clip(np.where(predicted == 0, right, 1 - right), 0.05, 0.95)
    p = np.where(predicted[:, None] == [0, 1], sure[:, None], 1 - sure[:, None])
    counts = rng.binomial(5, 1 / (1 + np.exp(1 + 2 * x[:, 1])))
    return x, p, People(np.column_stack([5 - counts, counts]), None, label), x


def test_with_features_that_tell_where_people_err_the_difference_beats_confidence():
    x, p, people, _ = answered(2400)
    fold = divide_cases(2400, None, report=0.5, folds=2, seed=0, source="r")
    world, reader = build_world(
        read_answers("probs", p), people, x, Terms(), fold, together=None, seed=0
    )
    rows = rows_of(world)
    assert rows[DIFFERENCE]["normalised_low"] > rows["confidence"]["normalised_high"]
    assert rows["human-error"]["error"] < rows["all-human"]["error"]
    assert np.corrcoef(reader, 1 / (1 + np.exp(1 + 2 * x[:, 1])))[0, 1] > 0.97


def test_orders_that_cannot_be_had_are_refused_with_the_reason():
    people = People(None, np.full(40, 0.5), None)
    fold = np.arange(40) % 4 - 1
    hits = Answers(None, None, None, np.tile([0.0, 1.0], 20))
    world, reader = build_world(hits, people, None, Terms(), fold, together=None, seed=0)
    assert [one.name for one in world.orders] == [RANDOM, ORACLE]
    assert reader is None
    for name, why in (("confidence", "without confidence"), (DIFFERENCE, "`--features` brings")):
        with pytest.raises(UsageError, match=why):
            build_world(hits, people, None, Terms(), fold, together=None, seed=0, wanted=[name])
    more = People(None, np.full(40, 0.5), None, readers=3)
    with pytest.raises(UsageError, match="`--readers 3` needs readings"):
        build_world(hits, more, None, Terms(), fold, together=None, seed=0)


def test_where_all_people_are_right_that_is_said_and_the_rest_goes_on():
    x, p, _, _ = answered()
    people = People(np.tile([5, 0], (400, 1)), None, np.zeros(400, np.int64))
    fold = np.arange(400) % 4 - 1
    world, _ = build_world(
        read_answers("probs", p), people, x, Terms(), fold, together=None, seed=0
    )
    rows = rows_of(world)
    assert rows["all-human"]["error"] == 0
    assert rows["all-human"]["high"] > 0
    assert "people: the loss is 0 everywhere" in rows["human-error"]["note"]
    assert rows[DIFFERENCE]["fraction"] < 0.2


def test_prices_move_the_optimum_to_where_money_is_least():
    x, p, people, _ = answered(600)
    fold = divide_cases(600, None, report=0.5, folds=2, seed=0, source="r")
    told = {"together": None, "seed": 0}
    answers = read_answers("probs", p)
    free, _ = build_world(answers, people, x, Terms(prices=Prices(10, 10, 0, 0)), fold, **told)
    dear, _ = build_world(answers, people, x, Terms(prices=Prices(10, 10, 0, 5)), fold, **told)
    plain, _ = build_world(answers, people, x, Terms(), fold, **told)
    shares = []
    for world in (plain, free, dear):
        split = next(one for one in choose_splits(world) if one.order.name == DIFFERENCE)
        shares.append(split.automated / 300)
    assert shares[0] == shares[1]
    assert shares[2] > shares[1]
    rows = summary_rows(dear, choose_splits(dear), priced=True, draws=100, seed=0)
    by = {row["order"]: row for row in rows}
    assert by["all-human"]["cost"] == pytest.approx(5 + 10 * by["all-human"]["error"])
    assert by["all-algorithm"]["cost"] == pytest.approx(10 * by["all-algorithm"]["error"])
    assert by[ORACLE]["cost"] <= min(row["cost"] for row in rows) + 1e-12
    better = min(by["all-human"]["cost"], by["all-algorithm"]["cost"])
    assert by[DIFFERENCE]["gain"] == pytest.approx(better - by[DIFFERENCE]["cost"])


def test_kinds_of_mistakes_have_prices_of_their_own():
    prices = np.array([[0.0, 1.0], [7.0, 0.0]])
    label = np.array([0, 1, 1])
    assert priced_answers(np.array([1, 0, 1]), label, prices).tolist() == [1, 7, 0]
    counts = np.array([[1, 1], [2, 2], [0, 5]])
    assert priced_readings(counts, label, prices).tolist() == [0.5, 3.5, 0]


def test_the_frontier_of_error_against_cost_leaves_the_oracle_out():
    world, _, _ = simulated(200, 10)
    money = Cases(world.error.machine, world.error.human + 0.3)
    priced = World(world.error, money, world.fold, world.orders)
    splits = choose_splits(priced)
    found = curves_of(priced, splits, priced=True)
    points = [
        (error, cost, best, split.order.attainable)
        for split, one in zip(splits, found, strict=True)
        for error, cost, best in zip(one["error"], one["cost"], one["frontier"], strict=True)
    ]
    for error, cost, best, attainable in points:
        if best:
            assert attainable
            assert not any(
                e <= error and c <= cost and (e < error or c < cost)
                for e, c, _, fits in points
                if fits
            )


def test_a_vote_of_several_readers_errs_less_than_one():
    _, _, people, _ = answered()
    three = People(people.counts, None, people.label, readers=3)
    assert three.errors().mean() < people.errors().mean()
    everybody = People(people.counts, None, people.label, readers=50)
    vote = np.where(people.counts[:, 1] * 2 == 5, 0.5, people.counts[:, 1] > 2.5)
    assert everybody.errors() == pytest.approx(vote)
