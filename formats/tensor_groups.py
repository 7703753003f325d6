"""Long lists of tensors made short: equal blocks of a network become one line.

`block.0.weight`, ..., `block.11.weight` of one type and shape become `block.{0-11}.weight`.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nncli.formats.describe import TensorLine


@dataclass(frozen=True)
class TensorGroup:
    """Tensors that one line stands for: their common line, and how many they are."""

    line: TensorLine
    count: int = 1


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A key to sort names by, in which `layer.2` comes before `layer.10`."""
    words = re.split(r"(\d+)", name)
    return [(word.isdecimal(), int(word) if word.isdecimal() else 0, word) for word in words]


def one_by_one(lines: Iterable[TensorLine]) -> list[TensorGroup]:
    """Every tensor on a line of its own."""
    return [TensorGroup(line) for line in lines]


def grouped(lines: Sequence[TensorLine]) -> list[TensorGroup]:
    """Join tensors whose names differ only in whole numbers and that are alike otherwise.

    Tensors are joined only if every combination of their numbers is there, so that the joined name
    says exactly which they are.

    Args:
        lines: The tensors.

    Returns:
        The groups, each in the place of its first tensor.
    """
    groups: dict[tuple[object, ...], list[TensorLine]] = defaultdict(list)
    for line in lines:
        words = _words(line.name)
        pattern = tuple(None if word.isdecimal() else word for word in words)
        groups[pattern, line.dtype, line.shape].append(line)
    found = []
    for members in groups.values():
        name = _joined(members)
        if name is None:
            found += one_by_one(members)
        else:
            found.append(TensorGroup(replace(members[0], name=name), len(members)))
    return found


def _words(name: str) -> list[str]:
    return name.split(".")


def _joined(members: list[TensorLine]) -> str | None:
    """The common name of some tensors, `None` if their numbers have gaps."""
    columns = [sorted(set(words)) for words in zip(*(_words(m.name) for m in members), strict=True)]
    if math.prod(len(column) for column in columns) != len(members):
        return None
    return ".".join(_span(column) for column in columns)


def _span(words: list[str]) -> str:
    if len(words) == 1:
        return words[0]
    numbers = sorted(int(word) for word in words)
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{{{numbers[0]}-{numbers[-1]}}}"
    return "{" + ",".join(map(str, numbers)) + "}"
