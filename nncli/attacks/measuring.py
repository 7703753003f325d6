"""How near the nearest error of every example is, as far as an attack can tell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nncli.attacks.attack import Attack, least_classes, reaching, strongest, wrong
from nncli.attacks.ball import Box, distance, precise, valid_box
from nncli.attacks.epsilons import default_epsilons
from nncli.attacks.gradient import Goal, Model, Worst, input_gradient
from nncli.attacks.linear_response import linear_radius
from nncli.attacks.linear_steps import step_linearly
from nncli.attacks.losses import Loss, cross_entropy, margin, towards
from nncli.attacks.minimal_epsilon import STEPS, Nearest, bisect
from nncli.errors import MismatchError
from nncli.forward import Batch, first_tensor, run
from nncli.predicting import predict

Array = NDArray[Any]


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        attack: The attack.
        epsilons: Radii to attack at, rising, all positive.
        box: Lowest and highest valid input value; None for no limit.
        refinements: Attacks that narrow down the smallest radius of each example.
    """

    attack: Attack
    epsilons: tuple[float, ...]
    box: Box | None
    refinements: int = STEPS

    @classmethod
    def of(
        cls, attack: Attack, x: Array, epsilons: tuple[float, ...], *, refinements: int
    ) -> "Plan":
        """A plan for some inputs (n, ...): in [0, 1] if they all are, radii to suit if none are."""
        whole = torch.from_numpy(np.asarray(x))
        box = None if attack.norm == "sphere" else valid_box(whole)
        epsilons = epsilons or default_epsilons(x, attack.norm, boxed=box is not None)
        return cls(attack, epsilons, box, refinements)


@dataclass(frozen=True)
class Measured:
    """What an attack found, n examples at E radii.

    Attributes:
        answer: Classes answered to the examples themselves (n,).
        right: Whether those are the true ones (n,).
        counted: Whether the attack means anything (n,): no example is driven to its own class.
        radius: Distance of the nearest point that reaches the goal (n,): 0 where the example does,
            infinite where none was found.
        linear: Radius at which the linearised network errs (n,).
        flat: Whether the gradient of the loss is exactly 0 (n,).
        raw: Whether the attack of exactly each radius reached the goal (n, E).
        loss: The highest cross-entropy in nats found within each radius (n, E + 1); first that of
            the examples themselves.
        strongest: Strongest points within the largest radius (n, ...).
        moved: Their distances, in the norm of the attack (n,).
        nearest_answer: Classes answered to the nearest points (n,); -1 where there is none.
        linf: Largest change of a feature at the nearest points (n,).
        l2: Their Euclidean distances (n,).
    """

    answer: Array
    right: Array
    counted: Array
    radius: Array
    linear: Array
    flat: Array
    raw: Array
    loss: Array
    strongest: Array
    moved: Array
    nearest_answer: Array
    linf: Array
    l2: Array

    def __len__(self) -> int:
        return len(self.right)

    @property
    def error_radius(self) -> Array:
        """Distance of the nearest known error (n,): 0 where the example is one."""
        return np.where(self.right, self.radius, 0.0)


def join(parts: Sequence[Measured]) -> Measured:
    """The findings on several batches as one."""
    names = [one.name for one in fields(Measured)]
    return Measured(**{
        name: np.concatenate([getattr(part, name) for part in parts]) for name in names
    })  # fmt: skip


def answering(network: nn.Module, batch: Batch) -> Model:
    """A network as a function of the inputs of a batch, to logits in float32 or more."""

    def model(x: Tensor) -> Tensor:
        outputs = first_tensor(run(network, replace(batch, x=x)))
        assert outputs is not None
        return outputs if outputs.dtype == torch.float64 else outputs.float()

    return model


def clean_answers(
    network: nn.Module,
    stream: Iterable[Batch],
    y: Array | None,
    attack: Attack,
    *,
    name: str,
    data: str,
) -> Array:
    """The classes that a network answers, if it answers with enough logits for an attack.

    Args:
        network: The network, in evaluation mode.
        stream: Batches, in order.
        y: Classes of all examples (n,), if they are known.
        attack: The attack.
        name: What the network is called, for errors.
        data: What the data are called, for errors.

    Returns:
        Answers (n,), int64.

    Raises:
        MismatchError: It has too few classes, or answers with something else.
        ArtifactError: An answer is not finite.
    """
    logits = predict(network, stream, y, name=name, data=data).values
    classes = logits.shape[1] if logits.ndim == 2 else 1
    target = attack.target if isinstance(attack.target, int) else 0
    if target >= classes:
        raise MismatchError(f"`{name}` has no class {target}: they are 0 to {classes - 1}")
    for loss in attack.losses_for(classes):
        least = least_classes(loss, attack)
        if classes < least:
            raise MismatchError(
                f"`{name}` has {classes} class{'es' * (classes > 1)}, the loss `{loss}` needs "
                f"{least}",
                hint="`--loss margin` needs 2",
            )
    answers: Array = logits.argmax(axis=1)
    return answers


