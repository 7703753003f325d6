"""Inputs of a network as commands take them: float32 (images in [0, 1], NCHW) or token ids."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.formats.stored_rows import StoredRows

Array = NDArray[Any]

CHANNELS = (1, 3)
CHANNELS_OF_BYTES = (1, 3, 4)
CHECKED_AT_ONCE = 1 << 22


def to_inputs(x: Any, *, source: str, places: Array, nchw: bool = False) -> Any:
    """Convert stored inputs.

    Bytes (uint8) are divided by 255; bytes (n, height, width) get a channel. In four dimensions
    channels that stand last are moved to the front: where the last dimension is 1 or 3 (for bytes
    also 4) and the second is not. Other integers in two dimensions are token ids, everything else
    becomes float32 as it is.

    Args:
        x: (n, ...) numbers as stored.
        source: The source, for errors.
        places: (n,) what each row is called in errors.
        nchw: The layout is known to be right already.

    Returns:
        (n, ...) float32, finite, or (n, T) int64 token ids; at least two dimensions. Large inputs
        that need no conversion stay in their file.

    Raises:
        ArtifactError: It is no numbers, a row is empty, holds a NaN or infinite value, or a token
            id is negative.
    """
    if isinstance(x, StoredRows):  # what stays in its file is float32 in the right layout
        demand_finite(x, source=source, places=places)
        return x
    if x.dtype.kind not in "fiub":
        raise ArtifactError(f"the inputs in `{source}` are {x.dtype}, expected numbers")
    if x.ndim == 1:
        x = x[:, None]
    if 0 in x.shape[1:]:
        raise ArtifactError(f"the inputs in `{source}` have the shape {x.shape}: rows are empty")
    if x.dtype == np.uint8:
        return _scale_bytes(x if nchw else to_nchw(x, CHANNELS_OF_BYTES))
    if x.dtype.kind in "iu" and x.ndim == 2:
        return _token_ids(x, source, places)
    with np.errstate(over="ignore"):  # too large for float32 is infinite, refused below
        inputs = np.asarray(x if nchw else to_nchw(x, CHANNELS), np.float32, order="C")
    if x.dtype.kind == "f":
        demand_finite(inputs, source=source, places=places)
    return inputs


def to_nchw(x: Array, channels: tuple[int, ...]) -> Array:
    """Put the channels of images in front; see `to_inputs` for the rule. A view."""
    if x.ndim == 3 and x.dtype == np.uint8:
        return x[:, None]
    return x.transpose(0, 3, 1, 2) if channels_last(x.shape, channels) else x


def channels_last(shape: tuple[int, ...], channels: tuple[int, ...]) -> bool:
    """Whether images of a shape (n, ...) have their channels last; see `to_inputs`."""
    return len(shape) == 4 and shape[3] in channels and shape[1] not in channels


def _scale_bytes(x: Array) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = np.divide(x, np.float32(255), dtype=np.float32, order="C")
    return scaled


def _token_ids(x: Array, source: str, places: Array) -> NDArray[np.int64]:
    ids = x.astype(np.int64, order="C", copy=False)
    negative = (ids < 0).any(axis=1)
    if negative.any():
        raise ArtifactError(
            f"row {places[int(np.argmax(negative))]} of `{source}` holds a negative integer; "
            "integers in two dimensions are token ids",
            hint="store features as floats, pad token ids with 0 and add a `mask`",
        )
    return ids


def demand_finite(x: Any, *, source: str, places: Array) -> None:
    """Refuse NaN and infinite inputs, block by block.

    Raises:
        ArtifactError: There is one; its row is named.
    """
    step = max(1, CHECKED_AT_ONCE // max(1, math.prod(x.shape[1:])))
    for start in range(0, len(x), step):
        block = x[start : start + step]
        finite = np.isfinite(block)
        if not finite.all():
            place = int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
            bad, row = block[place][~finite[place]][0], start + place
            raise ArtifactError(
                f"row {places[row]} of `{source}` holds {bad} among its inputs",
                hint="drop or fill such rows; only factor columns may hold missing values",
            )
