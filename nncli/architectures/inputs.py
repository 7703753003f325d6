"""How a batch comes into a network: the right shape without guessing."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nncli.architectures.spec import Spec
from nncli.errors import MismatchError


def fitted(x: Tensor, spec: Spec, dtype: torch.dtype) -> Tensor:
    """Bring a batch into the shape a network takes, if that needs no guess.

    Args:
        x: The batch, (n, ...). Dimensions of size 1 may be missing or superfluous, and examples
            may be flat; an mlp flattens anything.
        spec: The architecture.
        dtype: The type to compute in.

    Returns:
        The batch as (n, *spec.input_shape); token ids as integers.

    Raises:
        MismatchError: The examples have another shape.
    """
    found, wanted = tuple(x.shape[1:]), spec.input_shape
    if spec.vocabulary is not None:
        if len(found) == 1 and found[0] <= wanted[0] and not x.is_floating_point():
            return x.long()
        raise MismatchError(
            f"`{spec}` takes up to {wanted[0]} token ids an example, the data has {_told(found, x)}"
        )
    numbers = torch.Size(wanted).numel()
    same = [n for n in found if n != 1] == [n for n in wanted if n != 1]
    if torch.Size(found).numel() == numbers and (same or len(found) == 1 or spec.family == "mlp"):
        return x.reshape(x.shape[0], *wanted).to(dtype)
    raise MismatchError(
        f"`{spec}` takes {'x'.join(map(str, wanted))} an example, the data has {_told(found, x)}",
        hint="give the architecture the input shape of the data",
    )


def _told(shape: Sequence[int], x: Tensor) -> str:
    return f"{'x'.join(map(str, shape)) or '1'} of {str(x.dtype).removeprefix('torch.')}"
