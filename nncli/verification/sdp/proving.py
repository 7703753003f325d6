"""Semidefinite bounds of the rows of a query."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nncli.verification.certifying.multipliers import record_multipliers
from nncli.verification.clock import Clock
from nncli.verification.domains import domain_of
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.queries import Query
from nncli.verification.sdp.certificate import numbers_needed
from nncli.verification.sdp.lagrangian import Multipliers, Problem
from nncli.verification.sdp.posing import begun, posed, together
from nncli.verification.sdp.search import Found, Plan, climb
from nncli.verification.slopes import Choice, ascend
from nncli.verification.squares import without_squares
from nncli.verification.standing import Standing

MOST = 20_000  # variables
SLOPE_STEPS = 20
NUMBERS = 200  # held for each number of a row's vectors
LONGER, AGAIN = 2, 0.5  # steps of the second search of a large problem, by the first; their size
MISSED = 1 / 6  # of what linear bounds have missed, which the second search may make up for
LEAST_ROOM = 0.02  # of the gap between bound and attack, below which bounds are hopeless
ROOM = 1e-7  # above what is enough, for the difference between search and certificate


@dataclass(frozen=True)
class Search:
    """How hard to try.

    Attributes:
        clock: The time of the stage.
        numbers: Numbers held at once, at most.
        seed: Of the search.
        steps: Steps of Adam.
        give_up: Whether a row that will stay open, as it seems, ends the work.
        record: Whether to record what makes a re-proof quick, in the standing.
    """

    clock: Clock
    numbers: int = 60_000_000
    seed: int = 0
    steps: int = 200
    give_up: bool = False
    record: bool = False


def fits(network: Network, query: Query, known: Sequence[Interval], numbers: int) -> bool:
    """Whether semidefinite bounds can be had: of ReLU networks over boxes that are not too large.

    Args:
        network: The network.
        query: What is asked.
        known: Intervals (1, n) of the places.
        numbers: Numbers held at once, at most.
    """
    if not without_squares(network).pieces or query.region.ball is not None:
        return False
    found = posed(network, query, known, torch.zeros(1, dtype=torch.int64)).problem
    return found.variables <= MOST and numbers_needed(found) <= numbers


def promising(standing: Standing) -> bool:
    """Whether what attacks have reached leaves room: bounds close most of a gap, never all of it.

    Args:
        standing: What is known of a query.
    """
    left = standing.left
    gap = standing.nearest[left] - standing.margins[left]
    return bool((standing.nearest[left] > LEAST_ROOM * gap).any())


def semidefinite_margins(network: Network, standing: Standing, search: Search) -> Tensor:
    """Lower bounds of violations that are still open, searched for until they are proved.

    Rows are searched for together, the worst first where memory asks for several groups.

    Args:
        network: The network.
        standing: What is known of the query.
        search: How hard to try.

    Returns:
        (V,) bounds of the greatest margins, minus infinity where none was found.
    """
    query, known = standing.query, standing.known
    margins = torch.full((1, len(query.owner)), -torch.inf, dtype=torch.float64)
    if fits(network, query, known, search.numbers):
        rows = torch.nonzero(torch.isin(query.owner, standing.left)).flatten()
        rows = rows[torch.argsort(standing.margins[query.owner[rows]], stable=True)]
        whole = posed(network, query, known, rows[:1]).problem
        for part in together(network, rows, _together(whole, search)):
            if search.clock.left < 0:
                break
            margins[0, part], found, slopes = _bounded(network, query, known, part, search)
            if search.record:
                record_multipliers(standing, part, margins[0, part], found, slopes)
            if search.give_up and bool((margins[0, part] <= 0).any()):
                break
    return query.excluded(margins)[0]


def _together(whole: Problem, search: Search) -> int:
    """Rows to search for at once."""
    each = NUMBERS * sum(len(one) for one in whole.radius.values())
    return max(1, search.numbers // each)


def _bounded(
    network: Network,
    query: Query,
    known: Sequence[Interval],
    rows: Tensor,
    search: Search,
) -> tuple[Tensor, Found, Choice]:
    domain = domain_of([query.region])
    linear = ascend(network, query.rows(network, rows), domain, known, steps=SLOPE_STEPS)
    margins = query.margins(linear.bound, rows)[0]
    whole = posed(network, query, known, rows)
    start = begun(whole, query, known, linear.choice)
    constants = query.constants[rows]
    open_by = (-margins).clamp_min(0)
    plan = Plan(
        steps=search.steps,
        enough=constants + ROOM * (1 + constants.abs()),
        seed=search.seed,
        clock=search.clock.part(search.clock.left),
        give_up=MISSED * open_by if search.give_up else None,
        quick=whole.problem.large,
    )
    found = climb(whole.problem, start, plan)
    if whole.problem.large:
        found = _again(whole.problem, found, start, MISSED * open_by, plan)
    margins = torch.maximum(margins, query.margins(found.bound[None], rows)[0])
    return margins, found, linear.choice


def _again(
    problem: Problem, found: Found, linear: Multipliers, missed: Tensor, plan: Plan
) -> Found:
    """Search on for rows that are nearly good enough, if all others are."""
    enough = torch.as_tensor(plan.enough)
    rows = torch.nonzero(found.bound <= enough).flatten()
    if not len(rows) or bool((found.reached < enough - missed)[rows].any()):
        return found
    second = replace(
        plan,
        steps=LONGER * plan.steps,
        enough=enough[rows],
        clock=plan.clock.part(plan.clock.left),
        give_up=None if plan.give_up is None else 0 * missed[rows],
        quick=False,
        rate=AGAIN * plan.rate,
    )
    begun_at = {place: one[:, rows] for place, one in found.multipliers.items()}
    first = {place: one[:, rows] for place, one in linear.items()}
    more = climb(problem.picked(rows), begun_at, second, first)
    better = more.bound > found.bound[rows]
    kept = rows[better]
    found.bound[kept] = more.bound[better]
    for place, one in more.multipliers.items():
        found.multipliers[place][:, kept] = one[:, better]
    for place, weight in more.weights.items():
        found.weights[place][kept] = weight[better]
    return found
