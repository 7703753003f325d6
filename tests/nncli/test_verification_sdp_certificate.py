"""What multipliers and weights prove holds, whatever they are."""

import itertools

import pytest
import torch
from semidefinite_problems import Posed, box, sampled
from verification_networks import chain, normal

from nncli.verification.domains import Domain
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.sdp.certificate import certified, proof
from nncli.verification.sdp.quadratic_form import Quadratic, frame
from nncli.verification.sdp.search import Plan, climb

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("seed", range(10))
def test_no_multipliers_whatever_prove_more_than_the_truth(seed: int) -> None:
    one = Posed(chain([4, 9, 8, 3], seed), box(4, seed), steps=0)
    generator = torch.Generator().manual_seed(seed)
    least = sampled(one.network, one.domain)
    found = climb(one.problem, one.start, Plan(steps=30))
    for size in (0.0, 0.1, 10.0):
        tampered = {
            place: m + size * normal(generator, *m.shape) for place, m in found.multipliers.items()
        }
        pressed = {
            place: w + size * normal(generator, *w.shape) for place, w in found.weights.items()
        }
        bound = certified(one.problem, frame(one.problem), tampered, pressed)
        assert bool((bound <= least).all())


def test_multipliers_that_are_no_numbers_prove_nothing() -> None:
    one = Posed(chain([4, 9, 8, 3], 1), box(4, 1))
    broken = {place: torch.full_like(m, torch.nan) for place, m in one.start.items()}
    pressed = {place: r.expand(3, -1) for place, r in one.problem.radius.items()}
    assert not bool((certified(one.problem, frame(one.problem), broken, pressed) > -1e300).any())


@pytest.mark.parametrize("seed", range(10))
def test_a_quadratic_function_is_bounded_from_below_over_the_cube(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    half = normal(generator, 6, 6)
    form = Quadratic(normal(generator, 1)[0], normal(generator, 6), half + half.T, 0.0)
    corners = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=6))).double()
    values = form.constant + corners @ form.slope + ((corners @ form.bend) * corners).sum(1) / 2
    for weights in (torch.zeros(6), torch.full((6,), 5.0), torch.full((6,), 50.0)):
        assert proof(form, weights.double(), None)[0] <= float(values.min())


def test_the_bound_of_a_convex_quadratic_is_its_minimum_from_below() -> None:
    """2 z^2 + z + 1 is least at -1/4, where it is 7/8."""
    form = Quadratic(
        torch.tensor(1.0).double(), torch.ones(1).double(), torch.full((1, 1), 4.0).double(), 0.0
    )
    found = proof(form, torch.zeros(1).double(), None)[0]
    assert 0.875 - 1e-6 < found <= 0.875


def test_rounding_is_taken_off_where_terms_cancel() -> None:
    """f = relu(1e8 x + 0.1) - relu(1e8 x + 0.1) is 0; no bound may be above it."""
    big = torch.tensor([[1e8], [1e8]], dtype=torch.float64)
    down = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    nodes = (
        Sum((0,), (Dense(big),), torch.tensor([0.1, 0.1], dtype=torch.float64)),
        Activation(1, "relu", 2),
        Sum((2,), (Dense(down),), torch.zeros(2, dtype=torch.float64)),
    )
    for low in (0.1, -0.4):
        start = torch.tensor([[low]], dtype=torch.float64)
        one = Posed(Network(1, nodes, (1,)), Domain(start, start + 0.7))
        assert bool((one.bound(Plan(steps=30)) <= 0).all())
