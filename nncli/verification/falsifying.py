"""Counterexamples by projected gradient descent, from many starts at once.

The network is run in float32, as the user runs it, and points are float32 numbers in the exact box.
A point is a candidate only: whoever asks confirms it on the original network, exactly.

References:
    Madry et al. 2018, Towards deep learning models resistant to adversarial attacks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nncli.verification.clock import Clock
from nncli.verification.network import Network
from nncli.verification.properties import Ball, Region
from nncli.verification.queries import Query, rows_of_violations

STEPS = 50
ROUND = 10  # starts of each violation in the first round; later rounds have more
POINTS = 2_000  # that are stepped at once, about: time is only looked at between steps
BRIEF_STARTS, BRIEF_STEPS = 2, 20  # finds most of what a round does, for a 12th of it
SAMPLED, SAMPLES = 50, 10_000  # inputs up to which starts of a round are the best of many points
FIRST = 3  # violations that are tried briefly before the others
HELD = 2  # numbers of float64 that a step takes for each number of a network at a point, at most


@dataclass(frozen=True)
class Attack:
    """What was found.

    Attributes:
        counterexample: (n,) a confirmed one, or `None`.
        nearest: (V,) the least of the greatest margins that were reached, for each violation;
            infinite for those that were not tried.
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
    open_violations: Tensor | None = None,
    numbers: int = 30_000_000,
) -> Attack:
    """Look for an input at which a violation happens.

    Args:
        network: The network.
        query: The violations.
        confirm: Whether an input (n,), float64 that holds float32 numbers, is a counterexample.
        clock: The time of this stage; when it is up, what was found counts.
        seed: Of the starts.
        rounds: Rounds, each with twice the starts of the one before; fewer of many violations. 0
            for a brief one.
        open_violations: (K,) places of the violations to try; by default all.
        numbers: Numbers of float64 held at once, about.

    Returns:
        A confirmed counterexample if there is one, and how near each violation came.
    """
    generator = torch.Generator().manual_seed(seed)
    which = torch.arange(len(query.violations)) if open_violations is None else open_violations
    nearest = torch.full((len(query.violations),), torch.inf, dtype=torch.float64)
    width = sum(network.sizes)
    most = max(1, min(POINTS, numbers // (HELD * width)))
    targets = _Targets(query, rows_of_violations(query))
    brief = _brief(network, targets, which, most)
    for turn in _rounds(which, rounds, network.inputs) if rounds else brief:
        for some, starts in turn.portions(most):
            target = targets.some(some)
            x = starting_points(target.region, len(some), starts, generator, corners=turn.corners)
            if turn.sampled:
                x = _better(network, target, x, most, generator=generator, clock=clock)
            found = _descended(network, target, x, turn.steps, confirm=confirm, clock=clock)
            nearest[some] = torch.minimum(nearest[some], found.nearest)
            if found.counterexample is not None or clock.left < 0:
                return Attack(found.counterexample, nearest)
    return Attack(None, nearest)


class _Turn(NamedTuple):
    """Violations to try, from how many starts, and how long."""

    which: Tensor
    starts: int
    steps: int
    corners: bool = False
    sampled: bool = False

    def portions(self, most: int) -> Iterator[tuple[Tensor, int]]:
        """Violations and starts, at most so many points at once."""
        together = max(1, most // max(1, len(self.which)))
        for begin in range(0, self.starts, together):
            for some in torch.split(self.which, most):
                yield some, min(together, self.starts - begin)


def _rounds(which: Tensor, rounds: int, inputs: int) -> Iterator[_Turn]:
    for turn in range(rounds):
        starts = max(1, min(ROUND * 2**turn, POINTS // max(1, len(which))))
        yield _Turn(which, starts, STEPS, turn % 2 == 1, inputs <= SAMPLED)


def _brief(network: Network, targets: "_Targets", which: Tensor, most: int) -> Iterator[_Turn]:
    """Those first that are nearest to happen in the middle of their region."""
    margins = []
    for some in torch.split(which, most):
        target = targets.some(some)
        low, high = target.region.inner_low, target.region.inner_high
        middle = ((low + high) / 2).float().expand(1, len(some), -1)
        margins.append(target.reached(middle, network.single(middle))[0])
    order = which[torch.cat(margins).argsort(stable=True)]
    for part in (order[:FIRST], order[FIRST:]):
        if len(part):
            yield _Turn(part, BRIEF_STARTS, BRIEF_STEPS)


@dataclass(frozen=True)
class _Target:
    """Some violations.

    Attributes:
        region: Where they may happen.
        outputs: (V, K, m) factors of the outputs in the conditions of each.
        inputs: (V, K, n) factors of the inputs, if conditions speak of them.
        constants: (V, K).
    """

    region: Region
    outputs: Tensor
    inputs: Tensor | None
    constants: Tensor

    def reached(self, x: Tensor, y: Tensor) -> Tensor:
        """The greatest margins (S, V) of violations at points (S, V, n), outputs (S, V, m)."""
        margins = -torch.einsum("svm,vkm->svk", y, self.outputs.to(y.dtype))
        margins = margins - self.constants.to(y.dtype)
        if self.inputs is not None:
            margins = margins - torch.einsum("svn,vkn->svk", x, self.inputs.to(x.dtype))
        return margins.amax(dim=-1)


class _Targets(NamedTuple):
    """Violations, and the rows (V, K) of each."""

    query: Query
    rows: Tensor

    def some(self, which: Tensor) -> _Target:
        picked, region = self.rows[which], self.query.region
        if region.low.ndim == 2:
            limits = (region.low, region.high, region.inner_low, region.inner_high)
            low, high, inner_low, inner_high = (one[which] for one in limits)
            region = Region(low, high, inner_low, inner_high)
        inputs = None if self.query.inputs is None else self.query.inputs[picked]
        return _Target(region, self.query.outputs[picked], inputs, self.query.constants[picked])


def _better(
    network: Network,
    target: _Target,
    x: Tensor,
    most: int,
    *,
    generator: torch.Generator,
    clock: Clock,
) -> Tensor:
    """Starts (S, V, n), half of them replaced by the best of many points.

    Half of what goes into these is at a limit: where outputs are constant nearly everywhere, as
    those of controllers are, there is no slope to follow, and what is not constant is at the edge.
    """
    low, high = target.region.inner_low, target.region.inner_high
    shape = (max(1, most // x.shape[1]), *x.shape[1:])
    kept, best = x[: len(x) // 2], x[len(x) // 2 :]
    margins, wanted = target.reached(best, network.single(best)), len(best)
    for _ in range(min(STEPS, SAMPLES // most)):  # no more passes than will follow
        if clock.left < 0:
            break
        share = torch.rand(shape, generator=generator, dtype=torch.float64)
        ends = torch.rand(shape, generator=generator) < 0.5
        share = torch.where(ends, share.round(), share)
        tried = inside(low + share * (high - low), target.region)
        best = torch.cat([best, tried])
        margins = torch.cat([margins, target.reached(tried, network.single(tried))])
        order = margins.argsort(dim=0, stable=True)[:wanted]
        margins = margins.gather(0, order)
        best = best.gather(0, order[..., None].expand(-1, -1, x.shape[2]))
    return torch.cat([kept, best])


def _descended(
    network: Network,
    target: _Target,
    x: Tensor,
    steps: int,
    *,
    confirm: Callable[[Tensor], bool],
    clock: Clock,
) -> Attack:
    """Step down from points (S, V, n)."""
    count = x.shape[1]
    nearest = torch.full((count,), torch.inf, dtype=torch.float64)
    best = torch.zeros(x.shape[1:], dtype=torch.float64)
    for one in range(steps + 1):
        x = x.detach().requires_grad_(True)
        own = target.reached(x, network.single(x))
        reached = own.detach().double()
        least, start_of = reached.min(dim=0)
        better = torch.nonzero(least < nearest).flatten()
        nearest[better] = least[better]
        best[better] = x.detach().double()[start_of[better], better]
        for start, violation in torch.nonzero(reached <= 0)[:4]:
            candidate = x[start, violation].detach().double()
            if confirm(candidate):
                return Attack(candidate, _exactly(network, target, nearest, best))
        if one == steps or clock.left < 0:
            break
        (slope,) = torch.autograd.grad(own.sum(), x)
        x = moved(x.detach(), slope, target.region, 0.25 * (1 - one / steps) ** 2 + 1e-3)
    return Attack(None, _exactly(network, target, nearest, best))


def _exactly(network: Network, target: _Target, nearest: Tensor, points: Tensor) -> Tensor:
    """The margins (V,) at the nearest points (V, n), in float64 as bounds are."""
    points = torch.minimum(torch.maximum(points, target.region.low), target.region.high)
    reached = target.reached(points[None], network(points)[None])[0]
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
    return inside(low + share * (high - low), region)


def moved(x: Tensor, slope: Tensor, region: Region, size: float) -> Tensor:
    """A step down: by sign in a box, along the gradient in a ball."""
    if region.ball is None:
        width = (region.inner_high - region.inner_low).to(x.dtype)
        return inside((x - size * width * slope.sign()).double(), region)
    length = slope.norm(dim=-1, keepdim=True).clamp_min(1e-30)
    return inside((x - size * 2 * region.ball.radius * slope / length).double(), region)


def inside(x: Tensor, region: Region) -> Tensor:
    """The nearest float32 points of a region; with a ball, of its box and well within it.

    Args:
        x: (..., n) points.
        region: The region.
    """
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
