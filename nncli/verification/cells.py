"""A branch whose ReLUs are all fixed: the network is linear there, and a linear programme decides.

The programme asks for the least s such that some input of the region has every margin at most s and
misses every fixed sign by at most s. If s > 0 the branch has no counterexample, be it because the
signs contradict each other or because a margin is positive. The solver works with tolerances, so
its word is not taken: the multipliers of its dual solution make one linear combination of margins
and signs, whose lower bound is computed as every other bound is, rounding included.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nncli.verification.backward import below
from nncli.verification.branches import Branches, Setting
from nncli.verification.network import Activation, Sum
from nncli.verification.tightening import relaxations


@dataclass(frozen=True)
class Cell:
    """What the programme said.

    Attributes:
        proved: Whether the branch has no counterexample, by a bound of our own.
        witness: (n,) the input that comes nearest to one, if the branch is not proved.
    """

    proved: bool
    witness: Tensor | None


def decide_cell(setting: Setting, branch: Branches) -> Cell:
    """Decide a branch in which no neuron is left to fix.

    Args:
        setting: The network and the question.
        branch: One branch. With curved activations it is left open.

    Returns:
        The answer.
    """
    from scipy.optimize import linprog

    network, query = setting.network, setting.query
    if not network.pieces or query.region.ball is not None:
        return Cell(False, None)
    rows = setting.picked[branch.violation][0]
    linear = _linear(setting, branch)
    signed = [
        (place, column, float(sign[0, column]))
        for place, sign in branch.signs.items()
        for column in torch.nonzero(sign[0]).flatten().tolist()
    ]
    factors, constants = [], []
    slope, value = linear[network.last]
    for row in rows:
        inputs = 0 if query.inputs is None else query.inputs[row]
        factors.append(-(query.outputs[row] @ slope + inputs))
        constants.append(-(query.outputs[row] @ value + query.constants[row]))
    for place, column, sign in signed:
        slope, value = linear[network.activation(place).parent]
        factors.append(-sign * slope[column])
        constants.append(-sign * value[column])
    matrix = torch.stack(factors).numpy()
    solved = linprog(
        np.r_[np.zeros(network.inputs), 1.0],
        A_ub=np.c_[matrix, -np.ones(len(matrix))],
        b_ub=-torch.stack(constants).numpy(),
        bounds=[
            *zip(query.region.low.tolist(), query.region.high.tolist(), strict=True),
            (None, None),
        ],
        method="highs",
    )
    if solved.status != 0:
        return Cell(False, None)
    weights = np.maximum(-solved.ineqlin.marginals, 0.0)
    of_signs = dict(zip(signed, weights[len(rows) :].tolist(), strict=True))
    if _holds(setting, branch, weights[: len(rows)], of_signs):
        return Cell(True, None)
    point = torch.from_numpy(solved.x[:-1])
    region = query.region
    point = torch.minimum(torch.maximum(point, region.inner_low), region.inner_high)
    return Cell(False, point.float().double())


def _linear(setting: Setting, branch: Branches) -> dict[int, tuple[Tensor, Tensor]]:
    """The linear function (size, n), (size,) that each place is in the branch."""
    network = setting.network
    found = {
        0: (
            torch.eye(network.inputs, dtype=torch.float64),
            torch.zeros(network.inputs, dtype=torch.float64),
        )
    }
    for place, node in enumerate(network.nodes, 1):
        if isinstance(node, Activation):
            slope, value = found[node.parent]
            active = (branch.limits[place][0][0] >= 0).to(slope.dtype)
            found[place] = (slope * active[:, None], value * active)
            continue
        assert isinstance(node, Sum)
        slope = torch.zeros(node.size, network.inputs, dtype=torch.float64)
        value = node.bias.clone()
        for parent, one in zip(node.parents, node.maps, strict=True):
            slope = slope + one.apply(found[parent][0].T).T
            value = value + one.apply(found[parent][1])
        found[place] = (slope, value)
    return found


def _holds(
    setting: Setting,
    branch: Branches,
    of_rows: NDArray[np.float64],
    of_signs: dict[tuple[int, int, float], float],
) -> bool:
    """Whether a combination of margins and signs is positive on the whole region.

    In the branch each `sign * y` is not negative, and at a counterexample no margin is positive, so
    `sum of weights * margins - sum of multipliers * sign * y` would not be positive there.
    """
    weights = torch.from_numpy(of_rows)
    chosen = setting.picked[branch.violation][0]
    rows = {
        place: torch.einsum("k,bkn->bn", weights, one)[:, None]
        for place, one in setting.query.rows(setting.network, chosen).items()
    }
    multipliers = {place: torch.zeros_like(one)[:, None] for place, one in branch.signs.items()}
    for (place, column, sign), weight in of_signs.items():
        multipliers[place][0, 0, column] = sign * weight
    known = setting.intervals(branch)
    found = below(
        setting.network,
        rows,
        setting.domain(branch),
        known,
        relaxations(setting.network, known),
        multipliers=multipliers,
    )
    constants = setting.query.constants[chosen]
    slack = 1e-14 * float((weights * constants.abs()).sum())
    return float(found.bound) - float(weights @ constants) - slack > 0
