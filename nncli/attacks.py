"""Adversarial perturbations: inputs near the given ones on which a model's loss is high.

Both attacks stay in the ball of radius epsilon around each example and in the box of valid
inputs. They are first-order: what they find is a lower bound of the worst loss in the ball, never
a proof that there is nothing worse.

References:
    Goodfellow et al., "Explaining and Harnessing Adversarial Examples", 2015 (`fgsm`).
    Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018 (`pgd`).
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Model = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
Norm = Literal["linf", "l2"]
Box = tuple[float, float]

NORMS: tuple[Norm, ...] = ("linf", "l2")


def cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each example, in nats.

    Args:
        outputs: Logits (n, classes).
        y: Classes (n,), integers.

    Returns:
        Losses (n,).
    """
    return functional.cross_entropy(outputs, y, reduction="none")


def squared_error(outputs: Tensor, y: Tensor) -> Tensor:
    """Squared error of each example.

    Args:
        outputs: Predictions (n, 1) or (n,).
        y: Targets (n,).

    Returns:
        Losses (n,).
    """
    return (outputs.reshape(y.shape) - y).square()


def constant_schedule(epsilon: float, steps: int) -> tuple[float, ...]:
    """Step sizes of the usual attack: `steps` of them, 2.5 epsilon / steps each (Madry et al.)."""
    return (2.5 * epsilon / steps,) * steps


def fgsm(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    norm: Norm = "linf",
    box: Box | None = (0.0, 1.0),
    loss: Loss = cross_entropy,
) -> Tensor:
    """One step of length epsilon up the gradient of the loss; optimal on a linear model.

    Args:
        model: Maps inputs (n, ...) to outputs; its mode and parameters are left as they are.
        x: Inputs (n, ...), floating point, inside the box.
        y: Targets (n,).
        epsilon: Radius of the ball, in units of the input.
        norm: Norm of the ball over all the features of one example.
        box: Lowest and highest valid input value; None for no limit.
        loss: Maps outputs and targets to losses (n,).

    Returns:
        Perturbed inputs, of the shape and type of `x`, without gradient.

    Raises:
        ValueError: Epsilon is negative, the norm is unknown, or `x` leaves the box.
    """
    _check(x, epsilon, norm, box)
    gradient, _ = _input_gradient(model, x, y, loss)
    return _project(x + epsilon * _steepest(gradient, norm), x, epsilon, norm, box)


def pgd(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    step_sizes: Sequence[float],
    norm: Norm = "linf",
    box: Box | None = (0.0, 1.0),
    restarts: int = 1,
    generator: torch.Generator | None = None,
    loss: Loss = cross_entropy,
) -> Tensor:
    """Projected gradient ascent of the loss inside the ball; the worst point of all it visits.

    Because the example itself counts as visited, the loss of the result is never below the loss
    of the example.

    Args:
        model: Maps inputs (n, ...) to outputs; its mode and parameters are left as they are.
        x: Inputs (n, ...), floating point, inside the box.
        y: Targets (n,).
        epsilon: Radius of the ball, in units of the input.
        step_sizes: Length of each step in the norm of the ball, for instance from
            `constant_schedule`.
        norm: Norm of the ball over all the features of one example.
        box: Lowest and highest valid input value; None for no limit.
        restarts: How often the ascent starts; every time at a uniformly random point of the ball,
            where a generator is given.
        generator: Source of the random starts; without one the ascent starts at `x`.
        loss: Maps outputs and targets to losses (n,).

    Returns:
        Perturbed inputs, of the shape and type of `x`, without gradient.

    Raises:
        ValueError: Epsilon is negative, the norm is unknown, `x` leaves the box, or there are
            several restarts and no generator to tell them apart.
    """
    _check(x, epsilon, norm, box)
    if restarts > 1 and generator is None:
        raise ValueError("several restarts need a generator: without one they are all the same")
    with torch.no_grad():
        worst, worst_loss = x.clone(), loss(model(x), y)
    for _ in range(restarts):
        point = x
        if generator is not None:
            point = _project(
                x + _uniform_in_ball(x, epsilon, norm, generator), x, epsilon, norm, box
            )
        for size in step_sizes:
            gradient, value = _input_gradient(model, point, y, loss)
            worst, worst_loss = _worse(worst, worst_loss, point, value)
            point = _project(point + size * _steepest(gradient, norm), x, epsilon, norm, box)
        with torch.no_grad():
            value = loss(model(point), y)
        worst, worst_loss = _worse(worst, worst_loss, point, value)
    return worst


