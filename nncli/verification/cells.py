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
from torch import Tensor

from nncli.verification.backward import below
from nncli.verification.branches import Branches, Setting
from nncli.verification.programmes import (
    Neuron,
    Numbers,
    Programme,
    candidate,
    demands,
    programme_of,
)
from nncli.verification.relaxation import Lines, Slopes, lines, unstable
from nncli.verification.rounding import TINY, growth


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
        return Cell(False, None, _first_open(setting, branch))
    programme = programme_of(setting, branch)
    if not programme.is_usable:
        return Cell(False)
    solved = _solved(programme, seconds)
    if solved.x is None:
        return Cell(False, None, _first_open(setting, branch))
    if solved.status == 0 and _holds(setting, branch, programme, solved):
        return Cell(True)
    point = solved.x[:-1]
    neuron = None
    if programme.open:
        slope, value = programme.before
        gaps = programme.after @ point - np.maximum(slope @ point + value, 0)
        neuron = programme.open[int(np.argmax(gaps))]
    return Cell(False, candidate(setting, point[: programme.inputs]), neuron)


def _first_open(setting: Setting, branch: Branches) -> Neuron | None:
    for place, (low, high) in branch.limits.items():
        bent = torch.nonzero(unstable(low[0], high[0])).flatten()
        if len(bent) and setting.network.activation(place).function == "relu":
            return place, int(bent[0])
    return None


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
    found = below(
        setting.network, rows, domain, known, relaxed, multipliers=multipliers, caps=False
    )
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
