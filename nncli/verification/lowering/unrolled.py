"""Linear operators without a form of their own: their matrix is found on unit vectors."""

from typing import Any

import torch
from torch import Tensor

from nncli.verification.lowering.values import Value
from nncli.verification.lowering.work import Handler, Work
from nncli.verification.maps import sparse

BLOCK = 256  # unit vectors at once


def unrolled(work: Work, func: Any, x: Value, *given: Any, **named: Any) -> Value:
    """Any of `LINEAR`."""
    rows, columns, numbers = [], [], []
    shape = func(torch.zeros(x.shape, dtype=torch.float64), *given, **named).shape
    for start in range(0, x.size, BLOCK):
        units = torch.eye(x.size, dtype=torch.float64)[start : start + BLOCK]
        images = _images(func, units.reshape(-1, *x.shape), given, named)
        unit, place = torch.nonzero(images, as_tuple=True)
        rows.append(place)
        columns.append(unit + start)
        numbers.append(images[unit, place])
    size = (shape.numel(), x.size)
    one = sparse(torch.cat(rows), torch.cat(columns), torch.cat(numbers), size)
    return work.builder.linear(x, one, tuple(shape), None)


def _images(func: Any, units: Tensor, given: Any, named: Any) -> Tensor:
    return torch.stack([func(one, *given, **named).flatten() for one in units])


LINEAR = (
    *("col2im", "cumsum", "trace", "upsample_bicubic2d", "upsample_bilinear2d"),
    *("upsample_linear1d", "upsample_trilinear3d", "_upsample_bilinear2d_aa"),
)
HANDLERS: dict[str, Handler] = dict.fromkeys(LINEAR, unrolled)
SETTLING = dict.fromkeys(LINEAR, False)
