"""Large problems are searched in float32 and proved by Cholesky: the same truths hold of them."""

import itertools

import pytest
import torch
from semidefinite_problems import Posed, sampled
from verification_networks import chain, normal

from nncli.verification.domains import Domain
from nncli.verification.neighbourhoods import robustness
from nncli.verification.portfolio import decide
from nncli.verification.sdp import certificate, lagrangian
from nncli.verification.sdp.certificate import certified, proof, proved
from nncli.verification.sdp.quadratic_form import Quadratic, frame
from nncli.verification.sdp.search import Plan, climb
from nncli.verification.stages import Setting

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is for problems of many variables is done for few."""
    monkeypatch.setattr(lagrangian, "LARGE", 3)
    monkeypatch.setattr(certificate, "LARGE", 3)


def posed(seed: int) -> Posed:
    centre = normal(torch.Generator().manual_seed(seed), 1, 5)
    return Posed(chain([5, 12, 10, 3], seed), Domain(centre - 0.4, centre + 0.4))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("quick", [False, True])
def test_bounds_lie_between_linear_bounds_and_the_truth(seed: int, quick: bool) -> None:
    one = posed(seed)
    assert one.problem.large
    found = one.bound(Plan(steps=100, quick=quick))
    truth, linear = sampled(one.network, one.domain), one.linear.bound[0]
    assert bool((found <= truth).all())
    gap = truth - linear
    wide = gap > 0.1
    assert bool(((found - linear)[wide] > 0.3 * gap[wide]).all())


def test_depths_of_all_layers_raise_the_bound() -> None:
    gains = []
    for seed in range(3):
        one = posed(seed)
        quick, slow = (one.bound(Plan(steps=120, quick=each)) for each in (True, False))
        gains.append(slow - quick)
    assert float(torch.stack(gains).mean()) > 0


@pytest.mark.parametrize("slack", [None, 0.5, -0.5])
def test_the_weights_of_a_proof_prove_the_same_at_once(slack: float | None) -> None:
    one = posed(2)
    found = climb(one.problem, one.start, Plan(steps=60))
    room = None if slack is None else torch.full((3,), slack, dtype=torch.float64)
    pressed = {place: 0.99 * weight for place, weight in found.weights.items()}
    ring = frame(one.problem)
    by_search = proved(one.problem, ring, found.multipliers, pressed, room)
    again = certified(one.problem, ring, found.multipliers, by_search.weights)
    assert bool((again > -1e300).all())
    assert bool((again >= by_search.bound - 1e-6).all())
    assert bool((again <= sampled(one.network, one.domain)).all())


@pytest.mark.parametrize("seed", range(6))
def test_no_multipliers_whatever_prove_more_than_the_truth(seed: int) -> None:
    one = posed(seed)
    generator = torch.Generator().manual_seed(seed)
    truth = sampled(one.network, one.domain)
    found = climb(one.problem, one.start, Plan(steps=30))
    for size, slack in itertools.product((0.0, 0.1, 10.0), (None, 1.0, 1e-9, -3.0)):
        tampered = {
            place: m + size * normal(generator, *m.shape) for place, m in found.multipliers.items()
        }
        pressed = {
            place: w + size * normal(generator, *w.shape) for place, w in found.weights.items()
        }
        room = None if slack is None else torch.full((3,), slack, dtype=torch.float64)
        bound = proved(one.problem, frame(one.problem), tampered, pressed, room).bound
        assert bool((bound <= truth).all())


@pytest.mark.parametrize("seed", range(10))
def test_a_quadratic_function_is_bounded_from_below_over_the_cube(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    bend = normal(generator, 6, 6)
    bend = bend + bend.T
    form = Quadratic(normal(generator, 1)[0], normal(generator, 6), bend, 0.0)
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=6))).double()
    share = torch.rand(2000, 6, generator=generator, dtype=torch.float64) * 2 - 1
    z = torch.cat([corners, share])
    values = form.constant + z @ form.slope + ((z @ bend) * z).sum(dim=1) / 2
    enough = (-torch.linalg.eigvalsh(bend)[0]).clamp_min(0) * torch.ones(6, dtype=torch.float64)
    bound = proof(form, enough, None)[0]
    assert -1e300 < bound <= float(values.min())


def test_the_stage_proves_nothing_that_a_point_violates() -> None:
    deciders = []
    for seed in range(8, 12):
        network = chain([6, 14, 12, 3], seed)
        centre = normal(torch.Generator().manual_seed(seed), 6).float()
        label = int(network(centre.double()).argmax())
        asked = robustness("x", centre, label, "0.25", outputs=3)
        answer = decide(network, asked, lambda point: False, Setting("sdp", 20.0, record=True))
        if answer.verdict == "verified":
            share = torch.rand(4000, 6, generator=torch.Generator().manual_seed(1)).double()
            points = centre.double() + 0.25 * torch.cat([2 * share - 1, (2 * share - 1).sign()])
            assert bool((network(points).argmax(dim=1) == label).all())
            deciders.append(answer.stage)
    assert "sdp" in deciders
