"""A grid of penalties and folds: `nncli probe` against scikit-learn, one fit at a time.

    python benchmarks/probe.py [--n 10000] [--d 768] [--layers 1] [--only ridge]

Prints the table of probe.md: CPU seconds on one thread for 8 penalties by 5 folds and the final
fit, for each layer, with the penalty chosen, the accuracy on fresh examples, and how far the
objective of each is above the lowest that either found.
"""

import argparse
import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import resource  # noqa: E402
import time  # noqa: E402
from itertools import pairwise  # noqa: E402
from unittest.mock import patch  # noqa: E402

import numpy as np  # noqa: E402
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier  # noqa: E402
from sklearn.model_selection import GridSearchCV, KFold  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from nncli.probing import linear_readers  # noqa: E402
from nncli.probing.features import Training, rotate, standardise  # noqa: E402
from nncli.probing.logistic import solve  # noqa: E402
from nncli.probing.readers import READERS  # noqa: E402
from nncli.probing.settings import PENALTIES, Settings  # noqa: E402
from nncli.probing.targets import target_of  # noqa: E402

FOLDS = 5


def layer(n, d, classes, seed):
    """Correlated features, of which a noisy linear function says the class."""
    draw = np.random.default_rng(seed)
    mixing = draw.standard_normal((d, d)) * np.linspace(1, 0.01, d) ** 2
    x = draw.standard_normal((2 * n, d)) @ mixing
    logits = x @ draw.standard_normal((d, classes))
    y = (3 * logits / logits.std() + draw.gumbel(size=logits.shape)).argmax(axis=1)
    return x.astype(np.float32), y


def cpu(work):
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def ours(reader, x, n, y, target):
    """As the command does it: standardise, decompose, cross-validate, fit."""
    rows = x[:n].astype(np.float64)
    scaling = standardise(rows, n, np.finfo(np.float32).eps)
    rows, scaling, spectrum = rotate(rows, n, scaling)
    data = Training(rows, bounds(n), spectrum)
    return READERS[reader].choose(data, y[:n], target, Settings()), scaling


def bounds(n):
    return tuple(np.linspace(0, n, FOLDS + 1).astype(int).tolist())


def theirs(make, score, x, y):
    """The loop that people write."""
    losses = np.zeros(len(PENALTIES))
    ends = bounds(len(x))
    for place, penalty in enumerate(PENALTIES):
        for start, stop in pairwise(ends):
            kept = np.r_[0:start, stop : len(x)]
            losses[place] += score(
                make(penalty).fit(x[kept], y[kept]), x[start:stop], y[start:stop]
            )
    best = PENALTIES[int(losses.argmin())]
    return make(best).fit(x, y), best


def log_loss(model, x, y):
    return -model.predict_log_proba(x)[np.arange(len(x)), y].sum()


def squared(model, x, y):
    return ((model.predict(x) - y) ** 2).sum()


def objective(weight, bias, penalty, x, y):
    logits = x @ weight + bias
    logits -= logits.max(axis=1, keepdims=True)
    loss = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(x)), y]
    return loss.sum() + penalty / 2 * (weight**2).sum()


def never(losses):
    return False


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def one_logistic(n, d, seed, tolerances):
    x, y = layer(n, d, 10, seed)
    target = target_of(y, "y", source="made")
    seconds = {}
    for name, rising in (("nncli", linear_readers.rising), ("nncli, all penalties", never)):
        with patch.object(linear_readers, "rising", rising):
            (fitted, scaling), seconds[name] = cpu(lambda: ours("linear", x, n, y, target))
        rows = scaling.apply(x)
        weight, bias = fitted.arrays["weight"], fitted.arrays["bias"]
        value = objective(weight, bias, fitted.penalty, rows[:n], y[:n])
        right = ((rows[n:] @ weight + bias).argmax(axis=1) == y[n:]).mean()
        told = fitted.penalty, f"{right:.4f}", f"{value:.4f}"
        row("logistic", name, f"{seconds[name]:.2f}", "1", *told)
    for tolerance in tolerances:
        (model, best), other = cpu(
            lambda tolerance=tolerance: theirs(
                lambda penalty: LogisticRegression(C=1 / penalty, tol=tolerance, max_iter=10000),
                log_loss,
                rows[:n],
                y[:n],
            )
        )
        value = objective(model.coef_.T, model.intercept_, best, rows[:n], y[:n])
        cells = f"{model.score(rows[n:], y[n:]):.4f}", f"{value:.4f}"
        name = f"scikit-learn, tol={tolerance:g}"
        times = " / ".join(f"{other / one:.1f}" for one in seconds.values())
        row("logistic", name, f"{other:.1f}", times, best, *cells)


