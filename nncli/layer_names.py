"""Choosing layers by glob."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from nncli.errors import ArtifactError, closest


def select_layers(names: Iterable[str], globs: Sequence[str], *, source: str) -> list[str]:
    """Choose layers by name.

    Args:
        names: The layers there are.
        globs: Shell patterns; none means all of them.
        source: Where the layers are, for the error.

    Returns:
        The names that match at least one pattern, in their own order.

    Raises:
        ArtifactError: A pattern matches nothing.
    """
    there = list(names)
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in there):
            raise ArtifactError(
                f"no layer of `{source}` matches `{glob}`; {closest(glob, there)}",
                hint="`--list-layers` of `nncli capture`, or `nncli show`, lists them",
            )
    return [n for n in there if not globs or any(fnmatchcase(n, glob) for glob in globs)]
