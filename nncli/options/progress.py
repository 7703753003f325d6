"""How far long work is, on standard error and only if that is a terminal."""

import os
import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

import click

T = TypeVar("T")


def progress(
    iterable: Iterable[T], *, label: str, total: int | None = None, unit: str = "it"
) -> Iterable[T]:
    """Show how far long work is, on standard error and only if that is a terminal.

    Args:
        iterable: The work.
        label: What is going on.
        total: How many items there are.
        unit: What an item is.

    Returns:
        The same items.
    """
    context = click.get_current_context(silent=True)
    quiet = context is not None and context.meta.get("nncli.quiet", False)
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if quiet or os.environ.get("NNCLI_NO_PROGRESS") or not terminal:
        return iterable
    from tqdm import tqdm

    shown: Iterable[T] = tqdm(iterable, desc=label, total=total, unit=unit, leave=False)
    return shown


def pair_progress(total: int) -> Callable[[float], None]:
    """Progress of a comparison in pairs of layers, of which parts may be reported."""
    ticks = iter(progress(range(total), label="comparing", total=total, unit="pair"))
    done = 0.0

    def advance(more: float) -> None:
        nonlocal done
        whole = int(done + more + 1e-9) - int(done + 1e-9)
        done += more
        for _ in range(whole):
            next(ticks, None)

    return advance