def converged(n, d, seed, tolerances):
    """How far each is above the lowest objective, at the penalties that are hardest."""
    x, y = layer(n, d, 10, seed)
    rows = x.astype(np.float64)
    standardise(rows, n, np.finfo(np.float32).eps)
    rows = rows[:n]
    spectrum = Training(rows).spectrum
    for penalty in PENALTIES[:3]:
        found = {}
        for tolerance in (1e-9, 1e-5):
            told = {"outputs": 10, "spectrum": spectrum, "tolerance": tolerance}
            one = solve(rows, y[None, :n], np.array([penalty]), **told)
            found[f"nncli, {tolerance:g}"] = one.value[0]
        for tolerance in tolerances:
            model = LogisticRegression(C=1 / penalty, tol=tolerance, max_iter=10000)
            model.fit(rows, y[:n])
            value = objective(model.coef_.T, model.intercept_, penalty, rows, y[:n])
            found[f"scikit-learn, {tolerance:g}"] = value
        least = min(found.values())
        row(penalty, *(f"{name}: {value / least - 1:.1e}" for name, value in found.items()))


def one_ridge(n, d, seed):
    """Against the bare loop, and against grid searches as people write them."""
    x, y = layer(n, d, 10, seed)
    target, codes = target_of(y, "y", source="made"), np.eye(10)[y[:n]]
    rows = x.astype(np.float64)
    standardise(rows, n, np.finfo(np.float32).eps)
    made = {
        "`Ridge`, a loop": lambda: theirs(
            lambda penalty: Ridge(alpha=penalty), squared, rows[:n], codes
        ),
        "`GridSearchCV` of `RidgeClassifier`": lambda: grid(RidgeClassifier(), rows[:n], y[:n]),
        "the same, with `StandardScaler`": lambda: grid(
            make_pipeline(StandardScaler(), RidgeClassifier()), x[:n].astype(np.float64), y[:n]
        ),
    }
    for name, work in made.items():
        before = cpu(lambda: ours("ridge", x, n, y, target))[1]
        found, other = cpu(work)
        (fitted, _), after = cpu(lambda: ours("ridge", x, n, y, target))
        seconds = (before + after) / 2  # others work on this machine: both sides of the peer
        gap = ""
        if isinstance(found, tuple):
            gap = f"{np.abs(found[0].coef_.T - fitted.arrays['weight']).max():.1e}"
        row("ridge", "nncli", f"{seconds:.2f}", "1", fitted.penalty, "", "")
        row("ridge", name, f"{other:.2f}", f"{other / seconds:.1f}", "", gap, "")


def grid(model, x, y):
    name = "alpha" if isinstance(model, RidgeClassifier) else "ridgeclassifier__alpha"
    return GridSearchCV(model, {name: PENALTIES}, cv=KFold(FOLDS)).fit(x, y)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--d", type=int, default=768)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--only", choices=("logistic", "ridge", "converged"))
    parser.add_argument("--tol", type=float, nargs="*", default=[1e-4])
    asked = parser.parse_args()
    row("reader", "by", "CPU s", "times", "penalty", "accuracy", "objective")
    for seed in range(asked.layers):
        if asked.only in (None, "ridge"):
            one_ridge(asked.n, asked.d, seed)
        if asked.only in (None, "logistic"):
            one_logistic(asked.n, asked.d, seed, asked.tol)
        if asked.only in (None, "converged"):
            converged(asked.n, asked.d, seed, asked.tol)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"\npeak memory {peak:.0f} MB, of which the data {asked.n * asked.d * 24 / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
