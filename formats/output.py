"""Outputs: opened before the work, complete or not there at all.

A file is written beside its target under a hidden name and renamed when it is complete, so a
reader never sees half of it and a killed command leaves the old one. Standard output, devices and
FIFOs are written in place.
"""

import os
import stat
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from nncli.errors import ArtifactError

STANDARD = "-"


class Output:
    """One output of a command, as a context manager that commits on success.

    Attributes:
        target: The path, or `-`.
        file: The bytes to write to.
        in_place: Whether bytes reach the reader as they are written; such a file cannot be sought.
    """

    def __init__(self, target: str, file: BinaryIO, *, temporary: Path | None) -> None:
        self.target = target
        self.file = file
        self.in_place = temporary is None
        self._temporary = temporary

    def __enter__(self) -> "Output":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.commit()
        else:
            self.discard()

    def commit(self) -> None:
        """Make the output visible under its name.

        Raises:
            ArtifactError: The last bytes could not be written (a full disk).
        """
        try:
            self.file.flush()
            if self._temporary is not None:
                self.file.close()
                self._temporary.replace(self.target)
            elif self.target != STANDARD:
                self.file.close()
        except OSError as error:
            self.discard()
            raise failure(self.target, error) from error

    def discard(self) -> None:
        """Give up: whatever was at the target before is still there."""
        if self._temporary is not None:
            # close flushes, which can fail once more on a full disk: the file goes either way
            try:
                self.file.close()
            except OSError:
                pass
            finally:
                self._temporary.unlink(missing_ok=True)

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`.

        Raises:
            ArtifactError: It could not be written.
        """
        try:
            self.file.write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise failure(self.target, error) from error


def failure(target: str, error: OSError) -> Exception:
    """The error to raise for a write that failed; a closed pipe stays what it is."""
    if isinstance(error, BrokenPipeError):
        return error
    place = "standard output" if target == STANDARD else f"`{target}`"
    return ArtifactError(f"cannot write {place}: {(error.strerror or str(error)).lower()}")


def open_output(target: str, *, overwrite: bool = False, binary: bool = True) -> Output:
    """Open an output before the work begins.

    Args:
        target: A path, or `-` for standard output.
        overwrite: Replace an existing file even if nncli did not write it.
        binary: The content is no text, so a terminal is refused.

    Returns:
        The output, a context manager: leaving it without an error renames the file into place.

    Raises:
        ArtifactError: The place cannot be written, holds somebody else's file, or is a terminal.
    """
    if target == STANDARD:
        if binary and sys.stdout.isatty():
            raise ArtifactError(
                "refusing to write a binary artifact to a terminal",
                hint="use `-o FILE`, redirect with `>`, or pipe it into another command",
            )
        return Output(target, sys.stdout.buffer, temporary=None)
    path = Path(target)
    if path.is_dir():
        raise ArtifactError(f"`{target}` is a folder", hint="name a file inside it")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        return _in_place(target)
    if not overwrite:
        _refuse_foreign(path)
    try:
        # a link stays a link: what it points to is replaced
        place = path.resolve() if path.is_symlink() else path
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    except OSError as error:
        hint = None if path.parent.is_dir() else f"make the folder first: `mkdir -p {path.parent}`"
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"cannot write `{target}`: {reason}", hint=hint) from error
    os.fchmod(handle, 0o666 & ~_umask())
    return Output(str(place), os.fdopen(handle, "w+b"), temporary=Path(name))


def _in_place(target: str) -> Output:
    try:
        return Output(target, Path(target).open("wb"), temporary=None)
    except OSError as error:
        raise failure(target, error) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _refuse_foreign(path: Path) -> None:
    """Refuse to replace a file that nncli did not write (an empty one is nobody's loss)."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    if size and not written_by_nncli(path):
        raise ArtifactError(
            f"`{path}` exists and was not written by nncli",
            hint="choose another name, or replace it with `--overwrite`",
        )


def written_by_nncli(path: Path) -> bool:
    """Whether a file carries our metadata entry (or, for pictures, our name as its software)."""
    from nncli.formats.sources import open_source

    with open_source(str(path)) as source:
        try:
            if source.format == "safetensors":
                from nncli.formats.safetensors_header import read_header

                return "nncli" in read_header(source).metadata
            if source.format == "parquet":
                import pyarrow.parquet as pq

                return b"nncli" in (pq.read_metadata(source.file).metadata or {})
        except Exception:  # whatever cannot be read was not written by us
            return False
        source.file.seek(0)
        return b"Software\0nncli" in source.file.read(4096) or b"nncli" in _marks(source.file)


def _marks(file: BinaryIO) -> bytes:
    """The first bytes of an SVG and the last of a PDF, where pictures name their creator."""
    file.seek(0)
    head = file.read(4096)
    if head.startswith(b"<?xml") and b"<svg" in head:
        return head
    if head.startswith(b"%PDF"):
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        return file.read()
    return b""
