"""Many convex problems minimised side by side, so that they share every product with the data."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.floating)
F64 = NDArray[np.float64]
F32 = NDArray[np.float32]  # differences are only directions: half the memory to go through
Index = NDArray[np.int64]
Evaluate = Callable[[F64, Index], tuple[F64, F64]]
Precondition = Callable[[F64, Index], F64]

MEMORY = 60  # differences; with 20, weak penalties take half as many steps again
MEMORY_NUMBERS = 1 << 23  # of all of them, where there are many classes
FEWEST = 5
MOST_STEPS = 500
MOST_HALVINGS = 30
SUFFICIENT = 1e-4


@dataclass
class History:
    """The last differences of points and gradients, from which L-BFGS knows the curvature.

    Attributes:
        points: Differences of points, (problems, numbers) each.
        gradients: Differences of gradients.
        scales: (problems,) one over the products of both; 0 where they say nothing.
    """

    points: list[F32] = field(default_factory=list)
    gradients: list[F32] = field(default_factory=list)
    scales: list[F32] = field(default_factory=list)

    def add(self, point: F64 | F32, gradient: F64 | F32) -> None:
        """Take the newest differences, and forget the oldest."""
        step = point.astype(np.float32, copy=False)
        change = gradient.astype(np.float32, copy=False)
        curvature = _inner(step, change)
        safe = curvature > 0
        scale = np.divide(1, curvature, out=np.zeros_like(curvature), where=safe)
        kept = min(MEMORY, max(FEWEST, MEMORY_NUMBERS // (2 * step.size))) - 1
        self.points = [*self.points[-kept:], step]
        self.gradients = [*self.gradients[-kept:], change]
        self.scales = [*self.scales[-kept:], scale]

    def of(self, kept: NDArray[np.bool_] | Index) -> "History":
        """That of some of the problems."""
        told = (self.points, self.gradients, self.scales)
        return History(*([one[kept] for one in each] for each in told))

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Forget the other problems, a difference at a time, so that none is there twice."""
        for each in (self.points, self.gradients, self.scales):
            for place, one in enumerate(each):
                each[place] = one[kept]

    def moved(self, change: Callable[[F32], F32]) -> "History":
        """That of functions to which a quadratic is added, of which `change` is the gradient."""
        found = History()
        for point, gradient in zip(self.points, self.gradients, strict=True):
            found.add(point, gradient + change(point))
        return found

    def apply(self, gradient: F64, precondition: Callable[[F64], F64]) -> F64:
        """The inverse Hessian times the gradient, by the two loops."""
        direction: Any = gradient.astype(np.float32)
        weights = []
        triples = list(zip(self.points, self.gradients, self.scales, strict=True))
        for point, change, scale in reversed(triples):
            weight = scale * _inner(point, direction)
            direction -= weight[:, None] * change
            weights.append(weight)
        direction = precondition(direction.astype(np.float64)).astype(np.float32)
        for (point, change, scale), weight in zip(triples, reversed(weights), strict=True):
            direction += (weight - scale * _inner(change, direction))[:, None] * point
        found: F64 = direction.astype(np.float64)
        return found


def _inner(one: NDArray[T], other: NDArray[T]) -> NDArray[T]:
    found: NDArray[T] = np.einsum("mp,mp->m", one, other)
    return found


@dataclass(frozen=True)
class Minimum:
    """Where each problem ended.

    Attributes:
        point: (problems, numbers).
        value: (problems,) the objective there.
        converged: (problems,) whether the estimated rest is below the tolerance.
        steps: Evaluations of the batch.
        history: What is known of the curvature.
    """

    point: F64
    value: F64
    converged: NDArray[np.bool_]
    steps: int
    history: History


