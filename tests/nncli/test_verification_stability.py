"""How far outputs may move near an example: exact questions, margins of distances, and words."""

import math
from fractions import Fraction as F

import pytest
import torch

from nncli.errors import MismatchError, UsageError
from nncli.formats.specification_text import read_text, specification_of
from nncli.verification.asking import asked
from nncli.verification.maps import Dense
from nncli.verification.neighbourhoods import (
    margin_of_distance,
    outputs_at,
    stability,
    usual_outputs,
)
from nncli.verification.network import Network, Sum
from nncli.verification.replaying import violates


def point(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


USUAL = point(1.0, -2.0)


def test_outputs_violate_where_they_are_farther_than_allowed_and_not_at_it():
    question = stability("7", torch.zeros(2), USUAL, "5", "0.5")
    assert not violates(question, point(0.5, -0.5), point(4.0, 2.0))
    beyond = math.nextafter(4.0, 5.0)
    assert violates(question, point(0.5, -0.5), point(beyond, 2.0))
    assert not violates(question, point(0.75, 0.0), point(9.0, 2.0))  # out of the neighbourhood
    assert len(question.violations) == 1


def test_the_region_may_be_a_ball_or_have_a_radius_for_each_feature():
    ball = stability("7", torch.zeros(2), USUAL, "1", "5", norm="l2")
    assert violates(ball, point(3.0, 4.0), point(9.0, 9.0))
    assert not violates(ball, point(3.5, 4.0), point(9.0, 9.0))
    own = stability("7", torch.zeros(2), USUAL, "1", [F(1, 10), F(0)], limits=(-1, 1))
    assert own.cases[0].box.high == (F(1, 10), 0)
    assert own.words == (
        "holds if outputs move by at most 1 (l2) within 0 to 0.1, by feature, of the example "
        "(linf) and within [-1, 1]"
    )


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"change": "-1"}, UsageError, "`-1` is negative"),
        ({"change": "far"}, UsageError, "`far` is no number"),
        ({"change": math.nan}, UsageError, "`nan` is no number"),
        ({"epsilon": "-0.1"}, UsageError, "epsilon `-0.1` is negative"),
        ({"norm": "l0"}, UsageError, "no norm `l0`"),
        ({"usual": point(math.inf, 0.0)}, MismatchError, "outputs that are not finite"),
        ({"example": point(math.nan, 0.0)}, MismatchError, "holds numbers that are not finite"),
        ({"limits": ("0.6", "1")}, MismatchError, "lies outside of [0.6, 1]"),
    ],
)
def test_what_cannot_be_asked_is_refused(settings, kind, words):
    given = {"example": torch.zeros(2), "usual": USUAL, "change": "1", "epsilon": "0.1"}
    with pytest.raises(kind) as caught:
        stability("7", **{**given, **settings})
    assert words in caught.value.message


@pytest.mark.parametrize("change", ["0", "0.1", "1", "1/3", "1e6"])
def test_the_margin_of_a_distance_is_never_more_than_that_of_its_square_says(change):
    most = F(change)
    for share in (0.0, 1e-12, 0.3, 0.999999, 1.0, 1.5, 1e6):
        distance = float(most) * share
        margin = float(most**2 - F(distance) ** 2)
        found = F(margin_of_distance(margin, change))
        assert (most - found) ** 2 >= most**2 - F(margin)
        assert float(found) == pytest.approx(float(most) - distance, rel=1e-6, abs=1e-6)
        assert (found > 0) <= (margin > 0)


def test_margins_without_a_size_stay_so():
    assert margin_of_distance(-math.inf, "1") == -math.inf
    assert margin_of_distance(math.inf, "1") == math.inf
    tiny = torch.finfo(torch.float64).tiny
    assert margin_of_distance(tiny, "1") == tiny
    assert margin_of_distance(1e-200, "1") >= 0


