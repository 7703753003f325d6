"""Slopes of lines found by gradient (alpha-CROWN), and multipliers of splits (beta-CROWN).

Every choice of either gives a bound, so the best that was met is kept.

References:
    Xu et al. 2021, Fast and complete: enabling complete neural network verification with rapid and
    massively parallel incomplete verifiers.
    Wang et al. 2021, Beta-CROWN: efficient bound propagation with per-neuron split constraints.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.adam import Adam, Group
from nncli.verification.backward import Below, Cut, below
from nncli.verification.choices import Choice, joined_choices, pair
from nncli.verification.domains import Domain
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.relaxation import Lines, Slopes, lines
from nncli.verification.splits import least, signed

__all__ = [
    "Ascent",
    "Choice",
    "Signs",
    "ascend",
    "chosen_bound",
    "chosen_lines",
    "joined_choices",
    "rows_together",
]

RATE, DECAY = 0.1, 0.98
CURVED_RATE = 0.02  # slopes of S-shaped functions are no more than 1 or 1/4
SPLIT_RATE = 0.05
HELD = 24  # numbers of float64 for each row, and number of the network


@dataclass(frozen=True)
class Ascent:
    """What the search has found.

    Attributes:
        bound: (B, R) the best lower bounds.
        choice: What they chose.
    """

    bound: Tensor
    choice: Choice


Signs = Mapping[int, Tensor]


def chosen_lines(
    network: Network, known: Sequence[Interval], choice: Choice, top: int
) -> dict[int, Lines]:
    """The lines of the activations before a place, of given slopes where there are some.

    Args:
        network: The network.
        known: Intervals of the places.
        choice: What was chosen.
        top: The place.
    """
    found = {}
    for place in network.activations:
        if place < top:
            node = network.activation(place)
            given = known[node.parent]
            found[place] = lines(node.function, given.low, given.high, choice.slopes.get(place))
    return found


def chosen_bound(
    network: Network,
    rows: Mapping[int, Tensor],
    domain: Domain,
    known: Sequence[Interval],
    choice: Choice,
    *,
    signs: Signs | None = None,
    trail: dict[int, Tensor] | None = None,
    cuts: dict[int, Cut] | None = None,
    rounding: bool = True,
) -> Below:
    """The bounds of a choice.

    Args:
        network: The network.
        rows: Factors by place; see `backward.below`.
        domain: B input regions.
        known: Intervals of the places.
        choice: Slopes and multipliers.
        signs: (B, n) by the place of an activation: which sides of what goes in were divided; see
            `nncli.verification.splits`.
        trail: Takes the factors that reach each activation.
        cuts: Takes the rows as they reach each activation.
        rounding: See `backward.below`.
    """
    relaxed = chosen_lines(network, known, choice, max(rows))
    multipliers = signed(network, choice.multipliers, signs or {})
    return below(
        network,
        rows,
        domain,
        known,
        relaxed,
        multipliers=multipliers,
        trail=trail,
        cuts=cuts,
        rounding=rounding,
    )


def ascend(
    network: Network,
    rows: Mapping[int, Tensor],
    domain: Domain,
    known: Sequence[Interval],
    *,
    steps: int,
    begin: Choice | None = None,
    signs: Signs | None = None,
    enough: float | None = None,
    pause: Callable[[], None] = lambda: None,
) -> Ascent:
    """Raise the lower bounds of rows by slopes and multipliers, each row with its own.

    Args:
        network: The network.
        rows: Factors (B or 1, R, size) by place; see `backward.below`.
        domain: B input regions.
        known: Intervals of the places.
        steps: Steps of Adam.
        begin: What to begin with; by default the slopes of CROWN and multipliers of 0.
        signs: Splits; see `chosen_bound`.
        enough: Stop where every bound is above this, before its rounding is taken off.
        pause: Called at each step; it may raise, when time is up.

    Returns:
        The best bounds, but for rounding never below those that it began with.
    """
    kept = _climbed(
        network.single,
        {place: one.float() for place, one in rows.items()},
        domain.cast(torch.float32),
        [one.cast(torch.float32) for one in known[: max(rows) + 1]],
        steps=steps,
        begin=(begin or Choice()).cast(torch.float32),
        signs={place: one.float() for place, one in (signs or {}).items()},
        enough=enough,
        pause=pause,
    )
    choice = kept.cast(torch.float64)
    bound = chosen_bound(network, rows, domain, known, choice, signs=signs).bound
    if begin is None and not network.pieces:  # slopes of CROWN lose a little in float32
        first = chosen_bound(network, rows, domain, known, Choice()).bound
        better, bound = first > bound, torch.maximum(first, bound)
        for place, line in chosen_lines(network, known, Choice(), max(rows)).items():
            chosen = choice.slopes.get(place, Slopes())
            for mine, rule in zip(pair(chosen), (line.below, line.above), strict=True):
                if mine is not None:
                    mine[better] = rule.expand_as(mine)[better]
    return Ascent(bound, choice)


def rows_together(network: Network, numbers: int) -> int:
    """Rows of one region whose slopes can be searched for at once.

    Args:
        network: The network.
        numbers: Numbers of float64 held at once, about.
    """
    width = sum(network.sizes)
    return max(1, numbers // (HELD * width))


def _climbed(
    network: Network,
    rows: Mapping[int, Tensor],
    domain: Domain,
    known: Sequence[Interval],
    *,
    steps: int,
    begin: Choice,
    signs: Signs,
    enough: float | None,
    pause: Callable[[], None],
) -> Choice:
    """The best choice that was met, of float32, which is exact enough for a search."""
    shape = (len(domain), next(iter(rows.values())).shape[1])
    lines_now = chosen_lines(network, known, begin, max(rows))
    now = _first(network, lines_now, shape, begin, signs)
    groups = _groups(network, now, signs)
    optimiser = Adam(groups, decay=DECAY)
    best: Tensor | None = None
    kept = now.copied()
    for turn in range(steps + 1):
        pause()
        bound = chosen_bound(network, rows, domain, known, now, signs=signs, rounding=False).bound
        with torch.no_grad():
            better = torch.ones_like(bound, dtype=torch.bool) if best is None else bound > best
            best = bound.detach().clone() if best is None else torch.fmax(best, bound)
            for mine, new in zip(kept.tensors, now.tensors, strict=True):
                mine[better] = new[better]
        if turn == steps or not bound.requires_grad:  # where rows pass through no activation
            break
        if enough is not None and bool((best > enough).all()):
            break
        optimiser.climb(bound.sum())
    return kept


def _first(
    network: Network,
    relaxed: Mapping[int, Lines],
    shape: tuple[int, int],
    begin: Choice,
    signs: Signs,
) -> Choice:
    """What to begin with, as tensors of their own that can be changed."""
    slopes = {}
    for place, line in relaxed.items():
        function = network.activation(place).function
        if function == "square":  # nothing is chosen there
            continue
        curved = function != "relu"
        slopes[place] = Slopes(_own(line.below, shape), _own(line.above, shape) if curved else None)
    multipliers = {
        place: _own(begin.multipliers.get(place, sign.new_zeros(sign.shape)[:, None]), shape)
        for place, sign in signs.items()
        if place in relaxed
    }
    return Choice(slopes, multipliers)


def _own(slope: Tensor, shape: tuple[int, int]) -> Tensor:
    return slope.detach().expand(*shape, -1).clone().requires_grad_(True)


def _groups(network: Network, choice: Choice, signs: Signs) -> list[Group]:
    """The tensors with their rates and their greatest values."""
    groups = []
    for place, one in choice.slopes.items():
        rate = RATE if network.activation(place).function == "relu" else CURVED_RATE
        groups.append(Group([each for each in pair(one) if each is not None], rate, most=1.0))
    return groups + split_groups(network, choice, signs)


def split_groups(network: Network, choice: Choice, signs: Signs) -> list[Group]:
    """The multipliers with their rate and their least values."""
    groups, positive = [], []
    for place, one in choice.multipliers.items():
        if network.activation(place).function == "relu":
            positive.append(one)
        else:
            groups.append(Group([one], SPLIT_RATE, least=least(signs[place])))
    return [*groups, Group(positive, SPLIT_RATE)] if positive else groups