def minimise(
    evaluate: Evaluate,
    start: F64,
    precondition: Precondition,
    *,
    tolerance: float,
    history: History | None = None,
    most: int = MOST_STEPS,
) -> Minimum:
    """Minimise smooth convex functions by L-BFGS, each with its own steps, all in one batch.

    A problem ends when half of g^T H g, the decrease that a Newton step would bring by the current
    estimate H of the inverse Hessian, is below `tolerance` times its value; those that have ended
    take no more part in the work.

    Args:
        evaluate: Values (m,) and gradients (m, numbers) at points of that shape, for the problems
            at some places.
        start: (problems, numbers).
        precondition: An approximate inverse Hessian applied to gradients of some problems.
        tolerance: Relative to the value.
        history: What is known of the curvature, such as from functions much like these.
        most: Evaluations at most.

    Returns:
        The minima.

    References:
        Nocedal (1980), Updating quasi-Newton matrices with limited storage.
    """
    everybody = np.arange(len(start))
    ended = _Ended.of(start)
    at = _State(everybody, start, *evaluate(start, everybody), history or History())
    steps = 1
    while True:
        step = -at.history.apply(at.gradient, at.by(precondition))
        slope = _inner(at.gradient, step)
        done = -slope / 2 <= tolerance * np.maximum(np.abs(at.value), np.finfo(float).tiny)
        moved, stuck = at, np.zeros(len(at.active), bool)
        if not done.all() and steps < most:
            moved, tried, stuck = _search(evaluate, at, step, slope, done)
            steps += tried
        over = done | stuck | (steps >= most)
        if over.any():
            ended.take(at, over, converged=done | stuck)
        if over.all():
            return Minimum(ended.point, ended.value, ended.converged, steps, ended.joined())
        at = at.next(moved, ~over)


@dataclass
class _State:
    """Where the problems that are still going stand."""

    active: Index
    point: F64
    value: F64
    gradient: F64
    history: History

    def by(self, precondition: Precondition) -> Callable[[F64], F64]:
        return lambda gradient: precondition(gradient, self.active)

    def next(self, moved: "_State", kept: NDArray[np.bool_]) -> "_State":
        """Go where they moved, without those that have ended."""
        if kept.all():
            self.history.add(moved.point - self.point, moved.gradient - self.gradient)
            return moved
        self.history.keep(kept)
        point, gradient = moved.point[kept], moved.gradient[kept]
        self.history.add(point - self.point[kept], gradient - self.gradient[kept])
        return _State(self.active[kept], point, moved.value[kept], gradient, self.history)


@dataclass
class _Ended:
    """Where the problems are that have ended."""

    point: F64
    value: F64
    converged: NDArray[np.bool_]
    histories: list[tuple[Index, History]]

    @classmethod
    def of(cls, start: F64) -> "_Ended":
        return cls(start.copy(), np.empty(len(start)), np.zeros(len(start), bool), [])

    def take(self, at: _State, over: NDArray[np.bool_], *, converged: NDArray[np.bool_]) -> None:
        who = at.active[over]
        self.point[who], self.value[who] = at.point[over], at.value[over]
        self.converged[who] = converged[over]
        self.histories.append((who, at.history.of(over)))

    def joined(self) -> History:
        """The last of what is known of each, as far as all have it."""
        least = min(len(one.points) for _, one in self.histories)
        order = np.argsort(np.concatenate([who for who, _ in self.histories]))
        told: list[list[F32]] = []
        for name in ("points", "gradients", "scales"):
            each = [getattr(one, name) for _, one in self.histories]
            last_first = [np.concatenate([one.pop() for one in each])[order] for _ in range(least)]
            told.append(last_first[::-1])
        return History(*told)


def _search(
    evaluate: Evaluate, at: _State, step: F64, slope: F64, done: NDArray[np.bool_]
) -> tuple[_State, int, NDArray[np.bool_]]:
    """Halve the step of each problem until its value falls enough.

    Returns:
        Where they are then, the evaluations it took, and which are stuck.
    """
    moved = _State(at.active, at.point.copy(), at.value.copy(), at.gradient.copy(), at.history)
    size = np.ones(len(at.active))
    left = np.flatnonzero(~done)
    tried = 0
    while len(left) and tried < MOST_HALVINGS:
        trial = at.point[left] + size[left][:, None] * step[left]
        found, slopes = evaluate(trial, at.active[left])
        tried += 1
        good = found <= at.value[left] + SUFFICIENT * size[left] * slope[left]
        moved.point[left[good]] = trial[good]
        moved.value[left[good]], moved.gradient[left[good]] = found[good], slopes[good]
        left = left[~good]
        size[left] /= 2
    stuck = np.zeros(len(at.active), bool)
    stuck[left] = True  # the value no longer falls: rounding has the last word
    return moved, tried, stuck
