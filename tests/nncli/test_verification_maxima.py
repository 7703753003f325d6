"""Maxima: what is known of them beyond the ReLUs that they are written with."""

import pytest
import torch
from torch import Tensor, nn

from nncli.verification.domains import Domain
from nncli.verification.intervals import intervals
from nncli.verification.lowering import lower

SHAPE = (2, 7, 6)


class Extremes(nn.Module):
    """The largest and the smallest numbers of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.amax((2, 3)), x.amin((2, 3))], dim=1)


POOLS = {
    "pairs": nn.MaxPool2d(2),
    "overlapping": nn.MaxPool2d(3, 2, ceil_mode=True),
    "padded": nn.MaxPool2d(3, 2, 1),
    "dilated": nn.MaxPool2d(2, 1, dilation=2),
    "adaptive": nn.AdaptiveMaxPool2d((2, 3)),
    "extremes": Extremes(),
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
