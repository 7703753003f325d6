"""The three optimizers, on one flat vector of parameters.

They agree with `torch.optim` to rounding. They are written out because building an optimizer of
`torch.optim` imports the compiler of PyTorch, which takes longer than training a small network,
and because one flat vector costs a small network a third less time a step.
"""

import math
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from nncli.training.recipe import Recipe


class Optimizer(Protocol):
    """What follows the gradient."""

    gradient: Tensor

    def step(self) -> None:
        """Update the parameters by the gradient, which is overwritten."""


class Sgd:
    """Stochastic gradient descent with momentum: v = momentum v + g, w = w - lr v."""

    def __init__(self, values: Tensor, gradient: Tensor, recipe: Recipe) -> None:
        self.values, self.gradient, self.recipe = values, gradient, recipe
        self.velocity = torch.zeros_like(values)

    def step(self) -> None:
        """Update the parameters by the gradient, which is overwritten."""
        if self.recipe.weight_decay:
            self.gradient.add_(self.values, alpha=self.recipe.weight_decay)
        self.velocity.mul_(self.recipe.momentum).add_(self.gradient)
        self.values.add_(self.velocity, alpha=-self.recipe.learning_rate)


class Adam:
    """Adam (Kingma and Ba 2015) with betas 0.9 and 0.999 and eps 1e-8.

    `decoupled` decay shrinks the weights (AdamW, Loshchilov and Hutter 2019) in place of adding
    an L2 penalty to the loss.
    """

    betas = (0.9, 0.999)
    eps = 1e-8
    decoupled = False

    def __init__(self, values: Tensor, gradient: Tensor, recipe: Recipe) -> None:
        self.values, self.gradient, self.recipe = values, gradient, recipe
        self.mean, self.square = torch.zeros_like(values), torch.zeros_like(values)
        self.steps = 0

    def step(self) -> None:
        """Update the parameters by the gradient, which is overwritten."""
        rate, decay = self.recipe.learning_rate, self.recipe.weight_decay
        if decay and self.decoupled:
            self.values.mul_(1 - rate * decay)
        elif decay:
            self.gradient.add_(self.values, alpha=decay)
        self.steps += 1
        first, second = self.betas
        self.mean.lerp_(self.gradient, 1 - first)
        self.square.mul_(second).addcmul_(self.gradient, self.gradient, value=1 - second)
        scale = self.square.sqrt().div_(math.sqrt(1 - second**self.steps)).add_(self.eps)
        self.values.addcdiv_(self.mean, scale, value=-rate / (1 - first**self.steps))


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    decoupled = True


OPTIMIZERS: dict[str, Callable[[Tensor, Tensor, Recipe], Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": Sgd,
}
LEARNING_RATES = {"adam": 1e-3, "adamw": 1e-3, "sgd": 0.1}
"""The learning rate of each where none is asked for."""
WEIGHT_DECAYS = {"adam": 0.0, "adamw": 0.01, "sgd": 0.0}
"""The weight decay of each where none is asked for."""


def optimizers_for(module: nn.Module, recipe: Recipe) -> list[Optimizer]:
    """Make the parameters and gradients of a module views of flat vectors, and their optimizers.

    Args:
        module: The module; its trainable parameters keep their values and change their storage.
        recipe: Which optimizer, and its hyperparameters.

    Returns:
        One optimizer for each type of number among the parameters.
    """
    trained = [one for one in module.parameters() if one.requires_grad]
    kinds = dict.fromkeys(one.dtype for one in trained)
    return [
        OPTIMIZERS[recipe.optimizer](*_flatten(one for one in trained if one.dtype == kind), recipe)
        for kind in kinds
    ]


def _flatten(parameters: Iterable[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Values and gradients of the parameters, each as one vector that they become views of."""
    listed = list(parameters)
    values = torch.cat([one.detach().reshape(-1) for one in listed])
    gradient = torch.zeros_like(values)
    start = 0
    for one in listed:
        place = slice(start, start + one.numel())
        one.data, one.grad = values[place].view_as(one), gradient[place].view_as(one)
        start = place.stop
    return values, gradient
