"""A branch as a linear programme: linear functions of its inputs and of its open ReLUs."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nncli.verification.branches import Branches, Setting
from nncli.verification.network import Activation
from nncli.verification.relaxation import unstable

Neuron = tuple[int, int]  # place of the ReLU, and which of its numbers
Numbers = NDArray[np.float64]
COPIED = 16  # rows for each open ReLU: 4 of the programme, put together and taken over by HiGHS
USABLE = 1e100  # HiGHS takes 1e20 for infinite; far beyond, our own quotients overflow


@dataclass(frozen=True)
class Programme:
    """A branch as linear functions of n inputs and the outputs of m open ReLUs.

    Attributes:
        margins: (K, n + m) factors of the margins, and (K,) what is added.
        signs: (S, n + m) and (S,): what is not negative in the branch.
        before: (m, n + m) and (m,): what goes into the open ReLUs.
        signed: The neurons of fixed sign and their signs, in order.
        open: The open neurons.
        low: (n + m,) lower limits of the variables.
        high: (n + m,) upper limits.
        least: (m,) least values of what goes into the open ReLUs, below 0.
    """

    margins: tuple[Numbers, Numbers]
    signs: tuple[Numbers, Numbers]
    before: tuple[Numbers, Numbers]
    signed: tuple[tuple[int, int, float], ...]
    open: tuple[Neuron, ...]
    low: Numbers
    high: Numbers
    least: Numbers

    @property
    def inputs(self) -> int:
        """N."""
        return len(self.low) - len(self.open)

    @property
    def is_usable(self) -> bool:
        """Whether all numbers are such that a solver can work with them."""
        pairs = (*self.margins, *self.signs, *self.before, self.low, self.high, self.least)
        return all(bool((np.abs(one) < USABLE).all()) for one in pairs)

    @property
    def chord(self) -> Numbers:
        """(m,) slopes of the upper lines of the open ReLUs."""
        most = self.high[self.inputs :]
        chord: Numbers = most / (most - self.least)
        return chord

    @property
    def after(self) -> Numbers:
        """(m, n + m) what picks the outputs of the open ReLUs."""
        count = len(self.open)
        return np.hstack([np.zeros((count, self.inputs)), np.eye(count)])

    def triangles(self) -> tuple[Numbers, Numbers]:
        """(2 m, n + m) and (2 m,): not positive in the triangles, first `y - z`, then the chord."""
        slope, value = self.before
        chord = self.chord
        return (
            np.vstack([slope - self.after, self.after - chord[:, None] * slope]),
            np.concatenate([value, chord * (self.least - value)]),
        )


def candidate(setting: Setting, point: Numbers) -> Tensor:
    """The nearest input (n,) of float32 numbers within the exact box."""
    region = setting.query.region
    found = torch.from_numpy(np.array(point, dtype=np.float64))
    found = torch.minimum(torch.maximum(found, region.inner_low), region.inner_high)
    return found.float().double()


def programme_of(setting: Setting, branch: Branches) -> Programme:
    """The linear functions of a branch.

    Args:
        setting: The network and the question.
        branch: One branch of a network of ReLUs.
    """
    network, query = setting.network, setting.query
    bent = {
        place: torch.nonzero(unstable(low[0], high[0])).flatten()
        for place, (low, high) in branch.limits.items()
    }
    linear = _linear(setting, branch, bent)
    rows = setting.picked[branch.violation][0]
    slope, value = linear[network.last]
    factors = -(query.outputs[rows] @ slope)
    if query.inputs is not None:
        factors[:, : network.inputs] -= query.inputs[rows]
    constants = -(query.outputs[rows] @ value + query.constants[rows])
    signed = tuple(
        (place, column, float(sign[0, column]))
        for place, sign in branch.signs.items()
        for column in torch.nonzero(sign[0]).flatten().tolist()
    )
    opened = tuple((place, column) for place, each in bent.items() for column in each.tolist())

    def gathered(neurons: list[Neuron]) -> tuple[Tensor, Tensor]:
        found = [linear[network.activation(place).parent] for place, _ in neurons]
        columns = [column for _, column in neurons]
        both = list(zip(found, columns, strict=True))
        if not both:
            return slope.new_zeros(0, slope.shape[1]), value.new_zeros(0)
        return (
            torch.stack([one[0][column] for one, column in both]),
            torch.stack([one[1][column] for one, column in both]),
        )

    signs = torch.tensor([sign for _, _, sign in signed], dtype=torch.float64)
    sign_slope, sign_value = gathered([(place, column) for place, column, _ in signed])
    before = gathered(list(opened))
    least = [float(branch.limits[place][0][0, column]) for place, column in opened]
    most = [float(branch.limits[place][1][0, column]) for place, column in opened]
    return Programme(
        (factors.numpy(), constants.numpy()),
        ((signs[:, None] * sign_slope).numpy(), (signs * sign_value).numpy()),
        (before[0].numpy(), before[1].numpy()),
        signed,
        opened,
        np.concatenate([query.region.low.numpy(), np.zeros(len(most))]),
        np.concatenate([query.region.high.numpy(), np.array(most)]),
        np.array(least),
    )


def demands(setting: Setting, branch: Branches) -> int:
    """How many numbers a programme holds, about: its functions, and what solvers copy of them."""
    network = setting.network
    opened = sum(int(unstable(low, high).sum()) for low, high in branch.limits.values())
    sizes = sum(network.sizes)
    return (sizes + COPIED * opened) * (network.inputs + opened + 1)


def _linear(
    setting: Setting, branch: Branches, bent: dict[int, Tensor]
) -> dict[int, tuple[Tensor, Tensor]]:
    """What each place is: (size, n + m) factors of the variables, (size,) what is added."""
    network = setting.network
    width = network.inputs + sum(len(one) for one in bent.values())
    inputs = torch.eye(network.inputs, width, dtype=torch.float64)
    found = {0: (inputs, inputs.new_zeros(network.inputs))}
    used = network.inputs
    for place, node in enumerate(network.nodes, 1):
        if isinstance(node, Activation):
            slope, value = found[node.parent]
            active = (branch.limits[place][0][0] >= 0).to(slope.dtype)
            active[bent[place]] = 0
            slope, value = slope * active[:, None], value * active
            slope[bent[place], used + torch.arange(len(bent[place]))] = 1
            used += len(bent[place])
            found[place] = (slope, value)
            continue
        slope, value = inputs.new_zeros(node.size, width), node.bias.clone()
        for parent, one in zip(node.parents, node.maps, strict=True):
            slope = slope + one.apply(found[parent][0].T).T
            value = value + one.apply(found[parent][1])
        found[place] = (slope, value)
    return found
