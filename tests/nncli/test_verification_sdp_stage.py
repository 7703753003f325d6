"""Semidefinite bounds decide what linear ones leave open where training was adversarial."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from verification_networks import normal

from nncli.verification.domains import Domain
from nncli.verification.maps import Dense
from nncli.verification.neighbourhoods import robustness
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.portfolio import decide
from nncli.verification.sdp.lagrangian import problem
from nncli.verification.sdp.search import Plan, climb
from nncli.verification.sdp.start import linear_start
from nncli.verification.slopes import ascend
from nncli.verification.stages import Setting
from nncli.verification.tightening import tightened

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def adversarially_trained(seed: int) -> tuple[Network, Tensor, Tensor]:
    """A network trained on worst corners of boxes around 2 classes of points, and the points."""
    generator = torch.Generator().manual_seed(seed)
    centres = normal(generator, 2, 12)
    y = torch.arange(200) % 2
    x = centres[y] + 0.5 * normal(generator, 200, 12)
    weights = [normal(generator, a, b) / b**0.5 for a, b in ((24, 12), (24, 24), (2, 24))]
    for one in weights:
        one.requires_grad_(True)

    def loss(points: Tensor) -> Tensor:
        hidden = torch.relu(torch.relu(points @ weights[0].T) @ weights[1].T)
        return torch.nn.functional.cross_entropy(hidden @ weights[2].T, y)

    for _ in range(150):
        moved = x.clone()
        for _ in range(3):
            moved.requires_grad_(True)
            (slope,) = torch.autograd.grad(loss(moved), moved)
            moved = torch.clamp(moved.detach() + 0.2 * slope.sign(), x - 0.4, x + 0.4)
        slopes = torch.autograd.grad(loss(moved), weights)
        with torch.no_grad():
            for one, slope in zip(weights, slopes, strict=True):
                one.sub_(0.3 * slope)
    nodes: list[Sum | Activation] = []
    for one in weights:
        zeros = torch.zeros(len(one), dtype=torch.float64)
        nodes.append(Sum((len(nodes),), (Dense(one.detach()),), zeros))
        nodes.append(Activation(len(nodes), "relu", len(one)))
    return Network(12, tuple(nodes[:-1]), (12,)), x, y


def test_most_of_the_gap_is_closed_where_training_was_adversarial() -> None:
    network, x, y = adversarially_trained(0)
    right = network(x).argmax(dim=1) == y
    shares = []
    for place in torch.nonzero(right).flatten()[:6].tolist():
        domain = Domain(x[place : place + 1] - 0.4, x[place : place + 1] + 0.4)
        known = tightened(network, domain)
        row = torch.tensor([[[-1.0, 1.0]]], dtype=torch.float64) * (2 * y[place] - 1)
        rows = {network.last: row}
        linear = ascend(network, rows, domain, known, steps=50)
        posed = problem(network, rows, domain, known)
        start = linear_start(posed, rows, domain, known, linear.choice)
        bound = float(climb(posed, start, Plan(steps=100)).bound)
        least = float(_attacked(network, row[0, 0], domain).min())
        low = float(linear.bound)
        assert low - 1e-9 <= bound <= least
        if least - low > 0.05:
            shares.append((bound - low) / (least - low))
    assert len(shares) >= 4
    assert np.mean(shares) > 0.5


def _attacked(network: Network, row: Tensor, domain: Domain) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(200, network.inputs, generator=generator, dtype=torch.float64).round()
    points = domain.low + share * (domain.high - domain.low)
    for _ in range(20):
        points.requires_grad_(True)
        (slope,) = torch.autograd.grad((network(points) @ row).sum(), points)
        moved = points.detach() - 0.2 * slope.sign()
        points = torch.minimum(torch.maximum(moved, domain.low), domain.high)
    return network(points) @ row


def test_the_stage_decides_what_linear_bounds_leave_open() -> None:
    network, x, y = adversarially_trained(0)
    right = torch.nonzero(network(x).argmax(dim=1) == y).flatten()[:10].tolist()
    verdicts: dict[str, set[int]] = {"alpha-crown": set(), "sdp": set(), "auto": set()}
    for place in right:
        asked = robustness(str(place), x[place].float(), int(y[place]), "0.4", outputs=2)
        for method, found in verdicts.items():
            answer = decide(network, asked, lambda point: False, Setting(method, 20.0))
            if answer.verdict == "verified":
                found.add(place)
            if method == "sdp" and answer.stage == "sdp":
                assert answer.bound > 0
                assert "sdp" in answer.seconds
    assert verdicts["alpha-crown"] <= verdicts["sdp"] <= verdicts["auto"]
    assert len(verdicts["sdp"]) > len(verdicts["alpha-crown"])
