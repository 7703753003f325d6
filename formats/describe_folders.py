"""What is in a folder: a series, a Hugging Face model, a dataset, or files."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from nncli.errors import ArtifactError
from nncli.formats.any_tensors import open_any_tensors, weight_files
from nncli.formats.describe import Description, Member, tensor_lines
from nncli.formats.describe_tables import MANIFEST, describe_table
from nncli.formats.sources import Source, open_source

CONFIG = "config.json"
MOST_BYTES = 10_000_000  # of a JSON file that says what is in a folder


def describe_folder(source: Source, rows: int | None) -> Description:
    """Describe a folder.

    Args:
        source: The folder, opened.
        rows: How many rows of a manifest, see `nncli.formats.describe.describe`.

    Raises:
        ArtifactError: It is empty, or a file in it that says what it is is damaged.
    """
    folder = source.folder
    assert folder is not None
    files = _files(folder)
    if not files:
        raise ArtifactError(f"the folder `{source.name}` is empty")
    size = sum(one.bytes for one in files)
    plain = Description(source.name, "folder", "a folder", size, files=files)
    if (folder / MANIFEST).is_file():
        return _series(plain, folder, rows)
    if (folder / CONFIG).is_file() and weight_files(folder, source.name):
        return _model(plain, folder)
    if (folder / CONFIG).is_file():
        said = _configuration(folder, CONFIG)
        note = "no safetensors weights: `.bin` files are pickles, see `nncli show` of each"
        return replace(plain, what="a model folder", metadata=said, notes=(note,))
    return _dataset(plain, folder)


def _files(folder: Path) -> tuple[Member, ...]:
    paths = sorted(one for one in folder.rglob("*") if one.is_file())
    return tuple(Member(one.relative_to(folder).as_posix(), one.stat().st_size) for one in paths)


def _series(plain: Description, folder: Path, rows: int | None) -> Description:
    with open_source(str(folder / MANIFEST)) as source:
        table = describe_table(source, rows)
    is_series = table.entry is not None and table.entry.kind == "series"
    what = f"a folder of {table.rows:,} checkpoints" if is_series else "a folder with a manifest"
    return replace(
        plain,
        what=what,
        entry=table.entry,
        metadata=table.metadata,
        columns=table.columns,
        rows=table.rows,
        head=table.head,
    )


def _model(plain: Description, folder: Path) -> Description:
    said = _configuration(folder, CONFIG)
    with open_any_tensors(plain.name) as file:
        return replace(
            plain,
            what=f"a Hugging Face model ({said.get('model_type', 'of unknown type')})",
            metadata=said,
            tensors=tensor_lines(file.specs),
        )


def _configuration(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is too long")
        found = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise ArtifactError(f"`{path}` is damaged: {error}") from error
    return found if isinstance(found, dict) else {}


def _dataset(plain: Description, folder: Path) -> Description:
    from nncli.formats.image_folders import is_image_folder, list_images

    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return replace(
            plain, what="a dataset saved by Hugging Face datasets", metadata=_saved(folder)
        )
    if is_image_folder(folder):
        images = list_images(folder, plain.name)
        classes = Counter(one.class_name for one in images)
        parts = Counter(one.part for one in images if one.part)
        said = {"images": len(images), "images by class": dict(sorted(classes.items()))}
        if parts:
            said["images by split"] = dict(parts)
        return replace(plain, what="a folder of images, one subfolder a class", metadata=said)
    return plain


def _saved(folder: Path) -> dict[str, Any]:
    """What `save_to_disk` left: for each split its rows, and the types of the columns."""
    several = (folder / "dataset_dict.json").is_file()
    names = _configuration(folder, "dataset_dict.json").get("splits", []) if several else ["."]
    said: dict[str, Any] = {}
    for name in (str(one) for one in names):
        if Path(name).name not in (name, ""):
            raise ArtifactError(f"`{folder}` names the split `{name}`, which lies elsewhere")
        info = _configuration(folder / name, "dataset_info.json")
        said["rows" if name == "." else f"rows of {name}"] = _rows(folder / name)
        said["columns"] = {key: _type(one) for key, one in (info.get("features") or {}).items()}
    return said


def _type(feature: Any) -> str:
    if isinstance(feature, list):
        return f"list of {_type(feature[0])}" if feature else "list"
    if not isinstance(feature, dict):
        return str(feature)
    kind = str(feature.get("_type", "struct"))
    if kind == "Value":
        return str(feature.get("dtype"))
    return f"{kind} of {_type(feature['feature'])}" if "feature" in feature else kind


def _rows(part: Path) -> int:
    """The rows of one split, counted without reading them."""
    listed = _configuration(part, "state.json").get("_data_files", [])
    count = 0
    for one in listed:
        path = part / Path(str(one["filename"])).name
        try:
            with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
                count += stream.read_all().num_rows
        except (pa.ArrowException, OSError) as error:
            raise ArtifactError(f"`{path}` is damaged: {error}") from error
    return count
