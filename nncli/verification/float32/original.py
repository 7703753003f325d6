"""What a network does itself, operator by operator, beside what it was lowered to."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from nncli.verification.float32 import pointwise, sums
from nncli.verification.lowering.lower import Recorded, recorded
from nncli.verification.lowering.tape import Operation, Tape
from nncli.verification.lowering.values import Value
from nncli.verification.maps import Map
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.operator_norms import operator_norm

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
        places = [places_of(one.made).min() for one in self.operations if one.made.size]
        return torch.stack(places) if places else torch.zeros(0, dtype=torch.int64)

    @cached_property
    def stretches(self) -> list[float]:
        """The l2 norms of the operators that are sums of products, where they are known."""
        return [self._stretch(one) for one in self.operations]

    def _stretch(self, operation: Operation) -> float:
        values = [one for one in operation.given if isinstance(one, Value)]
        if operation.name not in sums.LINEAR or len(values) != 1:
            return float("inf")
        one = self.map_of(operation)
        return float("inf") if one is None else operator_norm(one[1], "l2")

    def map_of(self, operation: Operation) -> tuple[int, Map] | None:
        """The map of one value that an operator is, and the place it is of."""
        parts = operation.made.parts
        if len(parts) != 1 or parts[0].factor is not None or not parts[0].place:
            return None
        node = self.lowered.whole.nodes[parts[0].place - 1]
        if not isinstance(node, Sum) or len(node.maps) != 1:
            return None
        return node.parents[0], node.maps[0]

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


def places_of(value: Value) -> Tensor:
    """Where the numbers of a value stand on the tape, -1 for constants."""
    assert value.traced is not None, "what is taken down has places"
    return value.traced
