"""Series: folders of checkpoints of one experiment, and the manifest that lists them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from nncli.errors import ArtifactError
from nncli.formats.entry import Entry
from nncli.formats.sources import open_source
from nncli.formats.tables import from_rows, write_table
from nncli.formats.tensors import open_tensors

MANIFEST = "manifest.parquet"
METRICS = (
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "train_true_accuracy",
    "train_robust_accuracy",
    "test_robust_accuracy",
    "train_noisy_accuracy",
    "test_noisy_accuracy",
    "train_certified_accuracy",
    "test_certified_accuracy",
)
OPTIONAL = ("part", "parts", "partition", "norm", "defence", *METRICS[4:])
"""Columns that a manifest has only if some checkpoint has a value there."""
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("arch", pa.string()),
        ("seed", pa.int64()),
        ("step", pa.int64()),
        ("part", pa.int64()),
        ("parts", pa.int64()),
        ("partition", pa.int64()),
        ("epsilon", pa.float64()),
        ("norm", pa.string()),
        ("defence", pa.string()),
        ("label_noise", pa.float64()),
        ("noise", pa.float64()),
        *((name, pa.float64()) for name in METRICS),
        ("digest", pa.string()),
    ]
)


def checkpoint_entry(path: Path) -> Entry | None:
    """What a file says of itself, if it is a checkpoint that was trained by nncli.

    Args:
        path: An existing file.

    Returns:
        Its entry; None for anything else.

    Raises:
        ArtifactError: It is a safetensors file, but damaged.
    """
    with open_source(str(path)) as source:
        if source.format != "safetensors":
            return None
        entry = open_tensors(source).entry
    trained = entry is not None and entry.kind == "checkpoint" and "training" in entry.facts
    return entry if trained else None


def is_there(path: Path, wanted: Entry, *, overwrite: bool = False) -> bool:
    """Whether a file is the checkpoint that is wanted, so that it need not be made again.

    What its metrics are and what command wrote it does not count: only the facts that determine
    its weights.

    Args:
        path: Where the checkpoint goes.
        wanted: The entry that it should have, less its metrics.
        overwrite: Whether something else there may be replaced.

    Returns:
        Whether it is there.

    Raises:
        ArtifactError: There is something else, and it may not be replaced.
    """
    if not path.exists():
        return False
    difference = _difference(wanted, checkpoint_entry(path))
    if difference and not overwrite:
        raise ArtifactError(
            f"`{path}` is there already, and {difference}",
            hint="choose another folder, or replace it with `--overwrite`",
        )
    return not difference


def _difference(wanted: Entry, found: Entry | None) -> str | None:
    """In what a checkpoint is another than the wanted one, as a clause; None if in nothing."""
    if found is None:
        return "is no checkpoint of `nncli train`"
    ours, theirs = _flat(wanted.facts), _flat(found.facts)
    for name in sorted(ours.keys() | theirs.keys()):
        if not name.startswith("metrics.") and ours.get(name) != theirs.get(name):
            return f"its `{name}` is {theirs.get(name)}, not {ours.get(name)}"
    return None


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts as one level of dotted names."""
    found: dict[str, Any] = {}
    for name, value in facts.items():
        inner = _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else None
        found |= {prefix + name: value} if inner is None else inner
    return found


def write_manifest(folder: Path, *, overwrite: bool = False) -> None:
    """List the trained checkpoints of a folder in its manifest.

    The manifest is a function of those files alone, however many runs have made them.

    Args:
        folder: The folder.
        overwrite: Replace a manifest that nncli did not write.

    Raises:
        ArtifactError: A checkpoint is damaged, or the manifest cannot be written.
    """
    rows: list[dict[str, Any]] = []
    inputs: dict[str, dict[str, Any]] = {}
    version = ""
    for path in sorted(folder.glob("*.safetensors")):
        entry = checkpoint_entry(path)
        if entry is None:
            continue
        with open_source(str(path)) as source:
            row = {"path": path.name, "arch": entry.facts["arch"], "digest": source.digest}
        rows.append(row | entry.facts["factors"] | entry.facts["metrics"])
        inputs |= {one["digest"]: one for one in entry.inputs}
        version = max(version, entry.version)
    rows.sort(key=lambda row: (row.get("part") or 0, row["seed"], row["step"], row["path"]))
    entry = Entry("series", command=("train",), version=version, inputs=tuple(inputs.values()))
    table = from_rows(rows, SCHEMA)
    unused = [name for name in OPTIONAL if table[name].null_count == len(table)]
    table = table.drop_columns(unused)
    write_table(str(folder / MANIFEST), table, entry, overwrite=overwrite)
