"""Exact questions in floating point: rounded to the safe side, replayed exactly, told in words."""

import math
import random
from fractions import Fraction as F
from itertools import pairwise

import numpy as np
import pytest
import torch

from nncli.errors import ArtifactError, MismatchError, UsageError
from nncli.verification.asking import asked, demand_fit, property_of, rounded
from nncli.verification.directed import above, below, inwards, outwards
from nncli.verification.exact import ExactCase, Limits, Linear
from nncli.verification.neighbourhoods import exact_amounts, robustness
from nncli.verification.replaying import violated, violates
from nncli.verification.wording import condition_words

MAX32 = F(float(np.finfo(np.float32).max))


def numbers(seed, count):
    """Rational numbers of many sizes, some of them numbers of floating point."""
    rng = random.Random(seed)
    found = [F(0), F(1, 3), F(1, 10), F(-1, 10), F(2) ** -1080, -(F(2) ** -1074), F(2) ** 1023]
    for _ in range(count):
        size = F(10) ** rng.randint(-30, 30)
        found.append(F(rng.randint(-(10**18), 10**18), 10**18) * size)
        found.append(F(rng.uniform(-1, 1)))
        found.append(F(float(np.float32(rng.uniform(-1, 1)))))
    return found


@pytest.mark.parametrize("value", numbers(0, 40))
def test_directed_rounding_gives_the_neighbours_of_a_number(value):
    low, high = below(value), above(value)
    assert F(low) <= value <= F(high)
    if F(low) == value:
        assert high == low
    else:
        assert high == math.nextafter(low, math.inf)


def test_beyond_the_range_of_float64_directed_rounding_is_infinite_or_the_greatest_number():
    greatest = float(np.finfo(np.float64).max)
    assert (below(F(10) ** 400), above(F(10) ** 400)) == (greatest, math.inf)
    assert (below(-(F(10) ** 400)), above(-(F(10) ** 400))) == (-math.inf, -greatest)


def pairs(seed, count):
    found = numbers(seed, count)
    return [tuple(sorted(pair)) for pair in pairwise(found)]


def test_outward_limits_hold_the_exact_ones_and_inward_limits_lie_within():
    limits = [pair for pair in pairs(1, 200) if abs(pair[0]) < MAX32 and abs(pair[1]) < MAX32]
    low, high = zip(*limits, strict=True)
    wide, narrow = outwards(low, high), inwards(low, high)
    several = 0
    for place, (least, most) in enumerate(limits):
        assert F(wide[0][place].item()) <= least
        assert F(wide[1][place].item()) >= most
        inner = [narrow[side][place].item() for side in (0, 1)]
        assert all(float(np.float32(one)) == one for one in inner)
        if inner[0] < inner[1]:
            several += 1
            assert least <= F(inner[0]) < F(inner[1]) <= most
            # and no float32 further out would do
            assert F(float(np.nextafter(np.float32(inner[0]), np.float32(-np.inf)))) < least
            assert F(float(np.nextafter(np.float32(inner[1]), np.float32(np.inf)))) > most
    assert several > 100


def test_where_no_float32_lies_between_the_limits_both_inner_ones_are_the_nearest():
    low, high = inwards([F(1, 10), F("0.1000000001")], [F(1, 10), F("0.1000000002")])
    assert low.tolist() == high.tolist() == [float(np.float32(0.1))] * 2


def test_limits_beyond_float32_are_kept_to_its_numbers():
    low, high = inwards([F(-(10**40)), F(10**39)], [F(10**40), F(10**40)])
    assert low.tolist() == [-float(MAX32), float(MAX32)]
    assert high.tolist() == [float(MAX32)] * 2


def test_inner_limits_keep_away_from_strict_limits():
    low, high = inwards([F(0), F(0)], [F(1), F(1)], above_low={0}, below_high={1})
    assert low.tolist() == [float(np.nextafter(np.float32(0), np.float32(1))), 0.0]
    assert high.tolist() == [1.0, float(np.nextafter(np.float32(1), np.float32(0)))]


def random_number(rng):
    kind = rng.random()
    if kind < 0.4:
        return F(rng.randint(-20, 20), rng.choice([1, 2, 4, 8]))
    if kind < 0.8:
        return F(rng.randint(-999, 999), 10 ** rng.randint(0, 6))
    return F(rng.randint(-(10**20), 10**20), rng.randint(1, 10**20))


