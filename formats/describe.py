"""What is in a file, as plain data, read without running anything that the file holds.

No more of a file is read than its description needs: headers of tensors, the footer of a Parquet
table and its first rows. Text formats have no header and are read whole.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nncli.errors import ArtifactError
from nncli.formats.entry import KEY, Entry
from nncli.formats.sources import DESCRIPTIONS, MAGIC, UNPACKING, Source

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_WHOLE = 40  # tables of so many rows are shown whole
SHOWN_FIRST = 10  # of longer ones so many rows
PICTURES = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")


@dataclass(frozen=True)
class TensorLine:
    """One tensor: its name, type, shape and bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def numbers(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Column:
    """One column of a table: its name and its Arrow type."""

    name: str
    type: str


@dataclass(frozen=True)
class Member:
    """One file in a folder or an archive: its name in there and its bytes."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Description:
    """What is in a file or folder.

    Attributes:
        name: The file as given.
        format: What its bytes are, a key of `DESCRIPTIONS`.
        what: The same for people.
        bytes: Its size (of a folder: of the files in it).
        entry: What it says of itself, if nncli wrote it.
        metadata: What else it says of itself.
        tensors: Its tensors, `None` if it is of no such format (as for the next four).
        columns: The columns of its table.
        rows: How many rows the table has.
        head: The first rows, or all of them if they are few.
        files: The files in a folder or an archive.
        notes: What a reader should know.
    """

    name: str
    format: str
    what: str
    bytes: int
    entry: Entry | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    tensors: tuple[TensorLine, ...] | None = None
    columns: tuple[Column, ...] | None = None
    rows: int | None = None
    head: "pa.Table | None" = None
    files: tuple[Member, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str | None:
        """The kind of artifact, `None` for a foreign file."""
        return self.entry.kind if self.entry else None


def describe(source: Source, *, rows: int | None = None) -> Description:
    """Say what is in a file or folder.

    Args:
        source: The input, opened; it stays open.
        rows: How many rows of a table; by default all if there are at most `SHOWN_WHOLE`, else
            the first `SHOWN_FIRST`.

    Returns:
        The description.

    Raises:
        ArtifactError: The input is empty, cut short, damaged or of no known format.
    """
    form = source.format
    if form == "empty":
        raise source.emptiness()
    if form in ("parquet", "arrow-file", "arrow-stream", "csv", "jsonl", "json"):
        from nncli.formats.describe_tables import describe_table

        return describe_table(source, rows)
    if form == "folder":
        from nncli.formats.describe_folders import describe_folder

        return describe_folder(source, rows)
    return _DESCRIBERS.get(form, _format_alone)(source)


def tensor_lines(specs: dict[str, Any]) -> tuple[TensorLine, ...]:
    """The lines of some tensor specs."""
    from nncli.formats.torch_files import ITEM_SIZE

    return tuple(
        TensorLine(
            name,
            spec.dtype,
            spec.shape,
            spec.size or ITEM_SIZE.get(spec.dtype, 0) * math.prod(spec.shape),
        )
        for name, spec in specs.items()
    )


def _describe_tensors(source: Source) -> Description:
    from nncli.formats.tensors import open_tensors

    file = open_tensors(source)
    return Description(
        source.name,
        source.format,
        DESCRIPTIONS[source.format],
        source.size,
        entry=file.entry,
        metadata={key: value for key, value in file.metadata.items() if key != KEY},
        tensors=tensor_lines(file.specs),
    )


def _describe_torch(source: Source) -> Description:
    from nncli.formats.torch_files import TorchFile, shared_names

    file = TorchFile(source)
    inside = file.inside
    notes = list(inside.notes)
    foreign = [one for one in inside.contents.foreign if not one.startswith("__torch__.")]
    if foreign:
        named = ", ".join(f"`{one}`" for one in foreign[:5])
        named += f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""
        notes.append(f"holds Python objects, which are not loaded: {named}")
    notes += [f"`{name}` shares the numbers of `{other}`" for name, other in shared_names(file)]
    legacy = source.format == "pickle" and bool(inside.places)
    return Description(
        source.name,
        source.format,
        f"{DESCRIPTIONS['torch']} of the old form" if legacy else DESCRIPTIONS[source.format],
        source.size,
        metadata=inside.contents.values,
        tensors=tensor_lines(file.specs),
        notes=tuple(notes),
    )


def _describe_onnx(source: Source) -> Description:
    try:
        import onnx  # noqa: F401
    except ImportError:
        note = "its contents are listed where the extra is installed: `pip install 'nncli[onnx]'`"
        return _format_alone(source, note)
    from nncli.formats.describe_onnx import describe_onnx

    return describe_onnx(source)


def _describe_zip(source: Source) -> Description:
    import zipfile

    try:
        with zipfile.ZipFile(source.file) as archive:
            members = [Member(one.filename, one.file_size) for one in archive.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        raise ArtifactError(
            f"`{source.name}` is a zip archive that is cut short or damaged",
            hint="did the command or the copy that made it fail?",
        ) from error
    return Description(
        source.name, "zip", "a zip archive of nothing known", source.size, files=tuple(members)
    )


def _describe_text(source: Source) -> Description:
    source.file.seek(0)
    start = source.file.read(2000)
    if any(magic.startswith(start) for magic in MAGIC):
        raise ArtifactError(
            f"`{source.name}` is cut short after {len(start)} bytes",
            hint="did the command or the copy that made it fail?",
        )
    lines = start.decode("utf-8", "replace").splitlines()
    return Description(
        source.name,
        "text",
        "text, not a table",
        source.size,
        metadata={"first lines": lines[:3]},
    )


def _describe_image(source: Source) -> Description:
    from PIL import Image, UnidentifiedImageError

    try:
        source.file.seek(0)
        with Image.open(source.file, formats=PICTURES) as image:
            texts = {str(key): one for key, one in image.info.items() if isinstance(one, str)}
            said = {"width": image.width, "height": image.height, "mode": image.mode}
            what = f"a {image.format} image"
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        ValueError,
        SyntaxError,
    ) as error:
        if source.format == "png":
            raise ArtifactError(
                f"`{source.name}` is a PNG image that is cut short or damaged"
            ) from error
        raise _unknown(source) from error
    text = texts.pop(KEY, None)
    entry = Entry.from_json(text, source=source.name) if text else None
    return Description(
        source.name, source.format, what, source.size, entry=entry, metadata={**said, **texts}
    )


def _unknown(source: Source) -> ArtifactError:
    source.file.seek(0)
    start = source.file.read(8).hex(" ")
    return ArtifactError(
        f"`{source.name}` is of no format that nncli knows: it begins with the bytes {start}",
        hint="was it cut short? `file` may know more",
    )


def _format_alone(source: Source, note: str | None = None) -> Description:
    said = note or UNPACKING.get(source.format)
    return Description(
        source.name,
        source.format,
        DESCRIPTIONS[source.format],
        source.size,
        notes=(said,) if said else (),
    )


_DESCRIBERS: dict[str, Callable[[Source], Description]] = {
    "safetensors": _describe_tensors,
    "npz": _describe_tensors,
    "npy": _describe_tensors,
    "torch": _describe_torch,
    "torch-export": _describe_torch,
    "pickle": _describe_torch,
    "onnx": _describe_onnx,
    "zip": _describe_zip,
    "text": _describe_text,
    "png": _describe_image,
    "unknown": _describe_image,
}
