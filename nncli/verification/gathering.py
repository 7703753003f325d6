"""Many regions at once: what a list of stages would do for each, done in batches first.

A property of a learned index has thousands of regions, one a key. Linear bounds decide most of them
in a batch; what is left is attacked, and where inputs are few, halved, in batches as well. Whatever
stays open goes through the stages as ever.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.backward import below
from nncli.verification.domains import domain_of
from nncli.verification.falsifying import falsify
from nncli.verification.input_splitting import FEW_INPUTS, split_inputs
from nncli.verification.properties import Region
from nncli.verification.queries import Query, rows_of_violations
from nncli.verification.slopes import rows_together
from nncli.verification.stages import ATTACK_MOST, ATTACK_SHARE, CLOSED, Work
from nncli.verification.standing import Standing
from nncli.verification.tightening import Effort, relaxations, tightened

MANY = 8  # regions; fewer are not worth it
TOGETHER = 256  # violations of a batch


@dataclass(frozen=True)
class _Batch:
    """Open violations of several regions.

    Attributes:
        query: The violations; its region has the limits of each, (V, n).
        owners: The standing of each.
        places: (V,) the place of each in its standing.
    """

    query: Query
    owners: tuple[Standing, ...]
    places: Tensor

    def note(self, stage: str, margins: Tensor) -> None:
        """Take over bounds (V,) of the violations."""
        for owner, place, margin in zip(self.owners, self.places, margins, strict=True):
            owner.note(stage, margin[None], place[None])


def decide_together(work: Work, standings: Sequence[Standing]) -> None:
    """Decide what linear bounds, a short attack and halving of boxes can, in batches.

    Args:
        work: The property under way; it is finished if a counterexample is found.
        standings: How each of its queries stands.

    Raises:
        OutOfTime: The deadline has passed.
    """
    if len(standings) <= MANY or any(one.query.region.ball is not None for one in standings):
        return
    most = min(TOGETHER, rows_together(work.network, work.setting.numbers))
    with _timed(work, "crown"):
        for batch in _batches(standings, most):
            work.clock.check()
            batch.note("crown", _linear_bounds(work, batch.query))
    with _timed(work, "attack"):
        clock = work.clock.part(min(ATTACK_MOST, ATTACK_SHARE * work.setting.timeout))
        for batch in _batches(standings, most):
            if work.counterexample is not None or clock.left < 0:
                break
            found = falsify(
                work.network,
                batch.query,
                work.confirm,
                clock,
                seed=work.setting.seed,
                rounds=1,
                numbers=work.setting.numbers,
            )
            work.counterexample = found.counterexample
    most_free = max(one.query.free_inputs for one in standings)
    if work.counterexample is not None or work.setting.record or most_free > FEW_INPUTS:
        return
    with _timed(work, "input-split"):
        for batch in _batches(standings, most):
            done = split_inputs(
                work.network,
                batch.query,
                work.confirm,
                work.clock,
                numbers=work.setting.numbers,
            )
            work.counterexample = done.counterexample
            if work.counterexample is not None:
                return
            if done.proved:
                closed = torch.full((len(batch.places),), CLOSED, dtype=torch.float64)
                batch.note("input-split", closed)


def _batches(standings: Sequence[Standing], most: int) -> Iterator[_Batch]:
    """The violations that are open now, some at a time."""
    left = [(one, place) for one in standings for place in one.left.tolist()]
    for begin in range(0, len(left), most):
        part = left[begin : begin + most]
        violations = tuple(one.query.violations[place] for one, place in part)
        regions = [one.region for one in violations]
        region = Region(
            torch.stack([one.low for one in regions]),
            torch.stack([one.high for one in regions]),
            torch.stack([one.inner_low for one in regions]),
            torch.stack([one.inner_high for one in regions]),
        )
        numbers = tuple(one.query.numbers[place] for one, place in part)
        places = torch.tensor([place for _, place in part])
        yield _Batch(Query(region, violations, numbers), tuple(one for one, _ in part), places)


def _linear_bounds(work: Work, query: Query) -> Tensor:
    """(V,) lower bounds of the greatest margins, by linear bounds."""
    rows = rows_of_violations(query)
    domain = domain_of([one.region for one in query.violations])
    effort = Effort(numbers=work.setting.numbers // 4, pause=work.clock.check)
    known = tightened(work.network, domain, effort)
    lines = relaxations(work.network, known)
    found = below(work.network, query.rows(work.network, rows), domain, known, lines)
    return query.margins(found.bound, rows).amax(dim=1)


@contextmanager
def _timed(work: Work, name: str) -> Iterator[None]:
    begun = time.monotonic()
    try:
        yield
    finally:
        work.seconds[name] = work.seconds.get(name, 0.0) + time.monotonic() - begun