def test_usual_outputs_are_numbers_of_float32():
    weight = torch.tensor([[0.1, 1 / 3]], dtype=torch.float64)
    network = Network(2, (Sum((0,), (Dense(weight),), point(1e-9)),), (2,))
    x = torch.tensor([0.7, 0.9])
    found = usual_outputs(network, x)
    assert found.tolist() == found.float().double().tolist()
    assert float(found) == pytest.approx(0.1 * 0.7 + 0.3, rel=1e-6)
    assert outputs_at(network, [F(7, 10), F(9, 10)]) == [F(float(torch.tensor(0.37)))]


WORDS = {
    "always |y - [1, 2, 3]| <= 0.5": "|(Y_0 - 1, Y_1 - 2, Y_2 - 3)|^2 <= 0.25",
    "always |y - x|^2 <= 0.25": "|(Y_0 - X_0, Y_1 - X_1, Y_2 - X_2)|^2 <= 0.25",
    "never |y| >= 2": "|(Y_0, Y_1, Y_2)|^2 < 4",
    "always |y| <= |x|": "|(X_0, X_1, X_2)|^2 >= |(Y_0, Y_1, Y_2)|^2",
    "never y[1] * y[0] >= 1": "Y_0 Y_1 < 1",
    "always y[0]^2 + 2 y[0] * y[1] <= 3": "Y_0^2 + 2 Y_0 Y_1 <= 3",
    "always (y[0] - 0.5)^2 <= 2": "(Y_0 - 0.5)^2 <= 2",
    "never 2 y[0]^2 - y[1] > 3": "Y_1 + 3 >= 2 Y_0^2",
    "always y[0] * x[1] + y[2] <= 3": "Y_0 X_1 + Y_2 <= 3",
    "never y[0]^2 <= 0.1 and y[1] > 0": "never Y_0^2 <= 0.1 and Y_1 > 0",
    "always y[*]^2 <= 4": "Y_0^2 <= 4; Y_1^2 <= 4; Y_2^2 <= 4",
    "always (y[0] + y[1] + y[2] + x[0])^2 <= 1": (
        "Y_0^2 + 2 Y_0 Y_1 + 2 Y_0 Y_2 + 2 Y_0 X_0 + Y_1^2 + 2 Y_1 Y_2 <= 1 (4 terms more)"
    ),
}


@pytest.mark.parametrize("statement", WORDS)
def test_quadratic_demands_are_said_back(tmp_path, statement):
    path = tmp_path / "p.txt"
    path.write_text(f"inputs in [0, 1]\n{statement}\n")
    found = specification_of(read_text(str(path)), inputs=3, outputs=3)
    said = asked("p", found.cases, inputs=3, outputs=3).words
    where = "for X_0 in [0, 1], X_1 in [0, 1], X_2 in [0, 1]"
    assert said == f"holds if {WORDS[statement]}, {where}"


def test_long_vectors_are_said_in_short(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("inputs in [0, 1]\nalways |y - y at centre| <= 0.5\n")
    found = specification_of(
        read_text(str(path)), inputs=1, outputs=64, outputs_at=lambda at: [F(1, 3)] * 64
    )
    assert asked("p", found.cases, inputs=1, outputs=64).words == (
        "holds if |(Y_0 - 0.3333, Y_1 - 0.3333, Y_2 - 0.3333, 61 more)|^2 <= 0.25, "
        "for X_0 in [0, 1]"
    )


def test_a_length_of_inputs_says_which_inputs_are_meant(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("inputs in [0, 1]\n|x - [0, 0]| <= 0.5\nalways y[0] <= 1\n")
    found = specification_of(read_text(str(path)), inputs=2, outputs=1)
    question = asked("p", found.cases, inputs=2, outputs=1)
    assert question.words.endswith("and |(X_0, X_1)|^2 <= 0.25")
    assert violates(question, point(0.25, 0.375), point(2.0))
    assert not violates(question, point(0.4, 0.4), point(2.0))
