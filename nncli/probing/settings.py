"""What readers are told, and readers as they are asked for: `knn:neighbours=5`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from nncli.errors import UsageError, closest

PENALTIES = tuple(10.0**power for power in range(-2, 6))
FINAL = 1e-8  # tolerance of the fit that answers come from: their loss is off by its root
FINE = 1e-6  # of the fits that a code is made of
COARSE = 1e-5  # of those that are averaged over draws
CHOOSING = 3e-5  # of those that choose the penalty


@dataclass(frozen=True)
class Settings:
    """What readers are told.

    Attributes:
        penalties: Among which inner cross-validation chooses.
        neighbours: How many vote.
        hidden: Units of the hidden layer.
        way: Classes of an episode; 0 for no episodes.
        shot: Training examples of each.
        queries: Test examples of each.
        episodes: How many.
        seed: Of where networks begin.
        tolerance: To which the objective of a linear reader is minimised, relative.
    """

    penalties: tuple[float, ...] = PENALTIES
    neighbours: int = 10
    hidden: int = 64
    way: int = 0
    shot: int = 1
    queries: int = 15
    episodes: int = 600
    seed: int = 0
    tolerance: float = FINE


PARAMETERS: dict[str, dict[str, int]] = {
    "knn": {"neighbours": 1},
    "mlp": {"hidden": 1},
    "prototype": {"way": 2, "shot": 1, "queries": 1, "episodes": 2},
}
"""What can be set of a reader, and the least that it may be; all are whole numbers."""


@dataclass(frozen=True)
class Chosen:
    """A reader as somebody asked for it.

    Attributes:
        reader: Its name in `READERS`.
        settings: What it is told.
        label: The name, with what is set other than by default; an episode's shot always.
    """

    reader: str
    settings: Settings
    label: str


def chosen(text: str, known: Sequence[str], base: Settings) -> Chosen:
    """The reader that a text asks for.

    Args:
        text: A name, perhaps with settings behind a colon: `knn:neighbours=5`.
        known: The names there are.
        base: What holds where nothing else is said.

    Returns:
        The reader.

    Raises:
        UsageError: An unknown reader or setting, or a value that is not allowed.
    """
    name, colon, rest = text.partition(":")
    if name not in known:
        raise UsageError(f"no reader `{name}`; {closest(name, known)}")
    if colon and not rest:
        raise UsageError(f"`{text}` names no setting; `{name}` alone, or `{name}:NAME=VALUE`")
    given: dict[str, Any] = dict(_assigned(name, part, text) for part in rest.split(",") if rest)
    if name == "prototype" and given and "way" not in given:
        raise UsageError(f"`{text}` says nothing of classes", hint="`prototype:way=5,shot=1`")
    settings = replace(base, **given)
    said = [
        f"{key}={getattr(settings, key)}"
        for key in PARAMETERS.get(name, ())
        if getattr(settings, key) != getattr(base, key) or (key == "shot" and settings.way)
    ]
    return Chosen(name, settings, f"{name}:{','.join(said)}" if said else name)


def _assigned(name: str, part: str, text: str) -> tuple[str, int]:
    key, equals, value = (one.strip() for one in part.partition("="))
    can = PARAMETERS.get(name, {})
    if not equals:
        raise UsageError(f"`{part}` in `{text}` is not NAME=VALUE")
    if key not in can:
        there = f"it has {', '.join(can)}" if can else "it has none"
        raise UsageError(f"`{name}` has no setting `{key}`, as in `{text}`; {there}")
    if not value.isdecimal() or int(value) < can[key]:
        raise UsageError(
            f"`{key}` in `{text}` must be a whole number, at least {can[key]}, not `{value}`"
        )
    return key, int(value)
