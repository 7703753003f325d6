"""Short names for checkpoints, to tell them apart in files and tables."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def short_names(paths: Sequence[str]) -> list[str]:
    """Name checkpoints by their files, without folder and suffix, where that tells them apart.

    Args:
        paths: The checkpoints as given.

    Returns:
        For each the stem of its file; where several share one, its path without the suffix, and
        where the same path is given again, with `-2`, `-3`, ... behind.
    """
    stems = [Path(path).stem or "-" for path in paths]
    shared = Counter(stems)
    names = [
        stem if shared[stem] == 1 else _without_suffix(path)
        for stem, path in zip(stems, paths, strict=True)
    ]
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return found


def _without_suffix(path: str) -> str:
    plain = Path(path)
    return "/".join(part for part in plain.with_suffix("").parts if part != plain.anchor) or "-"
