"""Work on many things side by side: one process each, so that each has a core to itself.

Small networks cannot use more than one thread, and Python cannot run two of them in one process;
see benchmarks/train.md.
"""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from nncli.errors import EnvironmentFault

T = TypeVar("T")
R = TypeVar("R")

_handed_over: Callable[[Any], Any]


def side_by_side(
    work: Callable[[T], R], items: Sequence[T], *, jobs: int, threads: int
) -> Iterator[tuple[T, R]]:
    """Apply a function to items, several at a time.

    Args:
        work: The function; with several threads, or where there is no fork, it is pickled.
        items: What to apply it to.
        jobs: How many at a time; with 1, in this process.
        threads: Threads of each one's linear algebra.

    Yields:
        Items and results, in the order in which they are done.

    Raises:
        EnvironmentFault: A process died, most likely for lack of memory.
    """
    jobs = min(jobs, len(items))
    before = torch.get_num_threads()
    torch.set_num_threads(threads if jobs <= 1 else 1)
    try:
        if jobs <= 1:
            for item in items:
                yield item, work(item)
        else:
            yield from _in_processes(work, items, jobs, threads)
    finally:
        torch.set_num_threads(before)


def _in_processes(
    work: Callable[[T], R], items: Sequence[T], jobs: int, threads: int
) -> Iterator[tuple[T, R]]:
    before = set(multiprocessing.active_children())
    # A fork is ready at once, but OpenMP hangs in it with more than one thread.
    is_safe = sys.platform == "linux" and threads == 1
    context = multiprocessing.get_context("fork" if is_safe else "spawn")
    # The work is handed over once, not with every item: it holds the data.
    pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(work, threads))
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of every fork beside a thread; ours are idle ones of NumPy's BLAS,
            # which take care of forks.
            warnings.simplefilter("ignore", DeprecationWarning)
            waiting = {pool.submit(_work_on, item): item for item in items}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    except BrokenProcessPool as error:
        raise EnvironmentFault(
            "a worker process died", hint="was there too little memory? try a smaller `--jobs`"
        ) from error
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(work: Callable[[Any], Any], threads: int) -> None:
    """Set up a worker process."""
    global _handed_over  # noqa: PLW0603 -- the one thing a pool's initializer can do
    _handed_over = work
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted and ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End at once when the parent is killed: it could not tell us."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work_on(item: Any) -> Any:
    return _handed_over(item)
