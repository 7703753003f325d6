"""What a bound may choose: slopes of lines, and multipliers of splits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nncli.verification.relaxation import Slopes


@dataclass(frozen=True)
class Choice:
    """What a bound may choose.

    Attributes:
        slopes: Slopes (B, R, n) of lines, by the place of the activation.
        multipliers: Numbers (B, R, n) of splits, by the same place: not negative, unless both sides
            of what goes in were divided; see `nncli.verification.splits`.
    """

    slopes: Mapping[int, Slopes] = field(default_factory=dict)
    multipliers: Mapping[int, Tensor] = field(default_factory=dict)

    def __getitem__(self, chosen: Tensor | slice) -> "Choice":
        """Of some of the regions."""
        return self.changed(lambda one: one[chosen])

    @property
    def tensors(self) -> list[Tensor]:
        """All of them, slopes first."""
        found = [each for one in self.slopes.values() for each in pair(one) if each is not None]
        return found + list(self.multipliers.values())

    def changed(self, how: Callable[[Tensor], Tensor]) -> "Choice":
        """The same of other tensors.

        Args:
            how: What becomes of each tensor.
        """
        return Choice(
            {
                place: Slopes(*(None if each is None else how(each) for each in pair(one)))
                for place, one in self.slopes.items()
            },
            {place: how(one) for place, one in self.multipliers.items()},
        )

    def copied(self) -> "Choice":
        """With tensors of its own, apart from any gradient."""
        return self.changed(lambda one: one.detach().clone())

    def cast(self, dtype: torch.dtype) -> "Choice":
        """With numbers of another type."""
        return self.changed(lambda one: one.to(dtype))


def pair(slopes: Slopes) -> tuple[Tensor | None, Tensor | None]:
    """Slopes of the lower lines, and of the upper ones."""
    return slopes.below, slopes.above


def joined_choices(one: Choice, other: Choice) -> Choice:
    """The choices of two batches of regions as those of one.

    Args:
        one: The first batch.
        other: The second; it chooses at the same places.
    """
    slopes = {}
    for place, mine in one.slopes.items():
        theirs = other.slopes[place]
        slopes[place] = Slopes(
            *(
                None if a is None or b is None else torch.cat([a, b])
                for a, b in zip(pair(mine), pair(theirs), strict=True)
            )
        )
    return Choice(
        slopes,
        {
            place: torch.cat([mine, other.multipliers[place]])
            for place, mine in one.multipliers.items()
        },
    )
