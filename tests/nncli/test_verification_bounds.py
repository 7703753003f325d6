"""Bounds of networks hold at every point, and better methods give better ones."""

import itertools

import pytest
import torch
from torch import Tensor
from verification_networks import chain

from nncli.verification.backward import below
from nncli.verification.domains import Domain
from nncli.verification.intervals import intervals, least_of_rows
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.relaxation import Slopes, lines
from nncli.verification.slopes import ascend
from nncli.verification.tightening import Effort, relaxations, tightened

FUNCTIONS = ("relu", "sigmoid", "tanh")


def residual(function: str, seed: int) -> Network:
    """f(A x + a) -> f(B h + b) + h -> C."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    identity = Dense(torch.eye(7, dtype=torch.float64))
    nodes = (
        Sum((0,), (Dense(normal(7, 4)),), normal(7)),
        Activation(1, function, 7),
        Sum((2,), (Dense(normal(7, 7)),), normal(7)),
        Activation(3, function, 7),
        Sum((4, 2), (Dense(normal(7, 7)), identity), normal(7)),
        Activation(5, function, 7),
        Sum((6,), (Dense(normal(3, 7)),), normal(3)),
    )
    return Network(4, nodes, (4,))


def boxes(inputs: int, count: int, seed: int, radius: float) -> Domain:
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(count, inputs, generator=generator, dtype=torch.float64)
    radii = radius * torch.rand(count, inputs, generator=generator, dtype=torch.float64)
    radii[:, 0] = 0  # an input that cannot change
    return Domain(centre - radii, centre + radii)


def points(domain: Domain, count: int, seed: int = 9) -> Tensor:
    """(B, count, n): random points, and as many random corners."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(domain), count, domain.low.shape[1])
    share = torch.rand(shape, generator=generator, dtype=torch.float64)
    share = torch.cat([share, share.round()], dim=1)
    x = domain.low[:, None] + share * (domain.high - domain.low)[:, None]
    return torch.minimum(torch.maximum(x, domain.low[:, None]), domain.high[:, None])


def networks() -> list[Network]:
    return [
        *(chain([4, 9, 8, 3], seed, [function]) for function in FUNCTIONS for seed in range(4)),
        *(residual(function, seed) for function in FUNCTIONS for seed in range(2)),
    ]


@pytest.mark.parametrize("network", networks())
@pytest.mark.parametrize("effort", [Effort(backward=False), Effort(), Effort(steps=5)])
def test_every_value_of_every_place_lies_in_its_interval(network: Network, effort: Effort) -> None:
    domain = boxes(4, 3, 1, 0.8)
    known = tightened(network, domain, effort)
    for found, values in zip(known, network.values(points(domain, 400)), strict=True):
        assert bool((values >= found.low[:, None]).all())
        assert bool((values <= found.high[:, None]).all())


@pytest.mark.parametrize("network", networks())
def test_a_linear_bound_lies_below_its_row_at_every_point(network: Network) -> None:
    domain = boxes(4, 3, 2, 0.8)
    known = tightened(network, domain)
    rows = torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    own = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found = below(network, {network.last: rows, 0: own}, domain, known, relaxations(network, known))
    x = points(domain, 300)
    true = network(x) @ rows[0].T + x @ own[0].T
    line = torch.einsum("brn,bpn->bpr", found.factors.expand(3, -1, -1), x) + found.offset[:, None]
    assert bool((line <= true).all())
    assert bool((found.bound[:, None] <= line + 1e-12).all())


@pytest.mark.parametrize("network", networks())
def test_more_effort_gives_no_worse_bounds_and_none_passes_the_truth(network: Network) -> None:
    domain = boxes(4, 4, 5, 0.5)
    rows = {network.last: torch.eye(3, dtype=torch.float64)[None]}
    by_intervals = least_of_rows(rows, intervals(network, domain))
    known = tightened(network, domain)
    crown = below(network, rows, domain, known, relaxations(network, known)).bound
    slopes = ascend(network, rows, domain, known, steps=15).bound
    inner = ascend(network, rows, domain, tightened(network, domain, Effort(steps=10)), steps=15)
    least = network(points(domain, 500)).amin(dim=1)
    assert float((crown - by_intervals).mean()) > 0
    assert bool((slopes >= crown - 1e-12).all())
    assert float((inner.bound - slopes).mean()) > -2e-3
    for bound in (by_intervals, crown, slopes, inner.bound):
        assert bool((bound <= least).all())


