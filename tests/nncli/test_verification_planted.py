"""Properties with a planted counterexample are never verified, with no attack to find it.

A bump is planted: 1 within a small region of the inputs and 0 outside of a slightly larger one, of
ReLUs alone. A random network that satisfies the property by a wide margin is lowered by it.
"""

import itertools
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from nncli.verification.asking import property_of
from nncli.verification.exact import Asked, ExactCase, Limits, Linear, Near
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.portfolio import decide
from nncli.verification.replaying import violates
from nncli.verification.stages import Setting

PROOFS = ("ibp", "crown", "alpha-crown", "input-split", "relu-split", "milp", "sdp")
EXACT = ("input-split", "milp")


def matrix(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def bump(at: Tensor, width: float, function: str = "relu") -> Network:
    """Y_0 = 1 - 2 relu(1 - sum of |x - at| / width): negative only within half a width.

    Beside it stand neurons of another function, whose sum is added with a factor of 1e-3.
    """
    count = len(at)
    both = torch.cat([torch.eye(count), -torch.eye(count)]).double() / width
    generator = torch.Generator().manual_seed(count)
    extra = torch.randn(6, count, generator=generator, dtype=torch.float64)
    sizes = torch.ones(1, 2 * count, dtype=torch.float64)
    nodes = (
        Sum((0,), (Dense(both),), -both @ at),
        Activation(1, "relu", 2 * count),
        Sum((2,), (Dense(-sizes),), matrix([[1.0]])[0]),
        Activation(3, "relu", 1),
        Sum((0,), (Dense(extra),), torch.zeros(6, dtype=torch.float64)),
        Activation(5, function, 6),
        Sum((4, 6), (Dense(matrix([[-2.0]])), Dense(matrix([[1e-3] * 6]))), matrix([[1.0]])[0]),
    )
    return Network(count, nodes, (count,))


def question_of(
    count: int, conditions: list[Linear], near: Near | None = None, shift: int = 0
) -> Asked:
    boxes = [Limits((Fraction(-1),) * count, (Fraction(1),) * count)]
    if shift:  # a second region, far from the counterexample, asked for first
        boxes.insert(0, Limits((Fraction(shift),) * count, (Fraction(shift + 1),) * count))
    cases = [ExactCase(box, tuple(conditions), near) for box in boxes]
    return property_of("planted", cases, inputs=count, outputs=1)


def verdict(network: Network, question: Asked, method: str, seconds: float = 2.0) -> str:
    return decide(
        network, question, lambda x: violates(question, x, network(x)), Setting(method, seconds)
    ).verdict


NEVER_LOW = Linear((), ((0, Fraction(-1)),))  # Y_0 <= 0


@pytest.mark.parametrize(
    ("function", "width", "count"),
    [
        ("relu", 0.3, 1),
        ("relu", 0.01, 2),
        ("relu", 1e-4, 5),
        ("sigmoid", 0.01, 2),
        ("sigmoid", 1e-4, 5),
        ("tanh", 1e-4, 1),
        ("tanh", 0.3, 2),
    ],
)
def test_a_planted_counterexample_is_never_proved_away(
    function: str, width: float, count: int
) -> None:
    generator = torch.Generator().manual_seed(count)
    at = torch.rand(count, generator=generator).double() * 1.6 - 0.8
    network = bump(at, width, function)
    assert float(network(at)) < 0 < float(network(at + 2 * width))
    question = question_of(count, [NEVER_LOW])
    for method in PROOFS:
        assert verdict(network, question, method, 0.2) != "verified"


def test_the_exact_methods_find_what_is_planted_and_prove_what_is_left_without_it() -> None:
    at = matrix([[0.123, -0.456]])[0]
    network = bump(at, 1e-3)
    question = question_of(2, [NEVER_LOW])
    for method in ("auto", "input-split", "relu-split", "milp"):
        assert verdict(network, question, method, 90.0) == "violated"
    far = Linear(((0, Fraction(-1)),), (), Fraction(1, 10))  # X_0 <= 0.1, which misses it
    question = question_of(2, [NEVER_LOW, far])
    for method in ("auto", "input-split", "relu-split", "milp"):
        assert verdict(network, question, method, 90.0) == "verified"


@pytest.mark.parametrize(
    "conditions",
    [
        [NEVER_LOW, Linear(((0, Fraction(1)),), (), Fraction(-1, 10))],  # and X_0 >= 0.1
        [NEVER_LOW, Linear(((0, Fraction(1)), (1, Fraction(1, 3))), ((0, Fraction(1, 20)),))],
        [Linear((), ((0, Fraction(-1)),), strict=True)],
        [NEVER_LOW, Linear((), ((0, Fraction(1)),), Fraction(1))],  # and Y_0 >= -1
        [],
    ],
)
@pytest.mark.parametrize("shift", [0, 3])
def test_conditions_that_the_planted_point_meets_change_nothing(
    conditions: list[Linear], shift: int
) -> None:
    network = bump(matrix([[0.25, -0.5]])[0], 0.01)
    question = question_of(2, conditions, shift=shift)
    assert violates(question, matrix([[0.25, -0.5]])[0], network(matrix([[0.25, -0.5]])[0]))
    for method in PROOFS if not shift else EXACT:
        assert verdict(network, question, method, 0.2) != "verified"


@pytest.mark.parametrize("norm", [1, 2])
def test_in_balls_a_planted_point_counts_inside_and_not_outside(norm: int) -> None:
    network = bump(matrix([[0.3, 0.4]])[0], 1e-3)
    reach = {1: Fraction(7, 10), 2: Fraction(1, 2)}[norm]  # of the point from the origin
    centre = (Fraction(0), Fraction(0))
    inside = question_of(2, [NEVER_LOW], Near(centre, reach + Fraction(1, 10**3), norm))
    for method in EXACT:
        assert verdict(network, inside, method, 0.2) != "verified"
    outside = question_of(2, [NEVER_LOW], Near(centre, reach - Fraction(1, 10**2), norm))
    assert verdict(network, outside, "input-split", 30.0) == "verified"


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("function", ["relu", "sigmoid"])
def test_nothing_is_verified_where_sampled_points_of_a_ball_violate(
    seed: int, norm: int, function: str
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    nodes = (
        Sum((0,), (Dense(normal(8, 2)),), normal(8)),
        Activation(1, function, 8),
        Sum((2,), (Dense(normal(8, 8)),), normal(8)),
        Activation(3, function, 8),
        Sum((4,), (Dense(normal(1, 8)),), normal(1)),
    )
    network = Network(2, nodes, (2,))
    steps = normal(4000, 2)
    steps = steps / steps.norm(p=norm, dim=1, keepdim=True)
    radius = 0.4
    outputs = network(steps * radius * (1 - 1e-9))[:, 0]
    near = Near((Fraction(0),) * 2, Fraction(radius), norm)
    box = Limits((-Fraction(radius),) * 2, (Fraction(radius),) * 2)

    def asked_of(limit: float) -> Asked:
        condition = Linear((), ((0, Fraction(-1)),), Fraction(limit))
        return property_of("ball", [ExactCase(box, (condition,), near)], inputs=2, outputs=1)

    reached = asked_of(float(outputs.min()))
    for method in ("ibp", "crown", "input-split", "relu-split"):
        assert verdict(network, reached, method, 0.2) != "verified"
    spread = float(outputs.max() - outputs.min())
    missed = asked_of(float(outputs.min()) - 0.3 * spread)
    assert verdict(network, missed, "input-split", 30.0) == "verified"


def test_boxes_of_one_point_are_decided_by_the_value_there() -> None:
    network = bump(matrix([[0.25, -0.5]])[0], 0.01)
    for point, wanted in (((Fraction(1, 4), Fraction(-1, 2)), "violated"),
                          ((Fraction(1, 4), Fraction(1, 2)), "verified")):  # fmt: skip
        case = ExactCase(Limits(point, point), (NEVER_LOW,))
        question = property_of("point", [case], inputs=2, outputs=1)
        for method in ("auto", "input-split", "relu-split", "milp"):
            assert verdict(network, question, method) == wanted


def test_points_between_float32_numbers_are_proved_about_as_they_are() -> None:
    """At x = 0.1 exactly, which no floating point holds, Y_0 = x - 0.1 is 0 up to rounding."""
    network = Network(
        1, (Sum((0,), (Dense(matrix([[1.0]])),), torch.zeros(1, dtype=torch.float64)),), (1,)
    )
    tenth = Fraction(1, 10)
    box = Limits((tenth,), (tenth,))
    for step, never in itertools.product((0, 1, -1), (True, False)):
        limit = tenth + step * Fraction(1, 10**30)
        sign = Fraction(-1 if never else 1)
        condition = Linear((), ((0, sign),), -sign * limit)  # Y_0 <= limit, or >= limit
        case = ExactCase(box, (condition,))
        question = property_of("tenth", [case], inputs=1, outputs=1)
        holds = tenth > limit if never else tenth < limit
        for method in ("ibp", "crown", "input-split", "milp"):
            assert holds or verdict(network, question, method) != "verified"
