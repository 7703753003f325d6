"""Partitions, and seeds within seeds: variances of all levels, and what cannot be nested."""

import itertools

import numpy as np
import pytest
from seeded_ensembles import (
    NUMBERS,
    REFERENCE,
    Y,
    Z,
    brute,
    found,
    jackknifed,
    log_softmax,
    values,
)

from nncli.bias_variance.answers import reading
from nncli.bias_variance.ensembles import grow
from nncli.errors import ArtifactError, UsageError


def seeded_nested(seed=13, n=300, p=10, f=5):
    """Hits (n, outer seed, inner seed) that vary at both levels."""
    r = np.random.default_rng(seed)
    mu = 1.5 * r.standard_normal((n, 1, 1)) + 1.0
    z = mu + 0.6 * r.standard_normal((n, p, 1)) + 0.8 * r.standard_normal((n, p, f))
    return (z > 0).astype(np.int8)


def test_nested_seeds_agree_with_the_reference_values():
    hits = seeded_nested().reshape(300, 50).T.astype(float)
    outer, inner = np.repeat(range(10), 5).tolist(), np.tile(range(5), 10).tolist()
    names = [str(k) for k in range(50)]
    tree = grow([0] * 50, [("seed", outer), ("seed2", inner)], names)
    assert values(hits, np.ones(300), NUMBERS, tree) == pytest.approx(
        {
            ("squared", "risk"): 0.2739333333333333,
            ("squared", "bias"): 0.17518222222222218,
            ("squared", "variance"): 0.07710000000000002 + 0.021651111111111114,
            ("squared", "variance_seed"): 0.021651111111111114,
            ("squared", "variance_seed2"): 0.07710000000000002,
        },
        abs=1e-12,
    )
    # of two classes, half the squared loss of indicators is the squared loss of hits
    how = reading("pred", None, on=None, losses=("kohavi-wolpert",), regression=False).of(2)
    again = values(hits.astype(int), np.ones(300, int), how, tree)
    assert again["kohavi-wolpert", "bias"] == pytest.approx(0.17518222222222218, abs=1e-12)
    assert again["kohavi-wolpert", "variance_seed"] == pytest.approx(0.021651111111, abs=1e-11)


def test_partitions_are_averaged_and_never_pooled():
    tree = grow([0] * 5 + [1] * 5, [("part", [*range(5)] * 2)], [str(k) for k in range(10)])
    together = found(Z, Y, ensemble=tree)
    apart = [found(Z[:5], Y), found(Z[5:], Y)]
    for name, one in together.estimates.items():
        mean = np.mean([half.estimates[name].value for half in apart])
        assert one.value == pytest.approx(mean)
    # what they have in common is not averaged out, what they do not is, at most by half
    name = ("squared", "variance")
    each = np.mean([half.estimates[name].spread.units for half in apart])
    gap = np.var([half.estimates[name].value for half in apart], ddof=1)
    ours = together.estimates[name].spread.units
    assert ours == pytest.approx(max(each - gap / 2, each / 2))


def nested_brute(z):
    """The variances of three levels, (a, b, c, n), by expected mean squares."""
    b, c = z.shape[1:3]
    s3 = z.var(axis=2, ddof=1).mean(axis=(0, 1))
    s2 = z.mean(axis=2).var(axis=1, ddof=1).mean(axis=0) - s3 / c
    s1 = z.mean(axis=(1, 2)).var(axis=0, ddof=1) - s2 / b - s3 / (b * c)
    return s1, s2, s3


