"""Maxima as trees of `a + relu(b - a)`."""

import torch
from torch import Tensor

from nncli.verification.lowering.builder import Builder
from nncli.verification.lowering.values import Part, Value
from nncli.verification.maps import Map, Select, sparse
from nncli.verification.network import Extreme


def maximum(builder: Builder, place: int, candidates: Tensor, *, least: bool = False) -> Value:
    """The largest of some numbers of a node, several times.

    Pairs that several maxima share are compared once.

    Args:
        builder: Where the nodes go.
        place: The node.
        candidates: (..., k) places in it, -1 for none; one at least is there.
        least: The smallest ones instead.

    Returns:
        The value (...).
    """
    shape = candidates.shape[:-1]
    found = candidates.reshape(-1, candidates.shape[-1])
    found = torch.where(found < 0, found.amax(1, keepdim=True), found)
    while found.shape[1] > 1:
        place, found = _round(builder, place, found, least=least)
    return Value(tuple(shape), (Part(place, found.reshape(shape)),))


def _round(builder: Builder, place: int, found: Tensor, *, least: bool) -> tuple[int, Tensor]:
    """Halve the candidates: those of each pair are replaced by the larger one."""
    size = builder.size(place)
    paired = found[:, : found.shape[1] // 2 * 2].reshape(len(found), -1, 2).sort(2).values
    keys = paired[..., 0] * size + paired[..., 1]
    if found.shape[1] % 2:
        last = found[:, -1:]
        keys = torch.cat([keys, last * size + last], 1)
    pairs, where = torch.unique(keys, return_inverse=True)
    one, other = pairs // size, pairs % size
    differ = torch.nonzero(one != other).flatten()
    if not len(differ):
        value = builder.sum((place,), (Select(one, size),))
        return value, where.reshape(keys.shape)
    rows = torch.arange(len(differ))
    up, down = (one, other) if least else (other, one)
    signs = torch.ones(len(differ), dtype=torch.float64)
    difference = sparse(
        torch.cat([rows, rows]),
        torch.cat([up[differ], down[differ]]),
        torch.cat([signs, -signs]),
        (len(differ), size),
    )
    excess = (
        builder.function("relu", builder.whole(builder.sum((place,), (difference,)))).parts[0].place
    )
    back = torch.full((len(pairs),), -1)
    back[differ] = rows
    if least:  # a - relu(a - b)
        change: Map = sparse(differ, rows, -signs, (len(pairs), len(differ)))
    else:  # a + relu(b - a)
        change = Select(back, len(differ))
    extreme = Extreme(torch.stack([one, other], dim=1), least)
    value = builder.sum((place, excess), (Select(one, size), change), extreme=extreme)
    return value, where.reshape(keys.shape)
