"""Which inputs a bound is loose because of.

A linear bound is off because of the activations whose lines are not the function. What each of them
costs is known from the backward pass; it is handed on to whatever made its interval wide, in
proportion, down to the inputs. So inputs are found that matter through activations which the bound
itself does not depend on: those of which the lower line is 0.

References:
    Bunel et al. 2020, Branch and bound for piecewise linear neural network verification (the cost
    of an activation); Bach et al. 2015, On pixel-wise explanations for non-linear classifier
    decisions by layer-wise relevance propagation (handing on in proportion).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nncli.verification.intervals import Interval
from nncli.verification.network import Activation, Network
from nncli.verification.relaxation import Lines


def relevance_of_inputs(
    network: Network,
    known: Sequence[Interval],
    relaxed: Mapping[int, Lines],
    trail: Mapping[int, Tensor],
    weights: Tensor,
) -> Tensor:
    """How much of what a bound loses is due to the width of each input.

    Args:
        network: The network.
        known: Intervals (B, n) of all places.
        relaxed: Lines of the activations, by place.
        trail: Factors (B or 1, R, n) that reach each activation, from `below`.
        weights: (B, R) how much each row counts.

    Returns:
        (B, inputs), not negative.
    """
    regions = len(weights)
    waiting: dict[int, Tensor] = {}
    for place in range(network.last, 0, -1):
        node = network.nodes[place - 1]
        found = waiting.pop(place, None)
        if isinstance(node, Activation):
            if place in trail:
                cost = _cost(known[node.parent], relaxed[place], trail[place], weights)
                found = cost if found is None else found + cost
            if found is not None:
                _add(waiting, node.parent, found)
            continue
        if found is None:
            continue
        widths = [(known[parent].high - known[parent].low).clamp_min(0) for parent in node.parents]
        spread = torch.zeros_like(found)
        for width, one in zip(widths, node.magnitudes, strict=True):
            spread = spread + one.apply(width.expand(regions, -1))
        share = torch.where(spread > 0, found / spread.clamp_min(1e-300), 0.0)[:, None]
        for parent, width, one in zip(node.parents, widths, node.magnitudes, strict=True):
            _add(waiting, parent, one.adjoint(share)[:, 0] * width)
    found = waiting.get(0)
    if found is None:
        return weights.new_zeros(regions, network.inputs)
    return torch.nan_to_num(found, 0.0, 0.0)


def _cost(given: Interval, line: Lines, factors: Tensor, weights: Tensor) -> Tensor:
    """(B, n) what the lines of an activation cost the rows, at the middle of its interval."""
    middle = ((given.low + given.high) / 2)[:, None]
    gap = (line.above - line.below) * middle + line.over
    if line.under is not None:
        gap = gap - line.under
    sizes: Tensor = (weights[:, None] @ factors.abs())[:, 0]
    return sizes * gap.amax(dim=1).clamp_min(0)


def _add(waiting: dict[int, Tensor], place: int, found: Tensor) -> None:
    waiting[place] = waiting[place] + found if place in waiting else found
