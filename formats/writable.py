"""Whether an output can be written, found out before the work whose result decides its layout."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from nncli.formats.output import STREAMS, demand_tensor_suffix, open_output


def demand_writable(
    target: str,
    *,
    kind: str,
    overwrite: bool = False,
    binary: bool = True,
    older: Callable[[Path], bool] | None = None,
) -> None:
    """Refuse an output now rather than after a network has been loaded and run.

    FIFOs and devices are left alone: to open one is to talk to whoever reads it.

    Args:
        target: A path, or `-` for standard output.
        kind: What will be written.
        overwrite: Replace an existing file whatever it is.
        binary: The content is no text, so a terminal is refused.
        older: As for `open_output`.

    Raises:
        ArtifactError: The place cannot be written, holds a file that is not to be replaced, or is a
            terminal.
    """
    if target in STREAMS or not _is_special(Path(target)):
        open_output(target, kind=kind, overwrite=overwrite, binary=binary, older=older).discard()


def demand_tensors(target: str, *, kind: str, overwrite: bool = False) -> None:
    """Refuse the output of tensors before the work.

    Args:
        target: A path, or `-` for standard output.
        kind: What will be written.
        overwrite: Replace an existing file whatever it is.

    Raises:
        UsageError: Its suffix promises another format.
        ArtifactError: As for `demand_writable`.
    """
    demand_tensor_suffix(target)
    demand_writable(target, kind=kind, overwrite=overwrite)


def _is_special(path: Path) -> bool:
    return os.path.lexists(path) and path.exists() and not stat.S_ISREG(path.stat().st_mode)
