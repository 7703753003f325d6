"""Figures in files: which format an output has."""

import sys
from pathlib import Path

from nncli.errors import UsageError
from nncli.formats.output import STANDARD

SUFFIXES = {".png": "png", ".svg": "svg", ".pdf": "pdf", ".txt": "text"}


def choose_format(output: str, wanted: str) -> str:
    """Settle the format of a figure.

    Args:
        output: The path, or `-`.
        wanted: `png`, `svg`, `pdf`, `text`, or `auto`: by the suffix, a terminal, or a pipe.

    Returns:
        A concrete format.

    Raises:
        UsageError: The suffix is that of no figure, or says another format than is wanted.
    """
    suffix = "" if output == STANDARD else Path(output).suffix.lower()
    named = SUFFIXES.get(suffix)
    if wanted == "auto":
        if output == STANDARD:
            return "text" if sys.stdout.isatty() else "png"
        if named is None and suffix and not Path(output).exists():
            raise UsageError(
                f"no figure is written as `{suffix}`", hint=f"use one of {', '.join(SUFFIXES)}"
            )
        return named or "png"
    if named and named != wanted:
        raise UsageError(
            f"`{output}` ends in `{suffix}`, but `--format {wanted}` was asked for",
            hint="leave out `--format`, or change the suffix",
        )
    return wanted