def test_seeds_may_be_nested_to_any_depth():
    random = np.random.default_rng(10)
    z = random.standard_normal((4, 3, 2, 50))
    z += random.standard_normal((4, 1, 1, 50)) + random.standard_normal((4, 3, 1, 50))
    leaves = list(itertools.product(range(4), range(3), range(2)))
    levels = [(name, [one[i] for one in leaves]) for i, name in enumerate("abc")]
    order = random.permutation(24)
    levels = [(name, [column[i] for i in order]) for name, column in levels]
    tree = grow([None] * 24, levels, [str(k) for k in range(24)])
    result = found(z.reshape(24, 50)[order], np.zeros(50), NUMBERS, tree)
    for name, expected in zip("abc", nested_brute(z), strict=True):
        assert np.allclose(result.at_examples(("squared", f"variance_{name}")), expected)
    total = sum(result.estimates["squared", f"variance_{one}"].value for one in "abc")
    assert result.estimates["squared", "variance"].value == pytest.approx(total)


def test_nested_cross_entropy_splits_the_variance_exactly():
    tree = grow(
        [0] * 10, [("seed", [k // 2 for k in range(10)]), ("seed2", [k % 2 for k in range(10)])],
        [str(k) for k in range(10)],
    )  # fmt: skip
    result = found(Z, Y, ensemble=tree)
    name = "cross-entropy"
    # as it comes, the variance of a nested ensemble is that of all of its models
    assert result.estimates[name, "variance_plugin"].value == pytest.approx(
        REFERENCE[name, "variance_plugin"]
    )
    logs = log_softmax(Z)
    means = logs.reshape(5, 2, 400, 3).mean(axis=1)

    def kl(group):
        return -np.log(np.exp(group.mean(axis=0)).sum(axis=1))

    _, pseudo = jackknifed(lambda seeds: kl(means[seeds]), 5)
    assert np.allclose(result.at_examples((name, "variance")), pseudo.mean(axis=0))
    # two children: twice the variance as it comes, since one alone has none
    inner = np.mean([2 * kl(logs[2 * k : 2 * k + 2]) for k in range(5)], axis=0)
    assert np.allclose(result.at_examples((name, "variance_seed2")), inner)
    assert np.allclose(result.at_examples((name, "variance_seed")), pseudo.mean(axis=0) - inner)


def test_a_vote_of_nested_models_is_that_of_all():
    tree = grow(
        [0] * 10, [("seed", [k // 2 for k in range(10)]), ("seed2", [k % 2 for k in range(10)])],
        [str(k) for k in range(10)],
    )  # fmt: skip
    nested, flat = found(Z, Y, ensemble=tree), found(Z, Y)
    assert np.array_equal(nested.main, flat.main)
    for metric in ("risk", "bias", "variance", "unbiased_variance", "biased_variance"):
        name = ("zero-one", metric)
        assert nested.estimates[name].value == pytest.approx(flat.estimates[name].value)
    z, y = Z, Y
    for metric in ("bias", "unbiased_variance", "biased_variance", "disagreement"):
        name = ("zero-one", metric)
        _, pseudo = jackknifed(
            lambda seeds, name=name: brute(z, y, [2 * s + i for s in seeds for i in (0, 1)], name),
            5,
        )
        assert np.allclose(nested.totals[0].unit_sums[name], pseudo.sum(axis=1), atol=1e-9)


def test_one_model_is_refused():
    with pytest.raises(UsageError, match="one model: variance is between models"):
        grow([0], [], ["a"])
    with pytest.raises(UsageError, match="one model at width 3"):
        grow([0, 1], [("part", [0, 0])], ["a", "b"], where=" at width 3")


def test_models_that_nothing_tells_apart_are_refused():
    with pytest.raises(ArtifactError, match="`a` and `c` have the same seed 0"):
        grow([0] * 4, [("seed", [0, 1, 0, 1])], list("abcd"))


def test_a_branch_of_one_beside_branches_of_several_is_refused():
    with pytest.raises(ArtifactError, match="`c` is alone with its `seed2`"):
        grow([0] * 3, [("seed", [0, 0, 1]), ("seed2", [0, 1, 0])], list("abc"))


def test_a_level_without_choice_is_no_level():
    levels = [("part", [0, 1, 2]), ("seed", [5, 6, 7]), ("seed2", [0, 0, 0])]
    tree = grow([0] * 3, levels, list("abc"))
    assert tree.trees[0].flat
    assert tree.levels == ("part",)
