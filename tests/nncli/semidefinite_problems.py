"""Outputs of random networks over boxes as semidefinite problems."""

import torch
from torch import Tensor
from verification_networks import normal

from nncli.verification.domains import Domain
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.sdp.lagrangian import Multipliers, Problem, problem
from nncli.verification.sdp.search import Plan, climb
from nncli.verification.sdp.start import linear_start
from nncli.verification.slopes import Ascent, ascend
from nncli.verification.tightening import tightened


def box(inputs: int, seed: int, radius: float = 0.7) -> Domain:
    generator = torch.Generator().manual_seed(seed)
    centre = normal(generator, 1, inputs)
    radii = radius * torch.rand(1, inputs, generator=generator, dtype=torch.float64)
    radii[:, 0] = 0  # an input that cannot change
    return Domain(centre - radii, centre + radii)


def sampled(network: Network, domain: Domain, count: int = 4000) -> Tensor:
    """(m,) the least outputs at random points and corners."""
    generator = torch.Generator().manual_seed(9)
    share = torch.rand(count, network.inputs, generator=generator, dtype=torch.float64)
    share = torch.cat([share, share.round()])
    return network(domain.low + share * (domain.high - domain.low)).amin(dim=0)


class Posed:
    """The outputs of a network over a box, their linear bounds, and the problem of them."""

    def __init__(self, network: Network, domain: Domain, steps: int = 10) -> None:
        self.network, self.domain = network, domain
        self.known: list[Interval] = tightened(network, domain)
        outputs = network.outputs
        self.rows = {network.last: torch.eye(outputs, dtype=torch.float64)[None]}
        self.linear: Ascent = ascend(network, self.rows, domain, self.known, steps=steps)
        self.problem: Problem = problem(network, self.rows, domain, self.known)
        self.start: Multipliers = linear_start(
            self.problem, self.rows, domain, self.known, self.linear.choice
        )

    def bound(self, plan: Plan) -> Tensor:
        return climb(self.problem, self.start, plan).bound
