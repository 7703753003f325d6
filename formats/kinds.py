"""What kind of artifact an input is: by what it says of itself, else by what is in it."""

import os
from collections.abc import Collection
from pathlib import Path

from nncli.errors import ArtifactError
from nncli.formats.any_tensors import weight_files
from nncli.formats.describe import Description, describe
from nncli.formats.sources import Source

TABLES = ("parquet", "arrow-file", "arrow-stream", "csv", "jsonl", "json")
SCORES = ("logits", "probs", "logprobs")
WEIGHT_NAMES = (".weight", ".bias", ".running_mean", ".running_var", "/weight", "/bias")
INPUTS, LABELS = {"x", "X", "images", "data"}, {"y", "label", "labels", "target", "targets"}


def kind_of(source: Source) -> str:
    """The kind of an input.

    Args:
        source: The input, opened; it stays open.

    Returns:
        The kind that an artifact names; of a foreign file `checkpoint`, `activations`, `dataset`,
        `predictions`, `table`, or `unknown`.

    Raises:
        ArtifactError: The input is cut short or damaged.
    """
    if source.folder is not None:
        return _kind_of_folder(source.folder, source.name)
    found = described(source)
    if found.kind is not None:
        return found.kind
    if source.format in TABLES:
        return _kind_of_columns([one.name for one in found.columns or ()])
    if source.format in ("torch", "torch-export", "pickle"):
        return "checkpoint" if found.tensors else "unknown"
    return _kind_of_tensors(found) if source.format in ("safetensors", "npz", "npy") else "unknown"


def described(source: Source) -> Description:
    """What a file says of itself; it is at its beginning again afterwards."""
    found = describe(source, rows=0)
    # whoever read through another handle moved the place in the file, which a buffer does not
    # notice: to the end first, so that it is filled anew
    source.file.seek(0, os.SEEK_END)
    source.file.seek(0)
    return found


def _kind_of_folder(folder: Path, name: str) -> str:
    from nncli.formats.dataset_folders import is_saved
    from nncli.formats.describe_tables import MANIFEST
    from nncli.formats.image_folders import is_image_folder

    if (folder / MANIFEST).is_file():
        return "series"
    if weight_files(folder, name):
        return "checkpoint"
    if is_saved(folder) or is_image_folder(folder):
        return "dataset"
    raise ArtifactError(
        f"the folder `{name}` is neither a series, nor a model, nor a dataset",
        hint="name a file inside it",
    )


def _kind_of_columns(names: Collection[str]) -> str:
    if any(one in names for one in SCORES) and "label" in names:
        return "predictions"
    return "dataset" if INPUTS & set(names) and LABELS & set(names) else "table"


def _kind_of_tensors(found: Description) -> str:
    """Tensors with common rows are activations, unless their names are those of weights."""
    tensors = [one for one in found.tensors or () if not one.name.startswith("@")]
    names = {one.name for one in tensors}
    if not tensors:
        return "unknown"
    if any(one in names for one in SCORES) and "label" in names:
        return "predictions"
    if INPUTS & names and LABELS & names:
        return "dataset"
    rows = {one.shape[:1] for one in tensors}
    weights = any(one.name.endswith(WEIGHT_NAMES) for one in tensors)
    return "activations" if len(rows) == 1 and rows != {()} and not weights else "checkpoint"
