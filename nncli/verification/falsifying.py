"""Counterexamples by projected gradient descent, from many starts at once.

The network is run in float32, as the user runs it, and points are float32 numbers in the exact box.
A point is a candidate only: whoever asks confirms it on the original network, exactly.

References:
    Madry et al. 2018, Towards deep learning models resistant to adversarial attacks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.clock import Clock
from nncli.verification.network import Network
from nncli.verification.properties import Ball, Region
from nncli.verification.queries import Query

STEPS = 50
ROUND = 10  # starts of each violation in the first round; later rounds have more
POINTS = 2_000  # that are stepped at once, about: time is only looked at between steps


@dataclass(frozen=True)
class Attack:
    """What was found.

    Attributes:
        counterexample: (n,) a confirmed one, or `None`.
        nearest: (V,) the least of the greatest margins that were reached, for each violation.
    """

    counterexample: Tensor | None
    nearest: Tensor


def falsify(
    network: Network,
    query: Query,
    confirm: Callable[[Tensor], bool],
    clock: Clock,
    *,
    seed: int = 0,
    rounds: int = 3,
) -> Attack:
    """Look for an input at which a violation happens.

    Args:
        network: The network.
        query: The violations.
        confirm: Whether an input (n,), float64 that holds float32 numbers, is a counterexample.
        clock: The time of this stage; when it is up, what was found counts.
        seed: Of the starts.
        rounds: Rounds, each with twice the starts of the one before; fewer of many violations.

    Returns:
        A confirmed counterexample if there is one, and how near each violation came.
    """
    generator = torch.Generator().manual_seed(seed)
    single = network.single
    count = len(query.violations)
    nearest = torch.full((count,), torch.inf, dtype=torch.float64)
    best = torch.zeros(count, network.inputs, dtype=torch.float64)
    starts = max(1, min(ROUND, POINTS // count))
    for turn in range(rounds):
        x = starting_points(query.region, count, starts, generator, corners=turn % 2 == 1)
        for one in range(STEPS + 1):
            x = x.detach().requires_grad_(True)
            margins = query.reached(x, single(x))
            own = margins.diagonal(dim1=-2, dim2=-1) if count > 1 else margins[..., 0]
            reached = own.detach().double().reshape(starts, count)
            least, start_of = reached.min(dim=0)
            better = torch.nonzero(least < nearest).flatten()
            nearest[better] = least[better]
            best[better] = x.detach().double()[start_of[better], better]
            hit = torch.nonzero(reached <= 0)
            for start, violation in hit[:4]:
                candidate = x[start, violation].detach().double()
                if confirm(candidate):
                    return Attack(candidate, _exactly(network, query, nearest, best))
            if one == STEPS or clock.left < 0:
                break
            (slope,) = torch.autograd.grad(own.sum(), x)
            x = moved(x.detach(), slope, query.region, 0.25 * (1 - one / STEPS) ** 2 + 1e-3)
        if clock.left < 0:
            break
        starts = max(1, min(2 * starts, POINTS // count))
    return Attack(None, _exactly(network, query, nearest, best))


def _exactly(network: Network, query: Query, nearest: Tensor, points: Tensor) -> Tensor:
    """The margins (V,) at the nearest points (V, n), in float64 as bounds are."""
    points = torch.minimum(torch.maximum(points, query.region.low), query.region.high)
    reached = query.reached(points, network(points)).diagonal()
    return torch.where(nearest.isfinite(), reached, nearest)


def starting_points(
    region: Region, count: int, starts: int, generator: torch.Generator, *, corners: bool
) -> Tensor:
    """(starts, V, n) points of the region, the middle first."""
    shape = (starts, count, region.low.shape[-1])
    share = torch.rand(shape, generator=generator, dtype=torch.float64)
    if corners:
        share = share.round()
    share[0] = 0.5
    low, high = region.inner_low, region.inner_high
    return _inside(low + share * (high - low), region)


def moved(x: Tensor, slope: Tensor, region: Region, size: float) -> Tensor:
    """A step down: by sign in a box, along the gradient in a ball."""
    if region.ball is None:
        width = (region.inner_high - region.inner_low).to(x.dtype)
        return _inside((x - size * width * slope.sign()).double(), region)
    length = slope.norm(dim=-1, keepdim=True).clamp_min(1e-30)
    return _inside((x - size * 2 * region.ball.radius * slope / length).double(), region)


def _inside(x: Tensor, region: Region) -> Tensor:
    """The nearest float32 points of the region; with a ball, of its box and well within it."""
    for _ in range(1 if region.ball is None else 3):
        if region.ball is not None:
            x = _projected(x, region.ball)
        x = torch.minimum(torch.maximum(x, region.inner_low), region.inner_high)
    return x.float()


def _projected(x: Tensor, ball: Ball) -> Tensor:
    """Onto a ball, a hair smaller than asked, so that rounding to float32 stays inside."""
    radius = ball.radius * (1 - 1e-5)
    away = x - ball.centre
    if ball.norm == 2:
        length = away.norm(dim=-1, keepdim=True).clamp_min(1e-30)
        scaled: Tensor = ball.centre + away * (radius / length).clamp_max(1.0)
        return scaled
    sizes = away.abs()
    ordered = sizes.sort(dim=-1, descending=True).values
    ranks = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    levels = (ordered.cumsum(dim=-1) - radius) / ranks
    last = (ordered > levels).sum(dim=-1, keepdim=True) - 1
    level = levels.gather(-1, last.clamp_min(0)).clamp_min(0)
    nearest: Tensor = ball.centre + away.sign() * (sizes - level).clamp_min(0)
    return nearest
