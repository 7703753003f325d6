"""Properties of many regions: batches say what stages say of each region on its own."""

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from nncli.verification.asking import property_of
from nncli.verification.certifying.checking import check
from nncli.verification.exact import Asked, ExactCase, Limits, Linear
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.portfolio import decide
from nncli.verification.replaying import violates
from nncli.verification.stages import Setting
from nncli.verification.standing import Answer

COUNT = 40


def staircase() -> Network:
    """One input and one output: a sum of 24 ramps between 0 and 1, increasing."""
    generator = torch.Generator().manual_seed(3)
    steps = torch.rand(24, generator=generator, dtype=torch.float64).sort().values
    heights = torch.rand(24, generator=generator, dtype=torch.float64)
    nodes = (
        Sum((0,), (Dense(torch.ones(24, 1, dtype=torch.float64)),), -steps),
        Activation(1, "relu", 24),
        Sum((2,), (Dense(heights[None]),), torch.zeros(1, dtype=torch.float64)),
    )
    return Network(1, nodes, (1,))


def ranges(network: Network, room: float, wrong: int | None = None) -> Asked:
    """Forty keys: in each range the output is within `room` of what the ends say."""
    cases = []
    for place in range(COUNT):
        low, high = Fraction(place, COUNT), Fraction(place + 1, COUNT)
        ends = network(torch.tensor([[float(low)], [float(high)]], dtype=torch.float64))[:, 0]
        least, most = float(ends[0]) - room, float(ends[1]) + room
        if place == wrong:  # what is asked for there is not so at the upper end
            most = float(ends[1]) - 1e-6
        box = Limits((low,), (high,))
        below = Linear((), ((0, Fraction(-1)),), Fraction(least))
        above = Linear((), ((0, Fraction(1)),), -Fraction(most))
        cases += [ExactCase(box, (below,)), ExactCase(box, (above,))]
    return property_of("ranges", cases, inputs=1, outputs=1)


def decided(network: Network, question: Asked, *, record: bool = False) -> Answer:
    def confirm(x: Tensor) -> bool:
        return violates(question, x, network(x))

    return decide(network, question, confirm, Setting(timeout=60.0, record=record))


@pytest.mark.parametrize("room", [0.2, 0.02, 1e-4])
def test_many_regions_are_verified_however_little_room_there_is(room: float) -> None:
    network = staircase()
    assert decided(network, ranges(network, room)).verdict == "verified"


@pytest.mark.parametrize("wrong", [0, 17, COUNT - 1])
def test_one_region_of_many_that_is_violated_is_found(wrong: int) -> None:
    network = staircase()
    question = ranges(network, 1e-4, wrong)
    answer = decided(network, question)
    assert answer.verdict == "violated"
    assert answer.counterexample is not None
    assert wrong / COUNT <= float(answer.counterexample) <= (wrong + 1) / COUNT


def test_what_is_proved_of_many_regions_is_proved_again_from_the_certificate() -> None:
    network = staircase()
    question = ranges(network, 1e-4)
    answer = decided(network, question, record=True)
    assert answer.verdict == "verified"
    assert check(network, question, list(answer.proof)) is None
    assert check(network, ranges(network, 1e-4, 5), list(answer.proof)) is not None


def test_regions_of_conditions_on_inputs_keep_apart() -> None:
    network = staircase()
    cases = []
    for place in range(COUNT):  # never y >= x + 20: the ramps rise by less in all
        box = Limits((Fraction(place, COUNT),), (Fraction(place + 1, COUNT),))
        row = Linear(((0, Fraction(-1)),), ((0, Fraction(1)),), Fraction(-20))
        cases.append(ExactCase(box, (row,)))
    question = property_of("steep", cases, inputs=1, outputs=1)
    assert decided(network, question).verdict == "verified"
    x = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
    assert float((network(x) - x).max()) < 20
