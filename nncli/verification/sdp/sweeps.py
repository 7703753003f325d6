"""The least value of the Lagrangian over vectors in place of numbers, place by place.

Each variable becomes a vector of K numbers of length at most 1, the constant 1 the first unit
vector: the low-rank form of the semidefinite programme whose dual is the bound. Column by column
the vectors are K ordinary activations of the network, of which the first carries the constants. The
variables of one place meet none of their own place in a product, but for their squares, so a whole
place is moved to its best at once; a pass back through the network and one forth moves each twice.

References:
    Burer and Monteiro 2003, A nonlinear programming algorithm for solving semidefinite programs via
    low-rank factorization. Wang et al. 2017, The mixing method.
"""

from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from nncli.verification.network import Sum
from nncli.verification.sdp.lagrangian import (
    CHORD,
    DEPTH,
    PRODUCT,
    SHARES,
    SIGN,
    SLOPE,
    Multipliers,
    Problem,
    spread,
)

STEP, INNER_STEP = 0.55, 0.25  # of what is stiff at most: sure to do; what does beyond the input
POOL = 1 << 19  # normal numbers that noise is taken from


@dataclass
class Iterate:
    """Vectors and what they give.

    Attributes:
        values: (R, K, n) by place.
        pulled: (R, K, n) factors that the places after an activation, or the input, have on it.
        weights: (R, n) by the same places: how hard the limit on each vector's length is pressed
            on, which are multipliers of `z^2 <= 1`.
        origin: (R, K, n) by place, where the variables (-1 to 1) of a place were when `pulled` was
            found; where the square of a sum of them counts.
        stiff: (R, n) likewise, at least what that square can bend.
    """

    values: dict[int, Tensor]
    pulled: dict[int, Tensor]
    weights: dict[int, Tensor]
    origin: dict[int, Tensor] = field(default_factory=dict)
    stiff: dict[int, Tensor] = field(default_factory=dict)


def begin(problem: Problem, rank: int, generator: torch.Generator) -> Iterate:
    """Random vectors.

    Args:
        problem: The problem.
        rank: K.
        generator: What they are drawn from.
    """
    found = Iterate({}, {}, {})
    for place in range(problem.top + 1):
        node = problem.network.nodes[place - 1] if place else None
        if isinstance(node, Sum):
            found.values[place] = summed(node, found.values)
        elif place in problem.radius:
            radius = problem.radius[place]
            shape = (problem.rows, rank, len(radius))
            x = radius * torch.randn(shape, generator=generator, dtype=radius.dtype)
            if place:
                neurons = problem.neurons[place]
                x += neurons.active * found.values[neurons.parent]
            found.values[place] = x
    return found


def shake(problem: Problem, at: Iterate, noise: float, generator: torch.Generator) -> None:
    """Add normal noise to vectors: what is exactly zero in a direction would stay so.

    A move forgets where its own place was, so that noise counts by the sums, which follow it.

    Args:
        problem: The problem.
        at: The vectors, which are changed.
        noise: Its standard deviation, relative to the radius.
        generator: What it is drawn from.
    """
    for place in range(problem.top + 1):
        node = problem.network.nodes[place - 1] if place else None
        if isinstance(node, Sum):
            at.values[place] = summed(node, at.values)
        elif place in problem.radius:
            radius, x = problem.radius[place], at.values[place]
            if place:
                neurons = problem.neurons[place]
                x = x * neurons.free + neurons.active * at.values[neurons.parent]
            drawn = _drawn(x, generator)
            at.values[place] = torch.addcmul(x, radius, drawn, value=noise)


@cache
def _pool(dtype: torch.dtype) -> Tensor:
    """Normal numbers; to draw them takes longer than all else that is done with one."""
    return torch.randn(POOL, generator=torch.Generator().manual_seed(1), dtype=dtype)


