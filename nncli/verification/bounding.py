"""The stages that bound a query once, over its whole region: intervals, lines, slopes."""

import torch
from torch import Tensor

from nncli.verification.certifying.recording import record_lines, record_slopes
from nncli.verification.domains import domain_of
from nncli.verification.input_splitting import FEW_INPUTS
from nncli.verification.intervals import least_of_rows
from nncli.verification.slopes import ascend, rows_together
from nncli.verification.squares import without_squares
from nncli.verification.standing import Standing
from nncli.verification.tightening import Effort, bounded_rows, tightened
from nncli.verification.work import Work

SLOPE_STEPS, INNER_STEPS = (20, 100), 20
INNER_SHARE = 0.2  # of the time left, for the slopes of intermediate bounds: searches want it too


def bound_by_intervals(work: Work, standing: Standing) -> None:
    """Interval arithmetic.

    Args:
        work: The property under way.
        standing: What is known of one of its queries; it takes what is found.
    """
    query = standing.query
    effort = Effort(backward=False)
    standing.known = tightened(
        work.network, domain_of([query.region]), effort, _limits(work, standing)
    )
    standing.effort = -1
    bound = least_of_rows(query.rows(work.network), standing.known)
    standing.note("ibp", query.excluded(query.margins(bound))[0])


def bound_by_lines(work: Work, standing: Standing) -> None:
    """Linear bounds over the intervals that there are; then over such as linear bounds give.

    Args:
        work: The property under way.
        standing: What is known of one of its queries; it takes what is found.
    """
    _lines(work, standing)
    if work.setting.record:
        record_lines(standing)
    if not len(standing.left):
        return
    effort = Effort(numbers=work.setting.numbers // 4, pause=work.clock.check)
    standing.known = tightened(
        work.network, domain_of([standing.query.region]), effort, _limits(work, standing)
    )
    standing.effort = 0
    _lines(work, standing)


def _lines(work: Work, standing: Standing) -> None:
    query, every = standing.query, torch.arange(len(standing.query.owner))
    bound = bounded_rows(work.network, query, standing.known, every, work.setting.numbers)
    standing.note("crown", query.excluded(query.margins(bound))[0])


def _limits(work: Work, standing: Standing) -> dict[int, tuple[Tensor, Tensor]]:
    """What is known of the numbers that go into activations."""
    if not standing.known:
        return {}
    parents = {work.network.activation(place).parent for place in work.network.activations}
    return {place: (standing.known[place].low, standing.known[place].high) for place in parents}


def bound_by_slopes(work: Work, standing: Standing) -> None:
    """Slopes for the rows over the intervals of CROWN; then better intervals, and longer.

    Args:
        work: The property under way.
        standing: What is known of one of its queries; it takes what is found.
    """
    for turn, steps in enumerate(SLOPE_STEPS):
        _slopes_of_rows(work, standing, steps)
        if turn or not len(standing.left) or _halves_next(work, standing):
            return
        auto = work.setting.method == "auto"
        within = work.clock.part((INNER_SHARE if auto else 1.0) * work.clock.left)
        effort = Effort(
            steps=INNER_STEPS,
            numbers=work.setting.numbers // 4,
            pause=work.clock.check,
            worth=within.going,
        )
        standing.known = tightened(
            work.network, domain_of([standing.query.region]), effort, _limits(work, standing)
        )
        standing.effort = INNER_STEPS


def _slopes_of_rows(work: Work, standing: Standing, steps: int) -> None:
    query = standing.query
    for _, rows in standing.portions(rows_together(work.network, work.setting.numbers)):
        found = ascend(
            work.network,
            query.rows(work.network, rows),
            domain_of([query.region]),
            standing.known,
            steps=steps,
            pause=work.clock.check,
        )
        margins = torch.full((1, len(query.owner)), -torch.inf, dtype=torch.float64)
        margins[:, rows] = query.margins(found.bound, rows)
        standing.note("alpha-crown", query.excluded(margins)[0])
        if work.setting.record:
            record_slopes(standing, rows, found.choice)


def _halves_next(work: Work, standing: Standing) -> bool:
    """Whether boxes will be halved, which beats better intervals of the whole."""
    few = standing.query.free_inputs <= FEW_INPUTS
    return work.setting.method == "auto" and few and not _has_squares(work)


def _has_squares(work: Work) -> bool:
    """Whether conditions are quadratic, for which semidefinite bounds come before boxes."""
    return without_squares(work.network) is not work.network
