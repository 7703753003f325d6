"""Large problems are searched in float32 and proved by Cholesky: the same truths hold of them."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from nncli.verification.domains import Domain
from nncli.verification.maps import Dense
from nncli.verification.neighbourhoods import robustness
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.portfolio import decide
from nncli.verification.sdp import certificate, lagrangian
from nncli.verification.sdp.certificate import certified, proof, proved
from nncli.verification.sdp.lagrangian import Multipliers, Problem, problem
from nncli.verification.sdp.quadratic_form import Quadratic, frame
from nncli.verification.sdp.search import Plan, climb
from nncli.verification.sdp.start import linear_start
from nncli.verification.slopes import ascend
from nncli.verification.stages import Setting
from nncli.verification.tightening import tightened


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is for problems of many variables is done for few."""
    monkeypatch.setattr(lagrangian, "LARGE", 3)
    monkeypatch.setattr(certificate, "LARGE", 3)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def chain(sizes: list[int], seed: int) -> Network:
    generator = torch.Generator().manual_seed(seed)
    nodes: list[Sum | Activation] = []
    for layer, (into, out) in enumerate(itertools.pairwise(sizes)):
        weight = 1.5 * normal(generator, out, into) / into**0.5
        nodes.append(Sum((len(nodes),), (Dense(weight),), 0.3 * normal(generator, out)))
        if layer < len(sizes) - 2:
            nodes.append(Activation(len(nodes), "relu", out))
    return Network(sizes[0], tuple(nodes), (sizes[0],))


def posed(seed: int) -> tuple[Network, Domain, Problem, Multipliers, Tensor]:
    """A network over a box, its outputs as a problem, where to start, and the linear bounds."""
    network = chain([5, 12, 10, 3], seed)
    centre = normal(torch.Generator().manual_seed(seed), 1, 5)
    domain = Domain(centre - 0.4, centre + 0.4)
    known = tightened(network, domain)
    rows = {network.last: torch.eye(3, dtype=torch.float64)[None]}
    linear = ascend(network, rows, domain, known, steps=10)
    one = problem(network, rows, domain, known)
    start = linear_start(one, rows, domain, known, linear.choice)
    return network, domain, one, start, linear.bound[0]


def least(network: Network, domain: Domain) -> Tensor:
    """(m,) the least outputs at random points and corners."""
    generator = torch.Generator().manual_seed(9)
    share = torch.rand(4000, network.inputs, generator=generator, dtype=torch.float64)
    share = torch.cat([share, share.round()])
    return network(domain.low + share * (domain.high - domain.low)).amin(dim=0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("quick", [False, True])
def test_bounds_lie_between_linear_bounds_and_the_truth(seed: int, quick: bool) -> None:
    network, domain, one, start, linear = posed(seed)
    assert one.large
    found = climb(one, start, Plan(steps=100, quick=quick)).bound
    truth = least(network, domain)
    assert bool((found <= truth).all())
    gap = truth - linear
    wide = gap > 0.1
    assert bool(((found - linear)[wide] > 0.3 * gap[wide]).all())


def test_depths_of_all_layers_raise_the_bound() -> None:
    gains = []
    for seed in range(3):
        _, _, one, start, _ = posed(seed)
        quick, slow = (
            climb(one, start, Plan(steps=120, quick=each)).bound for each in (True, False)
        )
        gains.append(slow - quick)
    assert float(torch.stack(gains).mean()) > 0


@pytest.mark.parametrize("slack", [None, 0.5, -0.5])
def test_the_weights_of_a_proof_prove_the_same_at_once(slack: float | None) -> None:
    network, domain, one, start, _ = posed(2)
    found = climb(one, start, Plan(steps=60))
    room = None if slack is None else torch.full((3,), slack, dtype=torch.float64)
    pressed = {place: 0.99 * weight for place, weight in found.weights.items()}
    by_search = proved(one, frame(one), found.multipliers, pressed, room)
    again = certified(one, frame(one), found.multipliers, by_search.weights)
    assert bool((again > -1e300).all())
    assert bool((again >= by_search.bound - 1e-6).all())
    assert bool((again <= least(network, domain)).all())


@pytest.mark.parametrize("seed", range(6))
def test_no_multipliers_whatever_prove_more_than_the_truth(seed: int) -> None:
    network, domain, one, start, _ = posed(seed)
    generator = torch.Generator().manual_seed(seed)
    truth = least(network, domain)
    found = climb(one, start, Plan(steps=30))
    for size, slack in itertools.product((0.0, 0.1, 10.0), (None, 1.0, 1e-9, -3.0)):
        tampered = {
            place: m + size * normal(generator, *m.shape) for place, m in found.multipliers.items()
        }
        pressed = {
            place: w + size * normal(generator, *w.shape) for place, w in found.weights.items()
        }
        room = None if slack is None else torch.full((3,), slack, dtype=torch.float64)
        assert bool((proved(one, frame(one), tampered, pressed, room).bound <= truth).all())


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
