"""What the networks over sequences share: the way in and the way out."""

import torch
from torch import Tensor, nn

from nncli.architectures.spec import Spec


def embedding(spec: Spec, width: int) -> nn.Module:
    """The map from a position's features, or its token id, to the width of the network."""
    if spec.vocabulary is None:
        return nn.Linear(spec.input_shape[-1], width)
    return nn.Embedding(spec.vocabulary, width)


def pooled(x: Tensor, mask: Tensor | None, how: str) -> Tensor:
    """Reduce positions to one vector an example.

    Args:
        x: (n, length, width).
        mask: (n, length), True at real positions; `None` if all are.
        how: `mean` of the real positions, the `last` real one, or `none` to keep them all.

    Returns:
        (n, width), or x itself for `none`.
    """
    if how == "none":
        return x
    if mask is None:
        return x.mean(dim=1) if how == "mean" else x[:, -1]
    if how == "mean":
        share = mask.to(x.dtype)
        return (x * share[..., None]).sum(dim=1) / share.sum(dim=1).clamp(min=1)[:, None]
    places = torch.arange(x.shape[1], device=x.device)
    last = torch.where(mask, places, 0).amax(dim=1)
    return x.take_along_dim(last[:, None, None], dim=1)[:, 0]
