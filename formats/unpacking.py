"""Files packed with gzip as the files they hold, unpacked into a temporary file of bounded size."""

import gzip
import tempfile
import zlib
from typing import BinaryIO

from nncli.errors import ArtifactError
from nncli.formats.sources import NO_ROOM, Source

CHUNK = 1 << 20
ALWAYS = 1 << 30  # bytes that any packed file may grow to
TIMES = 20  # of its size that a larger one may: weights are hardly made smaller


def unpacked(source: Source) -> Source:
    """What a file packed with gzip holds; any other file as it is.

    Args:
        source: The opened file. It stays open, for the caller to close.

    Returns:
        The same source, or one of the unpacked bytes, which has the digest of these. Its temporary
        file is gone when it is closed, or no longer used.

    Raises:
        ArtifactError: It is damaged, cut short, or would grow beyond `ALWAYS` and `TIMES` its size.
    """
    if source.format != "gzip":
        return source
    source.file.seek(0)
    most = max(ALWAYS, TIMES * source.size)
    target = tempfile.TemporaryFile()  # noqa: SIM115 -- the source that is returned closes it
    try:
        _copy(source, target, most)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        target.close()
        raise ArtifactError(
            f"`{source.name}` is gzip-compressed and damaged or cut short: {error}"
        ) from None
    except OSError as error:
        target.close()
        if error.errno not in NO_ROOM:
            raise
        raise ArtifactError(
            f"no room to unpack `{source.name}` in `{tempfile.gettempdir()}`",
            hint="set TMPDIR to a folder with room",
        ) from error
    except BaseException:
        target.close()
        raise
    target.seek(0)
    return Source(source.name, target, path=None)


def _copy(source: Source, target: BinaryIO, most: int) -> None:
    """Unpack up to some number of bytes."""
    done = 0
    with gzip.GzipFile(fileobj=source.file) as packed:
        while chunk := packed.read(CHUNK):
            done += len(chunk)
            if done > most:
                raise ArtifactError(
                    f"`{source.name}` unpacks to more than {most >> 30} GB, "
                    f"{TIMES} times its size: no checkpoint does",
                    hint="if it is one all the same, unpack it yourself: `gunzip -k FILE`",
                )
            target.write(chunk)
    target.flush()
