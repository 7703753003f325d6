"""Semidefinite bounds begin at those of CROWN, are far better, and never pass the truth."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from semidefinite_problems import Posed, box, sampled
from verification_networks import chain, normal

from nncli.verification.clock import Clock
from nncli.verification.domains import Domain
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.sdp.lagrangian import problem
from nncli.verification.sdp.search import Plan, climb
from nncli.verification.sdp.start import linear_start
from nncli.verification.slopes import Choice, chosen_bound
from nncli.verification.tightening import tightened

pytestmark = pytest.mark.usefixtures("one_thread")


def residual(seed: int) -> Network:
    """relu(A x + a) -> relu(B h + b) + h + D x -> C, with a sum of sums on the way."""
    generator = torch.Generator().manual_seed(seed)
    identity = Dense(torch.eye(7, dtype=torch.float64))
    nodes = (
        Sum((0,), (Dense(normal(generator, 7, 4)),), normal(generator, 7)),
        Activation(1, "relu", 7),
        Sum((2,), (Dense(0.6 * normal(generator, 7, 7)),), normal(generator, 7)),
        Activation(3, "relu", 7),
        Sum((4, 2), (Dense(0.5 * normal(generator, 7, 7)), identity), normal(generator, 7)),
        Sum((5, 0), (identity, Dense(normal(generator, 7, 4))), normal(generator, 7)),
        Activation(6, "relu", 7),
        Sum((7,), (Dense(0.5 * normal(generator, 3, 7)),), normal(generator, 3)),
    )
    return Network(4, nodes, (4,))


POSED: list[Callable[[], Posed]] = [
    *(lambda seed=seed: Posed(chain([4, 9, 8, 3], seed), box(4, seed)) for seed in range(4)),  # type: ignore[misc]
    *(lambda seed=seed: Posed(residual(seed), box(4, seed, 0.4)) for seed in range(3)),  # type: ignore[misc]
]


@pytest.mark.parametrize("posed", POSED)
@pytest.mark.parametrize("slopes", ["crown", "alpha-crown"])
def test_the_bound_of_the_start_is_the_linear_bound(
    posed: Callable[[], Posed], slopes: str
) -> None:
    one = posed()
    choice = Choice() if slopes == "crown" else one.linear.choice
    start = linear_start(one.problem, one.rows, one.domain, one.known, choice)
    linear = chosen_bound(one.network, one.rows, one.domain, one.known, choice).bound[0]
    found = climb(one.problem, start, Plan(steps=0)).bound
    torch.testing.assert_close(found, linear, rtol=0, atol=1e-9)


@pytest.mark.parametrize("posed", POSED)
def test_bounds_lie_between_linear_bounds_and_the_truth_and_are_better(
    posed: Callable[[], Posed],
) -> None:
    one = posed()
    found = one.bound(Plan(steps=100))
    linear, least = one.linear.bound[0], sampled(one.network, one.domain)
    assert bool((found >= linear - 1e-9).all())
    assert bool((found <= least).all())
    gap = least - linear
    wide = gap > 0.05
    assert bool(((found - linear)[wide] > 0.3 * gap[wide]).all())


def exact_minimum(network: Network, domain: Domain, row: int) -> float:
    """The least output over a box: one linear programme for each pattern of active ReLUs."""
    layers = [one for one in network.nodes if isinstance(one, Sum)]
    matrices = []
    for one in layers:
        (first,) = one.maps
        matrices.append((first.apply(torch.eye(first.inputs).double()).T.numpy(), one.bias.numpy()))
    hidden = [len(bias) for _, bias in matrices[:-1]]
    limits = list(zip(domain.low[0].tolist(), domain.high[0].tolist(), strict=True))
    best = float("inf")
    for pattern in itertools.product((0.0, 1.0), repeat=sum(hidden)):
        signs = iter(pattern)
        through, offset = np.eye(network.inputs), np.zeros(network.inputs)
        left, right = [], []
        for weight, bias in matrices[:-1]:
            through, offset = weight @ through, weight @ offset + bias
            active = np.array([next(signs) for _ in bias])
            left.append((1 - 2 * active)[:, None] * through)  # active: -y <= 0; else y <= 0
            right.append(-(1 - 2 * active) * offset)
            through, offset = active[:, None] * through, active * offset
        weight, bias = matrices[-1]
        found = linprog(
            (weight @ through)[row], A_ub=np.vstack(left), b_ub=np.hstack(right), bounds=limits
        )
        if found.status == 0:
            best = min(best, float(found.fun + (weight @ offset + bias)[row]))
    return best


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sizes", [[3, 5, 1], [3, 4, 3, 1]])
def test_bounds_are_below_and_near_the_exact_minimum_of_tiny_networks(
    sizes: list[int], seed: int
) -> None:
    one = Posed(chain(sizes, seed + 20), box(3, seed, 1.5))
    true = exact_minimum(one.network, one.domain, 0)
    found = float(one.bound(Plan(steps=200)))
    assert found <= true + 1e-7  # the tolerance of the linear programme
    assert found >= float(one.linear.bound) - 1e-9
    assert true - found <= max(0.5 * (true - float(one.linear.bound)), 1e-4)


def test_a_network_without_open_signs_is_bounded_by_its_corner() -> None:
    network = chain([6, 4], 0)
    one = Posed(network, box(6, 3))
    found = one.bound(Plan(steps=5))
    torch.testing.assert_close(found, one.linear.bound[0], rtol=0, atol=1e-9)
    assert bool((found <= sampled(network, one.domain)).all())


def test_the_same_seed_gives_the_same_bound() -> None:
    one = Posed(chain([4, 9, 8, 3], 2), box(4, 2))
    assert one.bound(Plan(steps=40)).tolist() == one.bound(Plan(steps=40)).tolist()


def test_rows_that_are_good_enough_are_left_alone() -> None:
    one = Posed(chain([4, 9, 8, 3], 1), box(4, 1))
    far, near = one.bound(Plan(steps=200)), sampled(one.network, one.domain)
    enough = torch.tensor([float(one.linear.bound[0, 0]) - 1, float("inf"), float(far[2]) - 0.05])
    found = one.bound(Plan(steps=200, enough=enough.double()))
    assert float(found[1]) == pytest.approx(float(far[1]), abs=1e-3)
    assert bool((found[[0, 2]] > enough[[0, 2]]).all())
    assert bool((found <= near).all())


def test_time_that_is_up_leaves_the_linear_bound() -> None:
    one = Posed(chain([4, 9, 8, 3], 1), box(4, 1))
    found = one.bound(Plan(steps=10_000, clock=Clock(0.0)))
    torch.testing.assert_close(found, one.linear.bound[0], rtol=0, atol=1e-9)


def test_other_activations_and_several_boxes_are_refused() -> None:
    network = Network(2, (Activation(0, "tanh", 2),), (2,))
    rows = {1: torch.eye(2, dtype=torch.float64)[None]}
    domain = box(2, 0)
    with pytest.raises(ValueError, match="ReLU"):
        problem(network, rows, domain, tightened(network, domain))
    chained = chain([2, 3, 2], 0)
    both = Domain.joined([domain, domain])
    with pytest.raises(ValueError, match="one box"):
        problem(chained, {3: rows[1]}, both, tightened(chained, both))
