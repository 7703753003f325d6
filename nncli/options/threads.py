"""How many threads the linear algebra has."""

import os
import sys

import click

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def set_threads(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    """Limit the libraries before they are imported, and torch also after."""
    if value is not None:
        for name in THREAD_VARIABLES:
            os.environ[name] = str(value)
        if "torch" in sys.modules:
            import torch

            torch.set_num_threads(value)
    return value


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
