"""How far float32 is from real numbers, operator by operator.

Every operator is taken as the original network does it. Its result is off by what it makes of the
errors of its arguments and by its own rounding:

- a sum of K products is off by `K u / (1 - K u)` times the sum of their absolute values, u = 2^-24,
  in whatever order it is added up and with fused products or without;
- a sum, a product, a quotient by a part in 2^24 for each rounding; constants such as `1 / 255`,
  which float32 does not hold, are rounded first;
- ReLU, maxima, clipping and absolute values round nothing, and are steep nowhere;
- sigmoid and tanh are taken to be off by `ULPS` units in the last place;
- each number may be flushed to zero below 2^-126, before and after every operation;
- from 2^127 on, also of partial sums, anything may happen.

Products and convolutions are meant as sums of products: not by the transforms of Winograd, Fourier
or Strassen, nor in types of fewer digits (TF32, bfloat16).

All bounds are computed in float64 with nonnegative numbers, and enlarged by a part in 2^20, which
is far more than that rounds. `SLACK` covers what the lowered network rounds in its constants.

References:
    Higham 2002, Accuracy and Stability of Numerical Algorithms, chapters 2 and 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from nncli.verification.domains import domain_of
from nncli.verification.float32 import sums
from nncli.verification.float32.numbers import LARGEST, ROOM, SLACK, Numbers
from nncli.verification.float32.original import RULES, Original, places_of
from nncli.verification.float32.sensitivity import (
    LINKS,
    STRAIGHT,
    Link,
    Passage,
    mapped,
    passed_back,
)
from nncli.verification.intervals import Interval, start, step
from nncli.verification.lowering.lower import Recorded
from nncli.verification.lowering.tape import Operation
from nncli.verification.lowering.values import Value
from nncli.verification.properties import Region
from nncli.verification.tightening import Effort, tightened

MOST_ROWS = 1024  # numbers of one tensor whose errors are passed back one by one


@dataclass(frozen=True, eq=False)
class Traced:
    """Every number of the original over a region.

    Attributes:
        original: What it does.
        known: Intervals of all places of the network before it was folded.
        errors: (count,) how far each number in float32 may be from the real one.
        own: (count,) what each is off by its own rounding alone.
        norms: The l2 norm of the errors of each operator, at most.
        passages: The operators on the way back.
        effort: How hard to try.
    """

    original: Original
    known: Sequence[Interval]
    errors: Tensor
    own: Tensor
    norms: list[float]
    passages: list[Passage]
    effort: Effort

    def numbers(self, value: Value) -> Numbers:
        """What is known of a value."""
        low = high = value.constants
        constants = sizes = value.constants.abs()
        for part in value.parts:
            there = part.index >= 0
            index = part.index.clamp_min(0)
            one = self.known[part.place]
            least, most = one.low[0][index], one.high[0][index]
            summed = self.original.constants[part.place][index]
            if part.factor is not None:
                ends = part.factor * least, part.factor * most
                least, most = torch.minimum(*ends), torch.maximum(*ends)
                summed = part.factor.abs() * summed
            low = low + torch.where(there, least, 0.0)
            high = high + torch.where(there, most, 0.0)
            sizes = sizes + torch.where(there, torch.maximum(least.abs(), most.abs()), 0.0)
            constants = constants + torch.where(there, summed, 0.0)
        if value.pure is None:
            low, high = low - SLACK * sizes, high + SLACK * sizes
        return Numbers(low, high, self._error(value), constants)

    def _error(self, value: Value) -> Tensor:
        if value.traced is None:
            return torch.zeros(value.shape, dtype=torch.float64)
        found = self.errors[value.traced.clamp_min(0)]
        return torch.where(value.traced >= 0, found, 0.0)

    def of_sums(self, places: Tensor, rows: Tensor) -> Tensor:
        """How far sums of numbers at places (k,) with factors (R, k) may be off."""
        errors = torch.where(places >= 0, self.errors[places.clamp_min(0)], 0.0)
        forwards = torch.where(rows == 0, 0.0, rows.abs() * errors).sum(dim=1)
        back = passed_back(self.passages, self.own, self.errors, places, rows)
        return ROOM * torch.minimum(forwards, back)

    def norm(self, value: Value) -> float:
        """The l2 norm of the errors of a value, at most."""
        by_number = _norm(self._error(value))
        places = places_of(value).flatten()
        makers = torch.searchsorted(self.original.starts, places, right=True) - 1
        total = 0.0
        for maker in torch.unique(makers).tolist():
            if maker < 0:  # constants, and the example itself
                continue
            _, often = torch.unique(places[makers == maker], return_counts=True)
            total += float(often.max()) * self.norms[maker] ** 2
        return min(by_number, ROOM * sqrt(total))


def traced(one: Original, region: Region, effort: Effort) -> Traced:
    """How far every number in float32 may be from the real one, over a region.

    Args:
        one: The original.
        region: Its inputs, which are float32 numbers; their box counts.
        effort: How hard to try for the intervals of the real numbers.

    Returns:
        The errors, infinite where numbers may overflow.
    """
    errors, own = torch.zeros(2, one.count, dtype=torch.float64)
    found = Traced(one, _intervals(one.lowered, region, effort), errors, own, [], [], effort)
    for operation, stretch in zip(one.operations, one.stretches, strict=True):
        if operation.name not in STRAIGHT and operation.name not in sums.RULES:
            for each in (one for one in operation.given if isinstance(one, Value)):
                _tighten(found, each)
        _take(found, operation, stretch)
    return found


def _tighten(found: Traced, value: Value) -> None:
    """Errors of what a slope depends on, by passing them back one by one."""
    places = torch.unique(places_of(value))
    places = places[places >= 0]
    if not 0 < len(places) <= MOST_ROWS or not any(one.is_bent for one in found.passages):
        return
    portion = max(1, found.effort.numbers // (4 * found.original.count))
    for some in places.split(portion):
        found.effort.pause()
        rows = torch.eye(len(some), dtype=torch.float64)
        found.errors[some] = torch.minimum(found.errors[some], found.of_sums(some, rows))


def _intervals(lowered: Recorded, region: Region, effort: Effort) -> list[Interval]:
    """Intervals of all places before folding; those that are left have the proved ones."""
    domain = domain_of([region])
    proved = tightened(lowered.network, domain, effort)
    found = [start(domain)]
    for place in range(1, len(lowered.whole.nodes) + 1):
        one = step(lowered.whole, place, found)
        if place in lowered.places:
            better = proved[lowered.places[place]]
            one = one.within(better.low, better.high)
        found.append(one)
    return found


def _take(found: Traced, operation: Operation, stretch: float) -> None:
    """Note how far the float32 results of an operator may be off, and the l2 norm of that.

    Errors are passed on in two ways, of which the better one counts: number by number with absolute
    factors, and by the norm of them all, which a layer of many numbers lengthens far less.
    """
    values = [one for one in operation.given if isinstance(one, Value)]
    given = [found.numbers(one) if isinstance(one, Value) else one for one in operation.given]
    made = found.numbers(operation.made)
    one = RULES[operation.name](operation, given, made)
    stretches = one.stretches or (stretch,)
    norm, passed = torch.inf, one.passed.expand(made.low.shape)
    if len(stretches) == len(values):
        norms = [found.norm(each) for each in values]
        if one.lengths is not None:
            passed = torch.minimum(passed, ROOM * norms[0] * one.lengths)
        norm = sum(_times(by, each) for by, each in zip(stretches, norms, strict=True))
        passed = passed.clamp_max(ROOM * norm)
    own = ROOM * (one.own + SLACK * one.sizes).expand(made.low.shape)
    error = ROOM * passed + own
    sound = (one.sizes < LARGEST) & (error < LARGEST)  # not where either is no number
    places = places_of(operation.made)
    found.own[places] = torch.where(sound, own, torch.inf)
    found.errors[places] = error = torch.where(sound, error, torch.inf)
    longest = ROOM * (norm + _norm(own))
    if operation.made.size:
        found.norms.append(min(_norm(error), longest if longest >= 0 else torch.inf))
    found.passages.append(_passage(found.original, operation, given, made))


def _passage(one: Original, operation: Operation, given: Sequence[Any], made: Numbers) -> Passage:
    """An operator on the way back."""
    links: list[Link | None] = []
    if operation.name in LINKS:
        links = [*LINKS[operation.name](operation, given, made)]
    elif operation.name in sums.LINEAR:
        values = [each for each in operation.given if isinstance(each, Value)]
        found = one.map_of(operation)
        if found is not None and len(values) == 1 and values[0].pure is not None:
            place, how = found
            if values[0].pure.place == place:
                links = [mapped(values[0], operation.made, how)]
    kept = tuple(each for each in links if each is not None)
    is_bent = operation.name not in STRAIGHT and operation.name not in sums.RULES
    is_passed = bool(kept) and len(kept) == len(links)
    return Passage(places_of(operation.made), kept if is_passed else None, is_bent)


def _times(stretch: float, norm: float) -> float:
    return stretch * norm if norm else 0.0


def _norm(errors: Tensor) -> float:
    return ROOM * float(errors.norm())
