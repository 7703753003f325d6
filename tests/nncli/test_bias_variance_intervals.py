"""Errors and intervals of the parts: by definition, against simulation, and of the jackknife."""

import math

import numpy as np
import pytest
from scipy import stats
from seeded_ensembles import (
    NAMES,
    brute,
    found,
    jackknifed,
    seeded_ensemble,
    values,
)

from nncli.bias_variance.intervals import student


def two_way(pseudo, at_examples):
    """Variance and degrees of freedom of the mean, from sums of squares of a two-way table."""
    k, n = pseudo.shape
    rows, columns, mean = pseudo.mean(axis=1), pseudo.mean(axis=0), pseudo.mean()
    left = pseudo - rows[:, None] - columns + mean
    rest = (left**2).sum() / ((k - 1) * (n - 1)) / (k * n)
    units, examples = rows.var(ddof=1) / k, at_examples.var(ddof=1) / n
    variance = examples + max(units - rest, 0)
    parts = examples**2 / (n - 1) + (units > rest) * units**2 / (k - 1)
    return variance, max(variance**2 / parts, k - 1)


@pytest.mark.parametrize("name", NAMES)
def test_standard_errors_count_models_and_examples_once_each(name):
    z, y = seeded_ensemble(seed=4, k=6, n=50)
    estimate = found(z, y).estimates[name]
    whole, pseudo = jackknifed(lambda models: brute(z, y, models, name), 6)
    values = pseudo.mean(axis=0) if name[0] == "cross-entropy" else whole
    variance, freedom = two_way(pseudo, values)
    assert estimate.se == pytest.approx(math.sqrt(variance), rel=1e-9)
    low, high = estimate.interval()
    half = stats.t(freedom).ppf(0.975) * math.sqrt(variance)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-9)


def test_student_is_that_of_scipy():
    for freedom in (1, 3.5, 100):
        assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom))


def draw(random, k, n, *, model, noise, spread):
    """Models that differ in a shift of all examples (`model`) and at each example (`noise`)."""
    y = random.integers(0, 3, n)
    base = spread * random.standard_normal((n, 3))
    base[np.arange(n), y] += 1.5
    shift = model * random.standard_normal((k, 1, 3))
    return base + shift + noise * random.standard_normal((k, n, 3)), y


COVERED = [
    ("squared", "risk"),
    ("squared", "bias"),
    ("squared", "variance"),
    ("cross-entropy", "bias"),
    ("cross-entropy", "variance"),
    ("kohavi-wolpert", "bias"),
    ("kohavi-wolpert", "variance"),
]


@pytest.mark.parametrize(("k", "model", "noise", "spread"), [(5, 0, 1, 0.5), (10, 0.2, 1, 1)])
def test_intervals_cover_the_truth_in_93_to_97_of_100_samples(k, model, noise, spread):
    random, how = np.random.default_rng(99), {"model": model, "noise": noise, "spread": spread}
    large = [values(*draw(random, 200, 2500, **how)) for _ in range(6)]
    truth = {name: np.mean([one[name] for one in large]) for name in COVERED}
    repeats, inside = 400, dict.fromkeys(COVERED, 0)
    for repeat in range(repeats):
        random = np.random.default_rng(repeat)
        estimates = found(*draw(random, k, 100, **how)).estimates
        for name in COVERED:
            low, high = estimates[name].interval()
            inside[name] += low <= truth[name] <= high
    # quantities of one sample are alike, so their mean is as noisy as one of them: 1.1 points
    assert 0.93 <= sum(inside.values()) / (repeats * len(COVERED)) <= 0.97
    assert min(inside.values()) / repeats >= 0.92
    assert max(inside.values()) / repeats <= 0.98


def test_the_jackknife_takes_away_most_of_the_plug_in_bias():
    random = np.random.default_rng(5)
    name, plugin = ("cross-entropy", "variance"), ("cross-entropy", "variance_plugin")
    truth = values(*draw(random, 400, 3000, model=0, noise=1, spread=1))[name]
    few = [found(*draw(random, 5, 1000, model=0, noise=1, spread=1)).estimates for _ in range(20)]
    assert np.mean([one[plugin].value for one in few]) < 0.85 * truth
    assert np.mean([one[name].value for one in few]) == pytest.approx(truth, rel=0.03)
