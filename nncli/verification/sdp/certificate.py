"""The bound that multipliers prove, with every rounding error taken off.

For any multipliers the row is at least the Lagrangian, and with v = (1, z) that is
`c + v'M v / 2` where v'v <= N + 1 and each v_j^2 <= 1. For any weights k and any s with
`M + diag(k) + s I` positive semidefinite it is therefore at least

    c - (k_0 + k_1 + ... + k_N + s (N + 1)) / 2.

That a matrix is positive semidefinite, but for a tiny amount known beforehand, is shown by a
Cholesky decomposition that runs to its end; eigenvalues by iteration would show nothing.

References:
    Rump 2006, Verification of positive definiteness. Dathathri et al. 2020, section 4.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.rounding import UNIT, growth
from nncli.verification.sdp.lagrangian import LARGE, SHARES, SLOPE, Multipliers, Problem
from nncli.verification.sdp.quadratic_form import Frame, Quadratic, quadratic

SPENT = (0.25, 0.8)  # shares of what may be given away that raised weights cost
SPENT_ANYHOW = (0.1, 0.3, 1.0, 3.0, 10.0)  # likewise, of what is missing
LEAST_RAISE, MORE = 1e-9, 8.0  # the first raise where nothing may be, relative to the mean weight
NEAR = 1.3  # between raises, one too small, that are not told apart any more
TRIES = 12  # Cholesky decompositions, each with several times the shift of the one before


def numbers_needed(problem: Problem) -> int:
    """Numbers of float64 that a certificate holds at once, about."""
    return 5 * (problem.variables + 1) ** 2


@dataclass(frozen=True)
class Proved:
    """What certificates prove.

    Attributes:
        bound: (R,) lower bounds; minus infinity where none was found.
        weights: (R, n) by place, raised so that they prove it as they are.
    """

    bound: Tensor
    weights: dict[int, Tensor]


def certified(
    problem: Problem, frame: Frame, multipliers: Multipliers, weights: Mapping[int, Tensor]
) -> Tensor:
    """Bounds that hold, from multipliers and weights of any quality.

    Args:
        problem: The problem, in float64.
        frame: Its frame.
        multipliers: Of the facts; negative ones count as 0 where a fact is an inequality.
        weights: (R, n) multipliers of `z^2 <= 1` by place; see `sweeps.Iterate`.

    Returns:
        (R,) lower bounds; minus infinity where none was found.
    """
    return proved(problem, frame, multipliers, weights).bound


def proved(
    problem: Problem,
    frame: Frame,
    multipliers: Multipliers,
    weights: Mapping[int, Tensor],
    slack: Tensor | None = None,
) -> Proved:
    """Bounds that hold, and weights that prove them at once.

    Args:
        problem: The problem, in float64.
        frame: Its frame.
        multipliers: Of the facts; negative ones count as 0 where a fact is an inequality.
        weights: (R, n) multipliers of `z^2 <= 1` by place; see `sweeps.Iterate`.
        slack: (R,) how much of the bound may be given away, for a quick proof that is good enough;
            negative where some is missing, for any that is found quickly. By default the best.

    Returns:
        The bounds.
    """
    kept = {}
    for place, one in multipliers.items():
        kept[place] = one.to(torch.float64, copy=True)
        if place == SHARES:
            kept[place].clamp_(0, 1)
        else:
            kept[place][SLOPE:].clamp_(min=0)
    bounds, raised = [], {place: one.double().clone() for place, one in weights.items()}
    for row in range(problem.rows):
        k = torch.cat(
            [raised[place][row, which] for place, which in frame.chosen.items()]
        ).clamp_min(0)
        room = None if slack is None else float(slack[row])
        found, better = proof(quadratic(problem, frame, kept, row), k, room)
        bounds.append(found)
        for place, which in frame.chosen.items():
            begin = frame.start[place]
            raised[place][row, which] = better[begin : begin + len(which)]
    return Proved(torch.tensor(bounds, dtype=torch.float64), raised)


def proof(form: Quadratic, weights: Tensor, slack: float | None) -> tuple[float, Tensor]:
    """The bound of a quadratic function over [-1, 1]^N by weights of its variables.

    Args:
        form: The function.
        weights: (N,) not negative.
        slack: How much of the bound may be given away; see `proved`.

    Returns:
        A lower bound, minus infinity if none was found, and (N,) weights that prove it.
    """
    constant, count = float(form.constant), len(weights)
    if not all(bool(one.isfinite().all()) for one in (form.bend, form.slope, weights)):
        return -float("inf"), weights
    if not count:
        return constant - form.error, weights
    body = form.bend + torch.diag(weights)
    decomposed = _eigenvectors(body)
    if decomposed is None:
        return _raised(form, weights, slack)
    weights, first = _balanced(decomposed, form.slope, weights)
    matrix = form.bend.new_zeros(count + 1, count + 1)
    matrix[0, 0], matrix[0, 1:], matrix[1:, 0] = first, form.slope, form.slope
    matrix[1:, 1:] = form.bend + torch.diag(weights)
    shift = _shift(matrix)
    if shift is None:
        return -float("inf"), weights
    return _bound(form, weights, first, shift), weights


def _bound(form: Quadratic, weights: Tensor, first: float, shift: float) -> float:
    """The bound of a matrix that is positive semidefinite but for a shift."""
    count, constant, total = len(weights), float(form.constant), float(weights.sum())
    diagonal = float(form.bend.diagonal().abs().sum()) + 2 * total + first
    spent = (total + first + shift * (count + 1)) / 2
    rounding = growth(count + 16) * (diagonal + abs(constant) + abs(first) + shift * (count + 1))
    return constant - spent - form.error - 2 * rounding


def _raised(form: Quadratic, weights: Tensor, slack: float | None) -> tuple[float, Tensor]:
    """The bound after a raise of all weights by one amount: the best of a few, or a good one."""
    body, none = form.bend.clone(), -float("inf")

    def attempt(extra: float) -> float:
        body.diagonal().copy_(form.bend.diagonal() + (weights + extra))
        return _completed(form, body, weights + extra)

    if slack is not None and slack:
        for share in SPENT if slack > 0 else SPENT_ANYHOW:
            extra = 2 * share * abs(slack) / len(weights)
            found = attempt(extra)
            if found > none:
                return found, weights + extra
        return none, weights
    least = LEAST_RAISE * (1e-9 + float(weights.mean()))
    best, high, low = none, 0.0, 0.0
    for turn in range(TRIES):
        extra = least * MORE**turn
        found = attempt(extra)
        if best > none and found <= best:
            break
        if found > none:
            best, high = found, extra
        else:
            low = extra
    while best > none and low and high > NEAR * low:
        middle = (low * high) ** 0.5
        found = attempt(middle)
        if found > best:
            best, high = found, middle
        else:
            low = middle
    return best, weights + high


def _completed(form: Quadratic, body: Tensor, weights: Tensor) -> float:
    """The bound if a matrix is positive definite, with the least weight of the constant.

    With the constant as the last row, the factor of the matrix is the first part of that of the
    whole, whose last pivot is what the weight of the constant exceeds `g' B^-1 g` by.
    """
    factor, failed = torch.linalg.cholesky_ex(body)
    if int(failed):
        return -float("inf")
    solved = torch.linalg.solve_triangular(factor, form.slope[:, None], upper=False)
    least = float((solved**2).sum())
    first = least * (1 + 1e-9) + 1e-12 * (1 + float(weights.max()))
    if not first - least > 0:
        return -float("inf")
    trace = float(body.diagonal().abs().sum()) + first
    missed = 1.01 * (len(weights) + 4) * UNIT * trace + 1e-300
    return _bound(form, weights, first, 2 * missed)


def _balanced(
    decomposed: tuple[Tensor, Tensor], slope: Tensor, weights: Tensor
) -> tuple[Tensor, float]:
    """Weights that make the matrix definite at the least cost, all raised by one amount.

    With a positive definite body B the least weight of the constant is `g' B^-1 g`. Raising all
    other weights lowers that, and costs its amount for each.

    Args:
        decomposed: Eigenvalues and eigenvectors of the form with the weights on its diagonal.
        slope: (N,) g.
        weights: (N,).

    Returns:
        The weights, and that of the constant.
    """
    values, vectors = decomposed
    tiny = 1e-12 * (1 + float(weights.max()) + float(slope.abs().max()))
    squares = (slope @ vectors) ** 2
    base = max(0.0, -float(values[0])) * (1 + 1e-9) + tiny
    raised = base + tiny * torch.logspace(-1, 12, 131, dtype=slope.dtype)
    costs = (squares / (values + raised[:, None])).sum(dim=1)
    best = int((costs + len(weights) * raised).argmin())
    return weights + raised[best], float(costs[best]) * (1 + 1e-9) + tiny


def _eigenvectors(matrix: Tensor) -> tuple[Tensor, Tensor] | None:
    """Eigenvalues and eigenvectors, `None` where that takes too long or fails."""
    if len(matrix) > LARGE:  # eigenvectors would take too long
        return None
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except RuntimeError:  # it did not converge
        return None
    return values, vectors


def _shift(matrix: Tensor) -> float | None:
    """A shift that makes a matrix positive semidefinite, proved by Cholesky."""
    size = len(matrix)
    trace = float(matrix.diagonal().abs().sum())
    shift = 0.0
    step = 1e-13 * (1 + trace)
    for _ in range(TRIES):
        _, failed = torch.linalg.cholesky_ex(matrix + shift * torch.eye(size, dtype=matrix.dtype))
        if not int(failed):
            missed = 1.01 * (size + 3) * UNIT * (trace + size * shift) + 1e-300
            return shift + 2 * missed
        shift, step = step, 4 * step
    return None
