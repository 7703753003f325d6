"""What a pool of readers says, against enumeration and simulation."""

import itertools
import math

import numpy as np
import pytest

from nncli.triage import pools

COUNTS = np.array([[3, 2, 0], [5, 0, 0], [1, 1, 1], [0, 1, 0], [2, 2, 2], [1, 4, 3]])
LABEL = np.array([0, 0, 2, 0, 1, 1])


def enumerated(counts, label, most):
    """How often the plurality of every possible draw of readers errs."""
    found = np.full((len(counts), most), np.nan)
    for case, (row, right) in enumerate(zip(counts, label, strict=True)):
        pool = np.repeat(np.arange(len(row)), row).tolist()
        for k in range(1, min(most, len(pool)) + 1):
            wins = []
            for drawn in itertools.combinations(pool, k):
                votes = np.bincount(drawn, minlength=len(row))
                wins.append((votes[right] == votes.max()) / (votes == votes.max()).sum())
            found[case, k - 1] = 1 - np.mean(wins)
    return found


def test_the_plurality_of_readers_drawn_without_replacement_is_that_of_all_draws():
    assert np.allclose(
        pools.majority_errors(COUNTS, LABEL, 7),
        enumerated(COUNTS, LABEL, 7),
        rtol=0,
        atol=1e-14,
        equal_nan=True,
    )


@pytest.mark.parametrize("seed", range(3))
def test_it_is_so_for_random_pools_of_several_classes(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, (12, 4))
    counts[counts.sum(axis=1) == 0, 0] = 1
    label = rng.integers(0, 4, 12)
    found = pools.majority_errors(counts, label, 5)
    assert np.allclose(found, enumerated(counts, label, 5), atol=1e-13, equal_nan=True)


def test_one_reader_errs_as_often_as_the_pool_and_a_second_one_changes_nothing():
    found = pools.majority_errors(np.array([[3, 2], [4, 1], [1, 6]]), np.zeros(3, int), 2)
    assert np.allclose(found[:, 0], [2 / 5, 1 / 5, 6 / 7])
    assert np.allclose(found[:, 1], found[:, 0])


def test_large_pools_do_not_overflow():
    found = pools.majority_errors(np.array([[180, 20]]), np.zeros(1, int), 9)
    binomial = pools.independent_errors(np.array([0.1]), 9)
    assert np.abs(found - binomial).max() < 2e-3
    assert (np.diff(found[0, ::2]) < 0).all()


def test_disagreement_is_that_of_the_pairs_of_readers():
    pairs = [
        np.mean([a != b for a, b in itertools.combinations(np.repeat(range(3), row), 2)])
        for row in COUNTS
        if row.sum() > 1
    ]
    found = pools.disagreement(COUNTS)
    assert np.allclose(found[COUNTS.sum(axis=1) > 1], pairs)
    assert np.isnan(found[3])


def test_disagreement_has_no_bias_where_the_plug_in_estimate_is_low():
    rng = np.random.default_rng(0)
    share = np.array([0.6, 0.3, 0.1])
    counts = rng.multinomial(4, share, 100_000)
    truth = 1 - (share**2).sum()
    found = pools.disagreement(counts)
    assert abs(found.mean() - truth) < 4 * found.std() / math.sqrt(len(found))
    plug_in = 1 - ((counts / 4) ** 2).sum(axis=1)
    assert abs(plug_in.mean() - truth * 3 / 4) < 0.002


def test_entropy_of_agreement_is_0_and_of_many_even_readings_the_logarithm_of_the_classes():
    found = pools.entropy(np.array([[9, 0], [0, 0], [10_000, 10_000]]))
    assert found[0] == 0
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(math.log(2), abs=1e-4)


def test_the_correction_of_entropy_takes_off_most_of_its_bias():
    rng = np.random.default_rng(1)
    share = np.array([0.5, 0.3, 0.2])
    truth = -(share * np.log(share)).sum()
    counts = rng.multinomial(20, share, 20_000)
    p = counts / 20
    plain = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)
    assert abs(pools.entropy(counts).mean() - truth) < abs(plain.mean() - truth) / 5


def test_variance_of_grades_is_that_of_numpy():
    values = np.array([-2.0, 0.0, 5.0])
    found = pools.variance(COUNTS, values)
    for row, variance in zip(COUNTS, found, strict=True):
        grades = np.repeat(values, row)
        if len(grades) > 1:
            assert variance == pytest.approx(np.var(grades, ddof=1))
        else:
            assert np.isnan(variance)


def test_error_rates_are_shares_of_wrong_readings():
    found = pools.error_rates(np.array([[3, 1], [0, 4], [0, 0]]), np.array([0, 0, 1]))
    assert found[:2].tolist() == [0.25, 1.0]
    assert np.isnan(found[2])


def test_independent_readers_err_as_binomials_say():
    from scipy.stats import binom

    rate = np.array([0.0, 0.1, 0.5, 0.8, 1.0])
    found = pools.independent_errors(rate, 6)
    for k in range(1, 7):
        expected = binom.sf(k // 2, k, rate) + (
            0.5 * binom.pmf(k // 2, k, rate) if k % 2 == 0 else 0
        )
        assert np.allclose(found[:, k - 1], expected, atol=1e-15)
    assert np.allclose(found[:, 1::2], found[:, 0::2])
