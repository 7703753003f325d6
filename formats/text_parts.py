"""Pieces of text for people: escaped, shortened, with sizes and digests as one reads them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nncli.formats.text_tables import shown

if TYPE_CHECKING:
    from rich.text import Text

LONGEST_TEXT = 160
DIGEST = "sha256:"
DIGEST_LETTERS = 12


def printable(text: object) -> str:
    """Text with everything that is not printable escaped."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text)
    )


def size_text(count: int) -> str:
    """A number of bytes as people read it: exact below 10 kB, in powers of 1000 above."""
    if count < 10_000:
        return f"{count:,} bytes"
    size, unit = float(count), ""
    for unit in ("kB", "MB", "GB", "TB", "PB"):  # noqa: B007 -- the last unit is used below
        size /= 1000
        if size < 999.5:
            break
    return f"{size:.3g} {unit}"


def plain(text: str) -> "Text":
    """Escaped text without a style."""
    from rich.text import Text

    return Text(printable(text))


def marked(text: str, style: str) -> "Text":
    """Escaped text with a style."""
    from rich.text import Text

    return Text(printable(text), style=style)


def value_text(value: object, *, whole: bool = False) -> str:
    """A JSON value in one line.

    Args:
        value: The value.
        whole: Do not shorten a digest.

    Returns:
        Escaped text, long text cut; nothing for null.
    """
    if value is None:
        return ""
    if isinstance(value, Mapping):
        text = ", ".join(
            f"{key} {value_text(one)}" for key, one in value.items() if one is not None
        )
    elif isinstance(value, list | tuple):
        text = ", ".join(value_text(one) for one in value)
    elif isinstance(value, float):
        text = shown(value)
    else:
        text = str(value)
    text = printable(" ".join(text.split()))
    if text.startswith(DIGEST) and not whole:
        return text[: len(DIGEST) + DIGEST_LETTERS]
    if len(text) > LONGEST_TEXT:
        return f"{text[:LONGEST_TEXT]}... ({len(text):,} characters; `-f json` has all)"
    return text
