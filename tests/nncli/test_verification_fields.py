"""A receptive field is the part of a network that some numbers depend on, and bounds them alike."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nncli.verification.backward import below
from nncli.verification.domains import Domain
from nncli.verification.fields import field_of, tiles
from nncli.verification.intervals import intervals
from nncli.verification.lowering import lower
from nncli.verification.network import Network
from nncli.verification.tightening import relaxations, tightened


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4))
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.skip = nn.Conv2d(2, 4, 1, stride=2)
        self.last = nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        path = self.second(torch.relu(self.first(x)))
        found: Tensor = self.last(torch.relu(path + self.skip(x)).flatten(1))
        return found


NETWORKS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "pooling": (
        (1, 14, 14),
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(3, 5, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(20, 2),
        ),
    ),
    "residual": ((2, 12, 12), Residual),
    "groups": (
        (4, 11, 9),
        lambda: nn.Sequential(
            nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(2, 1), groups=2),
            nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2),
        ),
    ),
    "sound": (
        (2, 60),
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 5, stride=2), nn.LeakyReLU(), nn.Conv1d(4, 4, 3, padding=1),
            nn.ReLU(), nn.MaxPool1d(3), nn.Flatten(), nn.LazyLinear(2),
        ),
    ),
}  # fmt: skip


@pytest.fixture(params=NETWORKS, scope="module")
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(7)
    shape, make = NETWORKS[request.param]
    module = make().eval()
    with torch.no_grad():
        module(torch.zeros(1, *shape))
        for one in module.modules():
            if isinstance(one, nn.BatchNorm2d):
                assert one.running_mean is not None
                assert one.running_var is not None
                one.running_mean.uniform_(-1, 1)
                one.running_var.uniform_(0.5, 2)
    return lower(module, shape, source="a network")


def region(network: Network, norm: int = 0) -> Domain:
    generator = torch.Generator().manual_seed(1)
    centre = torch.rand(2, network.inputs, generator=generator, dtype=torch.float64)
    if not norm:
        return Domain(centre - 0.1, centre + 0.1)
    radius = torch.tensor([0.3, 0.5], dtype=torch.float64)
    return Domain(centre - 0.1, centre + 0.1, centre, radius, norm)


def some_of(network: Network, place: int, seed: int) -> Tensor:
    """A corner of a place, and a number far from it."""
    found = {*range(min(3, network.size(place))), seed % network.size(place)}
    return torch.tensor(sorted(found))


def test_a_field_computes_the_numbers_it_was_made_for(network: Network) -> None:
    x = torch.randn(5, network.inputs, dtype=torch.float64)
    values = network.values(x)
    met = 0
    for place in range(1, len(network.nodes) + 1):
        chosen = some_of(network, place, 17 * place)
        field = field_of(network, place, chosen)
        if field is None:
            continue
        met += 1
        assert len(field.numbers[0]) < network.inputs
        torch.testing.assert_close(
            field.network(x[:, field.numbers[0]]), values[place][:, chosen], rtol=1e-12, atol=1e-12
        )
    assert met >= 3


def test_what_is_outside_a_field_changes_nothing(network: Network) -> None:
    x = torch.randn(1, network.inputs, dtype=torch.float64, requires_grad=True)
    place = network.activation(network.activations[-1]).parent
    chosen = some_of(network, place, 5)
    field = field_of(network, place, chosen)
    (slope,) = torch.autograd.grad(network.values(x)[place][:, chosen].sum(), x)
    reached = torch.nonzero(slope[0]).flatten()
    inside = torch.arange(network.inputs) if field is None else field.numbers[0]
    assert set(reached.tolist()) <= set(inside.tolist())


@pytest.mark.parametrize("norm", [0, 1, 2])
def test_a_field_gives_the_bounds_of_the_whole_network(network: Network, norm: int) -> None:
    domain = region(network, norm)
    known = intervals(network, domain)
    relaxed = relaxations(network, known)
    for activation in network.activations:
        place = network.activation(activation).parent
        chosen = some_of(network, place, 29)
        field = field_of(network, place, chosen)
        if field is None:
            continue
        rows = torch.zeros(1, len(chosen), network.size(place), dtype=torch.float64)
        rows[0, torch.arange(len(chosen)), chosen] = 1
        whole = below(network, {place: rows}, domain, known, relaxed).bound
        own = torch.eye(len(chosen), dtype=torch.float64)[None]
        bound = below(
            field.network,
            {field.network.last: own},
            field.domain(domain),
            field.intervals(known),
            field.lines(relaxed),
        ).bound
        torch.testing.assert_close(bound, whole, rtol=1e-9, atol=1e-9)


def test_tiles_hold_every_number_once(network: Network) -> None:
    for place in range(1, len(network.nodes) + 1):
        columns = torch.nonzero(torch.rand(network.size(place)) < 0.7).flatten()
        found = torch.cat([*tiles(network, place, columns), columns[:0]])
        assert sorted(found.tolist()) == columns.tolist()


def test_tightened_intervals_hold_what_the_network_does(network: Network) -> None:
    domain = region(network)
    known = tightened(network, domain)
    share = torch.rand(500, 2, network.inputs, dtype=torch.float64)
    x = domain.low + share * (domain.high - domain.low)
    for one, values in zip(known, network.values(x), strict=True):
        assert bool(((values >= one.low) & (values <= one.high)).all())
    loose = intervals(network, domain)
    widths = [float((one.high - one.low).sum()) for one in (known[-1], loose[-1])]
    assert widths[0] < widths[1]
