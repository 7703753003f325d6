"""Whether a file holds the table, in a text format, that is to take its place.

Text formats have no room for an entry that says who wrote them. A table of the same columns in the
same order is taken for an older run of the same command, which Make and people expect to replace;
what has other columns may be somebody's work, and is kept.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from nncli.formats.text_values import shown

MOST = 1 << 20  # bytes that the line with the names of columns may take
Found = list[str] | None
OURS = re.compile(r"[a-z][a-z0-9_]*")  # how columns are named here


def has_header(path: Path, form: str, names: Sequence[str] | None) -> bool:
    """Whether a file is a table of some columns.

    Args:
        path: The file.
        form: `csv`, `jsonl`, `json`, `table` or `markdown`.
        names: The columns in order; None where they are not known yet, so that any table of columns
            named as nncli does will do.

    Returns:
        Whether it is. A JSON array of nothing is a table of any columns.
    """
    found = header_of(path, form)
    if found is None:
        return False
    if form == "json" and not found:
        return True
    if names is None:
        return bool(found) and all(OURS.fullmatch(one) for one in found)
    return _lasting(found) == _lasting(_PRINTED.get(form, list)(names))


def _lasting(names: list[str]) -> list[str]:
    """The columns that are there in every run: notes are only where something is to be said."""
    return names[:-1] if names[-1:] == ["note"] else names


def header_of(path: Path, form: str) -> Found:
    """The columns that a file names, as its format writes them; None if it is no such table."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST).decode()
        return _READERS[form](text)
    except (OSError, ValueError, StopIteration, csv.Error, RecursionError):
        return None


def _csv(text: str) -> Found:
    return next(csv.reader(io.StringIO(text), strict=True))


def _jsonl(text: str) -> Found:
    row = json.loads(text.partition("\n")[0])
    return list(row) if isinstance(row, dict) else None


def _json(text: str) -> Found:
    if text == "[]\n":
        return []
    begin, row, *_ = text.split("\n")
    return _jsonl(row.removesuffix(",")) if begin == "[" else None


def _markdown(text: str) -> Found:
    header, rule, *_ = text.split("\n")
    if not re.fullmatch(r"\|[-:|]+\|", rule.replace(" ", "")):
        return None
    return [one.strip() for one in re.split(r"(?<!\\)\|", header)[1:-1]]


def _table(text: str) -> Found:
    header, rule, *_ = text.lstrip("\n").split("\n")
    return header.split() if rule.strip() and not rule.strip(" ─") else None


_READERS: dict[str, Callable[[str], Found]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "json": _json,
    "markdown": _markdown,
    "table": _table,
}
_PRINTED: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "markdown": lambda names: [shown(one).replace("|", "\\|") for one in names],
    "table": lambda names: [part for one in names for part in shown(one).split()],
}
