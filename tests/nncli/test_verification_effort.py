"""How hard intervals are tried for, and when no longer."""

import torch
from torch import Tensor, nn

from nncli.verification.clock import Clock
from nncli.verification.domains import Domain
from nncli.verification.lowering import lower
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.tightening import Effort, tightened


def test_without_time_for_slopes_intervals_are_those_of_the_rule() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    network = lower(module, (4,), source="net")
    domain = Domain(-torch.ones(1, 4).double(), torch.ones(1, 4).double())
    known = tightened(network, domain)
    late = tightened(network, domain, Effort(steps=5, worth=Clock(-1.0).going))
    for one, other in zip(known, late, strict=True):
        assert torch.equal(one.low, other.low)
        assert torch.equal(one.high, other.high)
    better = tightened(network, domain, Effort(steps=5, worth=Clock().going))
    assert bool((better[3].low >= known[3].low - 1e-9).all())
    assert bool((better[3].low > known[3].low + 1e-3).any())


class TwoTowers(nn.Module):
    """Of one scaled input, two hidden layers of which neither sees the other."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, x.flip(1)], 1)[:, :3] * 0.5
        both = torch.cat([torch.relu(self.one(x)), torch.relu(self.two(x))], 1)
        out: Tensor = self.out(both)
        return out


def test_numbers_that_no_activation_leads_to_have_no_slopes_to_search_for() -> None:
    torch.manual_seed(0)
    low, high = -torch.ones(1, 3).double(), torch.ones(1, 3).double()
    weight = torch.eye(3, dtype=torch.float64) / 2
    module = TwoTowers()
    first, second = (one.weight.detach().double() for one in (module.one, module.two))
    nothing = torch.zeros(4, dtype=torch.float64)
    nodes = (
        Sum((0,), (Dense(weight),), torch.zeros(3, dtype=torch.float64)),
        Sum((1,), (Dense(first),), nothing),
        Activation(2, "relu", 4),
        Sum((1,), (Dense(second),), nothing),
        Activation(4, "relu", 4),
    )
    known = tightened(Network(3, nodes, (3,)), Domain(low, high), Effort(steps=5))
    reach = (second.abs() / 2).sum(dim=1)
    assert torch.allclose(known[4].high[0], reach)
    assert torch.allclose(known[4].low[0], -reach)
    network = lower(module, (3,), source="towers")
    for one in tightened(network, Domain(low, high), Effort(steps=5)):
        assert bool((one.low <= one.high).all())
