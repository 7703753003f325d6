"""How hard intervals are tried for, and when no longer."""

import torch
from torch import nn

from nncli.verification.clock import Clock
from nncli.verification.domains import Domain
from nncli.verification.lowering import lower
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
