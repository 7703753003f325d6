"""Attacks by name: settings, and the strongest point that they find."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nncli.attacks.autopgd import STEPS as AUTOPGD_STEPS
from nncli.attacks.autopgd import autopgd
from nncli.attacks.ball import Box, Norm, Radius, drawn_in
from nncli.attacks.gradient import Goal, Model, Worst, fgsm, pgd
from nncli.attacks.losses import LOSSES, Loss, margin, towards

ATTACKS = {
    "fgsm": "one step up the gradient of the loss",
    "pgd": "20 projected steps up the gradient of the loss, from the example itself",
    "autopgd": "100 steps with momentum that find their own size",
}
PGD_STEPS = 20
MOST_TARGETS = 9
LEAST_LIKELY = "least-likely"
START = 1  # what a seed is used for; the black box has other numbers

SCHEDULES: dict[str, Callable[[int], Sequence[float]]] = {
    "constant": lambda steps: (2.5 / steps,) * steps,
    "linear": lambda steps: tuple(5.0 / steps * (1 - at / steps) for at in range(steps)),
    "halving": lambda steps: tuple(2.0**-at for at in range(steps)),
}
"""Lengths of the steps of `pgd`, in units of epsilon."""


@dataclass(frozen=True)
class Attack:
    """An attack and its settings.

    Attributes:
        name: A key of `ATTACKS`.
        norm: Kind of ball.
        steps: Gradient steps from each start; None for those of the attack.
        restarts: Random starts of `pgd` and `autopgd` after the one at the example itself.
        losses: Keys of `LOSSES`, or `targeted-dlr`, each driven up in turn; none for those of the
            attack.
        schedule: A key of `SCHEDULES`, for `pgd`.
        target: Class to drive examples to, or `least-likely`; None for any wrong one.
        seed: Seed of the random starts; those of an example depend on its place alone.
    """

    name: str
    norm: Norm = "linf"
    steps: int | None = None
    restarts: int = 0
    losses: tuple[str, ...] = ()
    schedule: str = "constant"
    target: int | str | None = None
    seed: int = 0

    def losses_for(self, classes: int) -> tuple[str, ...]:
        """The losses that it drives up for so many classes."""
        if self.losses:
            return self.losses
        if self.name == "fgsm":
            return ("cross-entropy",)
        scaled = self.name == "autopgd" and classes >= least_classes("dlr", self)
        return ("cross-entropy", "dlr" if scaled else "margin")

    def targets(self, outputs: Tensor) -> Tensor | None:
        """The class that each example is driven to (n,), from the clean outputs."""
        if self.target is None:
            return None
        if self.target == LEAST_LIKELY:
            return outputs.argmin(1)
        return torch.full_like(outputs.argmin(1), int(self.target))


def least_classes(loss: str, attack: Attack) -> int:
    """With how many classes a loss begins to be defined."""
    if loss == "targeted-dlr" or (loss == "dlr" and attack.target is not None):
        return 4
    return 3 if loss == "dlr" else 2


def wrong(outputs: Tensor, y: Tensor) -> Tensor:
    """Whether the answer is another class than the true one (n,)."""
    return outputs.argmax(1) != y


def reaching(target: Tensor) -> Goal:
    """Whether the answer is the target of each example."""
    return lambda outputs, y: outputs.argmax(1) == target


def strongest(
    attack: Attack,
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    clean: Tensor,
    epsilon: Radius,
    box: Box | None,
    places: NDArray[Any],
) -> Tensor:
    """The strongest point that an attack finds; the example itself where nothing is stronger.

    Points that reach the goal come first (a wrong answer, or the target), then those with the
    largest margin.

    Args:
        attack: The attack.
        model: Maps inputs (n, ...) to logits (n, classes).
        x: Inputs (n, ...).
        y: Classes (n,).
        clean: The logits of the inputs (n, classes).
        epsilon: Radius, or radii (n,).
        box: Lowest and highest valid input value; None for no limit.
        places: Where each example is in the data (n,), for its random starts.

    Returns:
        Points (n, ...).
    """
    target = attack.targets(clean)
    goal = wrong if target is None else reaching(target)
    score: Loss = margin if target is None else towards("margin", target)
    starts = [None, *random_starts(attack, x, places)]
    best = Worst(x.clone(), score(clean, y), goal(clean, y))
    for loss in _losses(attack, clean, y, target):
        point = _run(attack, model, x, y, epsilon, box, starts, loss, goal)
        point = drawn_in(point, x, epsilon, attack.norm)
        with torch.no_grad():
            outputs = model(point)
        best.take(point, score(outputs, y), goal(outputs, y))
    return best.point


def _losses(attack: Attack, clean: Tensor, y: Tensor, target: Tensor | None) -> list[Loss]:
    """The losses to drive up, one after the other."""
    found: list[Loss] = []
    for name in attack.losses_for(clean.shape[1]):
        if target is not None:
            found.append(towards(name.removeprefix("targeted-"), target))
        elif name == "targeted-dlr":
            own = torch.nn.functional.one_hot(y, clean.shape[1]).bool()
            others = clean.masked_fill(own, -torch.inf).argsort(dim=1, descending=True)
            ranks = range(min(MOST_TARGETS, clean.shape[1] - 1))
            found += [towards("dlr", others[:, rank]) for rank in ranks]
        else:
            found.append(LOSSES[name])
    return found


def _run(  # noqa: PLR0917
    attack: Attack,
    model: Model,
    x: Tensor,
    y: Tensor,
    epsilon: Radius,
    box: Box | None,
    starts: Sequence[Tensor | None],
    loss: Loss,
    goal: Goal,
) -> Tensor:
    given: dict[str, Any] = {"epsilon": epsilon, "norm": attack.norm, "box": box, "loss": loss}
    if attack.name == "fgsm":
        return fgsm(model, x, y, **given)
    if attack.name == "autopgd":
        steps = attack.steps or AUTOPGD_STEPS
        return autopgd(model, x, y, steps=steps, starts=starts, goal=goal, **given)
    sizes = [epsilon * one for one in SCHEDULES[attack.schedule](attack.steps or PGD_STEPS)]
    return pgd(model, x, y, step_sizes=sizes, starts=starts, goal=goal, **given)


def random_starts(attack: Attack, x: Tensor, places: NDArray[Any]) -> list[Tensor]:
    """Uniformly random shifts in the ball of radius 1.

    Args:
        attack: The attack; `fgsm` has none.
        x: Inputs (n, ...).
        places: Where each example is in the data (n,); with the seed it decides on its shifts, so
            that they do not depend on the batch.

    Returns:
        A shift (n, ...) for each restart.
    """
    if attack.name == "fgsm" or not attack.restarts:
        return []
    shape = (attack.restarts, *x.shape[1:])
    drawn = np.stack([_in_ball(shape, attack, int(place)) for place in places], axis=1)
    return list(torch.from_numpy(drawn).to(x.device, x.dtype))


def _in_ball(shape: tuple[int, ...], attack: Attack, place: int) -> NDArray[np.float32]:
    random = np.random.default_rng([attack.seed, START, place])
    if attack.norm == "linf":
        return random.uniform(-1, 1, shape).astype(np.float32)
    direction = random.standard_normal((shape[0], int(np.prod(shape[1:]))))
    length = random.random((shape[0], 1)) ** (1 / max(direction.shape[1], 1))
    scale = np.maximum(np.sqrt((direction**2).sum(axis=1, keepdims=True)), 1e-30)
    drawn: NDArray[np.float64] = length * direction / scale
    return drawn.reshape(shape).astype(np.float32)
