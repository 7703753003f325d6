"""Adam on a few tensors, each kept between 0 and a greatest value.

Written out because building an optimiser of `torch.optim` imports the compiler of PyTorch, which
takes longer than most proofs.

References:
    Kingma and Ba 2015, Adam: a method for stochastic optimization.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """Tensors that are stepped alike.

    Attributes:
        tensors: What is changed, with gradients.
        rate: The step size at the start.
        least: What numbers are raised to, each its own where it is a tensor; minus infinity for
            free ones.
        most: What numbers are lowered to.
    """

    tensors: Sequence[Tensor]
    rate: float
    least: float | Tensor = 0.0
    most: float = float("inf")


class Adam:
    """Adam that climbs, with steps that become smaller.

    Args:
        groups: What is changed.
        decay: By what the step sizes are multiplied at each step.
        betas: Decays of the two means.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        decay: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.groups, self.betas, self.decay, self.steps = groups, betas, decay, 0
        self.means = [
            [(torch.zeros_like(one), torch.zeros_like(one)) for one in group.tensors]
            for group in groups
        ]

    def climb(self, height: Tensor) -> None:
        """One step up.

        Args:
            height: A number that depends on the tensors.
        """
        tensors = [one for group in self.groups for one in group.tensors]
        slopes: Iterator[Tensor | None] = iter(
            torch.autograd.grad(height, tensors, allow_unused=True)
        )
        first, second = self.betas
        scale = self.decay**self.steps
        self.steps += 1
        with torch.no_grad():
            for group, means in zip(self.groups, self.means, strict=True):
                rate = group.rate * scale / (1 - first**self.steps)
                for one, (mean, square) in zip(group.tensors, means, strict=True):
                    slope = next(slopes)
                    if slope is None:
                        continue
                    mean.lerp_(slope, 1 - first)
                    square.lerp_(slope * slope, 1 - second)
                    size = (square / (1 - second**self.steps)).sqrt_().add_(1e-8)
                    one.addcdiv_(mean, size, value=rate)
                    if isinstance(group.least, Tensor):
                        torch.maximum(one, group.least, out=one)
                    else:
                        one.clamp_(group.least, group.most)
