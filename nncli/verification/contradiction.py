"""Intervals of pre-activations at a violation, tightened until they contradict each other.

To prove that a violation cannot happen in a branch, suppose that it does: then none of its margins
is positive. So with weights g >= 0 a number y of the network is no less than the least value of
`y + g . margins`, which is bounded as anything else is. Where margins are nearly positive that is
far better than the bound of y alone. Better intervals give better bounds of the margins, and these
again better intervals; in the end an interval is empty or a margin positive throughout.

The margins are passed back once, to the activation in question, with what was chosen for their best
bound. From there on each number has weights, multipliers, and slopes of ReLUs of its own. These are
searched for in float32, and valid whatever they are; the bound that counts is computed in float64
and its rounding taken off.

References:
    Kotha et al. 2023, Provably bounding neural network preimages (constraints on outputs tighten
    the bounds of intermediate layers).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from nncli.verification.adam import Adam, Group
from nncli.verification.backward import Cut, below
from nncli.verification.branches import Branches, Setting, empty
from nncli.verification.choices import Choice
from nncli.verification.curves import divisible, gaps
from nncli.verification.domains import Domain
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.relaxation import Lines, Slopes, lines, unstable
from nncli.verification.rounding import TINY, UNIT, growth
from nncli.verification.slopes import RATE, split_groups
from nncli.verification.splits import signed

STEPS, DECAY = 3, 0.95  # more steps gain less than going through all layers again
HELD = 16  # numbers of float64 for each number of a branch before, and number that is bounded
MATTERS = 0.05  # of the greatest gap between the lines of a layer of curved activations
STARTS = (0.05, 0.2, 0.6)  # weights to begin with, in widths over what the margin lacks


@dataclass(frozen=True)
class Margins:
    """The margins of branches, passed back to an activation.

    Attributes:
        cut: Factors (B, K, size) by place; margins are no less than what they say.
        multipliers: (B, K, n) what their best bound takes for splits before that, by place.
        lacking: (B,) what the best margin is below zero by.
    """

    cut: Cut
    multipliers: Mapping[int, Tensor]
    lacking: Tensor

    def cast(self, dtype: torch.dtype) -> "Margins":
        """With numbers of another type, on which no proof can rest."""
        rows = {place: one.to(dtype) for place, one in self.cut.rows.items()}
        multipliers = {place: one.to(dtype) for place, one in self.multipliers.items()}
        cut = Cut(rows, self.cut.offset.to(dtype))
        return Margins(cut, multipliers, self.lacking.to(dtype))


@dataclass(frozen=True)
class Bounded:
    """Numbers that go into an activation, to be bounded from below, and above as their negatives.

    Attributes:
        network: The network.
        domain: B regions.
        known: Intervals of the places.
        signs: Splits of the branches, by place.
        place: The activation.
        picked: (1, R, size) factors of the numbers.
        width: (B, R) of their intervals.
    """

    network: Network
    domain: Domain
    known: Sequence[Interval]
    signs: Mapping[int, Tensor]
    place: int
    picked: Tensor
    width: Tensor

    @cached_property
    def curved(self) -> dict[int, Lines]:
        """The lines of other activations than ReLU, up to the one in question."""
        found = {}
        for place in self.network.activations:
            node = self.network.activation(place)
            if place <= self.place and node.function != "relu":
                given = self.known[node.parent]
                found[place] = lines(node.function, given.low, given.high)
        return found

    @property
    def parent(self) -> int:
        """The place of the numbers."""
        return self.network.activation(self.place).parent

    def cast(self, dtype: torch.dtype) -> "Bounded":
        """With numbers of another type, on which no proof can rest."""
        return Bounded(
            self.network.single,
            self.domain.cast(dtype),
            [one.cast(dtype) for one in self.known[: self.place]],
            {place: one.to(dtype) for place, one in self.signs.items()},
            self.place,
            self.picked.to(dtype),
            self.width.to(dtype),
        )


def supposed(setting: Setting, branches: Branches, numbers: int) -> Branches:
    """The branches with intervals that hold where their violations happen.

    Args:
        setting: The network and the question.
        branches: Branches that are not empty, with what was chosen for the bounds of their margins.
        numbers: Numbers held at once, about.

    Returns:
        The branches, some of which may be empty now. Their margins are as they were.
    """
    for place in branches.limits:
        limits = {**branches.limits, place: _within(setting, branches, place, numbers)}
        branches = replace(branches, limits=limits)
    return branches


def numbers_passed(network: Network, branches: Branches) -> float:
    """How many numbers `supposed` passes back, about: what its time is proportional to."""
    found, before = 0.0, network.inputs
    for place, node in enumerate(network.nodes, 1):
        before += node.size
        if place in branches.limits:
            rows = 2.0 * float(_loose(network, branches, place).any(dim=0).sum())
            found += rows * before
    return found * len(branches) * (STEPS + 5)


def _within(
    setting: Setting, branches: Branches, place: int, numbers: int
) -> tuple[Tensor, Tensor]:
    """Intervals (B, n) of what goes into an activation, where the violations happen."""
    network = setting.network
    low, high = (one.clone() for one in branches.limits[place])
    loose = _loose(network, branches, place) & ~empty(branches)[:, None]
    columns = torch.nonzero(loose.any(dim=0)).flatten()
    margins = _margins(setting, branches, place) if len(columns) else None
    if margins is None:
        return low, high
    before = sum(network.sizes[: place + 1])
    known, domain = setting.intervals(branches), setting.domain(branches)
    signs = {one: sign for one, sign in branches.signs.items() if one < place}
    for chosen in torch.split(columns, max(1, numbers // (HELD * len(branches) * before))):
        setting.pause()
        count = len(chosen)
        picked = low.new_zeros(1, 2 * count, low.shape[1])
        picked[0, torch.arange(count), chosen] = 1
        picked[0, count + torch.arange(count), chosen] = -1
        width = (high - low)[:, chosen].repeat(1, 2).clamp(1e-9, 1e9)
        bounded = Bounded(network, domain, known, signs, place, picked, width)
        choice, weights = _climbed(bounded, margins, setting.pause)
        bound = _bound(bounded, margins, choice, weights)
        low[:, chosen] = torch.maximum(low[:, chosen], bound[:, :count])
        high[:, chosen] = torch.minimum(high[:, chosen], -bound[:, count:])
    return low, high


def _loose(network: Network, branches: Branches, place: int) -> Tensor:
    """(B, n) where better intervals bring lines nearer, by as much as it takes to matter."""
    low, high = branches.limits[place]
    function = network.activation(place).function
    if function == "relu":
        return unstable(low, high)
    over, under = gaps(function, low, high, Slopes())
    gap = torch.where(divisible(low, high), over + under, 0.0)
    return gap > MATTERS * gap.amax(dim=1, keepdim=True)


def _margins(setting: Setting, branches: Branches, place: int) -> Margins | None:
    """The margins at an activation, `None` if they do not depend on it."""
    cuts: dict[int, Cut] = {}
    setting.bound(branches, cuts=cuts)
    if place not in cuts:
        return None
    cut, constants = cuts[place], setting.query.constants[setting.picked[branches.violation]]
    offset = cut.offset - constants
    offset = offset - 4 * UNIT * (cut.offset.abs() + constants.abs())
    multipliers = {one: held for one, held in branches.choice.multipliers.items() if one < place}
    return Margins(Cut(cut.rows, offset), multipliers, (-branches.margin).clamp(1e-3, 1e9))


def _climbed(
    bounded: Bounded, margins: Margins, pause: Callable[[], None]
) -> tuple[Choice, Tensor]:
    """The best slopes and multipliers that were met, and weights (B, R, K)."""
    search, added = bounded.cast(torch.float32), margins.cast(torch.float32)
    shape = (len(bounded.domain), bounded.picked.shape[1])
    conditions = added.cut.offset.shape[1]
    scale = (search.width / added.lacking[:, None])[..., None]
    shares = _first_shares(search, added, scale, shape).repeat(1, 1, conditions) / conditions
    shares.requires_grad_(True)
    now = _first(search, added, shares.detach()[..., :1] * scale)
    slopes = [one.below for one in now.slopes.values() if one.below is not None]
    groups = [Group(slopes, RATE, most=1.0), Group([shares], RATE)]
    groups += split_groups(search.network, now, search.signs)
    optimiser = Adam(groups, decay=DECAY)
    kept, kept_shares = now.copied(), shares.detach().clone()
    best = torch.full(shape, -torch.inf)
    for turn in range(STEPS + 1):
        pause()
        bound = _bound(search, added, now, shares * scale, rounding=False)
        with torch.no_grad():
            better = bound > best
            best = torch.fmax(best, bound)
            pairs = zip([kept_shares, *kept.tensors], [shares, *now.tensors], strict=True)
            for mine, new in pairs:
                mine[better] = new[better]
        if turn < STEPS:
            optimiser.climb(bound.sum())
    return kept.cast(torch.float64), (kept_shares * scale).double()


def _first_shares(
    search: Bounded, margins: Margins, scale: Tensor, shape: tuple[int, int]
) -> Tensor:
    """The best of a few weights (B, R, 1) for each row, as yet without a search."""
    conditions = margins.cut.offset.shape[1]
    tried = []
    for start in STARTS:
        weights = (start / conditions * scale).expand(*shape, -1)
        choice = _first(search, margins, weights)
        with torch.no_grad():
            many = weights.repeat(1, 1, conditions)
            tried.append(_bound(search, margins, choice, many, rounding=False))
    return torch.tensor(STARTS)[torch.stack(tried).argmax(dim=0)][..., None]


def _first(search: Bounded, margins: Margins, weights: Tensor) -> Choice:
    """Slopes of CROWN, and the multipliers of the margins, as tensors that can be changed."""
    rows = search.picked.shape[1]
    slopes = {}
    for place in search.network.activations:
        node = search.network.activation(place)
        if place <= search.place and node.function == "relu":
            given = search.known[node.parent]
            steep = (given.high > -given.low).to(given.low.dtype)
            slopes[place] = Slopes(steep[:, None].repeat(1, rows, 1).requires_grad_(True))
    multipliers = {
        place: (weights * one.sum(dim=1, keepdim=True)).requires_grad_(True)
        for place, one in margins.multipliers.items()
    }
    return Choice(slopes, multipliers)


def _bound(
    bounded: Bounded, margins: Margins, choice: Choice, weights: Tensor, *, rounding: bool = True
) -> Tensor:
    """Lower bounds (B, R) of the numbers where no margin is positive.

    In floating point the factors are those of a row that differs from `y + g . margins` by the
    rounding of one sum of K + 1 products, which is taken off for all values that the places have.
    """
    rows = {place: weights @ one for place, one in margins.cut.rows.items()}
    own = rows.get(bounded.parent)
    rows[bounded.parent] = bounded.picked + (
        weights.new_zeros(len(weights), 1, 1) if own is None else own
    )
    relaxed = dict(bounded.curved)
    for place in bounded.network.activations:
        node = bounded.network.activation(place)
        if place <= bounded.place and node.function == "relu":
            given = bounded.known[node.parent]
            relaxed[place] = lines(node.function, given.low, given.high, choice.slopes.get(place))
    multipliers = signed(bounded.network, choice.multipliers, bounded.signs)
    found = below(
        bounded.network,
        rows,
        bounded.domain,
        bounded.known,
        relaxed,
        multipliers=multipliers,
        rounding=rounding,
    ).bound
    added = (weights @ margins.cut.offset[..., None])[..., 0]
    if not rounding:
        return found + added
    sizes = found.abs() + (weights @ margins.cut.offset.abs()[..., None])[..., 0]
    for place, one in margins.cut.rows.items():
        sizes = sizes + (weights @ (one.abs() @ bounded.known[place].reach[..., None]))[..., 0]
    sizes = sizes + (bounded.picked @ bounded.known[bounded.parent].reach[..., None])[..., 0].abs()
    lost = growth(4 * weights.shape[-1] + 16) * sizes + TINY
    return torch.nan_to_num(found + added - 1.01 * lost, -torch.inf, -torch.inf)