@pytest.mark.parametrize("norm", [1, 2])
def test_the_bound_of_a_linear_network_over_a_ball_is_the_dual_norm(norm: int) -> None:
    weight = torch.tensor([[3.0, -4.0, 0.0]], dtype=torch.float64)
    network = Network(3, (Sum((0,), (Dense(weight),), torch.zeros(1).double()),), (3,))
    centre = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    wide = torch.full((1, 3), 10.0, dtype=torch.float64)
    radius = torch.tensor([0.5], dtype=torch.float64)
    domain = Domain(centre - wide, centre + wide, centre, radius, norm)
    known = intervals(network, domain)
    bound = below(network, {1: torch.ones(1, 1, 1).double()}, domain, known, {}).bound
    dual = {1: 4.0, 2: 5.0}[norm]
    assert float(bound) == pytest.approx(3.0 - 8.0 - 0.5 * dual, abs=1e-12)
    assert float(bound) < 3.0 - 8.0 - 0.5 * dual


def test_a_linear_network_is_bounded_by_its_corner_to_rounding_from_below() -> None:
    network = chain([6, 4], 0)
    domain = boxes(6, 5, 3, 1.0)
    rows = torch.eye(4, dtype=torch.float64)[None]
    known = intervals(network, domain)
    bound = below(network, {1: rows}, domain, known, {}).bound
    node = network.nodes[0]
    assert isinstance(node, Sum)
    (one,) = node.maps
    weight = one.apply(torch.eye(6, dtype=torch.float64)).T
    corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=torch.float64)
    x = domain.low[:, None] + corners * (domain.high - domain.low)[:, None]
    least = (x @ weight.T + node.bias).amin(dim=1)
    assert bool((bound <= least).all())
    torch.testing.assert_close(bound, least, rtol=0, atol=1e-12)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_lines_of_any_slope_hold_on_their_interval(function: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ends = 6 * torch.randn(2, 200, generator=generator, dtype=torch.float64)
    low, high = ends.min(dim=0).values[None], ends.max(dim=0).values[None]
    low[0, :20] = high[0, :20]  # single points
    high[0, 20:40] = low[0, 20:40] + 1e-9
    steep = {"relu": 1.0, "sigmoid": 0.25, "tanh": 1.0}[function]
    chosen = steep * torch.rand(2, 1, 1, 200, generator=generator, dtype=torch.float64)
    for slopes in (None, Slopes(chosen[0], None if function == "relu" else chosen[1])):
        line = lines(function, low, high, slopes)
        y = low + torch.linspace(0, 1, 401, dtype=torch.float64)[:, None] * (high - low)
        value = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}[function](y)
        under = 0.0 if line.under is None else line.under[0]
        assert bool((line.below[0] * y + under <= value + 1e-13).all())
        assert bool((line.above[0] * y + line.over[0] >= value - 1e-13).all())


@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
def test_lines_of_a_curve_touch_it(function: str) -> None:
    low = torch.tensor([[-3.0, 0.5, -4.0]], dtype=torch.float64)
    high = torch.tensor([[2.0, 3.0, -1.0]], dtype=torch.float64)
    line = lines(function, low, high)
    y = low + torch.linspace(0, 1, 20_001, dtype=torch.float64)[:, None] * (high - low)
    value = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}[function](y)
    assert line.under is not None
    gap_below = (value - line.below[0] * y - line.under[0]).amin(dim=0)
    gap_above = (line.above[0] * y + line.over[0] - value).amin(dim=0)
    assert float(gap_below.abs().max()) < 1e-6
    assert float(gap_above.abs().max()) < 1e-6


def test_rounding_is_taken_off_where_terms_cancel() -> None:
    """f = 1e8 x - 1e8 x over two places is 0; a bound may not be above it."""
    big = torch.tensor([[1e8], [1e8]], dtype=torch.float64)
    down = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    nodes = (
        Sum((0,), (Dense(big),), torch.tensor([0.1, 0.1], dtype=torch.float64)),
        Activation(1, "relu", 2),
        Sum((2,), (Dense(down),), torch.zeros(1, dtype=torch.float64)),
    )
    network = Network(1, nodes, (1,))
    low = torch.tensor([[0.1]], dtype=torch.float64)
    domain = Domain(low, low + 0.7)
    known = tightened(network, domain)
    rows = {3: torch.tensor([[[1.0], [-1.0]]], dtype=torch.float64)}
    bound = below(network, rows, domain, known, relaxations(network, known)).bound
    assert bool((bound <= 0).all())
    assert bool((bound > -1e-4).all())