def random_terms(rng, count):
    chosen = sorted(rng.sample(range(count), rng.randint(0, count)))
    found = ((place, random_number(rng)) for place in chosen)
    return tuple((place, factor) for place, factor in found if factor)


@pytest.mark.parametrize("seed", range(300))
def test_rounded_conditions_hold_wherever_the_exact_ones_do(seed):
    rng = random.Random(seed)
    limits = [sorted((random_number(rng), random_number(rng))) for _ in range(3)]
    box = Limits(*(tuple(one) for one in zip(*limits, strict=True)))
    x_terms, y_terms = random_terms(rng, 3), random_terms(rng, 2)
    for _ in range(20):
        x = [rng.choice([low, high, (low + high) / 3 + low / 3]) for low, high in limits]
        y = [random_number(rng) for _ in range(2)]
        total = sum(factor * x[place] for place, factor in x_terms)
        total += sum(factor * y[place] for place, factor in y_terms)
        # moved so that the exact condition just holds
        here = rounded("p", Linear(x_terms, y_terms, -total), box)
        found = sum(F(factor) * x[place] for place, factor in here.inputs) + F(here.constant)
        found += sum(F(factor) * y[place] for place, factor in here.outputs)
        # what factors of outputs that are not exact are off by
        room = sum(abs(F(factor) * y[place]) for place, factor in here.outputs) / 2**53
        assert found >= -room
        if not is_scaled_exactly(y_terms, here.outputs):
            continue
        assert found >= 0


def is_scaled_exactly(exact, found):
    """Whether the factors are exact up to one common positive scale."""
    scales = {F(have) / want for (_, want), (_, have) in zip(exact, found, strict=True)}
    return len(scales) <= 1


def test_decimal_factors_of_outputs_are_made_exact_by_scaling():
    box = Limits((F(0),), (F(1),))
    row = rounded("p", Linear((), ((0, F(1, 10)), (1, F(-3, 10))), F(7, 10)), box)
    scale = F(row.outputs[0][1]) * 10
    assert [F(factor) for _, factor in row.outputs] == [scale / 10, -scale * 3 / 10]
    assert 1 <= scale < 2 * 10
    assert F(row.constant) >= scale * F(7, 10)
    assert F(math.nextafter(row.constant, -math.inf)) < scale * F(7, 10)


def test_factors_with_a_common_divisor_that_is_not_exact_are_made_exact():
    box = Limits((F(0),), (F(1),))
    third = F(1, 3)
    row = rounded("p", Linear((), ((0, third), (1, -2 * third)), third), box)
    assert row.outputs[1][1] == -2 * row.outputs[0][1]
    assert row.constant == row.outputs[0][1]


def test_conditions_of_plain_factors_are_left_as_they_are():
    box = Limits((F(0),), (F(1),))
    row = rounded("p", Linear((), ((0, F(1)), (1, F(-2))), F(-1, 2)), box)
    assert (row.outputs, row.constant) == (((0, 1.0), (1, -2.0)), -0.5)


@pytest.mark.parametrize(
    "condition",
    [
        Linear((), ((0, F(1)),), F(10) ** 310),
        Linear((), ((0, F(1)), (1, F(10) ** 310))),
        Linear((), ((0, F(1)), (1, F(1, 3 * 10**320)))),
    ],
)
def test_conditions_beyond_the_range_of_float64_are_refused(condition):
    with pytest.raises(ArtifactError, match="too far apart"):
        rounded("p", condition, Limits((F(0),), (F(1),)))


def test_limits_beyond_the_range_of_float64_are_refused():
    case = ExactCase(Limits((F(0),), (F(10) ** 400,)), ())
    with pytest.raises(ArtifactError, match="input 0 are beyond"):
        asked("p", [case], inputs=1, outputs=1)


POSITIVE = (Linear((), ((0, F(1)),)),)


def simple(low="0", high="1", conditions=POSITIVE, **more):
    box = Limits((F(low),), (F(high),), **more)
    return property_of("p", [ExactCase(box, tuple(conditions))], inputs=1, outputs=1)


