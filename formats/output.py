"""Outputs: opened before the work, complete or not there at all.

A file is written beside its target under a hidden name and renamed when it is complete, so a
reader never sees half of it and a killed command leaves the old one. Standard output, devices and
FIFOs are written in place.
"""

import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from nncli.errors import ArtifactError, UsageError
from nncli.formats.entry import KEY

STANDARD = "-"
STREAMS = (STANDARD, "/dev/stdout")
TABLE_SUFFIXES = (".parquet", ".csv", ".jsonl", ".ndjson", ".json", ".txt", ".md")
TENSOR_SUFFIXES = (".safetensors", ".npz", ".npy", ".pt", ".pth", ".bin", ".h5")
PICTURE_SUFFIXES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".gif", ".webp", ".eps")
FOREIGN_SUFFIXES = (  # of files that nothing here writes; names such as `a.data` promise nothing
    *PICTURE_SUFFIXES,
    *(".tsv", ".xlsx", ".xls", ".ods", ".feather", ".arrow", ".orc", ".avro", ".sqlite", ".db"),
    *(".html", ".htm", ".tex", ".xml", ".yaml", ".yml", ".toml", ".pkl", ".pickle", ".onnx"),
    *(".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz"),
)


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
                self._temporary = None
        except OSError as error:
            raise failure(self.target, error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Give up what is not committed: whatever was at the target before is still there."""
        if self.target == STANDARD:
            return
        try:
            # close flushes, which can fail once more on a full disk: the file goes either way
            with suppress(OSError):
                self.file.close()
        finally:
            if self._temporary is not None:
                self._temporary.unlink(missing_ok=True)
                self._temporary = None

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`.

        Raises:
            ArtifactError: It could not be written.
        """
        view = memoryview(data).cast("B")
        try:
            while len(view):  # an unbuffered standard output may take less than it is given
                view = view[self.file.write(view) or 0 :]
        except OSError as error:
            raise failure(self.target, error) from error


def demand_suffix(target: str, what: str, *, others: tuple[str, ...]) -> None:
    """Refuse an output whose name promises something else than it would hold.

    Args:
        target: The path, or `-`.
        what: What it would hold, with its article.
        others: Suffixes that promise something else, beside those that nothing here writes.

    Raises:
        UsageError: The target has one of them.
    """
    suffix = Path(target).suffix.lower()
    if suffix not in (*others, *FOREIGN_SUFFIXES):
        return
    tables = ", ".join(f"`{one}`" for one in TABLE_SUFFIXES)
    draws = "; `nncli plot` draws either" if suffix in PICTURE_SUFFIXES else ""
    raise UsageError(
        f"`{target}` ends in `{suffix}`, but {what} is to be written",
        hint=f"tables go into {tables}, tensors into `.safetensors`{draws}",
    )


def demand_tensor_suffix(target: str) -> None:
    """Refuse an output of tensors whose name promises something else.

    Args:
        target: The path, or `-`.

    Raises:
        UsageError: It does.
    """
    others = (*TABLE_SUFFIXES, *TENSOR_SUFFIXES[1:])
    demand_suffix(target, "a safetensors file", others=others)


def failure(target: str, error: OSError) -> Exception:
    """The error to raise for a write that failed; a closed pipe stays what it is.

    Args:
        target: The path, or `-`.
        error: What the operating system says.

    Returns:
        The error, for the caller to raise.
    """
    if isinstance(error, BrokenPipeError):
        return error
    place = "standard output" if target == STANDARD else f"`{target}`"
    return ArtifactError(f"cannot write {place}: {(error.strerror or str(error)).lower()}")


def open_output(
    target: str,
    *,
    kind: str,
    overwrite: bool = False,
    binary: bool = True,
    older: Callable[[Path], bool] | None = None,
) -> Output:
    """Open an output before the work begins.

    Args:
        target: A path, or `-` for standard output.
        kind: What will be written. An artifact of the same kind is replaced; another kind is not,
            so that an input named as the output by mistake is not lost.
        overwrite: Replace an existing file whatever it is.
        binary: The content is no text, so a terminal is refused.
        older: Whether a file is an older one of what will be written, where its format has no room
            to say so.

    Returns:
        The output, a context manager: leaving it without an error renames the file into place.

    Raises:
        ArtifactError: The place cannot be written, holds a file that is not to be replaced, or is a
            terminal.
    """
    if target in STREAMS:
        return _standard_output(binary)
    path = Path(target)
    try:
        if path.is_dir():
            raise ArtifactError(f"`{target}` is a folder", hint="name a file inside it")
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            return _in_place(target, binary)
        if not overwrite:
            _demand_replaceable(path, kind, older)
        return _beside(path)
    except OSError as error:
        parent = path.parent
        hint = None if parent.is_dir() else f"make the folder first: `mkdir -p {parent}`"
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"cannot write `{target}`: {reason}", hint=hint) from error


def _standard_output(binary: bool) -> Output:
    if sys.stdout is None:
        raise ArtifactError("standard output is closed", hint="use `-o FILE`")
    if binary and sys.stdout.isatty():
        raise _terminal()
    return Output(STANDARD, sys.stdout.buffer, temporary=None)


def _in_place(target: str, binary: bool) -> Output:
    file = Path(target).open("wb")  # noqa: SIM115 -- the output closes it
    if binary and file.isatty():
        file.close()
        raise _terminal()
    return Output(target, file, temporary=None)


def _terminal() -> ArtifactError:
    return ArtifactError(
        "refusing to write a binary artifact to a terminal",
        hint="use `-o FILE`, redirect with `>`, or pipe it into another command",
    )


def _beside(path: Path) -> Output:
    """A file beside its target; a link stays a link, and what it points to is replaced."""
    place = path.resolve() if path.is_symlink() else path
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:40]}.")
    os.fchmod(handle, 0o666 & ~_umask())
    return Output(str(place), os.fdopen(handle, "w+b"), temporary=Path(name))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _demand_replaceable(path: Path, kind: str, older: Callable[[Path], bool] | None) -> None:
    """Refuse to replace anything but an older artifact of the same kind, or an empty file."""
    if not path.exists() or not path.stat().st_size:
        return
    found = kind_of(path)
    if found == kind or (found is None and older is not None and older(path)):
        return
    reason = "was not written by nncli"
    if older is not None:
        reason = "has other columns than the table to be written, so it may be somebody else's"
    elif path.suffix.lower() in TABLE_SUFFIXES[1:]:
        reason = "has no room to say that nncli wrote it"
    raise ArtifactError(
        f"`{path}` exists and {reason if found is None else f'holds {found}, not {kind}'}",
        hint="choose another name, or replace it with `--overwrite`",
    )


def kind_of(path: Path) -> str | None:
    """The kind of artifact in a file; `figure` for our pictures, `None` for a foreign file."""
    from nncli.formats.sources import open_source

    try:
        with open_source(str(path.absolute())) as source:
            if source.format == "safetensors":
                from nncli.formats.safetensors_header import read_header

                return _kind(read_header(source).metadata.get(KEY))
            if source.format == "parquet":
                import pyarrow.parquet as pq

                return _kind((pq.read_metadata(source.file).metadata or {}).get(KEY.encode()))
            source.file.seek(0)
            head = source.file.read(4096)
            ours = b"Software\0nncli" in head or b"nncli" in _marks(source.file)
            return "figure" if ours else None
    except Exception:  # whatever cannot be read was not written by us
        return None


def _kind(entry: str | bytes | None) -> str | None:
    return None if entry is None else str(json.loads(entry)["kind"])


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
