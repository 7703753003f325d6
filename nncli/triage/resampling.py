"""The same random draws of cases for several scores, so that their differences have intervals.

Few cases are drawn one by one. Many are first put into random groups of nearly one size, and
neighbours along each score into bins: a draw of groups is then a product of small matrices. The
variance that groups give has a relative error of sqrt(2 / groups), 3 % for 2,048 of them; values
themselves never come from bins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nncli.triage.selective import Blocks, Kept, blocks_of

F64 = NDArray[np.float64]
Index = NDArray[np.int64]

FEW = 8_192  # cases up to which each is drawn by itself
GROUPS = 2_048
BINS = 768
FINE_BINS = 128  # further ones at either end, where shares are small
NUMBERS = 1 << 22  # numbers in a block of draws
SALT = 0x7472


@dataclass(frozen=True)
class Ordering:
    """How one score orders the cases, for draws.

    Attributes:
        kept: The running sums of all cases, exact.
        blocks: Blocks of equal score, or bins of neighbours.
        loss: (N,) what it costs to keep a case.
        binned: Whether the blocks are bins.
    """

    kept: Kept
    blocks: Blocks
    loss: F64
    binned: bool

    @property
    def coarse(self) -> Kept:
        """The running sums of all cases, by bins."""
        sizes = self.blocks.sizes[None].astype(np.float64)
        return Kept.of(sizes, self.blocks.sums(self.loss)[None])


class Draws:
    """Random draws of cases, the same for every score.

    Args:
        scores: Each (N,), higher for more doubtful cases.
        losses: For each (N,) what it costs to keep a case.
        group: (N,) which cases are drawn together; each for itself by default.
        resamples: How many draws.
        seed: Of them.
    """

    def __init__(
        self,
        scores: Sequence[F64],
        losses: Sequence[F64],
        *,
        group: Index | None,
        resamples: int,
        seed: int,
    ) -> None:
        self.n, self.resamples, self.seed = len(scores[0]), resamples, seed
        many = self.n > FEW
        self.group = _few_groups(group, self.n, seed) if many else group
        self.groups = self.n if self.group is None else int(self.group.max()) + 1
        self.orderings = [_ordering(*one, many=many) for one in zip(scores, losses, strict=True)]

    @property
    def possible(self) -> bool:
        """Whether there is anything to draw."""
        return self.resamples > 0 and self.groups > 1

    def run(self) -> Iterator[list[Kept]]:
        """Blocks of draws: for each score the running sums of the drawn cases."""
        wide = max(self.n if self.n <= FEW else 0, self.groups, 2 * BINS)
        sums = [_Sums(one, self.group, self.groups) for one in self.orderings]
        for times in draws_of_groups(self.groups, self.resamples, self.seed, wide=wide):
            yield [one.of(times) for one in sums]


def draws_of_groups(groups: int, resamples: int, seed: int, *, wide: int) -> Iterator[F64]:
    """How often each group is drawn, (several, groups) at a time.

    Args:
        groups: How many there are; as many are drawn, with replacement.
        resamples: How many draws.
        seed: Of them.
        wide: Numbers that a draw becomes, which bounds how many are made at a time.
    """
    chance = np.random.default_rng([seed, SALT])
    step = max(1, NUMBERS // wide)
    for at in range(0, resamples, step):
        several = min(step, resamples - at)
        drawn = chance.integers(groups, size=(several, groups))
        drawn += np.arange(several)[:, None] * groups
        counts = np.bincount(drawn.reshape(-1), minlength=several * groups)
        yield counts.reshape(several, groups).astype(np.float64)


def _few_groups(group: Index | None, n: int, seed: int) -> Index:
    """At most `GROUPS` groups, random ones, of nearly one size."""
    groups = n if group is None else int(group.max()) + 1
    if group is not None and groups <= GROUPS:
        return group
    chance = np.random.default_rng([seed, SALT, 1])
    dealt = chance.permutation(groups) % GROUPS
    return dealt if group is None else dealt[group]


def _ordering(score: F64, loss: F64, *, many: bool) -> Ordering:
    blocks = blocks_of(score)
    kept = Kept.of(blocks.sizes[None].astype(np.float64), blocks.sums(loss)[None])
    if not many or len(blocks.starts) <= BINS:
        return Ordering(kept, blocks, loss, binned=False)
    return Ordering(kept, Blocks(blocks.order, _bins(blocks)), loss, binned=True)


def _bins(blocks: Blocks) -> Index:
    """Starts of bins of about equal size, narrower at both ends, that part no block."""
    n = len(blocks.order)
    fine = np.geomspace(1, n / BINS, FINE_BINS)
    wanted = np.concatenate([np.linspace(0, n, BINS + 1)[:-1], fine, n - fine])
    place = np.searchsorted(blocks.starts, np.unique(np.rint(wanted)))
    return blocks.starts[np.unique(place[place < len(blocks.starts)])]


class _Sums:
    """Cases and losses of one score, block by block, for draws of groups."""

    def __init__(self, ordering: Ordering, group: Index | None, groups: int) -> None:
        self._ordering, self._group = ordering, group
        self._of_group: tuple[F64, F64] | None = None
        few = groups * len(ordering.blocks.starts) <= NUMBERS
        if group is not None and few:
            self._of_group = self._by_group(group, groups)

    def _by_group(self, group: Index, groups: int) -> tuple[F64, F64]:
        """Cases and losses (groups, blocks)."""
        blocks, loss = self._ordering.blocks, self._ordering.loss
        count = len(blocks.starts)
        cell = group[blocks.order] * count + np.repeat(np.arange(count), blocks.sizes)
        most = groups * count
        sizes = np.bincount(cell, minlength=most).reshape(groups, count).astype(np.float64)
        losses: F64 = np.bincount(cell, loss[blocks.order], minlength=most).astype(np.float64)
        return sizes, losses.reshape(groups, count)

    def of(self, times: F64) -> Kept:
        """The running sums where each group is drawn some number of times, (draws, groups)."""
        if self._of_group is not None:
            sizes, losses = self._of_group
            return Kept.of(np.rint(times @ sizes), times @ losses)
        weights = times if self._group is None else times[:, self._group]
        blocks = self._ordering.blocks
        return Kept.of(blocks.sums(weights), blocks.sums(weights * self._ordering.loss))
