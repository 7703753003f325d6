"""Fewer nodes for the same network, by exact rewriting.

What is done changes no weight: maps are put in another order, columns and rows of matrices are
moved, and biases of a chain of maps are added up (rounded to float64 once, as all that is computed
from weights alone). Factors that are no powers of two stay nodes of their own: taken into a matrix
they would round each of its weights.
"""

from dataclasses import replace

import torch
from torch import Tensor

from nncli.verification.lowering.values import is_exact
from nncli.verification.maps import Convolution, Dense, Map, Scale, Select, Sparse, sparse
from nncli.verification.network import Activation, Network, Node, Sum


def folded(network: Network) -> tuple[Network, dict[int, int]]:
    """A network without nodes that only move numbers, where that needs no rounding.

    Returns:
        The network, whose output is the same, and the places in it of the nodes that are left.
    """
    nodes = dict(enumerate(network.nodes, 1))
    uses = _uses(nodes, network.last)
    for place in sorted(nodes):
        node = nodes.get(place)
        if isinstance(node, Sum):
            nodes[place] = _absorbed(nodes, node, uses)
    return _renumbered(network, nodes)


def _uses(nodes: dict[int, Node], last: int) -> dict[int, int]:
    """How many nodes that lead to the output take each; the others are left out."""
    uses = {last: 1}
    for place in sorted(nodes, reverse=True):
        if place not in uses:
            del nodes[place]
            continue
        node = nodes[place]
        for parent in node.parents if isinstance(node, Sum) else (node.parent,):
            uses[parent] = uses.get(parent, 0) + 1
    return uses


def _absorbed(nodes: dict[int, Node], node: Sum, uses: dict[int, int]) -> Sum:
    """A sum with those of its parents taken in that nothing else takes.

    It may have a parent twice then, by different maps: in `f(x) + x`. A maximum stays a node, and
    keeps its parents, as its interval is known from theirs.
    """
    if node.extreme is not None:
        return node
    changed = True
    while changed:
        changed = False
        for at, parent in enumerate(node.parents):
            before = nodes.get(parent)
            if not isinstance(before, Sum) or uses[parent] != 1 or before.extreme is not None:
                continue
            maps = [_composed(node.maps[at], one) for one in before.maps]
            if any(one is None for one in maps):
                continue
            bias = node.bias
            if bool(before.bias.any()):
                bias = bias + node.maps[at].apply(before.bias)
            node = Sum(
                (*node.parents[:at], *before.parents, *node.parents[at + 1 :]),
                (*node.maps[:at], *(one for one in maps if one), *node.maps[at + 1 :]),
                bias,
                node.label,
            )
            del nodes[parent]
            changed = True
            break
    return node


def _composed(one: Map, before: Map) -> Map | None:
    """One map after another as one map without rounding; `None` if there is none or it is large."""
    if isinstance(before, Select) and _is_identity(before):
        return one
    found: Map | None = None
    if isinstance(one, Select):
        found = before if _is_identity(one) else _picked(before, one.places)
    elif isinstance(one, Scale) and is_exact(one.factor):
        found = _scaled(before, one.factor)
    else:
        found = _spread(one, before)
    return found


def _is_identity(one: Select) -> bool:
    return one.outputs == one.inputs and bool((one.places == torch.arange(one.inputs)).all())


def _picked(one: Map, places: Tensor) -> Map | None:
    """Some of the outputs of a map, not many more than there were."""
    kept = (places >= 0).double()
    if len(places) > 2 * one.outputs:
        return None
    if isinstance(one, Select):
        found = torch.where(places >= 0, one.places[places.clamp_min(0)], -1)
        return Select(found, one.inputs)
    if isinstance(one, Dense):
        return Dense(one.weight[places.clamp_min(0)] * kept[:, None])
    if isinstance(one, Scale):
        there = torch.nonzero(places >= 0).flatten()
        columns = places[there]
        return sparse(there, columns, one.factor[columns], (len(places), one.inputs))
    return None


def _spread(one: Map, before: Map) -> Map | None:
    """A map of numbers that were moved before, none of them twice, and scaled by powers of two."""
    moves = _moves(before)
    if moves is None or before.inputs > 2 * before.outputs:
        return None
    rows, columns, numbers = moves
    if isinstance(one, Dense):
        weight = one.weight.new_zeros(one.outputs, before.inputs)
        weight[:, columns] = one.weight[:, rows] * numbers
        return Dense(weight)
    if isinstance(one, Sparse):
        source = torch.full((before.outputs,), -1)
        source[rows] = columns
        factor = torch.zeros(before.outputs, dtype=torch.float64)
        factor[rows] = numbers
        outputs, inputs, weights = _numbers(one)
        there = source[inputs] >= 0
        outputs, inputs, weights = outputs[there], inputs[there], weights[there]
        shape = (one.outputs, before.inputs)
        return sparse(outputs, source[inputs], weights * factor[inputs], shape)
    return None


def _moves(one: Map) -> tuple[Tensor, Tensor, Tensor] | None:
    """Rows, columns and numbers of a map that moves numbers; `None` if it does more than that."""
    if isinstance(one, Select):
        rows = torch.nonzero(one.places >= 0).flatten()
        columns = one.places[rows]
        numbers = torch.ones(len(rows), dtype=torch.float64)
    elif isinstance(one, Scale):
        rows, numbers = torch.arange(one.outputs), one.factor
        columns = rows
    elif isinstance(one, Sparse):
        rows, columns, numbers = _numbers(one)
    else:
        return None
    for each in (rows, columns):
        if len(torch.unique(each)) != len(each):
            return None
    return (rows, columns, numbers) if is_exact(numbers) else None


def _scaled(one: Map, factor: Tensor) -> Map | None:
    """A map whose outputs are multiplied by powers of two."""
    if isinstance(one, Dense):
        return Dense(one.weight * factor[:, None])
    if isinstance(one, Scale):
        return Scale(one.factor * factor)
    if isinstance(one, Sparse):
        rows, columns, numbers = _numbers(one)
        return sparse(rows, columns, numbers * factor[rows], (one.outputs, one.inputs))
    if isinstance(one, Convolution):
        channels = factor.reshape(one.out_shape[0], -1)
        if bool((channels == channels[:, :1]).all()):
            each = channels[:, 0].reshape(-1, *[1] * (one.weight.ndim - 1))
            return replace(one, weight=one.weight * each)
    return None


def _numbers(one: Sparse) -> tuple[Tensor, Tensor, Tensor]:
    """The rows, the columns and the numbers of a sparse matrix."""
    counts = one.matrix.crow_indices().diff()
    rows = torch.repeat_interleave(torch.arange(one.outputs), counts)
    return rows, one.matrix.col_indices(), one.matrix.values()


def _renumbered(network: Network, nodes: dict[int, Node]) -> tuple[Network, dict[int, int]]:
    """The nodes that are left, in order, and their places."""
    places = {0: 0} | {place: number for number, place in enumerate(sorted(nodes), 1)}
    found: list[Node] = []
    for place in sorted(nodes):
        node = nodes[place]
        if isinstance(node, Activation):
            found.append(replace(node, parent=places[node.parent]))
        else:
            found.append(replace(node, parents=tuple(places[one] for one in node.parents)))
    return replace(network, nodes=tuple(found)), places
