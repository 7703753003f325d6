"""Series of checkpoints: a folder with a manifest, or the manifest itself, as its members."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nncli.errors import ArtifactError
from nncli.formats.entry import demand_kind
from nncli.formats.series import MANIFEST, METRICS
from nncli.formats.sources import open_source

TABLES = ("parquet", "arrow-file", "arrow-stream", "csv", "json", "jsonl")
SERIES = "series"
NO_FACTORS = ("path", "arch", "digest", *METRICS)


@dataclass(frozen=True)
class Member:
    """A checkpoint that can be resolved.

    Attributes:
        name: Its path, or `-`.
        factors: What its series says of it: seed, step, ...
        arch: The architecture that its series gives it, if any.
    """

    name: str
    factors: dict[str, Any] = field(default_factory=dict)
    arch: str | None = None


def expand(names: Iterable[str]) -> list[Member]:
    """Turn the names a user gave into checkpoints.

    Args:
        names: Checkpoints, and series: folders with a `manifest.parquet`, or tables with a column
            `path`, relative to the table.

    Returns:
        The checkpoints in the order given, those of a series in the order of its manifest.

    Raises:
        ArtifactError: A manifest is damaged, empty, or names a file that is not there.
    """
    return [member for name in names for member in _members(name)]


def _members(name: str) -> Sequence[Member]:
    path = Path(name)
    if (path / MANIFEST).is_file():
        return series(str(path / MANIFEST))
    if name == "-" or not path.is_file():  # a pipe can be read only once, by whoever resolves it
        return [Member(name)]
    with open_source(name) as source:
        return series(name) if source.format in TABLES else [Member(name)]


def series(name: str) -> list[Member]:
    """The members of a series.

    Args:
        name: Its manifest: any table with a column `path`; the columns that are no metrics are
            factors.

    Returns:
        The members in the order of the rows; factors without a value are left out.

    Raises:
        ArtifactError: It is no manifest, or names a file that is not there.
    """
    from nncli.formats.tables import demand_column, read_table

    read = read_table(name)
    table = read.data
    if "path" not in table.column_names:  # a table of ours says better what it is than it lacks
        demand_kind(read.entry, SERIES, source=name)
    demand_column(table, "path", source=name)
    folder, members = Path(name).parent, []
    for row, found in enumerate(table.to_pylist()):
        if not found["path"]:
            raise ArtifactError(f"row {row} of `{name}` names no file")
        path = folder / str(found["path"])
        if not path.exists():
            raise ArtifactError(
                f"row {row} of `{name}` names `{path}`, which is not there",
                hint="was the folder copied without it? make the series again",
            )
        factors = {
            key: value
            for key, value in found.items()
            if key not in NO_FACTORS and value is not None
        }
        members.append(Member(str(path), factors, found.get("arch")))
    if not members:
        raise ArtifactError(f"the series `{name}` is empty")
    return members
