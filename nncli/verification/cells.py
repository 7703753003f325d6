"""Linear programmes for a branch, whose word is not taken: what they show is proved by a bound.

The programme's variables are the inputs and the outputs of those ReLUs whose sign is open; all else
is linear in these, and open ReLUs lie in their triangles. It asks for the least s such that every
margin is at most s and every fixed sign is missed by at most s. If s > 0 the branch has no
counterexample, be it because the signs contradict each other or because a margin is positive. Where
no ReLU is open that is exact.

Solvers work with tolerances. The multipliers of the dual solution make one linear combination of
margins and signs, and slopes for the open ReLUs; the lower bound of that combination is computed as
every other bound is, rounding included. Any multipliers are valid, so a solver that errs costs a
proof and never makes a wrong one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nncli.verification.backward import below
from nncli.verification.branches import Branches, Setting
from nncli.verification.network import Activation
from nncli.verification.relaxation import Lines, Slopes, lines, unstable
from nncli.verification.rounding import TINY, growth

Neuron = tuple[int, int]  # place of the ReLU, and which of its numbers
Numbers = NDArray[np.float64]
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


@dataclass(frozen=True)
class Cell:
    """What a programme has shown of a branch.

    Attributes:
        proved: Whether the branch has no counterexample, by a bound of our own.
        witness: (n,) the input that comes nearest to one, if the branch is not proved.
        neuron: The open ReLU that is furthest from its function there, `None` without open ones.
    """

    proved: bool
    witness: Tensor | None = None
    neuron: Neuron | None = None


def decide_cell(
    setting: Setting,
    branch: Branches,
    seconds: float = float("inf"),
    numbers: float = float("inf"),
) -> Cell:
    """Prove that a branch has no counterexample, if a linear programme shows it.

    Args:
        setting: The network and the question.
        branch: One branch. With curved activations it is left open.
        seconds: Time for the solver.
        numbers: Numbers that the programme may have; a larger one is not made.

    Returns:
        The answer. Where there is no programme, any open neuron is as good as another.
    """
    if not setting.network.pieces or demands(setting, branch) > numbers:
        return Cell(False, None, _first_open(branch))
    programme = programme_of(setting, branch)
    if not programme.is_usable:
        return Cell(False)
    solved = _solved(programme, seconds)
    if solved.x is None:
        return Cell(False, None, _first_open(branch))
    if solved.status == 0 and _holds(setting, branch, programme, solved):
        return Cell(True)
    point = solved.x[:-1]
    neuron = None
    if programme.open:
        slope, value = programme.before
        gaps = programme.after @ point - np.maximum(slope @ point + value, 0)
        neuron = programme.open[int(np.argmax(gaps))]
    return Cell(False, candidate(setting, point[: programme.inputs]), neuron)


def _first_open(branch: Branches) -> Neuron | None:
    for place, (low, high) in branch.limits.items():
        bent = torch.nonzero(unstable(low[0], high[0])).flatten()
        if len(bent):
            return place, int(bent[0])
    return None


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
    """How many numbers the linear functions of a branch have."""
    network = setting.network
    opened = sum(int(unstable(low, high).sum()) for low, high in branch.limits.values())
    sizes = sum(network.size(place) for place in range(network.last + 1))
    return (sizes + 4 * opened) * (network.inputs + opened + 1)


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


def _solved(programme: Programme, seconds: float) -> Any:
    """The programme's solution by HiGHS."""
    from scipy.optimize import linprog

    triangles = programme.triangles()
    matrix = np.vstack([programme.margins[0], -programme.signs[0], triangles[0]])
    limits = -np.concatenate([programme.margins[1], -programme.signs[1], triangles[1]])
    missed = np.zeros(len(matrix))
    missed[: len(matrix) - len(triangles[0])] = -1
    count = matrix.shape[1]
    return linprog(
        np.r_[np.zeros(count), 1.0],
        A_ub=np.c_[matrix, missed],
        b_ub=limits,
        bounds=np.c_[np.r_[programme.low, -np.inf], np.r_[programme.high, np.inf]],
        method="highs",
        options={} if seconds == float("inf") else {"time_limit": max(seconds, 0.01)},
    )


def _holds(setting: Setting, branch: Branches, programme: Programme, solved: Any) -> bool:
    """Whether a combination of margins and signs is positive on the whole region.

    In the branch each `sign * y` is not negative, and at a counterexample no margin is positive, so
    `sum of weights * margins - sum of multipliers * sign * y` would not be positive there.
    """
    duals = np.maximum(-solved.ineqlin.marginals, 0.0)
    if not np.isfinite(duals).all():
        return False
    count, fixed = len(programme.margins[0]), len(programme.signed)
    weights = torch.from_numpy(duals[:count].copy())
    known = setting.intervals(branch)
    chosen = setting.picked[branch.violation][0]
    rows, lost = {}, 0.0
    for place, one in setting.query.rows(setting.network, chosen).items():
        rows[place] = (weights[:, None] * one[0]).sum(dim=0)[None, None]
        sizes = (weights[:, None] * one[0].abs()).sum(dim=0)
        lost += float(growth(2 * count + 16) * (sizes * known[place].reach[0]).sum())
    multipliers = {place: torch.zeros_like(one)[:, None] for place, one in branch.signs.items()}
    for (place, column, sign), weight in zip(
        programme.signed, duals[count : count + fixed].tolist(), strict=True
    ):
        multipliers[place][0, 0, column] = sign * weight
    relaxed = _relaxed(setting, branch, programme, duals[count + fixed :], solved)
    domain = setting.domain(branch)
    found = below(setting.network, rows, domain, known, relaxed, multipliers=multipliers)
    constants = setting.query.constants[chosen]
    lost += growth(2 * count + 16) * float(weights @ constants.abs()) + TINY
    return float(found.bound) - float(weights @ constants) > 1.01 * lost


def _relaxed(
    setting: Setting, branch: Branches, programme: Programme, duals: Numbers, solved: Any
) -> dict[int, Lines]:
    """The lines of all ReLUs, those of open ones below with the slopes of the dual solution."""
    upper = duals[: len(programme.open)]
    lower = np.maximum(solved.lower.marginals[programme.inputs : -1], 0.0)
    total = upper + lower
    share = np.where(total > 0, upper / np.where(total > 0, total, 1.0), 0.5)
    slopes = {
        place: torch.full_like(low[:, None], 0.5) for place, (low, _) in branch.limits.items()
    }
    for (place, column), one in zip(programme.open, share.tolist(), strict=True):
        slopes[place][0, 0, column] = min(max(one, 0.0), 1.0)
    known = setting.intervals(branch)
    return {
        place: lines("relu", low, high, Slopes(slopes[place]))
        for place, (low, high) in (
            (place, (known[parent].low, known[parent].high))
            for place, parent in (
                (place, setting.network.activation(place).parent) for place in branch.limits
            )
        )
    }
