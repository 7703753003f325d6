"""Names of a graph turned into paths of modules and weights that can stand side by side."""

import re

from torch import nn

RESERVED = frozenset(dir(nn.Module())) | {"training"}


def dotted(name: str) -> str:
    """A name as a path of modules: slashes and colons become dots, nothing stays empty."""
    parts = [part for part in re.split(r"[./:]+", name) if part]
    return ".".join(f"{part}_" if part in RESERVED else part for part in parts) or "_"


class Names:
    """The paths given so far; one that is taken gets a `_` behind.

    A weight cannot have the path of a module, nor a module or weight one below a weight.
    """

    def __init__(self) -> None:
        self._weights: set[str] = set()
        self._layers: set[str] = set()
        self._modules: set[str] = set()

    def weight(self, name: str) -> str:
        """A path for a weight."""
        path = self._free(name, self._modules)
        self._weights.add(path)
        return path

    def layer(self, name: str) -> str:
        """A path for a layer, which may lie inside another."""
        path = self._free(name, self._layers)
        self._layers.add(path)
        self._modules.add(path)
        return path

    def _free(self, name: str, taken: set[str]) -> str:
        parts = dotted(name).split(".")
        above: list[str] = []
        for part in parts[:-1]:
            while ".".join([*above, part]) in self._weights:
                part += "_"  # noqa: PLW2901
            above.append(part)
            self._modules.add(".".join(above))
        path = ".".join([*above, parts[-1]])
        while path in taken or path in self._weights:
            path += "_"
        return path
