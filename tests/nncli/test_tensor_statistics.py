"""Statistics that see every number once, against NumPy's that see them all."""

import numpy as np
import pytest

from nncli.tensor_statistics import Statistics, summarise


@pytest.mark.parametrize("pieces", [1, 2, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, np.bool_])
def test_blocks_give_what_numpy_gives_of_the_whole(pieces, dtype):
    x = (np.random.default_rng(0).random(1000) * 200).astype(dtype)
    found = summarise(np.array_split(x, pieces))
    wide = x.astype(np.float64)
    wanted = [wide.min(), wide.max(), wide.mean(), wide.std()]
    np.testing.assert_allclose(
        [found.minimum, found.maximum, found.mean, found.std], wanted, rtol=1e-12
    )
    assert (found.count, found.nan, found.infinite) == (1000, 0, 0)


def test_a_large_mean_costs_no_digits_of_the_deviation():
    x = np.random.default_rng(1).standard_normal(10_000) + 1e9
    wanted = (x - 1e9).std()  # exact subtraction
    assert summarise(np.array_split(x, 13)).std == pytest.approx(wanted, rel=1e-8)


def test_what_is_not_finite_is_counted_and_left_out():
    x = np.array([1.0, np.nan, 3.0, np.inf, -np.inf, np.nan])
    assert summarise([x]) == Statistics(6, 2, 2, 1.0, 3.0, 2.0, 1.0)


@pytest.mark.parametrize("x", [np.empty(0), np.full(3, np.nan)])
def test_without_a_finite_number_there_are_no_statistics(x):
    found = summarise([x])
    assert (found.minimum, found.maximum, found.mean, found.std) == (None,) * 4
    assert found.count == len(x)


def test_complex_numbers_count_by_their_absolute_value():
    assert summarise([np.array([3 + 4j])]).maximum == 5


def test_squares_that_overflow_leave_no_deviation_rather_than_a_wrong_one():
    found = summarise([np.array([1e300, -1e300])])
    assert found.std is None
    assert found.maximum == 1e300
