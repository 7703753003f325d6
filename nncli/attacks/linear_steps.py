"""The nearest error of a linearised network, as a place to look for that of the network itself.

Where the network is linear between an example and its nearest error, as every network is near
enough to it, this is that error: it is at the edge of the ball where the other logit catches up,
with each feature moved no farther than the box allows. Elsewhere it is a guess; the network
linearised at the nearest error known so far gives a better one.

References:
    Moosavi-Dezfooli et al., "DeepFool", 2016 (from the example).
    Croce and Hein, "Minimally distorted Adversarial Examples with a Fast Adaptive Boundary Attack",
    2020 (from the nearest error).
"""

import torch
from torch import Tensor

from nncli.attacks.ball import TINY, Box, Norm, distance, l2_norm, per_example, precise, steepest
from nncli.attacks.gradient import Model, gradient_of
from nncli.attacks.linear_response import MOST_CLASSES
from nncli.attacks.minimal_epsilon import Nearest

AGAIN = 3  # steps from the nearest error
BEYOND = (1e-6, 1e-4, 0.05)  # of the rise, because of rounding and of curvature


def step_linearly(
    nearest: Nearest,
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    target: Tensor | None,
    norm: Norm,
    box: Box | None,
    farthest: float,
) -> None:
    """Look for nearer points that reach the goal where linearised logits would have them.

    Args:
        nearest: What has been found; improved in place.
        model: Maps inputs (n, ...) to logits (n, classes).
        x: Inputs (n, ...) that do not reach the goal.
        y: Classes (n,).
        target: The class to be reached by each (n,); None for any but its own.
        norm: Kind of ball.
        box: Lowest and highest valid input value; None for no limit.
        farthest: The largest distance that counts.
    """

    def take(slope: Tensor, rise: Tensor) -> None:
        best, found = x, torch.zeros_like(y, dtype=torch.bool)
        for beyond in BEYOND:
            point = crossing(x, slope, rise * (1 + beyond), norm, box)
            near = distance(point, x, norm) <= farthest
            wanted = ~found & near & nearest.reaches(point)
            best, found = torch.where(per_example(wanted, x), point, best), found | wanted
        nearest.take(best, torch.full_like(nearest.radius, torch.inf))

    take(*_at_example(model, x, y, target=target, norm=norm, box=box))
    for _ in range(AGAIN):
        slope, value = _at_point(model, nearest.point, y, target)
        way = nearest.point.to(precise(x)) - x.to(precise(x))
        take(slope, (slope.to(precise(x)) * way).flatten(1).sum(1) - value.to(precise(x)))


def _at_example(
    model: Model, x: Tensor, y: Tensor, *, target: Tensor | None, norm: Norm, box: Box | None
) -> tuple[Tensor, Tensor]:
    """The gradient (n, ...) of the logit that catches up first, and by how much it must (n,)."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        outputs = model(x)
        if target is None:
            own = y
            taken = torch.nn.functional.one_hot(y, outputs.shape[1]).bool()
            others = outputs.masked_fill(taken, -torch.inf).argsort(dim=1, descending=True)
            rivals = list(others.T[: min(MOST_CLASSES, outputs.shape[1] - 1)])
        else:
            own, rivals = outputs.argmax(1), [target]
        rise = torch.zeros(len(x), dtype=precise(x), device=x.device)
        best, slope = torch.full_like(rise, torch.inf), x.detach()
        for at, rival in enumerate(rivals):
            gap = _logit(outputs, own) - _logit(outputs, rival)
            found = -gradient_of(gap.sum(), x, again=at + 1 < len(rivals))
            wanted = gap.detach().to(precise(x))
            start = x.detach()
            far = distance(crossing(start, found, wanted, norm, box), start, norm)
            nearer = (far < best) & (far > 0)
            best = torch.where(nearer, far, best)
            rise = torch.where(nearer, wanted, rise)
            slope = torch.where(per_example(nearer, x), found, slope)
    return slope, rise


def _at_point(
    model: Model, point: Tensor, y: Tensor, target: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The gradient (n, ...), at points at the edge of the goal, of how far they are in it (n,)."""
    with torch.enable_grad():
        point = point.detach().requires_grad_()
        outputs = model(point)
        if target is None:
            to, other = _highest_but(outputs, y), y
        else:
            to, other = target, _highest_but(outputs, target)
        inside = _logit(outputs, to) - _logit(outputs, other)
        slope = gradient_of(inside.sum(), point)
    return slope, inside.detach()


