"""Short names for checkpoints, to tell them apart in files and tables."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path


def short_names(paths: Sequence[str]) -> list[str]:
    """Name checkpoints by their files, without folder and suffix, where that tells them apart.

    Args:
        paths: The checkpoints as given.

    Returns:
        For each the stem of its file; where several share one, its path without the suffix; where
        that is the same too, its path; and if that is given again, `-2`, `-3`, ... behind.
    """
    names = _where_shared([Path(path).stem or "-" for path in paths], paths, _without_suffix)
    names = _where_shared(names, paths, _relative)
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return found


def _where_shared(
    names: Sequence[str], paths: Sequence[str], longer: Callable[[str], str]
) -> list[str]:
    """Take a longer name for those that share theirs."""
    shared = Counter(names)
    return [
        name if shared[name] == 1 else longer(path) for name, path in zip(names, paths, strict=True)
    ]


def _relative(path: str) -> str:
    return "/".join(part for part in Path(path).parts if part != Path(path).anchor) or "-"


def _without_suffix(path: str) -> str:
    return _relative(str(Path(path).with_suffix(""))) if Path(path).name else path
