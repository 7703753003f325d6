"""Rows out of what the Hugging Face `datasets` library opened, as streams of Arrow tables.

The columns go by the same rule as those of any other table. From the Hub, `limit` rows are all that
is read where that tells the classes: the source has its own split (or all of it is wanted), and its
labels are numbers. Otherwise the label column is read whole first.
"""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nncli.errors import ArtifactError, EnvironmentFault, NncliWarning
from nncli.formats.column_roles import Roles, choose_columns, is_text
from nncli.formats.columns import demand_values, to_values
from nncli.formats.dataset_rows import Rows
from nncli.formats.dataset_tables import choose_from, rows_of
from nncli.formats.labels import Labels, name_classes, read_labels
from nncli.formats.splits import PART_OF, PARTS, parts_of

Stream = Any  # a `datasets.Dataset` or `datasets.IterableDataset`

UNDIVIDED = ""
BATCH = 1000
MANY_ROWS = 100_000


@dataclass(frozen=True)
class Origin:
    """Where rows come from: the name as given, and whether they come over a network."""

    name: str
    remote: bool = False


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Errors of the library as ours; nothing but its calls may stand inside."""
    try:
        yield
    except Exception as error:
        from datasets.exceptions import DatasetNotFoundError

        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        if isinstance(error, (ConnectionError, TimeoutError)):
            offline = "HF_HUB_OFFLINE is set: " if os.environ.get("HF_HUB_OFFLINE") else ""
            raise EnvironmentFault(
                f"cannot reach the Hugging Face Hub for `{name}`: {reason}",
                hint=f"{offline}download the dataset once where there is a network, "
                "save it with `save_to_disk`, and name that folder",
            ) from error
        if isinstance(error, DatasetNotFoundError):
            raise ArtifactError(
                f"there is no dataset `{name}` on the Hugging Face Hub, or it is not public",
                hint="check the name at https://huggingface.co/datasets; "
                "HF_TOKEN gives access to private ones",
            ) from error
        raise ArtifactError(
            f"`{name}` cannot be read by the Hugging Face library: {str(error).strip() or reason}",
        ) from error


def read_streams(
    found: Mapping[str, Stream] | Stream, origin: Origin, split: str, limit: int | None
) -> Rows:
    """Read the rows of a split.

    Args:
        found: A dataset of the library, or one for each of its splits.
        origin: Where it comes from.
        split: `train`, `test` or `all`.
        limit: At most this many rows, the first ones of the split.

    Returns:
        The rows.

    Raises:
        ArtifactError: It is unfit for a dataset.
    """
    streams = find_parts(found, origin)
    roles = choose_columns(_schema(next(iter(streams.values())), origin), source=origin.name)
    if UNDIVIDED in streams:
        return _read_undivided(streams[UNDIVIDED], roles, origin, split, limit)
    return _read_own_split(streams, roles, origin, split, limit)


def find_parts(found: Mapping[str, Stream] | Stream, origin: Origin) -> dict[str, Stream]:
    """The splits of what the library loaded, by their usual names.

    A single split called `train`, or nothing that nncli knows, is a source without a split.

    Raises:
        ArtifactError: There are several splits and none is a train, validation or test split.
    """
    if not isinstance(found, Mapping):
        return {UNDIVIDED: found}
    known = [key for key in found if key.lower() in PART_OF]
    parts = {PART_OF[key.lower()]: found[key] for key in known}
    if len(found) == 1 and set(parts) <= {"train"}:
        return {UNDIVIDED: next(iter(found.values()))}
    if not parts:
        listed = ", ".join(f"`{key}`" for key in found)
        raise ArtifactError(
            f"`{origin.name}` has the splits {listed or '(none)'}, expected train or test",
            hint="save the split you want with `save_to_disk`, and name that folder",
        )
    left_out = [key for key in found if key not in known]
    if left_out:
        listed = ", ".join(f"`{key}`" for key in left_out)
        warnings.warn(
            f"the splits {listed} of `{origin.name}` left out", NncliWarning, stacklevel=2
        )
    return {part: parts[part] for part in PARTS if part in parts}


def _schema(stream: Stream, origin: Origin) -> pa.Schema:
    if stream.features is not None:
        return stream.features.arrow_schema
    for batch in _batches(stream, origin):
        return batch.schema
    raise ArtifactError(f"`{origin.name}` has no rows")


def _batches(stream: Stream, origin: Origin) -> Iterator[pa.Table]:
    with translated(origin.name):
        batches = iter(stream.with_format("arrow").iter(batch_size=BATCH))
    rows = 0
    while True:
        with translated(origin.name):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch
        if rows < MANY_ROWS <= rows + batch.num_rows and origin.remote:
            warnings.warn(
                f"`{origin.name}` has more than {MANY_ROWS:,} rows, all are being read; "
                "`--limit` reads fewer",
                NncliWarning,
                stacklevel=2,
            )
        rows += batch.num_rows


def _collect(
    stream: Stream,
    origin: Origin,
    *,
    rows: NDArray[np.int64] | None = None,
    limit: int | None = None,
) -> pa.Table:
    """The rows at some places, or the first ones; nothing behind the last of them is read."""
    pieces: list[pa.Table] = []
    start = 0
    stop = limit if rows is None else int(rows[-1]) + 1 if len(rows) else 0
    for batch in _batches(stream, origin):
        end = start + batch.num_rows
        if rows is not None:
            here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)]
            pieces.append(batch.take(here - start))
        else:
            pieces.append(batch.slice(0, None if stop is None else max(stop - start, 0)))
        start = end
        if stop is not None and start >= stop:
            break
    if not pieces:
        raise ArtifactError(f"`{origin.name}` has no rows")
    return pa.concat_tables(pieces, promote_options="permissive")


def _read_undivided(
    stream: Stream, roles: Roles, origin: Origin, split: str, limit: int | None
) -> Rows:
    if split == "all" and roles.split is None and not _needs_all_labels(stream, roles, origin):
        data = _collect(stream, origin, limit=limit)
        rows, labels = choose_from(data, data.num_rows, roles, split, limit, source=origin.name)
    else:
        columns = roles.deciding or [stream.column_names[0]]
        deciding = _collect(stream.select_columns(columns), origin)
        rows, labels = choose_from(
            deciding, deciding.num_rows, roles, split, limit, source=origin.name
        )
        data = _collect(stream, origin, rows=rows)
    return _finish(data, roles, rows, labels, origin)


def _needs_all_labels(stream: Stream, roles: Roles, origin: Origin) -> bool:
    """Whether the classes follow from all labels only, or are to be had for nothing."""
    if roles.label is None or roles.class_names is not None:
        return False
    return not origin.remote or is_text(_schema(stream, origin).field(roles.label).type)


def _read_own_split(
    streams: Mapping[str, Stream], roles: Roles, origin: Origin, split: str, limit: int | None
) -> Rows:
    pieces, places, left = [], [], limit
    for part in parts_of(split, streams):
        if left != 0:
            piece = _collect(streams[part], origin, limit=left)
            pieces.append(piece)
            places += [f"{part}/{row}" for row in range(piece.num_rows)]
            left = None if left is None else left - piece.num_rows
    if not pieces:
        return Rows(places=np.empty(0, np.str_))
    data = pa.concat_tables(pieces, promote_options="permissive")
    named = np.array(places, np.str_)
    labels = _labels(data, streams, roles, origin, named)
    return _finish(data, roles, named, labels, origin)


def _labels(
    data: pa.Table,
    streams: Mapping[str, Stream],
    roles: Roles,
    origin: Origin,
    places: NDArray[np.str_],
) -> Labels | None:
    """The labels of the chosen rows, their classes numbered over all parts."""
    if roles.label is None:
        return None
    names, classes = roles.class_names, 0
    if _needs_all_labels(next(iter(streams.values())), roles, origin):
        every = [
            to_values(_collect(one.select_columns([roles.label]), origin)[roles.label])
            for one in streams.values()
        ]
        names = name_classes(every)
        classes = max(int(one.max()) + 1 for one in every) if names is None else 0
    demand_values(data[roles.label], roles.label, source=origin.name, places=places)
    labels = read_labels(
        to_values(data[roles.label]),
        column=roles.label,
        source=origin.name,
        names=names,
        places=places,
    )
    if labels is None or labels.classes is None:
        return labels
    return replace(labels, classes=max(labels.classes, classes))


def _finish(
    data: pa.Table,
    roles: Roles,
    places: NDArray[Any],
    labels: Labels | None,
    origin: Origin,
) -> Rows:
    def open_path(path: str) -> bytes:
        from datasets.utils.file_utils import xopen

        with translated(origin.name), xopen(path, "rb") as file:
            return bytes(file.read())

    return rows_of(data, roles, places, labels, source=origin.name, open_path=open_path)