def measure(network: nn.Module, batch: Batch, y: Tensor, plan: Plan) -> Measured:
    """Attack the examples of a batch at every radius.

    Args:
        network: The network, in evaluation mode, answering with logits (n, classes).
        batch: The examples.
        y: Their classes (n,), on the same device.
        plan: What is measured.

    Returns:
        What was found.
    """
    model, attack = answering(network, batch), plan.attack
    gradient, clean, loss = input_gradient(model, batch.x, y, cross_entropy)
    target = attack.targets(clean)
    counted = torch.ones_like(y, dtype=torch.bool) if target is None else target != y
    goal = goal_of(target)
    active = counted & ~goal(clean, y)
    found = _Search(network, rows_of(batch, active), y[active], clean[active], plan)
    found.run(batch.start + active.nonzero()[:, 0].cpu().numpy())
    whole = _spread(active, found.nearest.radius, torch.where(counted, 0.0, torch.inf))
    points, nearest = (
        _spread(active, one, batch.x) for one in (found.strongest.point, found.nearest.point)
    )
    with torch.no_grad():
        answers = model(nearest).argmax(1)
    rises = torch.stack(
        [loss.to(precise(loss)), *(_spread(active, one, loss) for one in found.losses)], 1
    )
    raw = [_spread(active, one, goal(clean, y)) for one in found.raw]
    arrays = {
        "answer": clean.argmax(1),
        "right": ~wrong(clean, y),
        "counted": counted,
        "radius": whole,
        "linear": linear_radius(model, batch.x, y, norm=attack.norm),
        "flat": (gradient == 0).flatten(1).all(1),
        "raw": torch.stack(raw, 1),
        "loss": rises.cummax(1).values,
        "strongest": points,
        "moved": distance(points, batch.x, attack.norm),
        "nearest_answer": torch.where(torch.isfinite(whole), answers, -1),
        "linf": torch.where(torch.isfinite(whole), distance(nearest, batch.x, "linf"), torch.inf),
        "l2": torch.where(torch.isfinite(whole), distance(nearest, batch.x, "l2"), torch.inf),
    }
    return Measured(**{name: one.cpu().numpy() for name, one in arrays.items()})


def goal_of(target: Tensor | None) -> Goal:
    """A wrong answer, or the target of each example (n,)."""
    return wrong if target is None else reaching(target)


def _spread(rows: Tensor, values: Tensor, rest: Tensor) -> Tensor:
    """Values of some rows among those of the rest, in their type."""
    found = rest.to(values.dtype).clone()
    found[rows] = values
    return found


class _Search:
    """The attack on those examples of a batch that do not reach the goal by themselves."""

    def __init__(
        self, network: nn.Module, batch: Batch, y: Tensor, clean: Tensor, plan: Plan
    ) -> None:
        target = plan.attack.targets(clean)
        goal = goal_of(target)
        self.model, self.x, self.y, self.clean = answering(network, batch), batch.x, y, clean
        self.plan, self.target = plan, target
        self.score: Loss = margin if target is None else towards("margin", target)
        self.nearest = Nearest(self.model, self.x, y, norm=plan.attack.norm, goal=goal)
        self.strongest = Worst(self.x, self.score(clean, y), goal(clean, y))
        nothing = self.nearest.radius
        self.losses: list[Tensor] = [nothing] * len(plan.epsilons)
        self.raw: list[Tensor] = [nothing.bool()] * len(plan.epsilons)

    def run(self, places: Array) -> None:
        """Attack at every radius, then narrow down the smallest ones.

        Args:
            places: Where the examples are in the data (n,).
        """
        if not len(self.x):
            return

        def find(epsilon: float | Tensor) -> Tensor:
            return strongest(
                self.plan.attack, self.model, self.x, self.y,
                clean=self.clean, epsilon=epsilon, box=self.plan.box, places=places,
            )  # fmt: skip

        for at, epsilon in enumerate(self.plan.epsilons):
            point = find(epsilon)
            reached = self.nearest.take(point, torch.full_like(self.nearest.radius, epsilon))
            with torch.no_grad():
                outputs = self.model(point).detach()  # a view of a parameter keeps its gradient
            self.raw[at], self.losses[at] = (
                reached,
                cross_entropy(outputs, self.y).to(precise(self.x)),
            )
            self.strongest.take(point, self.score(outputs, self.y), reached)
        bisect(self.nearest, find, self._failed(), steps=self.plan.refinements)
        if self.plan.attack.name != "fgsm":  # which is one step, and no more
            step_linearly(
                self.nearest, self.model, self.x, self.y, target=self.target,
                norm=self.plan.attack.norm, box=self.plan.box, farthest=self.plan.epsilons[-1],
            )  # fmt: skip
            self._count_nearest()

    def _count_nearest(self) -> None:
        """The nearest points are in the ball of every radius that is not below theirs."""
        with torch.no_grad():
            outputs = self.model(self.nearest.point).detach()
        known, loss = torch.isfinite(self.nearest.radius), cross_entropy(outputs, self.y)
        self.strongest.take(self.nearest.point, self.score(outputs, self.y), known)
        for at, epsilon in enumerate(self.plan.epsilons):
            own = torch.where(self.nearest.radius <= epsilon, loss.to(self.losses[at]), -torch.inf)
            self.losses[at] = torch.maximum(self.losses[at], own)

    def _failed(self) -> Tensor:
        """The largest radius of the plan below what was found (n,), or 0."""
        grid = torch.tensor([0.0, *self.plan.epsilons], dtype=torch.float64).to(self.nearest.radius)
        below = torch.searchsorted(grid, self.nearest.radius.contiguous()) - 1
        return grid[below.clamp_min(0)]


def rows_of(batch: Batch, rows: Tensor) -> Batch:
    """Some of the examples of a batch."""
    return replace(batch, x=batch.x[rows], mask=None if batch.mask is None else batch.mask[rows])


def labels_of(batch: Batch, y: Array) -> Tensor:
    """The classes of a batch, where the batch is."""
    return torch.from_numpy(y[batch.start : batch.start + len(batch)]).to(batch.x.device)
