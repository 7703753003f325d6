"""What kind of dataset a folder is."""

from pathlib import Path

from nncli.errors import ArtifactError
from nncli.formats.dataset_rows import Rows
from nncli.formats.image_folders import is_image_folder, read_image_folder

TABLE_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".json", ".arrow")


def read_folder(folder: Path, name: str, split: str, limit: int | None) -> Rows:
    """Read the rows of a split from a folder of any kind.

    Args:
        folder: The folder.
        name: The folder as given, for errors.
        split: `train`, `test` or `all`.
        limit: At most this many rows, the first ones of the split.

    Returns:
        The rows.

    Raises:
        ArtifactError: It is no dataset, or an unfit one.
    """
    if is_saved(folder):
        from nncli.formats.hub_datasets import read_saved

        return read_saved(folder, name, split, limit)
    if is_image_folder(folder):
        return read_image_folder(folder, name, split, limit)
    if holds_tables(folder):
        from nncli.formats.hub_datasets import read_tables

        return read_tables(folder, name, split, limit)
    what = "no dataset" if any(folder.iterdir()) else "empty"
    raise ArtifactError(
        f"the folder `{name}` is {what}: it holds neither class folders of PNG or JPEG images, "
        "nor what `save_to_disk` of Hugging Face datasets writes, nor Parquet, CSV or JSON files",
        hint="name a file in it, or see the documentation of data for the layouts",
    )


def is_saved(folder: Path) -> bool:
    """Whether `datasets` saved a dataset here (`save_to_disk`)."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def holds_tables(folder: Path) -> bool:
    """Whether a folder holds files of tables, at whatever depth."""
    return any(one.suffix in TABLE_SUFFIXES for one in folder.rglob("*") if one.is_file())
