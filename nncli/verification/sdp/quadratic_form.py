"""The Lagrangian written out as a quadratic function of the variables, for the certificate.

Memory grows with the square of the number of variables, so this is done once a search, or seldom.
What rounding can have changed is bounded by the sums of absolute terms along all paths.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.network import Sum
from nncli.verification.rounding import growth
from nncli.verification.sdp.lagrangian import (
    CHORD,
    DEPTH,
    PRODUCT,
    SHARES,
    SIGN,
    SLOPE,
    Multipliers,
    Problem,
    Square,
    spread,
)


@dataclass(frozen=True)
class Frame:
    """What the matrices of all rows of a problem have in common.

    Attributes:
        start: (N + 1,) nothing but a place for the constant and the variables of each place:
            places of the first variable of each.
        chosen: Places of the variables among the numbers of each place.
        through: (F, N) by place: what goes into the free ReLUs of an activation, or the values of
            the square, as factors of the variables.
        middle: (F,) likewise, where every variable is 0.
        first: (n,) all values of a place where every variable is 0.
        sizes: (n,) by place, the sum of absolute terms at their greatest.
        variables: N.
        terms: Roundings along the longest path.
    """

    start: Mapping[int, int]
    chosen: Mapping[int, Tensor]
    through: Mapping[int, Tensor]
    middle: Mapping[int, Tensor]
    first: Mapping[int, Tensor]
    sizes: Mapping[int, Tensor]
    variables: int
    terms: int


def frame(problem: Problem) -> Frame:
    """The frame of a problem.

    Args:
        problem: The problem, in float64.
    """
    start, chosen, count = {}, {}, 0
    for place, radius in problem.radius.items():
        chosen[place] = torch.nonzero(radius > 0).flatten()
        start[place] = count
        count += len(chosen[place])
    first, sizes = _centre_and_sizes(problem)
    through, middle = {}, {}
    wanted = {place: (one.parent, chosen[place]) for place, one in problem.neurons.items()}
    if problem.square is not None:
        place = problem.square.place
        wanted[place] = (place, torch.arange(len(first[place])))
    for place, (parent, which) in wanted.items():
        rows = first[0].new_zeros(len(which), len(first[parent]))
        rows[torch.arange(len(which)), which] = 1
        through[place] = _flat(problem, start, chosen, {parent: rows}, count)
        middle[place] = first[parent][which]
    terms = sum(2 * one.terms + 8 for one in problem.network.nodes if isinstance(one, Sum))
    return Frame(start, chosen, through, middle, first, sizes, count, terms + count + 64)


def _centre_and_sizes(problem: Problem) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """Values where all variables are 0, and sums of absolute terms over all variables."""
    first, sizes = {0: problem.centre[0]}, {0: problem.centre[0].abs() + problem.radius[0]}
    for place in range(1, problem.top + 1):
        node = problem.network.nodes[place - 1]
        if isinstance(node, Sum):
            first[place], sizes[place] = node.bias, node.bias.abs()
            for parent, one, absolute in zip(node.parents, node.maps, node.magnitudes, strict=True):
                first[place] = first[place] + one.apply(first[parent])
                sizes[place] = sizes[place] + absolute.apply(sizes[parent])
        elif place in problem.neurons:
            neurons = problem.neurons[place]
            own = problem.centre[place]
            first[place] = own + neurons.active * first[neurons.parent]
            sizes[place] = own.abs() + problem.radius[place]
            sizes[place] = sizes[place] + neurons.active * sizes[neurons.parent]
    return first, sizes


def _flat(
    problem: Problem,
    start: Mapping[int, int],
    chosen: Mapping[int, Tensor],
    factors: Mapping[int, Tensor],
    count: int,
) -> Tensor:
    """Factors (F, n) of places as factors (F, N) of the variables."""
    waiting = dict(factors)
    found = next(iter(waiting.values())).new_zeros(len(next(iter(waiting.values()))), count)
    for place in range(max(waiting), -1, -1):
        here = waiting.pop(place, None)
        if here is None:
            continue
        node = problem.network.nodes[place - 1] if place else None
        if isinstance(node, Sum):
            spread(waiting, node, here)
            continue
        which, begin = chosen[place], start[place]
        found[:, begin : begin + len(which)] = (here * problem.radius[place])[:, which]
        if place:
            neurons = problem.neurons[place]
            if bool(neurons.active.any()):
                passed = here * neurons.active
                parent = neurons.parent
                waiting[parent] = waiting[parent] + passed if parent in waiting else passed
    return found


@dataclass(frozen=True)
class Quadratic:
    """A Lagrangian as `constant + slope . z + z' bend z / 2`.

    Attributes:
        constant: c.
        slope: (N,) g.
        bend: (N, N) H, symmetric.
        error: Everything by which rounding can have changed it, for any z in [-1, 1].
    """

    constant: Tensor
    slope: Tensor
    bend: Tensor
    error: float


def quadratic(problem: Problem, frame: Frame, multipliers: Multipliers, row: int) -> Quadratic:
    """The Lagrangian of a row, written out.

    Args:
        problem: The problem, in float64.
        frame: Its frame.
        multipliers: Of the facts; signs are not looked at.
        row: Which row.
    """
    given = {place: one[row : row + 1] for place, one in problem.linear.items()}
    slope = _flat(problem, frame.start, frame.chosen, given, frame.variables)[0]
    bend = slope.new_zeros(frame.variables, frame.variables)
    constant, total = problem.offset[row], float(problem.sizes[row])
    for place, factors in given.items():
        constant = constant + factors[0] @ frame.first[place]
        total += float(factors[0].abs() @ frame.sizes[place])
    for place, neurons in problem.neurons.items():
        which, begin = frame.chosen[place], frame.start[place]
        own = slice(begin, begin + len(which))
        m = multipliers[place][:, row, which]
        chord, over = neurons.chord[which], neurons.over[which]
        a, r = problem.centre[place][which], problem.radius[place][which]
        y, through = frame.middle[place], frame.through[place]
        down = m[SLOPE] - m[CHORD] * chord
        rest = m[CHORD] - m[SLOPE] - m[SIGN]
        constant = constant - (m[PRODUCT] * a) @ (y - a) + down @ y + rest @ a - m[CHORD] @ over
        slope = slope + (down - m[PRODUCT] * a) @ through
        slope[own] += r * (rest - m[PRODUCT] * (y - 2 * a))
        weighed = (m[PRODUCT] * r)[:, None] * through
        bend[own] -= weighed
        bend[:, own] -= weighed.T
        bend[own, own] += torch.diag(2 * m[PRODUCT] * r**2)
        size, given_size = a.abs() + r, frame.sizes[neurons.parent][which]
        both = m[PRODUCT].abs() * size + m[SLOPE].abs() + m[CHORD].abs() * chord
        total += float(both @ given_size + m[CHORD].abs() @ over.abs())
        total += float((m.abs().sum(dim=0) + m[PRODUCT].abs() * size) @ size)
        if bool(m[DEPTH].any()):
            apart = -through
            apart[:, own] += torch.diag(r)
            added = _depths(m[DEPTH], neurons.depth[which], a - y, apart)
            constant, slope = constant + added.constant, slope + added.slope
            bend, wide = bend + added.bend, size + given_size
            total += float(2 * m[DEPTH] @ (wide * (wide + neurons.depth[which])))
    if problem.square is not None:
        added = _square(problem.square, frame, multipliers[SHARES][0, row])
        constant, slope = constant + added.constant, slope + added.slope
        bend, total = bend + added.bend, total + added.error
    return Quadratic(constant, slope, bend, 4 * growth(frame.terms) * total)


def _depths(factor: Tensor, depth: Tensor, middle: Tensor, apart: Tensor) -> Quadratic:
    """What is below zero, `d = middle + apart z`, in `factor d (d - depth)`."""
    used = torch.nonzero((apart != 0).any(dim=0)).flatten()
    narrow = apart[:, used]
    bend = apart.new_zeros(apart.shape[1], apart.shape[1])
    bend[used[:, None], used] = 2 * (narrow.T * factor) @ narrow
    return Quadratic(
        factor @ (middle * (middle - depth)), (factor * (2 * middle - depth)) @ apart, bend, 0.0
    )


def _square(square: Square, frame: Frame, share: Tensor) -> Quadratic:
    """The quadratic of the square, and its absolute terms."""
    f, through = frame.middle[square.place], frame.through[square.place]
    bend, slope, constant = square.bend(share), square.slope(share), square.constant(share)
    size = frame.sizes[square.place]
    reach = torch.maximum(square.low.abs(), square.high.abs())
    total = square.weight * (size + reach) ** 2
    return Quadratic(
        (constant + slope * f - bend * f * f).sum(),
        (slope - 2 * bend * f) @ through,
        -2 * (through.T * bend) @ through,
        2 * float(total.sum()),
    )