def point(*values):
    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.parametrize(
    ("question", "x", "y", "expected"),
    [
        (simple(), 0.5, 0.0, True),
        (simple(), 0.5, -1e-30, False),
        (simple(), 0.0, 1.0, True),
        (simple(), 1.0, 1.0, True),
        (simple(), float(np.nextafter(np.float32(1), np.float32(2))), 1.0, False),
        (simple(), -1e-40, 1.0, False),
        (simple(above=frozenset({0})), 0.0, 1.0, False),
        (simple(below=frozenset({0})), 1.0, 1.0, False),
        (simple(conditions=[Linear((), ((0, F(1)),), strict=True)]), 0.5, 0.0, False),
        (simple(conditions=[]), 0.5, -7.0, True),
        (simple(conditions=[Linear(((0, F(1)),), ((0, F(-1)),))]), 0.5, 0.5, True),
        (simple(conditions=[Linear(((0, F(1)),), ((0, F(-1)),))]), 0.5, 0.75, False),
        # 0.1 of float32 is above a tenth
        (simple(high="0.1"), 0.1, 1.0, False),
        (simple(low="0.1"), 0.1, 1.0, True),
        (simple(conditions=[Linear((), ((0, F(1)),), F(-1, 10))]), 0.5, 0.1, True),
        (simple(conditions=[Linear((), ((0, F(-1)),), F(1, 10))]), 0.5, 0.1, False),
        (simple(), 0.5, math.nan, False),
        (simple(), 0.5, math.inf, False),
        (simple(), math.nan, 1.0, False),
    ],
)
def test_replay_compares_exactly(question, x, y, expected):
    assert violates(question, point(x), point(y)) is expected


def test_an_input_whose_limits_hold_no_float32_is_replayed_at_the_nearest_one():
    question = simple("0.1", "0.1")
    assert violates(question, point(0.1), point(1.0))
    assert not violates(question, point(0.1), point(1.0), nearest=False)
    assert not violates(question, np_next(0.1), point(1.0))


def np_next(value):
    return point(float(np.nextafter(np.float32(value), np.float32(2))))


def test_replay_says_which_case_holds():
    box = Limits((F(0),), (F(1),))
    cases = [ExactCase(box, (Linear((), ((place, F(1)),), F(-1)),)) for place in range(3)]
    question = property_of("p", cases, inputs=1, outputs=3)
    assert violated(question, point(0.5), point(0.0, 0.0, 1.0)) == 2
    assert violated(question, point(0.5), point(0.0, 0.0, 0.5)) is None


def test_cases_of_one_box_share_a_region_and_keep_their_order():
    boxes = [Limits((F(at),), (F(at + 1),)) for at in range(2)]
    cases = [ExactCase(boxes[at % 2], (Linear((), ((at, F(1)),)),)) for at in range(4)]
    question = property_of("p", cases, inputs=1, outputs=4)
    regions = [one.region for one in question.violations]
    assert regions[0] is regions[2]
    assert regions[1] is regions[3]
    assert [one.outputs.argmax().item() for one in question.violations] == [0, 1, 2, 3]
    assert all(one.inputs is None for one in question.violations)


def test_conditions_become_rows_of_matrices():
    box = Limits((F(0),) * 2, (F(1),) * 2)
    conditions = (Linear(((1, F(2)),), ((0, F(-1)),), F(1, 2)), Linear((), ((2, F(4)),), F(3)))
    (found,) = property_of("p", [ExactCase(box, conditions)], inputs=2, outputs=3).violations
    assert found.outputs.tolist() == [[-1, 0, 0], [0, 0, 4]]
    assert found.inputs.tolist() == [[0, 2], [0, 0]]
    assert found.constants.tolist() == [0.5, 3]
    assert {one.dtype for one in (found.outputs, found.inputs, found.constants)} == {torch.float64}


def test_a_property_of_other_sizes_than_the_network_is_refused():
    demand_fit("p", inputs=2, outputs=3, network="n", network_inputs=2, network_outputs=3)
    with pytest.raises(MismatchError, match="`p` speaks of 3 outputs, `n` has 4"):
        demand_fit("p", inputs=2, outputs=3, network="n", network_inputs=2, network_outputs=4)


# local robustness


def test_robustness_is_one_violation_for_each_other_class_in_one_region():
    question = robustness("7", torch.zeros(1, 2, 2), 1, "0.1", outputs=3)
    assert [one.outputs.tolist() for one in question.violations] == [[[1, -1, 0]], [[0, -1, 1]]]
    assert len({id(one.region) for one in question.violations}) == 1
    assert [one.words for one in question.violations] == ["Y_0 >= Y_1", "Y_2 >= Y_1"]
    assert violates(question, torch.zeros(1, 2, 2), point(0.0, 1.0, 1.0))  # a tie is no class
    assert not violates(question, torch.zeros(1, 2, 2), point(0.0, 1.0, 0.5))


