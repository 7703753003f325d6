"""Datasets through the Hugging Face `datasets` library: saved folders, folders of tables, the Hub.

Folders of tables and the Hub are streamed: nothing is prepared or copied into a cache. What the
Hub's own client keeps (of its small files) goes where `HF_HOME` says, as with any other program.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nncli.errors import ArtifactError, UsageError
from nncli.formats.dataset_rows import Rows
from nncli.formats.hub_streams import Origin, read_streams, translated

PREFIX = "hf:"


def read_saved(folder: Path, name: str, split: str, limit: int | None) -> Rows:
    """Read the rows of a split from a folder written by `save_to_disk`.

    Raises:
        ArtifactError: The folder is damaged or unfit for a dataset.
    """
    with _quiet(), translated(name):
        from datasets import load_from_disk

        found = load_from_disk(str(folder.absolute()))
    return read_streams(found, Origin(name), split, limit)


def read_tables(folder: Path, name: str, split: str, limit: int | None) -> Rows:
    """Read the rows of a split from a folder of tables, such as a clone of a Hub dataset.

    The splits go by the names of files and folders, by the rules of `datasets`.

    Raises:
        ArtifactError: The folder is damaged or unfit for a dataset.
    """
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        with translated(name):
            from datasets import load_dataset

            found = load_dataset(str(folder.absolute()), streaming=True, cache_dir=scratch)
        return read_streams(found, Origin(name), split, limit)


def read_hub(spec: str, split: str, limit: int | None) -> Rows:
    """Read the rows of a split from the Hugging Face Hub.

    Args:
        spec: `hf:owner/name` or `hf:owner/name/configuration`.
        split: `train`, `test` or `all`.
        limit: At most this many rows, the first ones of the split.

    Returns:
        The rows.

    Raises:
        UsageError: The name is of another form.
        EnvironmentFault: The Hub cannot be reached.
        ArtifactError: There is no such dataset or configuration, or it is unfit.
    """
    owner, _, rest = spec.removeprefix(PREFIX).partition("/")
    repository, _, configuration = rest.partition("/")
    if not (owner and repository) or "/" in configuration:
        raise UsageError(
            f"`{spec}` is no name on the Hugging Face Hub",
            hint="write `hf:owner/name` or `hf:owner/name/configuration`",
        )
    path = f"{owner}/{repository}"
    if os.path.isdir(path):
        raise ArtifactError(
            f"the folder `{path}` hides `{spec}` from the Hugging Face library",
            hint=f"give `{path}` for the folder; run in another folder for the Hub",
        )
    with _quiet():
        with translated(spec):
            from datasets import load_dataset

            found = load_dataset(path, configuration or None, streaming=True)
        return read_streams(found, Origin(spec, remote=True), split, limit)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of the library; ours say enough."""
    import datasets

    if datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()
