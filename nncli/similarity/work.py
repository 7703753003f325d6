"""How the work of a grid is done: threads, and how much memory may be taken at once.

BLAS runs on one thread and the independent tasks (layers, pairs) run side by side: singular value
decompositions gain nothing from BLAS threads, and sums do not depend on the number of threads.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

MEMORY = 384 << 20


def unheard(done: float) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True)
class Work:
    """The means to work with.

    Attributes:
        memory: Bytes for accumulators and tiles at one time; what a single pair or layer needs is
            taken in any case.
        pool: Threads, or None to work in this one.
        advance: Called with how many pairs were just done (in parts, too), for a progress bar.
    """

    memory: int = MEMORY
    pool: ThreadPoolExecutor | None = None
    advance: Callable[[float], object] = unheard

    def run(self, task: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Apply a function to every item; results in order."""
        return list((self.pool.map if self.pool else map)(task, items))

    def run_pairs(self, task: Callable[[T], R], pairs: Iterable[T]) -> list[R]:
        """Apply a function to every pair, reporting each one that is done from this thread."""
        results = []
        for result in (self.pool.map if self.pool else map)(task, pairs):
            results.append(result)
            self.advance(1)
        return results


@contextmanager
def working(
    *,
    threads: int = 1,
    memory: int = MEMORY,
    advance: Callable[[float], object] = unheard,
) -> Iterator[Work]:
    """Set up the threads, with BLAS held to one thread each.

    Args:
        threads: How many tasks run side by side.
        memory: See `Work`.
        advance: See `Work`.

    Yields:
        The means to work with.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1, user_api="blas"):
        if threads <= 1:
            yield Work(memory, None, advance)
            return
        pool = ThreadPoolExecutor(threads)
        try:
            yield Work(memory, pool, advance)
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupt does not wait for what is queued
