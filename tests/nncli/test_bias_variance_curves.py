"""Cells, curves, peaks and shares of shift."""

import numpy as np
import pytest

from nncli.bias_variance.answers import reading
from nncli.bias_variance.cells import arrange, with_shape
from nncli.bias_variance.curves import Point, bias_share, difference, peak, threshold
from nncli.bias_variance.decomposition import Task, decompose
from nncli.bias_variance.ensembles import grow
from nncli.errors import UsageError

NUMBERS = reading("pred", None, on=None, losses=(), regression=True)


def point(at, answers, y, models=None, ensemble=None):
    ensemble = ensemble or grow([0] * len(answers), [], range(len(answers)))
    found = decompose(Task(ensemble, NUMBERS, len(y), y, lambda a, b: answers[:, a:b]))
    names = tuple(models or (f"{at}-{k}" for k in range(len(answers))))
    return Point(at, names, np.arange(len(y)), found)


def noisy(random, k, n, scale, bias=0.0):
    """Answers to targets of 0: bias everywhere, and noise of each model at each example."""
    return bias + scale * random.standard_normal((k, n))


VARIANCE, RISK = ("squared", "variance"), ("squared", "risk")


def test_the_peak_is_the_largest_variance_and_the_interval_holds_what_is_near_it():
    random, y = np.random.default_rng(0), np.zeros(500)
    scales = [0.5, 1.0, 1.01, 0.6, 0.3]
    curve = [point(at, noisy(random, 6, 500, s), y) for at, s in enumerate(scales)]
    top = peak(curve, VARIANCE)
    assert top.at in (1, 2)
    assert (top.low, top.high) == (1, 2)
    assert top.inside


def test_a_peak_at_the_end_says_so():
    random, y = np.random.default_rng(0), np.zeros(300)
    curve = [point(at, noisy(random, 5, 300, s), y) for at, s in enumerate([0.2, 0.5, 1.0])]
    assert not peak(curve, VARIANCE).inside


def test_the_interval_of_a_peak_holds_the_true_one_in_95_of_100_samples():
    scales, inside = [0.8, 1.0, 0.9], 0
    for seed in range(150):
        random, y = np.random.default_rng(seed), np.zeros(40)
        curve = [point(at, noisy(random, 5, 40, s), y) for at, s in enumerate(scales)]
        top = peak(curve, VARIANCE)
        inside += top.low <= 1 <= top.high
    assert inside / 150 >= 0.95


def test_a_difference_of_the_same_models_forgets_what_they_share():
    random, y = np.random.default_rng(1), np.zeros(200)
    shared = 2.0 * random.standard_normal((6, 1)) + random.standard_normal((6, 200))
    names = [f"m{k}" for k in range(6)]
    a = point(0, shared, y, names)
    b = point(1, shared + 0.01 * random.standard_normal((6, 200)), y, names)
    other = point(1, noisy(random, 6, 200, 2.0), y)
    assert difference(b, a, RISK).se < 0.05 * a.found.estimates[RISK].se
    assert difference(other, a, RISK).se > 0.9 * a.found.estimates[RISK].se


def test_the_share_of_a_shift_that_adds_only_bias_is_1_and_only_variance_0():
    random, y = np.random.default_rng(2), np.zeros(2000)
    names = [f"m{k}" for k in range(8)]
    clean = noisy(random, 8, 2000, 0.5)
    base = point(0, clean, y, names)
    biased = point(1, clean + 0.7, y, names)
    spread = point(1, 3 * clean, y, names)
    assert bias_share(biased, base, "squared").estimate.value == pytest.approx(1.0)
    share = bias_share(spread, base, "squared")
    assert share.clear
    low, high = share.estimate.interval()
    assert low <= 0.0 <= high
    assert high - low < 0.05
    assert not bias_share(base, base, "squared").clear


def test_the_interval_of_a_share_holds_the_true_one():
    inside = 0
    for seed in range(200):
        random, y = np.random.default_rng(seed), np.zeros(100)
        names = [f"m{k}" for k in range(8)]
        base = point(0, noisy(random, 8, 100, 0.5), y, names)
        # bias of 0.6 at each example, and a variance of 0.64 in place of 0.25
        moved = 0.6 * random.choice([-1, 1], 100) + noisy(random, 8, 100, 0.8)
        low, high = bias_share(point(1, moved, y, names), base, "squared").estimate.interval()
        inside += low <= 0.36 / (0.36 + 0.39) <= high
    assert 0.93 <= inside / 200 <= 1.0


