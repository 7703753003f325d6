"""Examples that come in groups: intervals are those of groups, and hold the truth as often."""

import numpy as np
import pytest

from nncli.bias_variance.answers import reading
from nncli.bias_variance.clusters import codes_of, mean_variance, rest_variance, sum_over
from nncli.bias_variance.curves import Point, difference
from nncli.bias_variance.decomposition import Task, decompose
from nncli.bias_variance.ensembles import grow

CLASSES = reading("logits", 3, on=None, losses=(), regression=False)
COVERED = [
    ("squared", "risk"),
    ("squared", "bias"),
    ("squared", "variance"),
    ("cross-entropy", "risk"),
    ("zero-one", "risk"),
    ("kohavi-wolpert", "variance"),
]


def found(z, y, clusters=None):
    ensemble = grow([0] * len(z), [], range(len(z)))
    task = Task(ensemble, CLASSES, len(y), y, lambda a, b: z[:, a:b], clusters=clusters)
    return decompose(task)


def draw(random, k, groups, size):
    """Models that err alike on examples of one group; the answers, labels and groups."""
    clusters = np.repeat(np.arange(groups), size)
    n = groups * size
    y = random.integers(0, 3, n)
    base = 0.4 * random.standard_normal((n, 3))
    base[np.arange(n), y] += 1.0 + np.repeat(random.standard_normal(groups), size)
    each = np.repeat(random.standard_normal((k, groups, 3)), size, axis=1)
    noise = np.exp(0.4 * np.repeat(random.standard_normal(groups), size))[:, None]
    return base + noise * (each + 0.4 * random.standard_normal((k, n, 3))), y, clusters


def test_intervals_of_groups_cover_where_those_of_examples_do_not():
    large = [found(*draw(np.random.default_rng(10**6 + i), 60, 400, 4)[:2]) for i in range(6)]
    truth = {
        name: np.mean([one.estimates[name].value for one in large]) for name in COVERED
    }  # one group or many have the same mean
    repeats = 300
    inside = {kind: dict.fromkeys(COVERED, 0) for kind in ("groups", "examples")}
    for repeat in range(repeats):
        z, y, clusters = draw(np.random.default_rng(repeat), 8, 40, 5)
        for kind, own in (("groups", clusters), ("examples", None)):
            estimates = found(z, y, own).estimates
            for name in COVERED:
                low, high = estimates[name].interval()
                inside[kind][name] += low <= truth[name] <= high
    share = {kind: np.array(list(one.values())) / repeats for kind, one in inside.items()}
    assert 0.93 <= share["groups"].mean() <= 0.97
    assert share["groups"].min() >= 0.915
    assert share["examples"].max() < 0.85


def test_groups_of_one_are_no_groups():
    z, y, _ = draw(np.random.default_rng(0), 6, 50, 1)
    plain = found(z, y).estimates
    for name, one in found(z, y, np.random.default_rng(1).permutation(50)).estimates.items():
        assert one.value == plain[name].value
        assert one.se == pytest.approx(plain[name].se, rel=1e-9)
        assert one.interval() == pytest.approx(plain[name].interval(), rel=1e-9)


def test_copies_of_examples_in_groups_say_no_more_than_one_of_each():
    z, y, _ = draw(np.random.default_rng(2), 6, 50, 1)
    plain = found(z, y).estimates
    order = np.random.default_rng(3).permutation(150)
    tripled = np.tile(np.arange(50), 3)[order]
    for name, one in found(z[:, tripled], y[tripled], tripled).estimates.items():
        assert one.value == pytest.approx(plain[name].value, abs=1e-12)
        assert one.se == pytest.approx(plain[name].se, rel=1e-9)


def test_variances_are_those_of_their_definitions():
    random = np.random.default_rng(4)
    codes = random.integers(0, 7, 40)
    values, pseudo = random.standard_normal(40), random.standard_normal((5, 40))
    away = [sum(values[codes == g] - values.mean()) for g in range(7)]
    variance, freedom = mean_variance(values, codes)
    assert variance == pytest.approx(7 / 6 * np.square(away).sum() / 40**2)
    assert freedom == 6
    residual = pseudo - pseudo.mean(0) - pseudo.mean(1)[:, None] + pseudo.mean()
    each = [[residual[u, codes == g].sum() for g in range(7)] for u in range(5)]
    sums, there = sum_over(pseudo, codes)
    assert there.tolist() == list(range(7))
    expected = 5 / 4 * 7 / 6 * np.square(each).sum() / (5 * 40) ** 2
    assert rest_variance(sums, np.bincount(codes)) == pytest.approx(expected)


def test_differences_along_a_curve_are_of_groups_too():
    z, y, clusters = draw(np.random.default_rng(5), 6, 30, 4)
    ids, models = np.arange(120), tuple("abcdef")
    order = np.random.default_rng(6).permutation(120)
    a = Point(0.0, models, ids, found(z, y, clusters))
    other = z + 0.3
    b = Point(1.0, models, ids[order], found(other[:, order], y[order], clusters[order]))
    gap = difference(a, b, ("squared", "risk"))
    assert gap.value == pytest.approx(0, abs=1e-12)  # a constant is added to all logits
    half = found(0.5 * z, y, clusters)
    gap = difference(a, Point(2.0, models, ids, half), ("squared", "risk"))
    away = a.found.at_examples(("squared", "risk")) - half.at_examples(("squared", "risk"))
    assert gap.spread.examples == pytest.approx(mean_variance(away, clusters)[0])


def test_one_group_has_no_error():
    z, y, _ = draw(np.random.default_rng(7), 6, 5, 4)
    assert found(z, y, np.zeros(20, np.int64)).estimates["squared", "risk"].se is None


def test_groups_are_numbered_by_name():
    assert codes_of(np.array(["p2", "p1", "p2"])).tolist() == [1, 0, 1]
