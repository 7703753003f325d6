"""A million cases: all splits of four orders, their optimum, and 1,000 draws of the bootstrap.

    python benchmarks/triage.py [--n 1000000] [--draws 1000]

Prints the table of triage.md: CPU seconds on one thread, and the peak memory. Beside it, the usual
way: the error at 101 thresholds of one order, each from scratch.
"""

import argparse
import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import resource  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402

from nncli.triage.curves import Cases, team_errors  # noqa: E402
from nncli.triage.parts import divide_cases  # noqa: E402
from nncli.triage.split_curves import curves_of  # noqa: E402
from nncli.triage.split_rows import summary_rows  # noqa: E402
from nncli.triage.splits import Order, World, choose_splits  # noqa: E402


def world(n):
    """Cases of a model and of people, and what is expected of both."""
    draw = np.random.default_rng(0)
    a, t = draw.random((2, n))
    cases = Cases((draw.random(n) < 0.45 * a**2).astype(float), draw.binomial(5, 0.4 * t**2) / 5)
    orders = {
        "confidence": a,
        "human-error": -(t**2),
        "difference": 0.45 * a**2 - 0.4 * t**2,
        "oracle": cases.machine - cases.human,
    }
    fold = divide_cases(n, None, report=1.0, folds=5, seed=0, source="benchmark")
    return World(cases, cases, fold, tuple(Order(*one) for one in orders.items()))


def timed(name, work):
    start = time.process_time()
    found = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {name} | {time.process_time() - start:.2f} | {peak:.0f} |")
    return found


def one_by_one(cases, score):
    """The error at 101 thresholds, as it is usually computed."""
    cuts = np.quantile(score, np.linspace(0, 1, 101))
    return [np.where(score <= cut, cases.machine, cases.human).mean() for cut in cuts]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--draws", type=int, default=1000)
    asked = parser.parse_args()
    print("| work | CPU s | peak MB |")
    print("|---|---|---|")
    made = timed("make the cases", lambda: world(asked.n))
    start = time.process_time()
    splits = timed("choose a split of each order", lambda: choose_splits(made))
    timed("all splits with intervals", lambda: curves_of(made, splits, priced=False))
    told = {"priced": False, "draws": asked.draws, "seed": 0}
    timed(f"summary with {asked.draws} draws", lambda: summary_rows(made, splits, **told))
    print(f"| together | {time.process_time() - start:.2f} | |")
    score = made.orders[0].score
    timed("one order at 101 thresholds, one by one", lambda: one_by_one(made.error, score))
    order = np.argsort(score, kind="stable")
    timed("one order, all splits", lambda: team_errors(made.error, order))


if __name__ == "__main__":
    main()
