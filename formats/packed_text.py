"""Text files that may be packed with gzip, read whole."""

import gzip
import zlib

from nncli.errors import ArtifactError
from nncli.formats.sources import Source

LARGEST = 1 << 31


def packed_text(source: Source, wanted: str) -> str:
    """Read a text file, gzip or not.

    Args:
        source: The file.
        wanted: What it should hold, with its article, for errors.

    Returns:
        The text.

    Raises:
        ArtifactError: It is empty, damaged, too large, or no text.
    """
    data = _unpacked(source)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ArtifactError(
            f"`{source.name}`, line {line}: this is no UTF-8 text, expected {wanted}"
        ) from None
    if "\0" in text:
        raise ArtifactError(f"`{source.name}` is a binary file, expected {wanted}")
    return text


def _unpacked(source: Source) -> bytes:
    source.file.seek(0)
    if source.format == "empty":
        raise source.emptiness()
    if source.format != "gzip":
        if source.size > LARGEST:
            raise _too_large(source)
        return source.file.read()
    try:
        with gzip.GzipFile(fileobj=source.file) as file:
            data = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ArtifactError(
            f"`{source.name}` is gzip-compressed and damaged or cut short: {error}"
        ) from None
    if len(data) > LARGEST:
        raise _too_large(source)
    return data


def _too_large(source: Source) -> ArtifactError:
    return ArtifactError(f"`{source.name}` holds more than {LARGEST >> 30} GB of text")
