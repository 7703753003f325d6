"""The stages of a proof: each notes what it finds of a query, cheap ones first."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from nncli.verification.bounding import bound_by_intervals, bound_by_lines, bound_by_slopes
from nncli.verification.certifying.leaves import Branching
from nncli.verification.certifying.recording import record_tree
from nncli.verification.falsifying import falsify
from nncli.verification.input_splitting import FEW_INPUTS, Splitting, split_inputs
from nncli.verification.milp import solve_exactly
from nncli.verification.relu_splitting import searching, split_relus
from nncli.verification.sdp.proving import Search, promising, semidefinite_margins
from nncli.verification.sharpening import begun, costly
from nncli.verification.standing import Standing
from nncli.verification.trees import Tree
from nncli.verification.waiting import together
from nncli.verification.work import Confirm, Setting, Work

__all__ = ["AUTO", "AUTO_OF_SQUARES", "STAGES", "Confirm", "Setting", "Stage", "Work"]

SOME_INPUTS = 200  # up to here halving boxes may come to its end, as far as one can tell after
TRIAL_SHARE, LONGEST_TRIAL = 0.01, 1.0
ATTACK_SHARE, ATTACK_MOST = 0.1, 5.0
SEMIDEFINITE_SHARE = 0.5  # of the time left; what remains open is left to branch and bound


class Stage(NamedTuple):
    """A stage.

    Attributes:
        run: What it does with a query; it notes what it finds in the standing and the work.
        needs: Stages that it rests on, where it is asked for by name.
        summary: What it is, for the user.
    """

    run: Callable[[Work, Standing], None]
    needs: tuple[str, ...]
    summary: str


def _attack(work: Work, standing: Standing, rounds: int) -> None:
    most = min(ATTACK_MOST, ATTACK_SHARE * work.setting.timeout)
    spent = work.seconds.get("attack", 0.0) + work.seconds.get("attack-again", 0.0)
    found = falsify(
        work.network,
        standing.query,
        work.confirm,
        work.clock.part(most - spent),
        seed=work.setting.seed + len(work.seconds),
        rounds=rounds,
        open_violations=standing.left,
        numbers=work.setting.numbers,
    )
    standing.nearest = torch.minimum(standing.nearest, found.nearest)
    work.counterexample = found.counterexample


def _first_attack(work: Work, standing: Standing) -> None:
    _attack(work, standing, 0 if work.setting.method == "auto" else 1)  # bounds may do for the rest


def _more_attack(work: Work, standing: Standing) -> None:
    auto = work.setting.method == "auto"
    _attack(work, standing, 1 if auto and "alpha-crown" not in work.seconds else 4)


def _split_inputs(work: Work, standing: Standing) -> None:
    auto = work.setting.method == "auto"
    trial = None
    free = standing.query.free_inputs
    if auto and free > FEW_INPUTS:
        if free > SOME_INPUTS:
            return
        trial = min(TRIAL_SHARE * work.clock.left, LONGEST_TRIAL)
    tree = work.setting.tree
    found = split_inputs(
        work.network,
        standing.query,
        work.confirm,
        work.clock,
        open_violations=standing.left,
        tree=tree,
        trial=trial,
        numbers=work.setting.numbers,
    )
    _searched(work, standing, found, "input-split", tree)


def _contradict(work: Work, standing: Standing) -> None:
    """Suppose that violations happen; those that contradict themselves cannot."""
    which = standing.left
    setting = searching(work.network, standing.query, standing.known, work.clock)
    if work.setting.method == "auto":
        waits = "sdp" not in work.seconds and costly(setting, which)
        if waits or standing.supposed:
            return
    standing.supposed = True
    for part in torch.split(which, together(setting, work.setting.numbers)):
        tree = Branching.within(work.setting.numbers) if work.setting.record else None
        found = begun(setting, part, work.setting.numbers, tree)
        closed = torch.nonzero(~torch.isin(part, found.branches.violation)).flatten()
        if tree is not None and len(closed):
            record_tree(standing, "contradiction", part[closed], tree.roots(closed))
        margins = torch.full((len(closed),), CLOSED, dtype=torch.float64)
        standing.note("contradiction", margins, part[closed])
        standing.begun = found if len(part) == len(which) else None  # of all, or of none


def _split_relus(work: Work, standing: Standing) -> None:
    tree = Branching.within(work.setting.numbers) if work.setting.record else None
    start = None if standing.begun is None else standing.begun.among(standing.left)
    found = split_relus(
        work.network,
        standing.query,
        standing.known,
        work.confirm,
        work.clock,
        open_violations=standing.left,
        numbers=work.setting.numbers,
        tree=tree if start is None else start.tree,
        begin=None if start is None else start.branches,
    )
    _searched(work, standing, found, "relu-split", tree if start is None else start.tree)


def _semidefinite(work: Work, standing: Standing) -> None:
    """Semidefinite bounds of the open rows, in a share of the time."""
    auto = work.setting.method == "auto"
    if auto and not promising(standing):
        return
    share = SEMIDEFINITE_SHARE if auto else 1.0
    search = Search(
        work.clock.part(share * work.clock.left),
        work.setting.numbers,
        work.setting.seed,
        give_up=auto,
        record=work.setting.record,
    )
    standing.note("sdp", semidefinite_margins(work.network, standing, search))


def _exactly(work: Work, standing: Standing) -> None:
    tree = work.setting.tree
    found = solve_exactly(
        work.network,
        standing.query,
        standing.known,
        work.confirm,
        work.clock,
        open_violations=standing.left,
        numbers=work.setting.numbers,
        tree=tree,
    )
    _searched(work, standing, found, "milp", tree)


def _searched(
    work: Work, standing: Standing, found: Splitting, name: str, tree: Tree | None = None
) -> None:
    """Take over what a search has found: all of its violations excluded, or a counterexample."""
    work.counterexample = found.counterexample
    if found.proved:
        which = standing.left
        if tree is not None:
            record_tree(standing, name, which, tree)
        standing.note(name, torch.full((len(which),), CLOSED, dtype=torch.float64), which)


CLOSED = torch.finfo(torch.float64).tiny  # a margin known to be positive, and no more

STAGES = {
    "attack": Stage(_first_attack, (), "look for counterexamples by projected gradients"),
    "ibp": Stage(bound_by_intervals, (), "interval bound propagation"),
    "crown": Stage(bound_by_lines, ("ibp",), "linear bounds passed back (CROWN)"),
    "attack-again": Stage(_more_attack, (), "look for counterexamples from more starts"),
    "alpha-crown": Stage(bound_by_slopes, ("ibp", "crown"), "linear bounds of optimised slopes"),
    "input-split": Stage(_split_inputs, (), "branch and bound over the inputs"),
    "contradiction": Stage(
        _contradict,
        ("ibp", "crown", "alpha-crown"),
        "suppose that it is violated, tighten all intervals by that, until they contradict it",
    ),
    "sdp": Stage(
        _semidefinite, ("ibp", "crown", "alpha-crown"), "semidefinite bounds (SDP), certified"
    ),
    "relu-split": Stage(
        _split_relus,
        ("ibp", "crown", "alpha-crown"),
        "branch and bound over signs of ReLUs and what goes into curved activations",
    ),
    "milp": Stage(_exactly, ("ibp", "crown"), "mixed-integer programme (small networks)"),
}
CHEAP = ("attack", "ibp", "crown", "attack-again", "alpha-crown", "attack-again")
# Where violations are costly to suppose, that comes after semidefinite bounds.
AUTO = (*CHEAP, "input-split", "contradiction", "sdp", "contradiction", "relu-split")
# Squares cost linear bounds most.
AUTO_OF_SQUARES = (*CHEAP, "sdp", "input-split", "contradiction", "relu-split")