@pytest.mark.parametrize("epsilon", ["0.1", "8/255", "0", "1e-3", 0.1, F(1, 7)])
def test_the_box_of_an_example_is_exact_whatever_epsilon_is_given_as(epsilon):
    x = torch.rand(20, generator=torch.Generator().manual_seed(0))
    question = robustness("0", x, 0, epsilon, outputs=2, limits=("0", "1"))
    radius = F(epsilon)
    region, box = question.violations[0].region, question.cases[0].box
    for place, at in enumerate(map(F, x.double().tolist())):
        low, high = max(at - radius, F(0)), min(at + radius, F(1))
        assert (box.low[place], box.high[place]) == (low, high)
        assert F(region.low[place].item()) <= low <= F(region.inner_low[place].item())
        assert F(region.inner_high[place].item()) <= high <= F(region.high[place].item())


def test_epsilon_may_differ_by_feature():
    question = robustness("0", torch.zeros(2), 0, ["0.1", "0.5"], outputs=2)
    assert question.cases[0].box.high == (F(1, 10), F(1, 2))
    tensor = robustness("0", torch.zeros(2), 0, torch.tensor([0.25, 0.5]), outputs=2)
    assert tensor.cases[0].box.high == (F(1, 4), F(1, 2))


@pytest.mark.parametrize(("norm", "inside"), [("l1", False), ("l2", True), ("linf", True)])
def test_balls_are_replayed_exactly(norm, inside):
    question = robustness("0", torch.zeros(2), 0, "5", outputs=2, norm=norm)
    assert violates(question, point(3.0, 4.0), point(0.0, 1.0)) is inside
    beyond = float(np.nextafter(np.float32(4), np.float32(5)))
    assert violates(question, point(3.0, beyond), point(0.0, 1.0)) is (norm == "linf")


@pytest.mark.parametrize(("norm", "number"), [("l1", 1), ("l2", 2)])
def test_balls_are_rounded_outwards_and_stand_in_their_box(norm, number):
    question = robustness("0", torch.full((2,), 0.5), 0, "0.1", outputs=2, norm=norm)
    region = question.violations[0].region
    assert region.ball.norm == number
    assert region.ball.centre.tolist() == [0.5, 0.5]
    assert F(region.ball.radius) >= F(1, 10) > F(math.nextafter(region.ball.radius, 0))
    assert F(region.low[0].item()) <= F(4, 10)


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"label": 3}, MismatchError, "example `7` is of class 3, the network has 3 outputs"),
        ({"label": 0, "outputs": 1}, MismatchError, "the network has 1 outputs"),
        ({"epsilon": "-0.1"}, UsageError, "epsilon `-0.1` is negative"),
        ({"epsilon": "much"}, UsageError, "epsilon `much` is no number"),
        ({"epsilon": "1/0"}, UsageError, "epsilon `1/0` is no number"),
        ({"epsilon": "1e99999999"}, UsageError, "is no number"),
        ({"epsilon": math.inf}, UsageError, "epsilon `inf` is no number"),
        ({"epsilon": ["0.1"] * 3}, UsageError, "epsilon has 3 numbers, an example has 2 features"),
        ({"epsilon": ["0.1", "0.2"], "norm": "l2"}, UsageError, "one number for all features"),
        ({"norm": "l3"}, UsageError, "no norm `l3`"),
        ({"limits": ("0.6", "1")}, MismatchError, "feature 0: 0.5 lies outside of [0.6, 1]"),
        ({"example": torch.tensor([0.5, math.nan])}, MismatchError, "not finite"),
    ],
)
def test_robustness_that_cannot_be_asked_is_refused(settings, kind, words):
    given = {"example": torch.full((2,), 0.5), "label": 0, "epsilon": "0.1", "outputs": 3}
    with pytest.raises(kind) as caught:
        robustness("7", **{**given, **settings})
    assert words in caught.value.message


def test_amounts_as_text_are_exact_and_as_floats_what_is_stored():
    assert exact_amounts("0.1", 2, "epsilon") == (F(1, 10),) * 2
    assert exact_amounts(0.1, 1, "epsilon") == (F(0.1),) != (F(1, 10),)


# words


