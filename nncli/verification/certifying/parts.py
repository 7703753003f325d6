"""Parts of a proof, as they are stored: a method, what it is about, and hints."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from nncli.verification.relaxation import Slopes
from nncli.verification.slopes import Choice
from nncli.verification.trees import Divisions

BELOW, ABOVE, SPLIT, EFFORT = "below.", "above.", "split.", "effort"
SUPPOSED = "supposed."  # before the names of those that intervals were tightened with


@dataclass(frozen=True)
class Part:
    """How some violations of one region were excluded.

    Nothing here is believed by the check: tensors are hints, which can only make a proof fail.

    Attributes:
        method: The stage that excluded them.
        violations: Their places in the property.
        tensors: Hints, by name.
    """

    method: str
    violations: tuple[int, ...]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def narrowed(self) -> "Part":
        """With slopes in float32: half the size, and as good unless a bound is close."""
        return replace(
            self,
            tensors={
                name: one.float() if _is_choice(name) else one for name, one in self.tensors.items()
            },
        )

    @property
    def effort(self) -> int:
        """What the intervals of the places took; see `Standing.effort`."""
        found = self.tensors.get(EFFORT)
        if found is None or found.numel() != 1 or not bool(found.isfinite().all()):
            return 0
        return int(found)


def _is_choice(name: str) -> bool:
    return name.removeprefix(SUPPOSED).startswith((BELOW, ABOVE, SPLIT))


def choice_tensors(choice: Choice) -> dict[str, Tensor]:
    """Slopes and multipliers by name."""
    found = {}
    for place, one in choice.slopes.items():
        for start, slope in ((BELOW, one.below), (ABOVE, one.above)):
            if slope is not None:
                found[f"{start}{place}"] = slope
    return found | {f"{SPLIT}{place}": one for place, one in choice.multipliers.items()}


def choice_of(
    tensors: Mapping[str, Tensor], sizes: Mapping[int, int], shape: tuple[int, int]
) -> Choice:
    """Slopes and multipliers from tensors that may hold anything.

    Args:
        tensors: By name, as `choice_tensors` gives them.
        sizes: Numbers of each activation, by place.
        shape: Regions and rows.

    Returns:
        What has the right shape, within its limits.
    """

    def taken(name: str, most: float, least: float = 0.0) -> Tensor | None:
        found = tensors.get(name)
        place = int(name.rpartition(".")[2])
        if found is None or tuple(found.shape) != (*shape, sizes[place]):
            return None
        return torch.nan_to_num(found.double(), 0.0, most, least).clamp(least, most)

    slopes, multipliers = {}, {}
    for place in sizes:
        pair = Slopes(taken(f"{BELOW}{place}", 1.0), taken(f"{ABOVE}{place}", 1.0))
        if pair != Slopes():
            slopes[place] = pair
        split = taken(f"{SPLIT}{place}", 1e100, -1e100)
        if split is not None:
            multipliers[place] = split
    return Choice(slopes, multipliers)


def tree_tensors(tree: Divisions) -> dict[str, Tensor]:
    """A tree by name."""
    return {"tree.place": tree.place.int(), "tree.at": tree.at, "tree.child": tree.child}


def tree_of(tensors: Mapping[str, Tensor], roots: int, places: int) -> Divisions | None:
    """A tree from tensors that may hold anything.

    Args:
        tensors: By name.
        roots: How many roots it should have.
        places: What nodes can be divided along.

    Returns:
        The tree, in which every path ends, or `None` if it is none.
    """
    place, at, child = (tensors.get(f"tree.{name}") for name in ("place", "at", "child"))
    if place is None or at is None or child is None:
        return None
    count = len(child) if child.ndim == 1 else 0
    if count < roots or any(one.shape != child.shape for one in (place, at)):
        return None
    place, at, child = place.long(), at.double(), child.long()
    inner = child >= 0
    after = torch.arange(count)
    sound = (child > after) & (child < count - 1) & (place >= 0) & (place < places) & at.isfinite()
    return Divisions(place, at, child) if bool(sound[inner].all()) else None
