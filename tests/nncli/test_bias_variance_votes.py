"""Votes of equals: with equal chances for each of them, classes may be numbered in any way."""

import itertools

import numpy as np
import pytest

from nncli.bias_variance.answers import reading
from nncli.bias_variance.decomposition import Task, decompose
from nncli.bias_variance.ensembles import grow

METRICS = ("risk", "bias", "variance", "unbiased_variance", "biased_variance", "disagreement")


def found(answers, y, classes, *, ties, ensemble=None):
    how = reading("pred", None, on=None, losses=("zero-one",), regression=False).of(classes)
    ensemble = ensemble or grow([0] * len(answers), [], range(len(answers)))
    return decompose(
        Task(ensemble, how, len(y), np.asarray(y), lambda a, b: answers[:, a:b], ties=ties)
    )


def drawn(k, n=80, classes=4, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, classes, (k, n)), random.integers(0, classes, n)


def relabelled(answers, y, order):
    order = np.asarray(order)
    return order[answers], order[y] if y.ndim == 1 else y[:, np.argsort(order)]


def nested(count):
    half = count // 2
    levels = [
        ("seed", [k // half for k in range(count)]),
        ("seed2", [k % half for k in range(count)]),
    ]
    return grow([0] * count, levels, [str(k) for k in range(count)])


def soft(n, classes=4):
    return np.random.default_rng(3).dirichlet(np.ones(classes), n)


CASES = [
    (k, label, tree)
    for k in (3, 4, 6)
    for label in ("hard", "soft")
    for tree in (None, nested)
    if tree is None or k > 3
]


@pytest.mark.parametrize(("k", "label", "tree"), CASES)
def test_equal_chances_are_the_mean_over_all_ways_to_number_the_classes(k, label, tree):
    answers, y = drawn(k)
    y = y if label == "hard" else soft(80)
    ensemble = tree(k) if tree else None
    ours = found(answers, y, 4, ties="average", ensemble=ensemble)
    assert ours.tied > 5
    every = [
        found(*relabelled(answers, y, order), 4, ties="first", ensemble=ensemble)
        for order in itertools.permutations(range(4))
    ]
    for metric in METRICS:
        name = ("zero-one", metric)
        mean = np.mean([one.at_examples(name) for one in every], axis=0)
        np.testing.assert_allclose(ours.at_examples(name), mean, atol=1e-12)
        if k > 3 and tree is None:
            pseudo = np.mean([one.totals[0].unit_sums[name] for one in every], axis=0)
            np.testing.assert_allclose(ours.totals[0].unit_sums[name], pseudo, atol=1e-9)


@pytest.mark.parametrize("label", ["hard", "soft"])
def test_with_equal_chances_it_does_not_matter_how_classes_are_numbered(label):
    answers, y = drawn(6)
    y = y if label == "hard" else soft(80)
    ours = found(answers, y, 4, ties="average").estimates
    for order in itertools.permutations(range(4)):
        theirs = found(*relabelled(answers, y, order), 4, ties="average").estimates
        for name, one in ours.items():
            assert theirs[name].value == pytest.approx(one.value, abs=1e-13)
            assert theirs[name].se == pytest.approx(one.se, abs=1e-13)


@pytest.mark.parametrize("label", ["hard", "soft"])
def test_with_equal_chances_risk_is_still_bias_and_net_variance(label):
    answers, y = drawn(6)
    y = y if label == "hard" else soft(80)
    result = found(answers, y, 4, ties="average")
    at = {metric: result.at_examples(("zero-one", metric)) for metric in METRICS}
    noise = 0.0 if label == "hard" else result.at_examples(("zero-one", "noise"))
    np.testing.assert_allclose(at["risk"], noise + at["bias"] + at["variance"], atol=1e-13)
    net = at["unbiased_variance"] - at["biased_variance"]
    np.testing.assert_allclose(at["variance"], net, atol=1e-13)


def test_without_equals_the_two_rules_are_one():
    answers, y = drawn(5, n=400, classes=2)
    ours, theirs = (found(answers, y, 2, ties=one) for one in ("first", "average"))
    assert ours.tied == 0
    for name in ours.estimates:
        np.testing.assert_allclose(ours.at_examples(name), theirs.at_examples(name), atol=1e-13)


def test_two_models_that_disagree_are_half_right_with_equal_chances():
    result = found(np.array([[0], [1]]), np.array([1]), 2, ties="average")
    value = {metric: result.estimates["zero-one", metric].value for metric in METRICS}
    assert value == {
        "risk": 0.5,
        "bias": 0.5,
        "variance": 0.0,
        "unbiased_variance": 0.25,
        "biased_variance": 0.25,
        "disagreement": 0.5,
    }