def linear(constant=0, *, strict=False, x=(), **y):
    outputs = tuple((int(name[1:]), F(factor)) for name, factor in sorted(y.items()))
    return Linear(tuple((place, F(factor)) for place, factor in x), outputs, F(constant), strict)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (linear(y3=1, y0=-1), "Y_3 >= Y_0"),
        (linear(y3=1, y0=-1, strict=True), "Y_3 > Y_0"),
        (linear("-3.99", y0=1), "Y_0 >= 3.99"),
        (linear("3.99", y0=-2), "Y_0 <= 1.995"),
        (linear(y0=-1, strict=True), "Y_0 < 0"),
        (linear(y0=1), "Y_0 >= 0"),
        (linear(2, y0=1, y1=-1), "Y_0 + 2 >= Y_1"),
        (linear(-2, y0=1, y1=-1), "Y_0 >= Y_1 + 2"),
        (linear(1, y0=-1, y1=-2), "Y_0 + 2 Y_1 <= 1"),
        (linear("-0.5", x=[(0, 1)], y1=2), "2 Y_1 + X_0 >= 0.5"),
        (linear(x=[(0, -1)], y1="1.5"), "1.5 Y_1 >= X_0"),
    ],
)
def test_conditions_are_told_with_what_is_positive_on_the_left(condition, words):
    case = ExactCase(Limits((F(0),), (F(1),)), (condition,))
    assert property_of("p", [case], inputs=1, outputs=4).violations[0].words == words


def words_of(conditions, outputs, inputs=1):
    box = Limits((F(0),) * inputs, (F(1),) * inputs)
    cases = [ExactCase(box, tuple(some)) for some in conditions]
    return property_of("p", cases, inputs=inputs, outputs=outputs).words


def test_rankings_are_told_as_such():
    exceeding = [[linear(**{f"y{at}": 1, "y2": -1})] for at in (0, 1, 3)]
    assert words_of(exceeding, 4) == "holds if Y_2 exceeds every other output, for X_0 in [0, 1]"
    lowest = [[linear(**{f"y{at}": -1, "y2": 1})] for at in (0, 1, 3)]
    assert words_of(lowest, 4).startswith("holds if Y_2 is below every other output")
    largest = [[linear(**{f"y{at}": -1, "y2": 1}) for at in (0, 1, 3)]]
    assert words_of(largest, 4).startswith("holds if Y_2 is never the largest output")
    smallest = [[linear(**{f"y{at}": 1, "y2": -1}) for at in (0, 1, 3)]]
    assert words_of(smallest, 4).startswith("holds if Y_2 is never the smallest output")


def test_what_is_no_ranking_is_told_case_by_case():
    some = [[linear(y0=1, y2=-1)], [linear(y1=1, y2=-1)]]
    assert words_of(some, 4) == "holds if never Y_0 >= Y_2; never Y_1 >= Y_2, for X_0 in [0, 1]"
    strict = [[linear(y0=1, y1=-1, strict=True)]]
    assert words_of(strict, 2) == "holds if never Y_0 > Y_1, for X_0 in [0, 1]"
    many = [[linear(-at, y0=1)] for at in range(9)]
    assert "never Y_0 >= 2; none of 6 cases more" in words_of(many, 1)
    assert words_of([], 1) == "holds: no case that it rules out can happen"
    assert words_of([[]], 1) == "holds if never any output, for X_0 in [0, 1]"


def test_conditions_on_inputs_of_every_case_are_told_once():
    around = linear(1, x=[(0, -1), (1, -1)])
    exceeding = [[around, linear(y0=-1, y1=1)], [around, linear(y0=-1, y2=1)]]
    assert words_of(exceeding, 3, inputs=2) == (
        "holds if Y_0 exceeds every other output, for X_0 in [0, 1], X_1 in [0, 1] "
        "and X_0 + X_1 <= 1"
    )


def test_many_inputs_are_told_by_their_range_and_width():
    words = words_of([[linear(y0=1)]], 1, inputs=784)
    assert words.endswith("for 784 inputs in [0, 1], each over at most 1")


def test_robustness_is_told_with_its_reach():
    question = robustness("7", torch.zeros(2), 1, "8/255", outputs=3, limits=("0", "1"))
    assert question.words == (
        "holds if Y_1 exceeds every other output within 0.0313725 of it (linf) and within [0, 1]"
    )


def test_a_condition_about_nothing_is_said_in_numbers():
    assert condition_words(Linear((), (), F(1), strict=False)) == "1 >= 0"
    assert condition_words(Linear((), (), F(-2), strict=True)) == "-2 > 0"
