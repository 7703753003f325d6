"""Exact answers for small networks of ReLUs: a mixed-integer programme, and a tree of proofs.

The programme has a binary variable for each open ReLU, big-M limits from its interval and the cut
of its triangle. Its optimum is the least that the greatest margin of a violation can be, and where
that is not positive its input is tried as a counterexample.

That is all the solver is believed in. HiGHS works with tolerances of 1e-6, and does not show the
tree of its search. So where it finds no violation, the search is done again with a linear programme
for each branch, and each leaf is closed by a bound of our own (`nncli.verification.cells`). What
cannot be closed so is left open: optima within about 1e-9 of zero.

References:
    Tjeng, Xiao and Tedrake 2019, Evaluating robustness of neural networks with mixed integer
    programming. Bunel et al. 2020, Branch and bound for piecewise linear neural network
    verification.
"""

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nncli.verification.branches import Branches, Setting, halves, neuron_index, root
from nncli.verification.cells import decide_cell
from nncli.verification.clock import Clock
from nncli.verification.domains import domain_of
from nncli.verification.input_splitting import Splitting
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.programmes import Numbers, Programme, candidate, demands, programme_of
from nncli.verification.queries import Query, rows_of_violations
from nncli.verification.trees import Tree

SEARCH_SHARE = 0.3  # of the time that is left, for the mixed-integer programme


def solve_exactly(
    network: Network,
    query: Query,
    known: Sequence[Interval],
    confirm: Callable[[Tensor], bool],
    clock: Clock,
    *,
    open_violations: Tensor | None = None,
    numbers: int = 30_000_000,
    tree: Tree | None = None,
) -> Splitting:
    """Look for a violation by mixed-integer programmes, then prove that there is none.

    Args:
        network: The network.
        query: The violations.
        known: Intervals (1, n) of all places, the best that are known.
        confirm: Whether an input (n,) is a counterexample, by an exact test.
        clock: The time.
        open_violations: (K,) places of the violations that are still open; by default all.
        numbers: Numbers held at once, about; larger programmes are not made.
        tree: Takes where branches were divided.

    Returns:
        What was found. Violations are left open in networks with curved activations and where
        programmes would be too large.

    Raises:
        OutOfTime: The deadline has passed.
    """
    setting = Setting(
        network, query, rows_of_violations(query), domain_of([query.region]), known, 0, clock.check
    )
    which = torch.arange(len(query.violations)) if open_violations is None else open_violations
    if not network.pieces or demands(setting, root(setting, which[:1])) > numbers:
        return Splitting(False, None, 0)
    for turn, one in enumerate(which):
        clock.check()
        witness = _least_margin(setting, root(setting, one[None]), clock.left * SEARCH_SHARE)
        if witness is not None and confirm(witness):
            return Splitting(False, witness, turn + 1)
    done, stuck = 0, 0
    nodes = torch.arange(len(which)) if tree is None else tree.plant(len(which))
    for one, node in zip(which, nodes, strict=True):
        waiting = [root(setting, one[None], node[None])]
        while waiting:
            clock.check()
            branch = waiting.pop()
            done += 1
            if bool(_is_empty(branch)):
                continue
            cell = decide_cell(setting, branch, clock.left)
            if cell.proved:
                continue
            if cell.witness is not None and confirm(cell.witness):
                return Splitting(False, cell.witness, done)
            if cell.neuron is None:
                stuck += 1
                continue
            both = halves(branch, torch.tensor([neuron_index(branch, cell.neuron)]), tree)
            waiting += [both[:1], both[1:]]
    return Splitting(stuck == 0, None, done)


def _is_empty(branch: Branches) -> Tensor:
    crossed = [(low > high).any() for low, high in branch.limits.values()]
    return torch.stack(crossed).any() if crossed else torch.tensor(False)


def _least_margin(setting: Setting, branch: Branches, seconds: float) -> Tensor | None:
    """Where the greatest margin of a violation is least, `None` if it stays positive."""
    programme = programme_of(setting, branch)
    if not programme.is_usable:
        return None
    solved = _solved(programme, seconds)
    if solved.x is None or solved.x[-1] > 1e-6 * (1 + abs(solved.x[-1])):
        return None
    return candidate(setting, solved.x[: programme.inputs])


def _solved(programme: Programme, seconds: float) -> Any:
    """The mixed-integer programme's solution: n + m variables, m binary ones, and the margin."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    count, opened = len(programme.low), len(programme.open)
    triangle, limit = programme.triangles()
    slope, value = programme.before
    after = programme.after
    most = programme.high[programme.inputs :]
    margins = programme.margins
    parts: list[tuple[Numbers, Numbers, Numbers, Numbers]] = [
        (margins[0], np.zeros((len(margins[0]), opened)), -np.ones(len(margins[0])), margins[1]),
        (triangle, np.zeros((2 * opened, opened)), np.zeros(2 * opened), limit),
        # z <= y - least (1 - a) and z <= most a
        (after - slope, np.diag(-programme.least), np.zeros(opened), programme.least - value),
        (after, np.diag(-most), np.zeros(opened), np.zeros(opened)),
    ]
    matrix = np.vstack([np.c_[one, binary, last] for one, binary, last, _ in parts])
    limits = -np.concatenate([added for *_, added in parts])
    low = np.r_[programme.low, np.zeros(opened), -np.inf]
    high = np.r_[programme.high, np.ones(opened), np.inf]
    with silenced():
        return milp(
            np.r_[np.zeros(count + opened), 1.0],
            integrality=np.r_[np.zeros(count), np.ones(opened), 0.0],
            bounds=Bounds(low, high),
            constraints=LinearConstraint(matrix, -np.inf, limits),
            options={} if seconds == float("inf") else {"time_limit": max(seconds, 0.01)},
        )


@contextmanager
def silenced() -> Iterator[None]:
    """Keep what compiled code prints off standard output, which may be the user's table.

    HiGHS prints a line when it repairs a solution, whatever its options say.
    """
    try:
        kept = os.dup(1)
    except OSError:  # there is no standard output
        yield
        return
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.close(nothing)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
