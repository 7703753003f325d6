"""The part of a network that some numbers of a place depend on: their receptive field.

A number after a convolution depends on a window of what is before it. To bound it, factors need
only be passed back through that window, which is a small network of its own. Numbers that are near
one another share most of it, so they are taken tile by tile.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from nncli.verification.convolution_map import Convolution
from nncli.verification.cropped_map import cropped, inner_box, window
from nncli.verification.domains import Domain
from nncli.verification.intervals import Interval
from nncli.verification.maps import Dense, Map, Scale, Select, Sparse, sparse
from nncli.verification.network import Activation, Extreme, Network, Node, Sum
from nncli.verification.relaxation import Lines

TILE = 256  # numbers that are bounded together, about
MANY = 50_000  # entries of a matrix from which on it is kept as what it was
WORTH = 0.5  # share of the numbers before a place from which on its field is no gain


@dataclass(frozen=True)
class Field:
    """A network whose outputs are some numbers of a place of another one.

    Attributes:
        network: It.
        places: For each of its places the one of the whole network that it is part of.
        numbers: Which numbers of that place are in it, in order.
    """

    network: Network
    places: tuple[int, ...]
    numbers: tuple[Tensor, ...]

    def domain(self, domain: Domain) -> Domain:
        """The regions, of the inputs that are in the field.

        A ball keeps its radius: what it says of some coordinates is the ball of these.
        """
        kept = self.numbers[0]
        centre = None if domain.centre is None else domain.centre[:, kept]
        return replace(domain, low=domain.low[:, kept], high=domain.high[:, kept], centre=centre)

    def intervals(self, known: Sequence[Interval]) -> list[Interval]:
        """Intervals of its places, from those of the whole network."""
        return [
            Interval(one.low[:, kept], one.high[:, kept], one.sizes[:, kept])
            for one, kept in zip((known[place] for place in self.places), self.numbers, strict=True)
        ]

    def lines(self, relaxed: Mapping[int, Lines]) -> dict[int, Lines]:
        """Lines of its activations, from those of the whole network."""
        found = {}
        for place in self.network.activations:
            line, kept = relaxed[self.places[place]], self.numbers[place]
            under = None if line.under is None else line.under[..., kept]
            below, above, over = (one[..., kept] for one in (line.below, line.above, line.over))
            found[place] = Lines(below, under, above, over)
        return found


def tiles(network: Network, place: int, columns: Tensor) -> Iterator[Tensor]:
    """Numbers of a place in groups that are near one another.

    Args:
        network: The network.
        place: A place.
        columns: (K,) which of its numbers.

    Yields:
        All of them, some at a time; at once where the place is not made by a convolution.
    """
    traced = _traced(network, place, columns)
    if traced is None:
        yield columns
        return
    (channels, *sides), near = traced
    width = max(1, round((TILE / channels) ** (1 / len(sides))))
    tile, rest = torch.zeros_like(near), near % prod(sides)
    for side in reversed(sides):
        tile = tile * (side // width + 1) + rest % side // width
        rest = rest // side
    order = torch.argsort(tile, stable=True)
    counts = torch.unique_consecutive(tile[order], return_counts=True)[1]
    yield from torch.split(columns[order], counts.tolist())


def _traced(network: Network, place: int, numbers: Tensor) -> tuple[tuple[int, ...], Tensor] | None:
    """The shape of the convolution before some numbers, and a number of it that each rests on."""
    while place:
        node = network.nodes[place - 1]
        if isinstance(node, Activation):
            place = node.parent
            continue
        for one in node.maps:
            if isinstance(one, Convolution):
                return one.out_shape, numbers
        entries = _entries(node.maps[0], numbers) if node.maps else None
        if not isinstance(entries, Entries) or len(torch.unique(entries.which)) < len(numbers):
            return None
        which, columns = entries.which, entries.columns
        first = torch.full_like(numbers, len(columns))
        first = first.scatter_reduce(0, which, torch.arange(len(which)), "amin")
        place, numbers = node.parents[0], columns[first]
    return None


def field_of(network: Network, place: int, numbers: Tensor) -> Field | None:
    """The part of a network that some numbers of a place depend on.

    Args:
        network: The network.
        place: A place.
        numbers: (K,) which of its numbers.

    Returns:
        The network that computes them, in their order, or `None` where it would not be much
        smaller than the whole.
    """
    traced = _needed(network, place, numbers)
    if traced is None:
        return None
    needed, entries = traced
    places = sorted(needed)
    renamed = {old: new for new, old in enumerate(places)}
    nodes: list[Node] = []
    for old in places[1:]:
        node, kept = network.nodes[old - 1], needed[old]
        if isinstance(node, Activation):
            nodes.append(replace(node, parent=renamed[node.parent], size=len(kept)))
            continue
        used = [k for k, parent in enumerate(node.parents) if len(entries[old][k].columns)]
        maps = tuple(
            _narrowed(node.maps[k], entries[old][k], kept, needed[node.parents[k]]) for k in used
        )
        parents = tuple(renamed[node.parents[k]] for k in used)
        extreme = _extreme(node, kept, needed)
        nodes.append(Sum(parents, maps, node.bias[kept], node.label, extreme))
    inputs = len(needed[0])
    network = Network(inputs, tuple(nodes), (inputs,))
    return Field(network, tuple(places), tuple(needed[one] for one in places))


def _extreme(node: Sum, kept: Tensor, needed: Mapping[int, Tensor]) -> Extreme | None:
    """What is known of some numbers of a sum, in terms of what is left of its first parent."""
    if node.extreme is None or any(parent not in needed for parent in node.parents):
        return None
    pairs, left = node.extreme.pairs[kept], needed[node.parents[0]]
    found = torch.searchsorted(left, pairs).clamp_max(len(left) - 1)
    return replace(node.extreme, pairs=found) if torch.equal(left[found], pairs) else None


@dataclass(frozen=True)
class Entries:
    """Entries of some rows of a map.

    Attributes:
        which: (E,) which of the rows.
        columns: (E,) which column of the map.
        numbers: (E,) what stands there.
    """

    which: Tensor
    columns: Tensor
    numbers: Tensor


@dataclass(frozen=True)
class Windows:
    """Some rows of a convolution that has too many entries to list: a smaller convolution.

    Attributes:
        convolution: The convolution.
        columns: (C,) the columns of the box that holds the windows of all the rows.
    """

    convolution: Convolution
    columns: Tensor


def _needed(
    network: Network, place: int, numbers: Tensor
) -> tuple[dict[int, Tensor], dict[int, list[Entries | Windows]]] | None:
    """Which numbers of each place some numbers of one need, and the entries of maps between.

    Returns:
        Numbers by place, and entries of the maps of each sum; `None` where they are many.
    """
    needed = {0: numbers[:0], place: numbers}
    taken: dict[int, list[Entries | Windows]] = {}
    for here in range(place, 0, -1):
        if here not in needed:
            continue
        node, rows = network.nodes[here - 1], needed[here]
        if isinstance(node, Activation):
            found = [(node.parent, rows)]
        else:
            entries = [_entries(one, rows) for one in node.maps]
            taken[here] = [one for one in entries if one is not None]
            if len(taken[here]) < len(entries):
                return None
            columns = (one.columns for one in taken[here])
            found = list(zip(node.parents, columns, strict=True))
        for parent, more in found:
            if not len(more):
                continue
            held = needed.get(parent)
            needed[parent] = torch.unique(more if held is None else torch.cat([held, more]))
            if parent and len(needed[parent]) > WORTH * network.size(parent):
                return None
    return needed, taken


def _entries(one: Map, rows: Tensor) -> Entries | Windows | None:
    """Entries of some rows of a map; `None` where it has all."""
    every = torch.arange(len(rows))
    if isinstance(one, Scale):
        return Entries(every, rows, one.factor[rows])
    if isinstance(one, Select):
        places = one.places[rows]
        there = places >= 0
        ones = torch.ones(int(there.sum()), dtype=torch.float64)
        return Entries(every[there], places[there], ones)
    if isinstance(one, Sparse):
        starts, columns = one.matrix.crow_indices(), one.matrix.col_indices()
        which = every.repeat_interleave(starts[rows + 1] - starts[rows])
        before = torch.searchsorted(which, every)
        at = starts[rows][which] + torch.arange(len(which)) - before[which]
        return Entries(which, columns[at], one.matrix.values()[at])
    if not isinstance(one, Convolution):
        return None
    if len(rows) * one.weight[0].numel() > MANY:
        return Windows(one, inner_box(one, window(one, rows)))
    return _windows(one, rows)


def _windows(one: Convolution, rows: Tensor) -> Entries:
    """Entries of a convolution: each number's window over the channels of its group."""
    out, into, *kernel = one.weight.shape
    sides = one.out_shape[1:]
    channel, at = rows // prod(sides), rows % prod(sides)
    column = (channel // (out // one.groups))[:, None] * into + torch.arange(into)
    inside = torch.ones(len(rows), 1, dtype=torch.bool)
    for k in range(len(sides)):
        position = at // prod(sides[k + 1 :]) % sides[k] * one.stride[k] - one.padding[k]
        reached = position[:, None] + torch.arange(kernel[k]) * one.dilation[k]
        valid = (reached >= 0) & (reached < one.shape[k + 1])
        column = (column[:, :, None] * one.shape[k + 1] + reached[:, None]).flatten(1)
        inside = (inside[:, :, None] & valid[:, None]).flatten(1)
    inside = inside[:, None].expand(-1, into, -1).flatten(1)
    numbers = one.weight[channel].flatten(1)
    which = torch.arange(len(rows))[:, None].expand_as(column)
    return Entries(which[inside], column[inside], numbers[inside])


def _narrowed(one: Map, entries: Entries | Windows, kept: Tensor, columns: Tensor) -> Map:
    """Some rows and columns of a map, from its entries there; columns are in order."""
    if isinstance(entries, Windows):
        return cropped(entries.convolution, kept, columns)
    which, numbers, rows = entries.which, entries.numbers, len(kept)
    column = torch.searchsorted(columns, entries.columns)
    if isinstance(one, Select):
        return Select(torch.full_like(kept, -1).index_put((which,), column), len(columns))
    if isinstance(one, Scale) and rows == len(columns):
        return Scale(numbers)
    if isinstance(one, Sparse) and rows * len(columns) > MANY:
        return sparse(which, column, numbers, (rows, len(columns)))
    weight = torch.zeros(rows, len(columns), dtype=numbers.dtype)
    return Dense(weight.index_put((which, column), numbers, accumulate=True))
