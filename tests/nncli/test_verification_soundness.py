"""No method calls a property verified that is violated, were it by one unit of the last place.

Networks of one input are minimised exactly, in fractions: between the points where some
pre-activation is zero they are linear. Others are evaluated exactly at many points.
"""

import itertools
from collections.abc import Sequence
from fractions import Fraction

import pytest
import torch
from torch import Tensor
from verification_networks import chain

from nncli.verification.asking import property_of
from nncli.verification.backward import below
from nncli.verification.domains import Domain
from nncli.verification.exact import Asked, ExactCase, Limits, Linear
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.portfolio import decide
from nncli.verification.replaying import violates
from nncli.verification.slopes import ascend
from nncli.verification.stages import Setting
from nncli.verification.tightening import Effort, relaxations, tightened

METHODS = ("ibp", "crown", "alpha-crown", "input-split", "relu-split", "milp", "auto")
EXACT = ("input-split", "milp")
Numbers = list[Fraction]


def fractions(numbers: Tensor) -> Numbers:
    return [Fraction(one) for one in numbers.flatten().tolist()]


def scaled(network: Network, factors: Sequence[float]) -> Network:
    """With the weights and biases of each layer times a number."""
    given = iter(factors)
    nodes: list[Sum | Activation] = []
    for node in network.nodes:
        if isinstance(node, Sum):
            factor = next(given)
            (one,) = node.maps
            assert isinstance(one, Dense)
            nodes.append(Sum(node.parents, (Dense(one.weight * factor),), node.bias * factor))
        else:
            nodes.append(node)
    return Network(network.inputs, tuple(nodes), network.shape)


def exactly(network: Network, points: list[Numbers]) -> list[list[Numbers]]:
    """The exact values of every place at some points: one list a place."""
    found = [points]
    for node in network.nodes:
        if isinstance(node, Activation):
            found.append([[max(one, Fraction(0)) for one in each] for each in found[node.parent]])
            continue
        matrices = []
        for one in node.maps:
            assert isinstance(one, Dense)
            matrices.append([fractions(row) for row in one.weight])
        bias = fractions(node.bias)
        found.append(
            [
                [
                    bias[row]
                    + sum(
                        factor * value
                        for matrix, parent in zip(matrices, node.parents, strict=True)
                        for factor, value in zip(matrix[row], found[parent][place], strict=True)
                    )
                    for row in range(node.size)
                ]
                for place in range(len(points))
            ]
        )
    return found


def exact_minimum(network: Network, low: Fraction, high: Fraction) -> Fraction:
    """The least output of a network of one input and one output."""
    places = [low, high]
    for place in network.activations:
        before = exactly(network, [[x] for x in places])[network.activation(place).parent]
        crossings = [
            left + (right - left) * (y / (y - z))
            for (left, right), (ys, zs) in zip(
                itertools.pairwise(places), itertools.pairwise(before), strict=True
            )
            for y, z in zip(ys, zs, strict=True)
            if (y < 0 < z) or (z < 0 < y)
        ]
        places = sorted({*places, *crossings})
    return min(each[0] for each in exactly(network, [[x] for x in places])[-1])


def at_most(limit: Fraction, low: Numbers, high: Numbers, *, strict: bool = False) -> Asked:
    """That the output 0 is never at most a limit."""
    box = Limits(tuple(low), tuple(high))
    condition = Linear((), ((0, Fraction(-1)),), limit, strict)
    return property_of("case", [ExactCase(box, (condition,))], inputs=len(low), outputs=1)


def verdict(network: Network, question: Asked, method: str, seconds: float = 20.0) -> str:
    return decide(
        network, question, lambda x: violates(question, x, network(x)), Setting(method, seconds)
    ).verdict


@pytest.mark.parametrize("seed", range(8))
def test_a_limit_that_is_just_reached_is_never_verified_and_one_just_missed_may_be(
    seed: int,
) -> None:
    network = chain([1, 4, 1] if seed % 2 else [1, 3, 3, 1], seed, bias=0.5)
    low, high = Fraction(-1, 3), Fraction(1 + seed, 7)
    least = exact_minimum(network, low, high)
    for step in (Fraction(0), Fraction(1, 2**80), Fraction(1, 2**52), Fraction(1, 10**9)):
        reached = at_most(least + step * abs(least), [low], [high])
        for method in METHODS if not step and seed < 3 else EXACT:
            assert verdict(network, reached, method) != "verified"
    missed = at_most(least - Fraction(1, 10**6), [low], [high])
    for method in (*EXACT, "relu-split") if seed < 3 else EXACT:
        assert verdict(network, missed, method) == "verified"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("factors", [(1e6, 1e6, 1e6), (1e-12, 1e-12, 1.0), (1e8, 1e-8, 1.0),
                                     (1e-160, 1e-160, 1e300), (1e-300, 1e300, 1e-12)])  # fmt: skip
def test_networks_of_huge_and_of_tiny_weights_are_never_verified_at_their_minimum(
    seed: int, factors: tuple[float, ...]
) -> None:
    network = scaled(chain([1, 3, 3, 1], seed + 50, bias=0.5), factors)
    low, high = Fraction(-1), Fraction(2, 3)
    least = exact_minimum(network, low, high)
    for step in (Fraction(0), Fraction(1, 2**60)):
        question = at_most(least + step * abs(least), [low], [high])
        for method in ("ibp", "crown", "input-split", "milp"):
            assert verdict(network, question, method, 1.0) != "verified"


