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

import torch
from torch import Tensor

from nncli.verification.rounding import UNIT, growth
from nncli.verification.sdp.lagrangian import SHARES, SLOPE, Multipliers, Problem
from nncli.verification.sdp.quadratic_form import Frame, Quadratic, quadratic

DECOMPOSED = 600  # variables up to which eigenvectors are computed, to choose weights
SHIFTS = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 1e-7, 1e-8)  # tried beyond
TRIES = 12  # Cholesky decompositions, each with four times the shift of the one before


def numbers_needed(problem: Problem) -> int:
    """Numbers of float64 that a certificate holds at once, about."""
    return 4 * (problem.variables + 1) ** 2


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
    kept = {}
    for place, one in multipliers.items():
        kept[place] = one.to(torch.float64, copy=True)
        if place == SHARES:
            kept[place].clamp_(0, 1)
        else:
            kept[place][SLOPE:].clamp_(min=0)
    found = []
    for row in range(problem.rows):
        k = torch.cat(
            [weights[place][row, which].double() for place, which in frame.chosen.items()]
        ).clamp_min(0)
        found.append(bound_of(quadratic(problem, frame, kept, row), k))
    return torch.tensor(found, dtype=torch.float64)


def bound_of(form: Quadratic, weights: Tensor) -> float:
    """The bound of a quadratic function over [-1, 1]^N by weights of its variables.

    Args:
        form: The function.
        weights: (N,) not negative.

    Returns:
        A lower bound, minus infinity if none was found.
    """
    count = len(weights)
    constant = float(form.constant)
    if not all(bool(one.isfinite().all()) for one in (form.bend, form.slope, weights)):
        return -float("inf")
    if not count:
        return constant - form.error
    body = form.bend + torch.diag(weights)
    weights, first = _balanced(body, form.slope, weights)
    matrix = form.bend.new_zeros(count + 1, count + 1)
    matrix[0, 0], matrix[0, 1:], matrix[1:, 0] = first, form.slope, form.slope
    matrix[1:, 1:] = form.bend + torch.diag(weights)
    held = float(weights.sum()) + first
    diagonal = float(matrix.diagonal().abs().sum()) + float(weights.sum())
    shift = _shift(matrix)
    if shift is None:
        return -float("inf")
    spent = (held + shift * (count + 1)) / 2
    rounding = growth(count + 16) * (diagonal + abs(constant) + abs(first) + shift * (count + 1))
    return constant - spent - form.error - 2 * rounding


def _balanced(body: Tensor, slope: Tensor, weights: Tensor) -> tuple[Tensor, float]:
    """Weights that make the matrix definite at the least cost, all raised by one amount.

    With a positive definite body B the least weight of the constant is `g' B^-1 g`. Raising all
    other weights lowers that, and costs its amount for each.

    Args:
        body: (N, N) the quadratic form with the weights on its diagonal.
        slope: (N,) g.
        weights: (N,).

    Returns:
        The weights, and that of the constant.
    """
    tiny = 1e-12 * (1 + float(weights.max()) + float(slope.abs().max()))
    decomposed = _eigenvectors(body)
    if decomposed is not None:
        values, vectors = decomposed
        squares = (slope @ vectors) ** 2
        base = max(0.0, -float(values[0])) * (1 + 1e-9) + tiny
        raised = base + tiny * torch.logspace(-1, 12, 131, dtype=body.dtype)
        costs = (squares / (values + raised[:, None])).sum(dim=1)
        best = int((costs + len(weights) * raised).argmin())
        return weights + raised[best], float(costs[best]) * (1 + 1e-9) + tiny
    best_cost, found = float("inf"), (weights, float(slope.abs().sum()))
    eye = torch.eye(len(weights), dtype=body.dtype)
    for extra in SHIFTS:
        factor, failed = torch.linalg.cholesky_ex(body + extra * eye)
        if int(failed):
            if best_cost < float("inf"):
                break
            continue
        solved = torch.linalg.solve_triangular(factor, slope[:, None], upper=False)
        least = float((solved**2).sum())
        cost = least + len(weights) * extra
        if cost >= best_cost:
            break
        best_cost, found = cost, (weights + extra, least * (1 + 1e-9) + tiny)
    return found


def _eigenvectors(matrix: Tensor) -> tuple[Tensor, Tensor] | None:
    """Eigenvalues and eigenvectors, `None` where that takes too long or fails."""
    if len(matrix) > DECOMPOSED:
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