def _drawn(like: Tensor, generator: torch.Generator) -> Tensor:
    """Normal numbers (R, ...) of the shape of others, for each row a piece of the pool."""
    each = like[0].numel()
    pool = _pool(like.dtype)
    if each >= POOL:
        pool = pool.repeat(each // POOL + 2)
    starts = torch.randint(len(pool) - each, (len(like),), generator=generator).tolist()
    return torch.stack([pool[begin : begin + each] for begin in starts]).view(like.shape)


def summed(node: Sum, values: dict[int, Tensor]) -> Tensor:
    """A sum of the columns (R, K, size), its constant in the first."""
    total: Tensor | None = None
    for parent, one in zip(node.parents, node.maps, strict=True):
        part = one.apply(values[parent])
        total = part if total is None else total + part
    assert total is not None
    total = total.clone() if len(node.parents) == 1 else total
    total[:, 0] += node.bias
    return total


def sweep(problem: Problem, multipliers: Multipliers, at: Iterate) -> None:
    """Move every vector to its best, last place first, then first place first.

    Args:
        problem: The problem.
        multipliers: Of the facts.
        at: The vectors, which are changed.
    """
    _back(problem, multipliers, at)
    for place in range(1, problem.top + 1):
        node = problem.network.nodes[place - 1]
        if isinstance(node, Sum):
            at.values[place] = summed(node, at.values)
        elif place in problem.neurons:
            _move(problem, multipliers, at, place)


def _back(problem: Problem, multipliers: Multipliers, at: Iterate) -> None:
    waiting: dict[int, Tensor] = {}
    stiff: dict[int, Tensor] = {}
    for place, factors in problem.linear.items():
        one = factors.new_zeros(at.values[0].shape[:2] + factors.shape[1:])
        one[:, 0] = factors
        waiting[place] = one
    _curve(problem, multipliers, at, waiting)
    for place in range(problem.top, -1, -1):
        factors_here = waiting.pop(place, None)
        node = problem.network.nodes[place - 1] if place else None
        if isinstance(node, Sum):
            if factors_here is not None:
                spread(waiting, node, factors_here)
            if place in stiff:
                _stiffen(stiff, node, stiff.pop(place))
            continue
        if factors_here is None:
            factors_here = torch.zeros_like(at.values[place])
        at.pulled[place] = factors_here
        own = stiff.pop(place, factors_here.new_zeros(()))
        if own.ndim:
            at.origin[place] = _variables(problem, at, place)
            step = INNER_STEP if place and problem.large else STEP
            at.stiff[place] = step * 2 * problem.radius[place] * own
        _move(problem, multipliers, at, place)
        if place:
            neurons, m = problem.neurons[place], multipliers[place]
            down = factors_here * neurons.active - m[PRODUCT][:, None] * at.values[place]
            down -= (2 * m[DEPTH])[:, None] * (at.values[place] - at.values[neurons.parent])
            down[:, 0] += m[SLOPE] - m[CHORD] * neurons.chord + m[DEPTH] * neurons.depth
            parent = neurons.parent
            hard = neurons.active * own + m[DEPTH] * neurons.reach
            stiff[parent] = stiff[parent] + hard if parent in stiff else hard
            waiting[parent] = waiting[parent] + down if parent in waiting else down


def _curve(
    problem: Problem, multipliers: Multipliers, at: Iterate, waiting: dict[int, Tensor]
) -> None:
    """The tangent of the square, which is nowhere below it as it is concave."""
    square = problem.square
    if square is None:
        return
    place, share = square.place, multipliers[SHARES][0]
    factors = -2 * square.bend(share)[:, None] * at.values[place]
    factors[:, 0] += square.slope(share)
    waiting[place] = waiting[place] + factors if place in waiting else factors


def _move(problem: Problem, multipliers: Multipliers, at: Iterate, place: int) -> None:
    """Move the vectors of a place to where the Lagrangian is least, all others held."""
    radius, centre = problem.radius[place], problem.centre[place]
    factors, bend = at.pulled[place], None
    if place:
        m = multipliers[place]
        given = at.values[problem.neurons[place].parent]
        both = m[PRODUCT] + m[DEPTH]
        factors = factors - (both + m[DEPTH])[:, None] * given
        factors[:, 0] += m[CHORD] - m[SLOPE] - m[SIGN] + 2 * both * centre
        factors[:, 0] -= m[DEPTH] * problem.neurons[place].depth
        bend = 2 * both * radius**2
    slope = radius * factors
    if place in at.stiff:
        slope = slope - at.stiff[place][:, None] * at.origin[place]
        bend = at.stiff[place] if bend is None else bend + at.stiff[place]
    size = (slope * slope).sum(dim=1).sqrt()  # `norm` over these is tens of times slower
    limit = size if bend is None else torch.maximum(size, bend)
    at.weights[place] = (size if bend is None else size - bend).clamp_min(0)
    z = -slope / limit.clamp_min(1e-30)[:, None]
    at.values[place] = _placed(problem, place, z, at.values)


def _stiffen(stiff: dict[int, Tensor], node: Sum, factors: Tensor) -> None:
    """Pass what bends a sum back to what it is of."""
    for parent, one in zip(node.parents, node.magnitudes, strict=True):
        back = one.adjoint(factors)
        stiff[parent] = stiff[parent] + back if parent in stiff else back


def _variables(problem: Problem, at: Iterate, place: int) -> Tensor:
    """The variables (R, K, n) of a place, from its values."""
    x = at.values[place]
    if place:
        x = x * problem.neurons[place].free
    x = x.clone()
    x[:, 0] -= problem.centre[place]
    return x / problem.radius[place].clamp_min(1e-30)


def _placed(problem: Problem, place: int, z: Tensor, values: dict[int, Tensor]) -> Tensor:
    """The values of a place from its vectors."""
    x = problem.radius[place] * z
    x[:, 0] += problem.centre[place]
    if place:
        neurons = problem.neurons[place]
        x = x + neurons.active * values[neurons.parent]
    return x


def slopes(problem: Problem, at: Iterate) -> dict[int, Tensor]:
    """How the Lagrangian changes with each multiplier, the vectors held; in the same shapes."""
    found = {}
    for place, neurons in problem.neurons.items():
        x, y = at.values[place], at.values[neurons.parent]
        first, given = x[:, 0], y[:, 0]
        facts = torch.stack(
            [
                (x * (y - x)).sum(dim=1),
                first - given,
                first,
                neurons.chord * given + neurons.over - first,
                neurons.depth * (first - given) - ((x - y) ** 2).sum(dim=1),
            ]
        )
        found[place] = -facts * neurons.free
    square = problem.square
    if square is not None:
        f = at.values[square.place]
        bent = (f * f).sum(dim=1) - (square.low + square.high) * f[:, 0]
        found[SHARES] = (square.weight * (bent + square.low * square.high))[None]
    return found


def value(problem: Problem, multipliers: Multipliers, at: Iterate) -> Tensor:
    """(R,) the Lagrangian; at its least over the vectors it is the bound."""
    total = problem.offset
    for place, factors in problem.linear.items():
        total = total + (factors * at.values[place][:, 0]).sum(dim=-1)
    for place, one in slopes(problem, at).items():
        total = total + (multipliers[place] * one).sum(dim=(0, 2))
    square = problem.square
    if square is not None:
        total = total - (square.weight * at.values[square.place] ** 2).sum(dim=(1, 2))
    return total
