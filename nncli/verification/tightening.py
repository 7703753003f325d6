"""Intervals of all places, those of pre-activations by linear bounds.

The lines of an activation are as good as the interval of what goes into it, so each of these is
bounded by its own backward pass through the places before it (full CROWN), and where asked with
slopes found for it by gradient (alpha-CROWN with slopes of its own for every intermediate bound).
Numbers that interval arithmetic already shows on one side of a ReLU's kink are left as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.backward import below
from nncli.verification.domains import Domain, domain_of
from nncli.verification.fields import field_of, tiles
from nncli.verification.intervals import Interval, start, step
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.queries import Query
from nncli.verification.relaxation import Lines, lines, unstable
from nncli.verification.slopes import ascend

HELD = 12  # numbers of float64 for each row, and number of the widest place
Limits = Mapping[int, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Effort:
    """How hard to try for the intervals of pre-activations.

    Attributes:
        backward: Whether to bound them by backward passes; otherwise by interval arithmetic.
        steps: Steps of gradient for the slopes of each; 0 takes the rule of CROWN.
        numbers: Factors held at once, at most: a quarter of what there is room for.
        pause: Called between portions and steps; it may raise, when time is up.
        worth: Asked between portions, whether there is time for steps; where there is none, the
            rest is bounded by the rule of CROWN.
    """

    backward: bool = True
    steps: int = 0
    numbers: int = 30_000_000
    pause: Callable[[], None] = lambda: None
    worth: Callable[[], bool] = lambda: True


BACKWARD = Effort()


def tightened(
    network: Network,
    domain: Domain,
    effort: Effort = BACKWARD,
    limits: Limits | None = None,
) -> list[Interval]:
    """Intervals of all places.

    Args:
        network: The network.
        domain: B input regions.
        effort: How hard to try.
        limits: Intervals (B, size) known from elsewhere, by the place whose values they hold.

    Returns:
        One interval a place, the input first. An interval whose ends are crossed tells that its
        region is empty.
    """
    found = [start(domain)]
    relaxed: dict[int, Lines] = {}
    done: set[int] = set()
    for place, node in enumerate(network.nodes, 1):
        if isinstance(node, Activation):
            parent = node.parent
            if parent not in done:
                done.add(parent)
                if limits is not None and parent in limits:
                    found[parent] = found[parent].within(*limits[parent])
                if effort.backward and not _exact(network, parent, domain):
                    found[parent] = _bounded(
                        network, place, domain, found, relaxed=relaxed, effort=effort
                    )
            given = found[parent]
            relaxed[place] = lines(node.function, given.low, given.high)
        found.append(step(network, place, found))
    return found


def relaxations(network: Network, known: list[Interval]) -> dict[int, Lines]:
    """The lines of all activations, by the rule of CROWN.

    Args:
        network: The network.
        known: Intervals of all places.
    """
    return {
        place: lines(one.function, known[one.parent].low, known[one.parent].high)
        for place, one in ((place, network.activation(place)) for place in network.activations)
    }


def bounded_rows(
    network: Network, query: Query, known: list[Interval], rows: Tensor, numbers: int
) -> Tensor:
    """Lower bounds (1, K) of rows of a query, by the rule of CROWN.

    Args:
        network: The network.
        query: What is asked.
        known: Intervals of all places.
        rows: (K,) the rows.
        numbers: Numbers of float64 held at once, about.
    """
    domain, relaxed = domain_of([query.region]), relaxations(network, known)
    portion = max(1, numbers // (HELD * max(network.sizes)))
    found = [
        below(network, query.rows(network, chosen), domain, known, relaxed).bound
        for chosen in torch.split(rows, portion)
    ]
    return torch.cat(found, dim=1)


def _exact(network: Network, place: int, domain: Domain) -> bool:
    """Whether interval arithmetic is exact: one linear map of a box."""
    if place == 0:
        return True
    node = network.nodes[place - 1]
    return isinstance(node, Sum) and node.parents == (0,) and domain.centre is None


def _bounded(
    network: Network,
    place: int,
    domain: Domain,
    found: list[Interval],
    *,
    relaxed: Mapping[int, Lines],
    effort: Effort,
) -> Interval:
    """Bound what goes into an activation by backward passes, where that can help."""
    node = network.activation(place)
    given = found[node.parent]
    helps = unstable(given.low, given.high) if node.function == "relu" else given.low < given.high
    columns = torch.nonzero(helps.any(dim=0)).flatten()
    if not len(columns):
        return given
    low, high = given.low.clone(), given.high.clone()
    widest = max(network.sizes[: node.parent + 1])
    portion = max(1, effort.numbers // (len(domain) * widest * (24 if effort.steps else 6)))
    for tile in tiles(network, node.parent, columns):
        for chosen in torch.split(tile, portion):
            effort.pause()
            bound = _both(
                network,
                node.parent,
                chosen,
                domain=domain,
                found=found,
                relaxed=relaxed,
                effort=effort,
            )
            low[:, chosen] = torch.maximum(low[:, chosen], bound[:, : len(chosen)])
            high[:, chosen] = torch.minimum(high[:, chosen], -bound[:, len(chosen) :])
    return Interval(low, high, given.sizes)


def _both(
    network: Network,
    place: int,
    chosen: Tensor,
    *,
    domain: Domain,
    found: Sequence[Interval],
    relaxed: Mapping[int, Lines],
    effort: Effort,
) -> Tensor:
    """Lower bounds (B, 2 K) of some numbers of a place, then of what they are negated."""
    field = field_of(network, place, chosen)
    if field is not None:
        network, place, chosen = field.network, field.network.last, torch.arange(len(chosen))
        domain, found, relaxed = field.domain(domain), field.intervals(found), field.lines(relaxed)
    picked = torch.zeros(1, 2 * len(chosen), network.size(place), dtype=torch.float64)
    each = torch.arange(len(chosen))
    picked[0, each, chosen] = 1
    picked[0, each + len(chosen), chosen] = -1
    rows, steps = {place: picked}, effort.steps
    if steps and effort.worth():
        return ascend(network, rows, domain, found, steps=steps, pause=effort.pause).bound
    return below(network, rows, domain, found, relaxed).bound
