"""How fast outputs can change: certified upper bounds of Lipschitz constants, sampled lower ones.

Everywhere: a sum of maps changes no faster than the sum of its parents' constants times the norms
of the maps, an activation no faster than its steepest slope; and the product of all intervals of
Jacobians is a bound too. Over a region: with slopes of activations within their intervals there,
the Jacobian lies between two matrices, whose middle and radius bound its norm.

An example whose margin is m keeps its class wherever no margin `y_t - y_j` can fall by m: within
m over the bound of its rate.

References:
    Szegedy et al. 2014, Intriguing properties of neural networks (products of norms). Weng et al.
    2018, Towards fast computation of certified robustness for ReLU networks (Fast-Lip).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from nncli.verification.intervals import Interval
from nncli.verification.network import Activation, Network
from nncli.verification.operator_norms import operator_norm, spectral_norm
from nncli.verification.relaxation import LIBRARY, STEEPEST
from nncli.verification.rounding import TINY, growth

MOST_NUMBERS = 100_000_000  # of the factors of a Jacobian
TWO_OUTPUTS = {"linf": 2.0, "l2": sqrt(2.0) * (1 + 1e-15), "l1": 1.0}  # of `y_t - y_j`


@dataclass(frozen=True)
class Jacobian:
    """Matrices between which the Jacobian of rows of the outputs lies.

    Attributes:
        middle: (R, n).
        radius: (R, n) not negative, rounding included.
    """

    middle: Tensor
    radius: Tensor

    def norm(self, norm: str) -> float:
        """A bound of the operator norm, from a norm to the same."""
        absolute = self.middle.abs() + self.radius
        room = 1 + growth(sum(absolute.shape) + 8)
        by_rows, by_columns = float(absolute.sum(1).amax()), float(absolute.sum(0).amax())
        if norm == "linf":
            return by_rows * room
        if norm == "l1":
            return by_columns * room
        spread = sqrt(float(self.radius.sum(1).amax()) * float(self.radius.sum(0).amax()))
        return min(
            sqrt(by_rows * by_columns) * room,
            (spectral_norm(self.middle) + spread) * room,
        )

    def rates(self, norm: str) -> Tensor:
        """(R,) bounds of how fast each row changes along the inputs, in a norm."""
        absolute = self.middle.abs() + self.radius
        room = 1 + growth(2 * absolute.shape[1] + 16)
        if norm == "linf":
            return absolute.sum(1) * room
        return (absolute.amax(1) if norm == "l1" else absolute.square().sum(1).sqrt()) * room


def product_bound(network: Network, norm: str) -> float:
    """A Lipschitz constant that holds everywhere, by the norms of the maps.

    Args:
        network: The network.
        norm: `l2`, `linf` or `l1`, of inputs and of outputs.
    """
    found = [1.0]
    for node in network.nodes:
        if isinstance(node, Activation):
            found.append(found[node.parent] * STEEPEST.get(node.function, 1.0))
            continue
        parts = [
            found[parent] * operator_norm(one, norm)
            for parent, one in zip(node.parents, node.maps, strict=True)
        ]
        found.append(sum(parts) * (1 + growth(len(parts) + 4)))
    return found[-1]


def jacobian(
    network: Network, rows: Tensor, known: Sequence[Interval] | None = None
) -> Jacobian | None:
    """Where the Jacobian of rows of the outputs lies.

    Args:
        network: The network.
        rows: (R, m) factors of the outputs.
        known: Intervals (1, size) of all places over a region; everywhere, if not given.

    Returns:
        The matrices; `None` where they would be too large.
    """
    widest = max(network.sizes)
    if 8 * len(rows) * widest > MOST_NUMBERS:
        return None
    waiting = {network.last: (rows.double(), torch.zeros_like(rows, dtype=torch.float64))}
    for place in range(network.last, 0, -1):
        if place not in waiting:
            continue
        middle, radius = waiting.pop(place)
        node = network.nodes[place - 1]
        if isinstance(node, Activation):
            _add(waiting, node.parent, _through(node, middle, radius, known))
            continue
        for parent, one, absolute in zip(node.parents, node.maps, node.magnitudes, strict=True):
            spread, sizes = absolute.adjoint(torch.stack([radius, middle.abs() + radius]))
            lost = growth(2 * one.terms + 16) * sizes + TINY
            _add(waiting, parent, (one.adjoint(middle), spread + lost))
    middle, radius = waiting.get(0, (rows.new_zeros(len(rows), network.inputs),) * 2)
    return Jacobian(middle, radius)


def _through(
    node: Activation, middle: Tensor, radius: Tensor, known: Sequence[Interval] | None
) -> tuple[Tensor, Tensor]:
    """The chain rule through an activation with slopes in an interval."""
    least, most = _slopes(node, None if known is None else known[node.parent])
    centre, half = (least + most) / 2, (most - least) / 2 * (1 + growth(4))
    size = middle.abs() + radius
    return middle * centre, radius * centre + size * half + growth(8) * size


def _slopes(node: Activation, given: Interval | None) -> tuple[Tensor, Tensor]:
    """Least and greatest slopes of an activation."""
    steepest = STEEPEST.get(node.function, 1.0)
    least = torch.zeros(node.size, dtype=torch.float64)
    most = torch.full_like(least, steepest)
    if given is None:
        return least, most
    low, high = given.low[0], given.high[0]
    if node.function == "relu":
        return (low > 0).double(), (high >= 0).double()
    ends = torch.stack([low.abs(), high.abs()])
    nearest = torch.where((low <= 0) & (high >= 0), 0.0, ends.amin(dim=0))
    least, most = (_slope(node.function, at) for at in (ends.amax(dim=0), nearest))
    return (least - LIBRARY).clamp_min(0), (most + LIBRARY).clamp_max(steepest)


def _slope(function: str, at: Tensor) -> Tensor:
    value = torch.sigmoid(at) if function == "sigmoid" else torch.tanh(at)
    return value * (1 - value) if function == "sigmoid" else 1 - value * value


def _add(
    waiting: dict[int, tuple[Tensor, Tensor]], place: int, more: tuple[Tensor, Tensor]
) -> None:
    if place in waiting:
        middle, radius = waiting[place]
        total = middle + more[0]
        lost = growth(4) * (middle.abs() + more[0].abs() + radius + more[1])
        waiting[place] = total, radius + more[1] + lost
    else:
        waiting[place] = more


def sampled_bound(network: Network, points: Tensor, norm: str) -> float:
    """The greatest operator norm of Jacobians at points: the constant is no smaller.

    Args:
        network: The network.
        points: (P, n).
        norm: `l2`, `linf` or `l1`.
    """
    best = 0.0
    for x in points:
        found = _jacobian_at(network, x.double())
        if norm == "l2":
            best = max(best, float(torch.linalg.matrix_norm(found, 2)))
        else:
            best = max(best, float(found.abs().sum(1 if norm == "linf" else 0).amax()))
    return best


def _jacobian_at(network: Network, x: Tensor) -> Tensor:
    """(m, n) the Jacobian at a point (n,)."""
    x = x.detach().requires_grad_(True)
    y = network(x)
    if not y.requires_grad:
        return x.new_zeros(len(y), len(x)).detach()
    return torch.stack([torch.autograd.grad(one, x, retain_graph=True)[0] for one in y.unbind()])


def certified_radius(margins: Tensor, rates: Tensor | None, constant: float, norm: str) -> float:
    """How far an input may go before one of its margins can be used up.

    Args:
        margins: (R,) the least that margins `y_t - y_j` can be at the input.
        rates: (R,) how fast each can fall, if known.
        constant: A Lipschitz constant of all outputs.
        norm: Its norm, and that of the distance.

    Returns:
        The distance; 0 where a margin is not positive.
    """
    least = float(margins.amin())
    if not least > 0:
        return 0.0
    found = least / (TWO_OUTPUTS[norm] * constant) if constant else float("inf")
    if rates is not None:
        found = max(found, float((margins / rates).amin()))
    return found * (1 - 1e-14)


def margin_rows(outputs: int, label: int) -> Tensor:
    """(m - 1, m) factors of `y_label - y_j` for all other j."""
    eye = torch.eye(outputs, dtype=torch.float64)
    others = [place for place in range(outputs) if place != label]
    return eye[label] - eye[others]
