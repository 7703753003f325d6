"""Datasets in folders of images: one subfolder a class, as torchvision's `ImageFolder` reads them.

    animals/cat/1.png  animals/dog/2.png                    one dataset
    animals/train/cat/1.png  animals/test/cat/2.png         with its own split

Classes are numbered in the order of their names (by code points, as torchvision does), the rows
are ordered by split, class and file name, and the path inside the folder is the example id.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nncli.errors import ArtifactError
from nncli.formats.dataset_rows import Images, Rows
from nncli.formats.images import is_image
from nncli.formats.splits import PART_OF, PARTS, choose_rows


@dataclass(frozen=True)
class ImageFile:
    """One image of a folder: its part (`None` without a split), its class and its place."""

    part: str | None
    class_name: str
    path: Path


def is_image_folder(folder: Path) -> bool:
    """Whether the first file two or three levels down is a PNG or a JPEG."""
    classes = _folders(folder)
    for inside in (classes[:1], _folders(classes[0])[:1] if classes else []):
        files = [one for class_folder in inside for one in _visible(class_folder)]
        if files and files[0].is_file():
            return _holds_image(files[0])
    return False


def _holds_image(path: Path) -> bool:
    with path.open("rb") as file:
        return is_image(file.read(8))


def read_image_folder(folder: Path, name: str, split: str, limit: int | None) -> Rows:
    """Read the rows of a split from a folder of images.

    Args:
        folder: The folder, for which `is_image_folder` holds.
        name: The folder as given, for errors.
        split: `train`, `test` or `all`.
        limit: At most this many rows, the first ones of the split.

    Returns:
        The rows; the images are not yet read.

    Raises:
        ArtifactError: A class folder is empty or holds folders, or an image stands beside them.
    """
    files = list_images(folder, name)
    class_names = tuple(sorted({one.class_name for one in files}))
    number = {class_name: index for index, class_name in enumerate(class_names)}
    classes = np.array([number[one.class_name] for one in files], np.int64)
    parts = [one.part for one in files]
    own = None if None in parts else np.array(parts, np.str_)
    rows = choose_rows(len(files), classes=classes, own=own, split=split, limit=limit, source=name)
    chosen = [files[row] for row in rows]
    ids = np.array([one.path.relative_to(folder).as_posix() for one in chosen], np.str_)
    return Rows(
        places=ids,
        x=Images(
            names=[str(Path(name) / one) for one in ids.tolist()],
            read=lambda index: chosen[index].path.read_bytes(),
            first=files[0].path.read_bytes(),
        ),
        y=classes[rows],
        classes=len(class_names),
        class_names=class_names,
        example_id=ids,
    )


def list_images(folder: Path, name: str) -> list[ImageFile]:
    """List the images of a folder in the order of the rows.

    Raises:
        ArtifactError: The folder is not laid out as it should be.
    """
    inside = _folders(folder)
    parts = {PART_OF[one.name.lower()]: one for one in inside if _is_part(one)}
    if not parts:
        return _list_classes(folder, None, name)
    if len(parts) < len(inside):
        other = next(one.name for one in inside if one not in parts.values())
        raise ArtifactError(
            f"`{name}` holds folders of splits and `{other}`",
            hint="keep in it the folders train, validation and test alone, or its classes alone",
        )
    _demand_no_images(folder, name)
    ordered = [part for part in PARTS if part in parts]
    return [one for part in ordered for one in _list_classes(parts[part], part, name)]


def _is_part(folder: Path) -> bool:
    """Whether it is a split: called like one, and holding classes instead of images."""
    return folder.name.lower() in PART_OF and bool(_folders(folder))


def _list_classes(folder: Path, part: str | None, name: str) -> list[ImageFile]:
    _demand_no_images(folder, name)
    found = []
    for class_folder in _folders(folder):
        images = _visible(class_folder)
        if not images or any(one.is_dir() for one in images):
            raise ArtifactError(
                f"the class folder `{class_folder.name}` of `{name}` "
                + ("holds folders" if images else "is empty"),
                hint="put images, and nothing else, into each class folder",
            )
        found += [ImageFile(part, class_folder.name, one) for one in images]
    return found


def _demand_no_images(folder: Path, name: str) -> None:
    """Other files may stand beside the class folders (lists, licences), images may not."""
    for one in _visible(folder):
        if one.is_file() and _holds_image(one):
            raise ArtifactError(
                f"the image `{one.name}` of `{name}` is in no class folder",
                hint="move it into the folder of its class, or away",
            )


def _folders(folder: Path) -> list[Path]:
    return [one for one in _visible(folder) if one.is_dir()]


def _visible(folder: Path) -> list[Path]:
    """What is in a folder by name, hidden files (and Windows' thumbnails) left out."""
    if not folder.is_dir():
        return []
    shown = [one for one in folder.iterdir() if not one.name.startswith((".", "Thumbs.db"))]
    return sorted(shown, key=lambda one: one.name)