@pytest.mark.parametrize("seed", range(5))
def test_bounds_lie_below_exact_values_where_inputs_are_large_and_terms_cancel(seed: int) -> None:
    network = chain([3, 6, 6, 1], seed, bias=0.5)
    generator = torch.Generator().manual_seed(seed)
    shift = torch.tensor([1e8, -1e8, 1e8 + 1], dtype=torch.float64)
    first = network.nodes[0]
    assert isinstance(first, Sum)
    (one,) = first.maps
    moved = Sum((0,), (one,), first.bias - one.apply(shift))  # what is large cancels
    network = Network(3, (moved, *network.nodes[1:]), (3,))
    radius = torch.rand(1, 3, generator=generator, dtype=torch.float64) * 10.0 ** -(seed % 5)
    domain = Domain(shift - radius, shift + radius)
    rows = {network.last: torch.tensor([[[1.0], [-1.0]]], dtype=torch.float64)}
    share = torch.rand(30, 3, generator=generator, dtype=torch.float64)
    share = torch.cat([share, share.round()])
    points = domain.low + share * (domain.high - domain.low)
    points = torch.minimum(torch.maximum(points, domain.low), domain.high)
    values = exactly(network, [fractions(x) for x in points])
    outputs = [each[0] for each in values[-1]]
    for effort in (Effort(backward=False), Effort(), Effort(steps=3)):
        known = tightened(network, domain, effort)
        for interval, found in zip(known, values, strict=True):
            low, high = fractions(interval.low), fractions(interval.high)
            for each in found:
                assert all(a <= y <= b for a, y, b in zip(low, each, high, strict=True))
        plain = below(network, rows, domain, known, relaxations(network, known)).bound
        climbed = ascend(network, rows, domain, known, steps=3).bound
        for bound in (plain, climbed):
            positive, negative = fractions(bound)
            assert positive <= min(outputs)
            assert max(outputs) <= -negative


def test_a_place_that_several_nodes_take_counts_in_the_rounding() -> None:
    """Output: relu(y) - y / 2 - y / 2 + ..., all from one large y, whose factors cancel."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        weight = torch.randn(4, 2, generator=generator, dtype=torch.float64) * 1e6
        share = torch.rand(4, generator=generator, dtype=torch.float64)
        bias = torch.randn(4, generator=generator, dtype=torch.float64)
        ones = Dense(torch.ones(1, 4, dtype=torch.float64))
        nodes = (
            Sum((0,), (Dense(weight),), bias),
            Activation(1, "relu", 4),
            Sum((1, 2), (Dense(torch.diag(share)), Dense(torch.diag(1 - share))), bias * 0),
            Activation(3, "relu", 4),
            Sum((4, 3, 1), (ones, Dense(-ones.weight * 0.7), Dense(ones.weight * 0.3)), bias[:1]),
        )
        network = Network(2, nodes, (2,))
        domain = Domain(torch.full((1, 2), -1.0).double(), torch.full((1, 2), 0.3).double())
        x = domain.low + (domain.high - domain.low) * torch.rand(
            30, 2, generator=generator, dtype=torch.float64
        )
        least = min(each[0] for each in exactly(network, [fractions(one) for one in x])[-1])
        rows = {network.last: torch.ones(1, 1, 1, dtype=torch.float64)}
        known = tightened(network, domain)
        bound = below(network, rows, domain, known, relaxations(network, known)).bound
        assert fractions(bound)[0] <= least


def test_values_beyond_floating_point_prove_nothing() -> None:
    """A network whose values overflow is open, however its bounds come out."""
    for factors in ((1e200, 1e200, 1.0), (1e308, 1e308, 1e308), (1e100, 1.0, 1e-100)):
        network = scaled(chain([2, 4, 4, 1], 3, bias=0.5), factors)
        question = at_most(Fraction(-1), [Fraction(-1)] * 2, [Fraction(1)] * 2)
        for method in ("ibp", "crown", "alpha-crown", "input-split", "relu-split", "milp"):
            assert verdict(network, question, method, 2.0) != "verified"


def test_a_tie_of_two_outputs_is_no_proof_that_one_is_larger() -> None:
    """Y_0 and Y_1 are equal wherever the ReLU is off, so Y_0 does not exceed Y_1."""
    weight = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    out = torch.tensor([[0.3], [0.1]], dtype=torch.float64)
    network = Network(
        2,
        (
            Sum((0,), (Dense(weight),), torch.tensor([-0.1], dtype=torch.float64)),
            Activation(1, "relu", 1),
            Sum((2,), (Dense(out),), torch.tensor([0.7, 0.7], dtype=torch.float64)),
        ),
        (2,),
    )
    box = Limits((Fraction(0), Fraction(0)), (Fraction(1), Fraction(1)))
    for strict in (False, True):
        condition = Linear((), ((0, Fraction(-1)), (1, Fraction(1))), strict=strict)
        question = property_of("tie", [ExactCase(box, (condition,))], inputs=2, outputs=2)
        for method in METHODS:
            assert verdict(network, question, method, 1.0) != "verified"