def valid_box(x: Tensor) -> Box | None:
    """The box that perturbed inputs must stay in: [0, 1] for images scaled to it, else no limit.

    Args:
        x: Inputs (n, ...) as the model was or will be trained on.

    Returns:
        (0, 1) if every value lies in it, None otherwise.
    """
    return (0.0, 1.0) if bool((x >= 0).all()) and bool((x <= 1).all()) else None


def _check(x: Tensor, epsilon: float, norm: str, box: Box | None) -> None:
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"epsilon must be finite and not negative, not {epsilon}")
    if norm not in NORMS:
        raise ValueError(f"the norm must be one of {', '.join(NORMS)}, not {norm}")
    if box is not None and x.numel() and not (x.min() >= box[0] and x.max() <= box[1]):
        low, high = float(x.min()), float(x.max())
        raise ValueError(f"inputs reach from {low:g} to {high:g}, outside the box {box}")


def _input_gradient(model: Model, x: Tensor, y: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Gradient (n, ...) of each example's loss with respect to it, and the losses (n,)."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        losses = loss(model(x), y)
        (gradient,) = torch.autograd.grad(losses.sum(), x)
    return gradient, losses.detach()


def _per_example(values: Tensor, like: Tensor) -> Tensor:
    """Give values (n,) the dimensions that broadcast them over `like` (n, ...)."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _l2_norm(x: Tensor) -> Tensor:
    """Euclidean norm of each example of (n, ...), shaped to broadcast over it."""
    return _per_example(torch.linalg.vector_norm(x.flatten(1), dim=1), x)


def _steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """The direction of norm 1 in which the loss rises fastest; 0 where the gradient is 0."""
    if norm == "linf":
        return gradient.sign()
    # Scaled first, because the square of a small float32 gradient is 0.
    largest = _per_example(gradient.flatten(1).abs().amax(1), gradient)
    gradient = gradient / largest.clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient / _l2_norm(gradient).clamp_min(torch.finfo(gradient.dtype).tiny)


def _project(point: Tensor, x: Tensor, epsilon: float, norm: Norm, box: Box | None) -> Tensor:
    """The nearest point of the ball around `x`, then of the box.

    Clipping to the box comes second and cannot leave the ball: it moves every coordinate towards
    `x`, which lies in the box.
    """
    shift = point - x
    if norm == "linf":
        shift = shift.clamp(-epsilon, epsilon)
    else:
        length = _l2_norm(shift)
        shift = torch.where(length > epsilon, shift * (epsilon / length.clamp_min(1e-30)), shift)
    point = x + shift
    return point if box is None else point.clamp(*box)


def _uniform_in_ball(x: Tensor, epsilon: float, norm: Norm, generator: torch.Generator) -> Tensor:
    """Shifts (n, ...) drawn uniformly from the ball."""
    where = generator.device
    if norm == "linf":
        cube = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=where)
        return (epsilon * (2 * cube - 1)).to(x.device)
    direction = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=where)
    radius = torch.rand(len(x), generator=generator, dtype=x.dtype, device=where)
    features = max(x[0].numel(), 1) if len(x) else 1
    radius = _per_example(radius ** (1 / features), x)
    return (epsilon * radius * direction / _l2_norm(direction).clamp_min(1e-30)).to(x.device)


def _worse(
    worst: Tensor, worst_loss: Tensor, point: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    """Take, example by example, the point with the larger loss."""
    better = value > worst_loss
    return torch.where(_per_example(better, point), point, worst), torch.maximum(worst_loss, value)
