"""The set that an attacked example stays in: a ball around it, within the box of valid inputs.

Three kinds: the balls of the l-infinity and the l2 norm, and the points of the sphere around the
origin through the example that are near it in the l2 norm (`sphere`).
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor

Norm = Literal["linf", "l2", "sphere"]
Box = tuple[float, float]
Radius = float | Tensor
"""One radius for all examples, or one each (n,), in units of the input."""

NORMS: tuple[Norm, ...] = ("linf", "l2")
KINDS: tuple[Norm, ...] = (*NORMS, "sphere")
TINY = 1e-30
MOST_UNITS = 64  # of rounding, that a point may be outside of its ball


def valid_box(x: Tensor) -> Box | None:
    """The box that perturbed inputs must stay in: [0, 1] for images scaled to it, else no limit.

    Args:
        x: Inputs (n, ...) as the model was or will be trained on.

    Returns:
        (0, 1) if every value lies in it, None otherwise.
    """
    return (0.0, 1.0) if bool((x >= 0).all()) and bool((x <= 1).all()) else None


def demand_ball(x: Tensor, epsilon: Radius, norm: str, box: Box | None) -> None:
    """Refuse a ball that is none.

    Raises:
        ValueError: Epsilon is negative or not finite, the norm is unknown, `x` leaves the box, or
            a sphere is to be in a box.
    """
    radii = torch.as_tensor(epsilon).cpu().double()
    if not bool(((radii >= 0) & (radii < math.inf)).all()):
        raise ValueError(f"epsilon must be finite and not negative, not {epsilon}")
    if norm not in KINDS:
        raise ValueError(f"the norm must be one of {', '.join(KINDS)}, not {norm}")
    if norm == "sphere" and box is not None:
        raise ValueError("a sphere around the origin does not stay in a box")
    if box is not None and x.numel() and not (x.min() >= box[0] and x.max() <= box[1]):
        low, high = float(x.min()), float(x.max())
        raise ValueError(f"inputs reach from {low:g} to {high:g}, outside the box {box}")


def per_example(values: Tensor, like: Tensor) -> Tensor:
    """Give values (n,) the dimensions that broadcast them over `like` (n, ...)."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def spread(radius: Radius, like: Tensor) -> Radius:
    """A radius that broadcasts over `like` (n, ...), in its type."""
    if not isinstance(radius, Tensor) or radius.dim() == 0:
        return radius
    return per_example(radius.to(like.device, like.dtype), like)


def l2_norm(x: Tensor) -> Tensor:
    """Euclidean norm of each example of (n, ...), shaped to broadcast over it."""
    return per_example(torch.linalg.vector_norm(x.flatten(1), dim=1), x)


def precise(x: Tensor) -> torch.dtype:
    """The type that distances are measured in: float64, or float32 where a device lacks it."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def distance(point: Tensor, x: Tensor, norm: Norm) -> Tensor:
    """How far points are from the examples.

    Args:
        point: Perturbed inputs (n, ...).
        x: Inputs (n, ...).
        norm: `linf` is the largest change of one feature; `l2` and `sphere` are the straight line.

    Returns:
        Distances (n,), `precise`.
    """
    kind = precise(x)
    shift = (point.to(kind) - x.to(kind)).flatten(1)
    order = math.inf if norm == "linf" else 2
    length: Tensor = torch.linalg.vector_norm(shift, ord=order, dim=1)
    return length


def steepest(gradient: Tensor, norm: Norm, point: Tensor | None = None) -> Tensor:
    """The direction of norm 1 in which the loss rises fastest; 0 where the gradient is 0.

    Args:
        gradient: Gradients (n, ...).
        norm: Kind of ball.
        point: Where they were taken (n, ...); for `sphere`, whose directions are tangents there.

    Returns:
        Directions (n, ...).
    """
    if norm == "linf":
        return gradient.sign()
    if norm == "sphere" and point is not None:
        gradient = _tangent(gradient, point)
    # Scaled first, because the square of a small float32 gradient is 0.
    largest = per_example(gradient.flatten(1).abs().amax(1), gradient)
    gradient = gradient / largest.clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient / l2_norm(gradient).clamp_min(torch.finfo(gradient.dtype).tiny)


def project(point: Tensor, x: Tensor, epsilon: Radius, norm: Norm, box: Box | None) -> Tensor:
    """The nearest point of the ball around `x`, then of the box.

    Clipping to the box comes second and cannot leave the ball: it moves every coordinate towards
    `x`, which lies in the box.
    """
    radius: Any = spread(epsilon, x)  # torch takes a number or a tensor in either place
    if norm == "sphere":
        return _project_on_sphere(point, x, radius)
    shift = point - x
    if norm == "linf":
        shift = shift.clamp(-radius, radius)
    else:
        length = l2_norm(shift)
        shift = torch.where(length > radius, shift * (radius / length.clamp_min(TINY)), shift)
    point = x + shift
    return point if box is None else point.clamp(*box)


def drawn_in(point: Tensor, x: Tensor, epsilon: Radius, norm: Norm) -> Tensor:
    """Points that rounding has carried out of their balls, drawn in by as little as there is.

    A sphere is left as it is: hardly a point of it can be written down.

    Args:
        point: Points of the balls, up to rounding (n, ...).
        x: Inputs (n, ...).
        epsilon: Radius, or radii (n,).
        norm: Kind of ball.

    Returns:
        Points (n, ...) whose `distance` is at most the radius.
    """
    if norm == "sphere":
        return point
    for _ in range(MOST_UNITS):
        out = distance(point, x, norm) > epsilon
        if not bool(out.any()):
            return point
        point = torch.where(per_example(out, x), torch.nextafter(point, x), point)
    return torch.where(per_example(distance(point, x, norm) > epsilon, x), x, point)


def between(x: Tensor, point: Tensor, share: Tensor, norm: Norm) -> Tensor:
    """The point some way from the examples to other points, straight or along the sphere.

    Args:
        x: Inputs (n, ...).
        point: Points of their balls (n, ...); the way to them stays in ball and box.
        share: How far (n,), 0 to 1.
        norm: Kind of ball.

    Returns:
        Points (n, ...).
    """
    found = x + per_example(share.to(x.dtype), x) * (point - x)
    if norm != "sphere":
        # rounding may carry the end of the way beyond the point
        return torch.where(per_example(share >= 1, x), point, found)
    return found * (l2_norm(x) / l2_norm(found).clamp_min(TINY))


def _tangent(direction: Tensor, point: Tensor) -> Tensor:
    """What is left of directions when the part towards the origin is taken off."""
    radial = point / l2_norm(point).clamp_min(TINY)
    along = per_example((direction * radial).flatten(1).sum(1), direction)
    return direction - along * radial


def _project_on_sphere(point: Tensor, x: Tensor, epsilon: Radius) -> Tensor:
    """The nearest point of the sphere through `x`, moved along it until it is near enough."""
    radius = l2_norm(x)
    point = point * (radius / l2_norm(point).clamp_min(TINY))
    tangent = _tangent(point, x)
    length = l2_norm(tangent)
    angle = 2 * torch.asin((epsilon / (2 * radius).clamp_min(TINY)).clamp(max=1.0))
    rim = x * angle.cos() + radius * angle.sin() * tangent / length.clamp_min(TINY)
    # opposite to x, or at the origin, no direction is nearer than another
    rim = torch.where(length > 0, rim, x)
    return torch.where(l2_norm(point - x) > epsilon, rim, point)