def _logit(outputs: Tensor, of: Tensor) -> Tensor:
    return outputs.gather(1, of[:, None])[:, 0]


def _highest_but(outputs: Tensor, one: Tensor) -> Tensor:
    taken = torch.nn.functional.one_hot(one, outputs.shape[1]).bool()
    return outputs.detach().masked_fill(taken, -torch.inf).argmax(1)


def crossing(x: Tensor, slope: Tensor, rise: Tensor, norm: Norm, box: Box | None) -> Tensor:
    """The nearest points at which a linear function has risen by so much.

    Args:
        x: Inputs (n, ...).
        slope: The gradient of the function of each (n, ...).
        rise: How much it is to rise (n,).
        norm: Kind of ball.
        box: Lowest and highest value of a feature; None for no limit.

    Returns:
        Points (n, ...); the inputs themselves where the function is high enough, or never is.
    """
    kind, rise = precise(x), rise.to(precise(x))
    if norm == "sphere":
        return _crossing_on_sphere(x, slope, rise)
    direction = steepest(slope.to(kind), norm)
    room = torch.full_like(direction, torch.inf)
    if box is not None:
        room = torch.where(direction > 0, box[1] - x.to(kind), x.to(kind) - box[0])
    steep, speed = slope.to(kind).abs().flatten(1), direction.abs().flatten(1)
    length = _length(steep, speed, room.flatten(1), rise)
    length = torch.where((rise > 0) & torch.isfinite(length), length, 0.0)
    point = x.to(kind) + (per_example(length, x) * direction).clamp(-room, room)
    point = point.to(x.dtype)
    return point if box is None else point.clamp(*box)


def _length(slope: Tensor, speed: Tensor, room: Tensor, rise: Tensor) -> Tensor:
    """How long features move, each at its speed until its room is used up, for the rise.

    The function rises along the lowest of the lines that it follows between two stops; to be high
    enough it must be so on all of them.

    Returns:
        Times (n,); infinite where all features stop too early.
    """
    moving = speed > 0
    _, order = torch.where(moving, room / speed.clamp_min(TINY), 0.0).sort(1)
    rate = (slope * speed).gather(1, order)
    most = torch.where(moving & (slope > 0), slope * room, 0.0).gather(1, order)
    stopped = torch.cat([torch.zeros_like(most[:, :1]), most.cumsum(1)], 1)
    left = rate.flip(1).cumsum(1).flip(1)  # of a feature and of those that stop later
    lines = (rise[:, None] - stopped[:, :-1]) / left.clamp_min(TINY)
    times = torch.where(left > 0, lines, 0.0).amax(1)
    return torch.where(stopped[:, -1] >= rise, times, torch.inf)


def _crossing_on_sphere(x: Tensor, slope: Tensor, rise: Tensor) -> Tensor:
    """The same along the great circle through each input and the direction of the gradient."""
    kind = precise(x)
    start, slope = x.to(kind), slope.to(kind)
    size = l2_norm(start)
    direction = steepest(slope, "sphere", start)
    across = (slope * direction).flatten(1).sum(1) * size.flatten()
    along = (slope * start).flatten(1).sum(1)
    most = torch.hypot(across, along)
    wanted = (along + rise) / most.clamp_min(TINY)
    angle = torch.atan2(across, along) - torch.acos(wanted.clamp(-1.0, 1.0))
    angle = torch.where((rise > 0) & (wanted <= 1) & (angle > 0), angle, 0.0)
    point = start * per_example(angle.cos(), x) + size * direction * per_example(angle.sin(), x)
    return point.to(x.dtype)
