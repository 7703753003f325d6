"""Maxima: what is known of them beyond the ReLUs that they are written with."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nncli.errors import ArtifactError
from nncli.verification.backward import below
from nncli.verification.domains import Domain
from nncli.verification.intervals import intervals
from nncli.verification.lowering import lower
from nncli.verification.maxima import capped
from nncli.verification.network import Network
from nncli.verification.tightening import relaxations, tightened

SHAPE = (2, 7, 6)


class Extremes(nn.Module):
    """The largest and the smallest numbers of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.amax((2, 3)), x.amin((2, 3))], dim=1)


class Uneven(nn.Module):
    """A pool as ONNX and TensorFlow have it: more padding at one end than at the other."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(x, (0, 1, 2, 1), value=-torch.inf), 3, 2)


POOLS = {
    "pairs": nn.MaxPool2d(2),
    "overlapping": nn.MaxPool2d(3, 2, ceil_mode=True),
    "padded": nn.MaxPool2d(3, 2, 1),
    "dilated": nn.MaxPool2d(2, 1, dilation=2),
    "adaptive": nn.AdaptiveMaxPool2d((2, 3)),
    "extremes": Extremes(),
    "uneven": Uneven(),
}


def box(count: int) -> Domain:
    generator = torch.Generator().manual_seed(3)
    size = torch.Size(SHAPE).numel()
    middle = torch.randn(count, size, generator=generator).double()
    radius = torch.rand(count, size, generator=generator).double()
    return Domain(middle - radius, middle + radius)


@pytest.mark.parametrize("pool", POOLS)
def test_the_interval_of_a_maximum_is_the_maximum_of_intervals(pool: str) -> None:
    domain = box(4)
    found = intervals(lower(POOLS[pool], SHAPE, source="net"), domain)[-1]
    for mine, side in ((found.low, domain.low), (found.high, domain.high)):
        exact = POOLS[pool](side.reshape(-1, *SHAPE)).flatten(1)
        assert torch.allclose(mine, exact, rtol=0, atol=1e-12)
    assert bool((found.low <= POOLS[pool](domain.low.reshape(-1, *SHAPE)).flatten(1)).all())


def test_the_interval_of_a_maximum_is_kept_before_a_matrix() -> None:
    domain = box(2)
    network = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3)).double()
    found = intervals(lower(network, SHAPE, source="net"), domain)[-1]
    low, high = (
        network[0](side.reshape(-1, *SHAPE)).flatten(1) for side in (domain.low, domain.high)
    )
    middle = network[2]((low + high) / 2)
    spread = (high - low) / 2 @ network[2].weight.abs().T
    assert torch.allclose(found.low, middle - spread, atol=1e-12)
    assert torch.allclose(found.high, middle + spread, atol=1e-12)


def pooling_network(seed: int, *, least: bool = False) -> nn.Module:
    """Convolutions of random weights around maxima, or minima, of overlapping windows."""
    torch.manual_seed(seed)
    convolution = nn.Conv2d(2, 3, 3, padding=1)
    pool = nn.MaxPool2d(3, 2, 1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = convolution, nn.Linear(36, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            x = -pool(-x) if least else pool(torch.relu(x))
            return self.last(x.flatten(1))

    return Net().double().eval()


def linear_bounds(network: Network, domain: Domain, *, caps: bool = True) -> Tensor:
    known = tightened(network, domain)
    rows = {network.last: torch.eye(network.outputs, dtype=torch.float64)[None]}
    return below(network, rows, domain, known, relaxations(network, known), caps=caps).bound


@pytest.mark.parametrize("least", [False, True])
@pytest.mark.parametrize("radius", [0.02, 0.3, 2.0])
def test_no_point_is_below_the_linear_bounds_of_pools(radius: float, *, least: bool) -> None:
    for seed in range(4):
        module = pooling_network(seed, least=least)
        network = lower(module, SHAPE, source="net")
        middle = box(1).low
        domain = Domain(middle - radius, middle + radius)
        bounds = linear_bounds(network, domain)
        x = middle + radius * (2 * torch.rand(2000, network.inputs).double() - 1)
        corners = middle + radius * torch.randn(2000, network.inputs).double().sign()
        for points in (x, corners):
            assert bool((bounds <= module(points.reshape(-1, *SHAPE)).amin(0)).all())


@pytest.mark.parametrize("least", [False, True])
def test_the_lines_of_a_maximum_hold_at_all_points(*, least: bool) -> None:
    network = lower(pooling_network(0, least=least), SHAPE, source="net")
    domain = box(3)
    known = tightened(network, domain)
    share = torch.rand(500, 3, network.inputs).double()
    values = network.values(domain.low + share * (domain.high - domain.low))
    used = 0
    for place in range(1, network.last + 1):
        lines = capped(network, place, known)
        if lines is not None:
            y = values[place][:, :, None]
            assert lines.under is not None
            assert bool((lines.below * y + lines.under <= y + 1e-12).all())
            assert bool((lines.above * y + lines.over >= y - 1e-12).all())
            used += int((torch.where(lines.above == 1, lines.below, lines.above) == 0).sum())
    assert used > 0


def test_constants_above_maxima_make_bounds_better() -> None:
    gains = []
    for seed in range(4):
        network = lower(pooling_network(seed), SHAPE, source="net")
        domain = Domain(box(1).low - 0.4, box(1).low + 0.4)
        gain = linear_bounds(network, domain) - linear_bounds(network, domain, caps=False)
        gains.append(gain.mean())
    assert torch.stack(gains).mean() > 0


def test_a_pool_over_padding_alone_is_refused() -> None:
    class Beyond(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.max_pool2d(F.pad(x, (0, 0, 0, 2), value=-torch.inf), (2, 1), (1, 1))

    with pytest.raises(ArtifactError, match="nothing but padding"):
        lower(Beyond(), SHAPE, source="net")
