"""Batches of input regions, and the least value that a linear function takes on them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nncli.verification.properties import Region
from nncli.verification.rounding import growth


@dataclass(frozen=True)
class Domain:
    """B input regions: boxes, each within a ball where the norm is not that of the maximum.

    Attributes:
        low: (B, n) float64.
        high: (B, n).
        centre: (B, n) centres of the balls, `None` without balls.
        radius: (B,) radii.
        norm: 1 or 2.
    """

    low: Tensor
    high: Tensor
    centre: Tensor | None = None
    radius: Tensor | None = None
    norm: int = 0

    def __len__(self) -> int:
        return len(self.low)

    def __getitem__(self, chosen: Tensor | slice) -> "Domain":
        """Some of the regions."""
        return replace(
            self,
            low=self.low[chosen],
            high=self.high[chosen],
            centre=None if self.centre is None else self.centre[chosen],
            radius=None if self.radius is None else self.radius[chosen],
        )

    @staticmethod
    def joined(parts: Sequence["Domain"]) -> "Domain":
        """Regions of several batches as one; all with balls of one norm, or all without."""
        return Domain(
            torch.cat([one.low for one in parts]),
            torch.cat([one.high for one in parts]),
            _all([one.centre for one in parts]),
            _all([one.radius for one in parts]),
            parts[0].norm,
        )

    def cast(self, dtype: torch.dtype) -> "Domain":
        """The regions with numbers of another type, on which no proof can rest."""
        centre, radius = (
            None if one is None else one.to(dtype) for one in (self.centre, self.radius)
        )
        return Domain(self.low.to(dtype), self.high.to(dtype), centre, radius, self.norm)

    @property
    def reach(self) -> Tensor:
        """(B, n) the greatest absolute values."""
        return torch.maximum(self.low.abs(), self.high.abs())

    @property
    def apart(self) -> Tensor:
        """(B,) whether a box and its ball have no point in common, beyond all rounding."""
        if self.centre is None or self.radius is None:
            return torch.zeros(len(self), dtype=torch.bool)
        away = torch.maximum(self.low - self.centre, self.centre - self.high).clamp_min(0)
        far = away.norm(dim=1) if self.norm == 2 else away.sum(dim=1)
        return (far * (1 - growth(2 * away.shape[1] + 8)) > self.radius) & far.isfinite()

    def least(self, factors: Tensor) -> Tensor:
        """The least values of linear functions.

        The minimum over a box within a ball is at least the greater of the minima over each.

        Args:
            factors: (B or 1, R, n).

        Returns:
            (B, R) lower bounds of `factors . x`, but for their rounding.
        """
        least = _products(factors.clamp_min(0), self.low)
        least = least + _products(factors.clamp_max(0), self.high)
        if self.centre is None:
            return least
        return torch.maximum(least, _products(factors, self.centre) - self._pull(factors))

    def rounding(self, factors: Tensor) -> Tensor:
        """How far the least values may be off: (B, R) for factors (B or 1, R, n)."""
        sizes = _products(factors.abs(), self.reach)
        if self.centre is not None:
            far = _products(factors.abs(), self.centre.abs()) + self._pull(factors)
            sizes = torch.maximum(sizes, far)
        return growth(2 * factors.shape[-1] + 8) * sizes

    def _pull(self, factors: Tensor) -> Tensor:
        """How far linear functions reach from the centres of the balls: radius and dual norm."""
        assert self.radius is not None
        dual: Tensor
        if self.norm == 2:  # with what is lost of squares that are too small
            dual = factors.norm(dim=-1) + factors.shape[-1] * 2.0**-536
        else:
            dual = factors.abs().amax(dim=-1)
        pull: Tensor = self.radius[:, None] * dual
        return pull

    def worst(self, factors: Tensor) -> Tensor:
        """Where in the boxes linear functions are least.

        Args:
            factors: (B, n).

        Returns:
            (B, n) corners; within balls, the point of the ball brought back into the box.
        """
        if self.centre is None or self.radius is None:
            return torch.where(factors > 0, self.low, self.high)
        if self.norm == 2:
            size = factors.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(factors.dtype).tiny)
            step = factors / size
        else:
            step = torch.zeros_like(factors)
            steepest = factors.abs().argmax(dim=-1, keepdim=True)
            step.scatter_(-1, steepest, factors.gather(-1, steepest).sign())
        point = self.centre - self.radius[:, None] * step
        return torch.minimum(torch.maximum(point, self.low), self.high)


def _all(parts: Sequence[Tensor | None]) -> Tensor | None:
    held = [one for one in parts if one is not None]
    return torch.cat(held) if held else None


def _products(factors: Tensor, other: Tensor) -> Tensor:
    """(B, R) from (B or 1, R, n) and (B or 1, n)."""
    found: Tensor = (factors @ other[..., None])[..., 0]
    return found


def domain_of(regions: Sequence[Region]) -> Domain:
    """The batch of some regions, all with a ball of one norm or all without."""
    low = torch.stack([one.low for one in regions])
    high = torch.stack([one.high for one in regions])
    balls = [one.ball for one in regions if one.ball is not None]
    if not balls:
        return Domain(low, high)
    return Domain(
        low,
        high,
        torch.stack([one.centre for one in balls]),
        low.new_tensor([one.radius for one in balls]),
        balls[0].norm,
    )
