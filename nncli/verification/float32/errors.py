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
from functools import cached_property
from math import sqrt

import torch
from torch import Tensor, nn

from nncli.verification.domains import domain_of
from nncli.verification.float32 import pointwise, sums
from nncli.verification.float32.numbers import LARGEST, ROOM, SLACK, Numbers
from nncli.verification.intervals import Interval, start, step
from nncli.verification.lowering.lower import Recorded, recorded
from nncli.verification.lowering.tape import Operation, Tape
from nncli.verification.lowering.values import Value
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.operator_norms import operator_norm
from nncli.verification.properties import Region
from nncli.verification.tightening import Effort, tightened

RULES = pointwise.RULES | sums.RULES


@dataclass(frozen=True, eq=False)
class Original:
    """What a network does, operator by operator, beside what it was lowered to.

    Attributes:
        operations: Its operators, in order.
        count: Numbers that they make, the example's own among them.
        lowered: The network as it was lowered.
    """

    operations: Sequence[Operation]
    count: int
    lowered: Recorded

    @property
    def network(self) -> Network:
        """The network that proofs are about."""
        return self.lowered.network

    @cached_property
    def starts(self) -> Tensor:
        """Where the numbers of each operator begin."""
        places = [_traced(one.made).min() for one in self.operations if one.made.size]
        return torch.stack(places) if places else torch.zeros(0, dtype=torch.int64)

    @cached_property
    def stretches(self) -> list[float]:
        """The l2 norms of the operators that are sums of products, where they are known."""
        return [self._stretch(one) for one in self.operations]

    def _stretch(self, operation: Operation) -> float:
        values = [one for one in operation.given if isinstance(one, Value)]
        parts = operation.made.parts
        if operation.name not in sums.LINEAR or len(values) != 1 or len(parts) != 1:
            return float("inf")
        node = self.lowered.whole.nodes[parts[0].place - 1] if parts[0].place else None
        if parts[0].factor is not None or not isinstance(node, Sum) or len(node.maps) != 1:
            return float("inf")
        return operator_norm(node.maps[0], "l2")

    @cached_property
    def constants(self) -> list[Tensor]:
        """The absolute constants that may be added up in each place, those of activations none."""
        network = self.lowered.whole
        found = [torch.zeros(network.inputs, dtype=torch.float64)]
        for node in network.nodes:
            if isinstance(node, Activation):
                found.append(torch.zeros(node.size, dtype=torch.float64))
                continue
            total = node.bias.abs()
            for parent, one in zip(node.parents, node.magnitudes, strict=True):
                total = total + one.apply(found[parent])
            found.append(total)
        return found


@dataclass(frozen=True, eq=False)
class Traced:
    """Every number of the original over a region.

    Attributes:
        original: What it does.
        known: Intervals of all places of the network before it was folded.
        errors: (count,) how far each number in float32 may be from the real one.
        norms: The l2 norm of those of each operator, at most.
    """

    original: Original
    known: Sequence[Interval]
    errors: Tensor
    norms: list[float]

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

    def norm(self, value: Value) -> float:
        """The l2 norm of the errors of a value, at most."""
        by_number = _norm(self._error(value))
        places = _traced(value).flatten()
        makers = torch.searchsorted(self.original.starts, places, right=True) - 1
        total = 0.0
        for maker in torch.unique(makers).tolist():
            if maker < 0:  # constants, and the example itself
                continue
            _, often = torch.unique(places[makers == maker], return_counts=True)
            total += float(often.max()) * self.norms[maker] ** 2
        return min(by_number, ROOM * sqrt(total))


def original(network: nn.Module, shape: Sequence[int], *, source: str) -> Original:
    """Take down what a network does.

    Args:
        network: The network, with weights of float32.
        shape: Shape of one example.
        source: The file, for errors.

    Returns:
        Its operators.

    Raises:
        ArtifactError: How one of them rounds is not known.
    """
    tape = Tape(frozenset(RULES))
    lowered = recorded(network, shape, tape, source=source)
    return Original(tuple(tape.operations), tape.count, lowered)


def traced(one: Original, region: Region, effort: Effort) -> Traced:
    """How far every number in float32 may be from the real one, over a region.

    Args:
        one: The original.
        region: Its inputs, which are float32 numbers; their box counts.
        effort: How hard to try for the intervals of the real numbers.

    Returns:
        The errors, infinite where numbers may overflow.
    """
    errors = torch.zeros(one.count, dtype=torch.float64)
    found = Traced(one, _intervals(one.lowered, region, effort), errors, [])
    for operation, stretch in zip(one.operations, one.stretches, strict=True):
        error, norm = _rounded(found, operation, stretch)
        errors[_traced(operation.made)] = error
        if operation.made.size:
            found.norms.append(norm)
    return found


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


def _rounded(found: Traced, operation: Operation, stretch: float) -> tuple[Tensor, float]:
    """How far the float32 results of an operator may be off, and the l2 norm of that.

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
    own = (one.own + SLACK * one.sizes).expand(made.low.shape)
    error = ROOM * (passed + own)
    sound = (one.sizes < LARGEST) & (error < LARGEST)  # not where either is no number
    error = torch.where(sound, error, torch.inf)
    longest = ROOM * (norm + _norm(own))
    return error, min(_norm(error), longest if longest >= 0 else torch.inf)


def _times(stretch: float, norm: float) -> float:
    return stretch * norm if norm else 0.0


def _norm(errors: Tensor) -> float:
    return ROOM * float(errors.norm())


def _traced(value: Value) -> Tensor:
    assert value.traced is not None, "what is taken down has places"
    return value.traced
