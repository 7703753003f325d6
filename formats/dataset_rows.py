"""The chosen rows of a data source, before they become a dataset.

Every kind of source ends in `Rows`; `nncli.formats.datasets` turns them into a `Dataset`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.formats.entry import Entry

Array = NDArray[Any]

MASK_NAMES = ("mask", "attention_mask")
FACTOR_PREFIX = "factor_"


@dataclass(frozen=True)
class Images:
    """Images as files: encoded bytes that are decoded when the dataset is made.

    Attributes:
        names: What each is called in messages.
        read: The bytes of the i-th.
        first: The bytes of the first image of the whole source, which decides between grey and
            colour; the first of these rows if `None`.
    """

    names: Sequence[str]
    read: Callable[[int], bytes]
    first: bytes | None = None


@dataclass(frozen=True)
class Rows:
    """The chosen rows of a source, as it stores them.

    Attributes:
        places: (n,) where each is in the source: its number, or its split or path; it names rows
            in messages and is the example id of a source that has none.
        x: (n, ...) of any type, or images as files.
        y: (n,) labels.
        classes: Classes in the whole source.
        class_names: Their names.
        example_id: (n,) the source's own ids, int64 or text.
        mask: (n, T) attention mask.
        text: The texts.
        factors: Further columns, n rows each.
        nchw: The images are (n, channels, height, width) already, by the word of their maker.
        entry: What the file says of itself.
    """

    places: Array
    x: Array | Images | None = None
    y: Array | None = None
    classes: int | None = None
    class_names: tuple[str, ...] | None = None
    example_id: Array | None = None
    mask: Array | None = None
    text: tuple[str, ...] | None = None
    factors: dict[str, Array] = field(default_factory=dict)
    nchw: bool = False
    entry: Entry | None = None


def demand_length(name: str, length: int, other: str, expected: int, *, source: str) -> None:
    """Refuse columns of different lengths.

    Raises:
        ArtifactError: `length` is not `expected`.
    """
    if length != expected:
        raise ArtifactError(
            f"`{name}` in `{source}` has {length:,} rows, `{other}` has {expected:,}",
            hint="every row needs one of each",
        )


def join_rows(parts: Sequence[Rows], *, source: str) -> Rows:
    """Put the rows of several parts of a source one after the other.

    Args:
        parts: The parts; all hold arrays, none images as files.
        source: The source, for errors.

    Returns:
        All rows; the number of classes is the largest of the parts. Factors that a part lacks are
        left out.

    Raises:
        ArtifactError: A column is in one part only, or of different shapes.
    """
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Rows(places=np.empty(0, np.int64))
    columns = {
        name: _join([getattr(part, name) for part in parts], name, source)
        for name in ("places", "x", "y", "mask", "example_id")
    }
    factors = set.intersection(*(set(part.factors) for part in parts))
    texts = [part.text for part in parts]
    if any(text is None for text in texts) and any(texts):
        raise ArtifactError(f"some parts of `{source}` have texts and others have none")
    return Rows(
        **columns,
        classes=max((part.classes for part in parts if part.classes is not None), default=None),
        class_names=parts[0].class_names,
        text=tuple(one for text in texts for one in text or ()) if any(texts) else None,
        factors={
            name: _join([part.factors[name] for part in parts], name, source)
            for name in sorted(factors)
        },
        nchw=parts[0].nchw,
        entry=parts[0].entry,
    )


def _join(columns: Sequence[Any], name: str, source: str) -> Any:
    there = [column for column in columns if column is not None]
    if not there:
        return None
    if len(there) < len(columns):
        raise ArtifactError(
            f"some parts of `{source}` have `{name}` and others have not",
            hint="choose one part with `--split train` or `--split test`",
        )
    shapes = {column.shape[1:] for column in there}
    if len(shapes) > 1:
        listed = " and ".join(str(list(shape)) for shape in sorted(shapes))
        raise ArtifactError(
            f"the rows of `{name}` differ between the parts of `{source}`: {listed}"
        )
    return np.concatenate(there)
