"""How a batch goes into a graph and comes out: shapes, missing inputs, fixed batch sizes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from nncli.checkpoints.graph import Input
from nncli.errors import ArtifactError, MismatchError, NncliError


def completed(inputs: Sequence[Input], x: Tensor, mask: Tensor | None) -> list[Tensor]:
    """The inputs of a graph from the examples and their mask: shaped, cast, the rest filled in.

    Args:
        inputs: What the graph takes; the examples go to the first.
        x: The examples, (n, ...).
        mask: (n, length), True at real tokens; all of them if it is `None`.

    Returns:
        One tensor an input. Masks are ones, token types zeros, where nothing is given.

    Raises:
        MismatchError: The shapes differ, or there is an input that nothing can be given for.
    """
    found = [_shaped(x, inputs[0])]
    for wanted in inputs[1:]:
        if "mask" in wanted.name:
            real = torch.ones(x.shape[:2], device=x.device) if mask is None else mask
            found.append(real.to(wanted.dtype))
        elif "token_type" in wanted.name:
            found.append(torch.zeros(x.shape[:2], dtype=wanted.dtype, device=x.device))
        else:
            names = ", ".join(f"`{one.name}`" for one in inputs)
            raise MismatchError(
                f"the network takes {names}; there is nothing to give for `{wanted.name}`",
                hint="export it with one input, and a mask if it needs one",
            )
    return found


def _shaped(x: Tensor, wanted: Input) -> Tensor:
    """The examples in the shape of an input, where only dimensions of 1 differ or one is flat."""
    x, shape = x.to(wanted.dtype), wanted.shape[1:]
    if x.ndim == len(wanted.shape) and all(
        want in (None, have) for have, want in zip(x.shape[1:], shape, strict=True)
    ):
        return x
    known = [one for one in shape if one is not None]
    if len(known) == len(shape):
        there, needed = ([n for n in sizes if n != 1] for sizes in (x.shape[1:], known))
        numbers = torch.Size(known).numel() == torch.Size(x.shape[1:]).numel()
        if numbers and (there == needed or len(there) == 1 or len(needed) == 1):
            return x.reshape(x.shape[0], *known)
    told = "x".join("?" if one is None else str(one) for one in shape)
    raise MismatchError(
        f"`{wanted.name}` takes {told or 'one number'} an example, the data has "
        f"{'x'.join(map(str, x.shape[1:])) or 'one number'}"
    )


def portions(given: Sequence[Tensor], size: int | None) -> list[list[Tensor]]:
    """Cut inputs into portions of a size, the last one filled up with its first row."""
    rows = given[0].shape[0]
    if size in (None, rows):
        return [list(given)]
    return [
        [_filled_up(one[start : start + size], size) for one in given]
        for start in range(0, rows, size)
    ]


def _filled_up(part: Tensor, size: int) -> Tensor:
    lacking = size - part.shape[0]
    return torch.cat([part, part[:1].expand(lacking, *part.shape[1:])]) if lacking else part


def joined(parts: Sequence[Any], rows: int, size: int | None) -> Any:
    """One value for the batch from those of its portions; what has no rows is the first one's."""
    if size in (None, rows) or not _has_rows(parts, size):
        return parts[0]
    return torch.cat(list(parts))[:rows]


def rejoined(changed: Any, parts: Sequence[Any], rows: int, size: int | None) -> list[Any]:
    """The values of the portions after that of the batch has passed through a layer."""
    if size in (None, rows):
        return [changed]
    if not _has_rows(parts, size):
        return list(parts)
    rest = parts[-1][size - (len(parts) * size - rows) :]
    whole = torch.cat([changed, rest])
    return list(torch.split(whole, size or rows))


def _has_rows(parts: Sequence[Any], size: int | None) -> bool:
    return all(isinstance(one, Tensor) and one.ndim > 0 and len(one) == size for one in parts)


def does_any_batch(
    run: Callable[..., Any], inputs: Sequence[Input], declared: int, *, source: str
) -> bool:
    """Find out whether a graph that was exported for one batch size does any other.

    Graphs often declare a batch size that nothing in them needs. A whole batch is run, and one
    example of it (or two, for a batch of one): if the answers agree row by row, any size will do.

    Args:
        run: The graph; called with examples and mask.
        inputs: What it takes.
        declared: The batch size it was exported with.
        source: The file, for the error.

    Raises:
        ArtifactError: It does not even run as it was exported.
    """
    other = 1 if declared > 1 else 2
    x = _examples(inputs[0], max(declared, other))
    with torch.no_grad():
        try:
            whole = run(x[:declared], None)
        except NncliError as error:
            raise ArtifactError(f"`{source}` does not run: {error.message}") from error
        try:
            part = run(x[:other], None)
        except NncliError:
            return False
    if not (_has_rows([whole], declared) and _has_rows([part], other)):
        return False
    both = min(declared, other)
    return torch.allclose(part[:both], whole[:both], rtol=1e-3, atol=1e-4, equal_nan=True)


def _examples(wanted: Input, rows: int) -> Tensor:
    shape = (rows, *(one or 1 for one in wanted.shape[1:]))
    if not wanted.dtype.is_floating_point:
        return torch.zeros(shape, dtype=wanted.dtype)  # ids: 0 is always one
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(wanted.dtype)
