"""Reductions: what becomes of the positions of an activation.

A layer answers an example with a vector (n, D), with tokens (n, T, D), or with maps whose channels
come first (n, C, L), (n, C, H, W), ... Its positions are the tokens, or the places of the map in
row-major order; a vector has none and is left alone by every reduction.

A mask (n, T) says which tokens are real. Padding never enters `mean`, `last`, `cls` or `positions`;
`none` and `flatten` keep it as it is.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

REDUCTIONS = {
    "none": "as the layer puts it out",
    "flatten": "all numbers of an example in one row",
    "mean": "the mean over positions",
    "last": "the last position (of sequences)",
    "cls": "the first position (of sequences)",
    "positions": "a row for each position",
}
TOKENS = "tokens"
MAPS = "maps"
VECTOR = "vector"


def layout_of(shape: Sequence[int], *, channels_first: bool = False) -> str:
    """How the numbers of one example are laid out.

    Args:
        shape: Shape of the activation for one example, without the batch.
        channels_first: Whether two dimensions are channels x positions rather than tokens x
            features, as for the one-dimensional convolutions of PyTorch.

    Returns:
        `vector`, `tokens` (T, D), or `maps` (C, ...): everything of three or more dimensions.
    """
    if len(shape) < 2:
        return VECTOR
    return MAPS if len(shape) > 2 or channels_first else TOKENS


def reduced_shape(shape: Sequence[int], how: str, layout: str) -> tuple[int, ...]:
    """The shape of one row after `reduce`.

    Args:
        shape: Shape of the activation for one example, without the batch.
        how: A key of `REDUCTIONS`.
        layout: From `layout_of`.

    Returns:
        The shape of a row, without the rows.
    """
    if how == "none":
        return tuple(shape)
    if how == "flatten" or layout == VECTOR:
        return (math.prod(shape),)
    return (shape[0],) if layout == MAPS else (shape[-1],)


def positions_of(shape: Sequence[int], layout: str) -> int:
    """How many positions an example has: 1 for a vector."""
    if layout == VECTOR:
        return 1
    return math.prod(shape[1:]) if layout == MAPS else shape[0]


def masked(shape: Sequence[int], layout: str, length: int | None) -> bool:
    """Whether a mask over `length` tokens is one over the positions of a layer."""
    return length is not None and layout == TOKENS and shape[0] == length


def reduce(x: Tensor, how: str, layout: str, mask: Tensor | None = None) -> Tensor:
    """Reduce a batch of activations to rows.

    Args:
        x: (n, ...) activations, batch first.
        how: A key of `REDUCTIONS`.
        layout: From `layout_of`.
        mask: (n, T), True at real tokens; only for tokens, `None` where all are real.

    Returns:
        (n, ...) rows, for `positions` one a real position, those of one example together. It may
        share memory with `x`.

    Raises:
        ValueError: `last` or `cls` of maps, whose places have no first and last.
    """
    if how == "none":
        return x
    if how == "flatten" or layout == VECTOR:
        return x.reshape(len(x), -1)
    if layout == MAPS:
        return _reduce_maps(x, how)
    if how == "positions":
        return x.flatten(0, 1) if mask is None else x[mask]
    if how == "mean":
        return x.mean(dim=1) if mask is None else _masked_mean(x, mask)
    return _token(x, mask, first=how == "cls")


def _reduce_maps(x: Tensor, how: str) -> Tensor:
    """`mean` or `positions` of maps (n, C, ...)."""
    places = x.flatten(2)
    if how == "mean":
        return places.mean(dim=2)
    if how == "positions":
        return places.transpose(1, 2).flatten(0, 1)
    raise ValueError(f"maps have no `{how}` position")


def _masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean (n, D) of the real tokens; padding may hold anything, even NaN."""
    real = torch.where(mask[..., None], x, 0)
    wide = torch.promote_types(x.dtype, torch.float32)  # a sum of halves would overflow
    return real.sum(dim=1, dtype=wide) / mask.sum(dim=1).clamp(min=1)[:, None]


def _token(x: Tensor, mask: Tensor | None, *, first: bool) -> Tensor:
    """The first or the last real token (n, D), on whichever side the padding is."""
    if mask is None:
        return x[:, 0 if first else -1]
    places = torch.arange(x.shape[1], device=x.device).expand_as(mask)
    if first:
        place = torch.where(mask, places, x.shape[1] - 1).amin(dim=1)
    else:
        place = torch.where(mask, places, 0).amax(dim=1)
    return x[torch.arange(len(x), device=x.device), place]
