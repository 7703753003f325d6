"""Rows of several members in one block: kept as they come, and brought to their members at the end.

At that time each block is let go as soon as its rows are copied, so that answers are never in
memory twice.
"""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.formats.prediction_spool import Spool

Array = NDArray[Any]
Codes = NDArray[np.int64]

GROUP_BYTES = 1 << 26  # of members that are brought together at a time, where blocks are on disk


@dataclass(frozen=True)
class _Block:
    """Rows ordered by member: `answers` and `place`, and where those of each member end."""

    answers: Array
    place: Array
    members: tuple[int, ...]
    ends: Codes


class MixedRows:
    """Keeps blocks of rows of several members."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._blocks: list[_Block] = []
        self._counts: dict[int, int] = {}

    def add(
        self, answers: Array, place: Codes, which: Codes, members: Sequence[int]
    ) -> Iterator[tuple[int, Codes]]:
        """Keep some rows.

        Args:
            answers: (rows, C) or (rows,).
            place: (rows,) the examples.
            which: (rows,) places in `members`.
            members: Whose rows they are.

        Returns:
            For each member its places among these rows.
        """
        order = np.argsort(which, kind="stable")
        ends = np.cumsum(np.bincount(which, minlength=len(members)))
        small = np.int32 if int(place.max(initial=0)) < 2**31 else np.int64
        pages = _pages(answers)
        np.take(answers, order, axis=0, out=pages)
        kept = self._spool.keep(pages)
        ordered = place[order]
        self._blocks.append(_Block(kept, ordered.astype(small), tuple(members), ends))
        for member, count in zip(members, np.diff(ends, prepend=0).tolist(), strict=True):
            self._counts[member] = self._counts.get(member, 0) + count
        return zip(members, np.split(ordered, ends[:-1]), strict=True)

    def members(self) -> Iterator[tuple[int, Codes, Array]]:
        """Bring rows to their members, once.

        Yields:
            For each member its places and its answers, in the order of the rows.
        """
        for group in self._groups():
            last = not self._spool.spilled
            found = {one: self._room(one) for one in group}
            filled = dict.fromkeys(group, 0)
            blocks = list(self._blocks)
            if last:
                self._blocks.clear()
            for number, block in enumerate(blocks):
                self._copy(block, found, filled)
                if last:
                    self._spool.release(block.answers)
                    blocks[number] = _EMPTY
            del block
            for member in group:
                place, answers = found.pop(member)
                yield member, place, answers
        self._blocks.clear()

    def _groups(self) -> list[list[int]]:
        """All members, or as many as fit into memory where blocks do not."""
        every = list(self._counts)
        if not every or not self._spool.spilled:
            return [every] if every else []
        answers = self._blocks[0].answers
        each = answers.itemsize * int(np.prod(answers.shape[1:], dtype=np.int64))
        largest = max(self._counts.values()) * each
        size = max(1, GROUP_BYTES // max(largest, 1))
        return [every[at : at + size] for at in range(0, len(every), size)]

    def _room(self, member: int) -> tuple[Codes, Array]:
        kinds = [one.answers.dtype for one in self._blocks]
        count = self._counts[member]
        shape = (count, *self._blocks[0].answers.shape[1:])
        return np.empty(count, np.int64), np.empty(shape, np.result_type(*kinds))

    @staticmethod
    def _copy(block: _Block, found: dict[int, tuple[Codes, Array]], filled: dict[int, int]) -> None:
        starts = (0, *block.ends[:-1].tolist())
        for member, start, stop in zip(block.members, starts, block.ends.tolist(), strict=True):
            if member not in found:
                continue
            place, answers = found[member]
            at = filled[member]
            filled[member] = at + stop - start
            place[at : filled[member]] = block.place[start:stop]
            answers[at : filled[member]] = block.answers[start:stop]


def _pages(like: Array) -> Array:
    """Memory of its own, which the system has back at once when it is let go: malloc keeps it."""
    pages = mmap.mmap(-1, max(like.nbytes, 1))
    found: Array = np.frombuffer(pages, like.dtype, like.size).reshape(like.shape)
    return found


_EMPTY = _Block(np.empty(0), np.empty(0), (), np.empty(0, np.int64))
