"""Rows of a query as problems of the semidefinite search.

Where conditions speak of squares, those that pull a row down stay squares, which linear bounds must
replace by their chords: that is where the search gains. Those that push it up are replaced by
tangents. With every multiplier of a chord at 1 the problem is linear, and its bound that of the
linear methods.

References:
    Dathathri et al. 2020, section 6.2: a decoder reconstructs an image from all latent codes near
    its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nncli.verification.domains import domain_of
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.queries import Query
from nncli.verification.relaxation import lines
from nncli.verification.sdp.lagrangian import SHARES, Multipliers, Problem, Square, problem
from nncli.verification.sdp.start import linear_start
from nncli.verification.slopes import Choice
from nncli.verification.squares import without_squares


@dataclass(frozen=True)
class Posed:
    """Rows to be bounded.

    Attributes:
        problem: The problem.
        rows: Factors (1, K, size) by place of linear functions nowhere above the rows: the rows
            themselves where they hold no squares.
    """

    problem: Problem
    rows: dict[int, Tensor]


def posed(network: Network, query: Query, known: Sequence[Interval], rows: Tensor) -> Posed:
    """Some rows of a query.

    Args:
        network: The network, with the squares of the query; ReLU is its only other activation.
        query: What is asked.
        known: Intervals (1, n) of its places.
        rows: (K,) the rows; only one where there are squares.

    Returns:
        The problem.

    Raises:
        ValueError: The network has other activations, or there are several rows with squares.
    """
    domain, factors = domain_of([query.region]), query.rows(network, rows)
    plain = without_squares(network)
    if plain is network:
        return Posed(problem(network, factors, domain, known), factors)
    if len(rows) != 1:
        raise ValueError("rows with squares are bounded one by one")
    outputs = network.outputs - plain.outputs
    last, own = plain.last - 1, factors.pop(network.last)[0, 0]
    weight, given = own[outputs:], known[plain.last]
    line = lines("square", given.low, given.high)
    up, down = weight.clamp_min(0), -weight.clamp_max(0)
    square = Square(plain.last, down, given.low[0], given.high[0])
    factors[last] = factors.get(last, 0) + own[None, None, :outputs]
    factors[plain.last] = (up * line.below[0, 0])[None, None]
    found = problem(plain, factors, domain, known, square)
    assert line.under is not None
    tangents = torch.where(up > 0, up * line.under[0, 0], 0.0)
    found = replace(
        found,
        offset=found.offset + tangents.sum(),
        sizes=found.sizes + tangents.abs().sum(),
    )
    chords = {**factors, plain.last: factors[plain.last] + square.slope(torch.ones_like(down))}
    return Posed(found, chords)


def begun(one: Posed, query: Query, known: Sequence[Interval], choice: Choice) -> Multipliers:
    """Multipliers of the linear bounds.

    Args:
        one: The rows.
        query: What is asked.
        known: Intervals of the places.
        choice: The slopes of the linear bounds.
    """
    found = linear_start(one.problem, one.rows, domain_of([query.region]), known, choice)
    square = one.problem.square
    if square is None:
        return found
    return {**found, SHARES: torch.ones_like(square.weight)[None, None]}


def together(network: Network, rows: Tensor, most: int) -> tuple[Tensor, ...]:
    """Rows in groups that can be bounded at once.

    Args:
        network: The network.
        rows: The rows.
        most: Rows of a group, at most.
    """
    return torch.split(rows, most if without_squares(network) is network else 1)
