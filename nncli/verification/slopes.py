"""Slopes of lines found by gradient (alpha-CROWN): every choice is a bound, so the best is kept.

References:
    Xu et al. 2021, Fast and complete: enabling complete neural network verification with rapid and
    massively parallel incomplete verifiers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.backward import below
from nncli.verification.domains import Domain
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.relaxation import Slopes, lines

RATE, DECAY = 0.1, 0.98
CURVED_RATE = 0.02  # slopes of S-shaped functions are no more than 1 or 1/4


@dataclass(frozen=True)
class Ascent:
    """What the search for slopes has found.

    Attributes:
        bound: (B, R) the best lower bounds.
        slopes: The slopes (B, R, n) of those bounds, by the place of the activation.
    """

    bound: Tensor
    slopes: dict[int, Slopes]


def ascend(
    network: Network,
    rows: Mapping[int, Tensor],
    domain: Domain,
    known: Sequence[Interval],
    *,
    steps: int,
    begin: Mapping[int, Slopes] | None = None,
    enough: float | None = None,
) -> Ascent:
    """Raise the lower bounds of rows by the slopes of the lines, each row with its own.

    Args:
        network: The network.
        rows: Factors (B or 1, R, size) by place; see `backward.below`.
        domain: B input regions.
        known: Intervals of the places.
        steps: Steps of Adam.
        begin: Slopes to begin with; by default those of CROWN.
        enough: Stop where every bound is above this.

    Returns:
        The best bounds, never below those of the slopes that it began with.
    """
    top = max(rows)
    count = next(iter(rows.values())).shape[1]
    places = [place for place in network.activations if place < top]
    chosen = {
        place: _first(network, place, known, (len(domain), count), (begin or {}).get(place))
        for place in places
    }
    free = [(tensor, place) for place, one in chosen.items() for tensor in _tensors(one)]
    optimiser = torch.optim.Adam(
        [
            {"params": [tensor], "lr": RATE if _is_relu(network, place) else CURVED_RATE}
            for tensor, place in free
        ]
        or [{"params": [torch.zeros(1, requires_grad=True)]}]
    )
    best: Tensor | None = None
    kept = {place: _copied(one) for place, one in chosen.items()}
    for turn in range(steps + 1):
        relaxed = {
            place: lines(
                network.activation(place).function,
                known[network.activation(place).parent].low,
                known[network.activation(place).parent].high,
                one,
            )
            for place, one in chosen.items()
        }
        bound = below(network, rows, domain, known, relaxed).bound
        with torch.no_grad():
            better = torch.ones_like(bound, dtype=torch.bool) if best is None else bound > best
            best = bound.detach().clone() if best is None else torch.maximum(best, bound)
            for place, one in chosen.items():
                _keep(kept[place], one, better)
        done = enough is not None and bool((best > enough).all())
        if turn == steps or done or not free:
            break
        optimiser.zero_grad()
        torch.autograd.backward(-bound.sum())
        optimiser.step()
        for group in optimiser.param_groups:
            group["lr"] *= DECAY
        with torch.no_grad():
            for tensor, _ in free:
                tensor.clamp_(0, 1)
    assert best is not None
    return Ascent(best, kept)


def _is_relu(network: Network, place: int) -> bool:
    return network.activation(place).function == "relu"


def _first(
    network: Network,
    place: int,
    known: Sequence[Interval],
    shape: tuple[int, int],
    given: Slopes | None,
) -> Slopes:
    """Slopes to begin with, as tensors of their own that can be changed."""
    node = network.activation(place)
    interval = known[node.parent]
    line = lines(node.function, interval.low, interval.high, given)
    below_slopes = _own(line.below, shape)
    return Slopes(below_slopes, None if node.function == "relu" else _own(line.above, shape))


def _own(slope: Tensor, shape: tuple[int, int]) -> Tensor:
    return slope.detach().expand(*shape, -1).clone().requires_grad_(True)


def _tensors(slopes: Slopes) -> list[Tensor]:
    return [one for one in (slopes.below, slopes.above) if one is not None]


def _copied(slopes: Slopes) -> Slopes:
    return Slopes(
        *(None if one is None else one.detach().clone() for one in (slopes.below, slopes.above))
    )


def _keep(kept: Slopes, now: Slopes, better: Tensor) -> None:
    """Take over the slopes of the rows that have become better."""
    for mine, new in zip(_tensors(kept), _tensors(now), strict=True):
        mine[better] = new.detach()[better]