def test_partitions_of_independent_data_are_covered_too():
    inside, repeats = 0, 300
    for seed in range(repeats):
        random = np.random.default_rng(seed)
        answers, y = noisy(random, 12, 60, 1.0), np.zeros(60)
        tree = grow([k // 4 for k in range(12)], [("part", [*range(4)] * 3)], list("abcdefghijkl"))
        low, high = point(0, answers, y, ensemble=tree).found.estimates[VARIANCE].interval()
        inside += low <= 1.0 <= high
    assert 0.93 <= inside / repeats <= 0.99


def test_the_threshold_is_where_the_error_stays_low():
    assert threshold([1, 2, 3, 4], [0.5, 0.0, 0.2, 0.0], 0.01) == 4
    assert threshold([1, 2, 3, 4], [0.5, 0.01, 0.0, 0.0], 0.01) == 2
    assert threshold([1, 2], [0.5, 0.4], 0.01) is None


def test_the_threshold_of_an_error_that_grows_is_where_it_is_low_for_the_last_time():
    assert threshold([0.0, 0.1, 0.2, 0.3], [0.0, 0.01, 0.02, 0.3], 0.01) == 0.1
    assert threshold([0.0, 0.1, 0.2, 0.3], [0.0, 0.2, 0.0, 0.3], 0.01) == 0.0
    assert threshold([0.0, 0.1, 0.2], [0.0, 0.2, 0.0], 0.01) == 0.2
    assert threshold([0.0, 0.1, 0.2], [0.1, 0.0, 0.2], 0.01) is None


@pytest.mark.parametrize(
    ("arch", "width", "depth"),
    [
        ("mlp:64-128-32-10,act=tanh", 128, 2),
        ("cnn:1x8x8-c16-c32-p-64-10", 64, 3),
        ("transformer:8x8-d32-h4-b2-10", 32, 2),
        ("rnn:8x8-64-10", 64, 1),
    ],
)
def test_width_and_depth_are_read_off_the_architecture(arch, width, depth):
    assert with_shape({"arch": arch}) == {"arch": arch, "width": width, "depth": depth}


def test_what_is_no_architecture_has_neither():
    for arch in (None, "model.py:Net", "mlp:64-10"):
        assert "width" not in with_shape({"arch": arch})
    assert with_shape({"arch": "mlp:4-8-2", "width": 3})["width"] == 3


def models(**columns):
    length = max(map(len, columns.values()))
    return [
        {"model_id": f"m{k}", **{name: values[k] for name, values in columns.items()}}
        for k in range(length)
    ]


def test_one_factor_is_found_with_what_follows_from_it():
    found = arrange(models(width=[4, 4, 8, 8], arch=["a", "a", "b", "b"], lr=[1.0, 1.0, 0.5, 0.5],
                           seed=[0, 1, 0, 1], test_accuracy=[0.1, 0.2, 0.3, 0.4]))  # fmt: skip
    assert found.columns == ("width",)
    assert found.axis == "width"
    assert [cell.key for cell in found.cells] == [{"width": 4}, {"width": 8}]
    assert [cell.members for cell in found.cells] == [(0, 1), (2, 3)]


def test_a_factor_that_is_named_is_not_pooled_with_others():
    given = models(width=[4, 4, 8, 8], epsilon=[0.0, 0.1] * 2, seed=[0] * 4)
    with pytest.raises(UsageError, match="differ in `width`, `epsilon`: which is the curve"):
        arrange(given)
    with pytest.raises(UsageError, match="at width 4 differ in `epsilon`"):
        arrange(given, ["width"])


def test_strengths_of_one_attack_are_an_axis_with_the_clean_at_0():
    given = [
        {"model_id": f"m{k}", "seed": k, "perturbation": name, "strength": strength}
        for name, strength in ((None, None), ("pgd-linf-0.1", 0.1), ("pgd-linf-0.2", 0.2))
        for k in range(3)
    ]
    found = arrange(given)
    assert found.axis == "strength"
    assert found.columns == ("strength",)
    assert [cell.key["strength"] for cell in found.cells] == [0.0, 0.1, 0.2]
    given[-1]["perturbation"] = given[-2]["perturbation"] = given[-3]["perturbation"] = "blur-3"
    assert arrange(given).axis is None


def test_models_shown_what_they_were_trained_against_are_one_curve():
    given = [
        {"model_id": f"{sigma} {k}", "seed": k, "noise": sigma, "perturbation": name}
        | {"strength": sigma or None}
        for sigma, name in ((0.0, None), (0.1, "smoothing-0.1"), (0.2, "smoothing-0.2"))
        for k in range(2)
    ]
    found = arrange(given)
    assert (found.columns, found.axis) == (("noise",), "noise")
    given[0]["strength"], given[0]["perturbation"] = 0.2, "smoothing-0.2"
    assert (
        "strength"
        in arrange([given[0], {**given[0], "model_id": "x", "seed": 3}, *given[2:]]).columns
    )
