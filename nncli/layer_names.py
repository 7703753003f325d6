"""Choosing layers by glob."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from nncli.errors import ArtifactError, closest

EVERY = ("*", "**")


def matches(name: str, glob: str) -> bool:
    """Whether a layer's path matches a glob, as file paths do in a shell.

    `*` stays within one part between dots, `**` stands for any number of parts: `block.*` is
    `block.0` but not `block.0.linear`, which `block.**` and `**.linear` are. `*` alone is every
    layer.
    """
    return glob in EVERY or _parts_match(name.split("."), glob.split("."))


def _parts_match(name: Sequence[str], glob: Sequence[str]) -> bool:
    if not glob:
        return not name
    if glob[0] == "**":
        return any(_parts_match(name[skip:], glob[1:]) for skip in range(len(name) + 1))
    return bool(name) and fnmatchcase(name[0], glob[0]) and _parts_match(name[1:], glob[1:])


def select_layers(names: Iterable[str], globs: Sequence[str], *, source: str) -> list[str]:
    """Choose layers by name.

    Args:
        names: The layers there are.
        globs: Patterns, see `matches`; none means all of them.
        source: Where the layers are, for the error.

    Returns:
        The names that match at least one pattern, in their own order.

    Raises:
        ArtifactError: A pattern matches nothing.
    """
    there = list(names)
    for glob in globs:
        if not any(matches(name, glob) for name in there):
            raise ArtifactError(
                f"no layer of `{source}` matches `{glob}`; {closest(glob, there)}",
                hint="`--list-layers` of `nncli capture`, or `nncli show`, lists them; "
                "`*` stays between dots, `**` crosses them",
            )
    return [name for name in there if not globs or any(matches(name, glob) for glob in globs)]
