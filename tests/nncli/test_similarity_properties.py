"""Every measure on two arrays: what it declares to be invariant to, its range, what it refuses."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import nncli.similarity
from nncli.errors import ArtifactError, MismatchError, NoAnswerError
from nncli.similarity import (
    METRICS,
    compare,
    layer_of,
    linear_cka,
)

pytestmark = pytest.mark.filterwarnings("ignore::nncli.errors.NncliWarning")  # of saturation


# how near a root or an arccos comes beside its branch point
ROOTS = {
    "angular-cka": 1e-6,
    "procrustes-angular": 1e-6,
    "procrustes-size-shape": 1e-4,
    "shape-metric": 1e-6,
}


# what needs no package that may be missing; the others have tests of their own
PLAIN = {name: one for name, one in METRICS.items() if one.extra is None}


TRANSFORMATIONS = {
    "shift": lambda rng, x: x + 10 * rng.standard_normal(x.shape[1]),
    "scale": lambda rng, x: 0.01 * x,
    "permutation": lambda rng, x: x[:, rng.permutation(x.shape[1])],
    "rotation": lambda rng, x: x @ np.linalg.qr(rng.standard_normal((x.shape[1],) * 2))[0],
    "linear": lambda rng, x: x @ rng.standard_normal((x.shape[1],) * 2),
}


@pytest.mark.parametrize("change", TRANSFORMATIONS)
@pytest.mark.parametrize("name", PLAIN)
def test_a_measure_is_invariant_to_what_it_declares_and_to_nothing_else(name, change, case):
    x, y = case("tall", name)
    rng = np.random.default_rng(1)
    measure, transform = METRICS[name].function, TRANSFORMATIONS[change]
    value = measure(x, y)
    moved = [measure(transform(rng, x), y), measure(x, transform(rng, y))]
    if change in METRICS[name].invariances:
        assert moved == pytest.approx([value, value], rel=1e-9, abs=1e-9)
    else:
        assert max(abs(one - value) for one in moved) > 1e-4


@pytest.mark.parametrize("name", PLAIN)
def test_a_measure_is_symmetric_if_and_only_if_it_declares_so(name, case):
    x, y = case("tall", name)
    measure = METRICS[name].function
    assert (abs(measure(x, y) - measure(y, x)) < 1e-10) == METRICS[name].symmetric


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("inputs", ["tall", "wide", "null", "self", "rot"])
def test_values_stay_in_the_declared_range(name, inputs, case):
    metric = METRICS[name]
    assert metric.low <= metric.function(*case(inputs, name)) <= metric.high


@pytest.mark.parametrize("name", PLAIN)
def test_a_layer_is_as_alike_to_itself_as_can_be(name, case):
    metric = METRICS[name]
    x = case("tall")[0].astype(np.float32)
    best = metric.high if metric.kind == "similarity" else metric.low
    assert metric.function(x, x) == pytest.approx(best, abs=ROOTS.get(name, 1e-7))


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales_neither_overflow_nor_vanish(name, scale, case):
    x, y = (one.astype(np.float32) for one in case("tall", name))
    measure = METRICS[name].function
    if "scale" in METRICS[name].invariances:
        assert measure(x * np.float32(scale), y) == pytest.approx(measure(x, y), abs=1e-5)
    else:
        assert 0 < measure(x * np.float32(scale), y) < np.inf


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("dtype", ["float16", "int8", "uint8", "int64", "bool"])
def test_every_real_type_is_taken(name, dtype, case):
    x, y = (np.maximum(one, 0).astype(dtype) for one in case("tall", name))
    measure = METRICS[name].function
    assert measure(x, y) == pytest.approx(
        measure(x.astype(np.float64), y.astype(np.float64)), abs=1e-6
    )


@pytest.mark.parametrize("name", [name for name in PLAIN if METRICS[name].paired])
def test_different_numbers_of_rows_are_refused(name, case):
    x, y = case("tall")
    with pytest.raises(MismatchError, match="`x` has 200 rows, `y` has 199"):
        METRICS[name].function(x, y[1:])


@pytest.mark.parametrize("name", PLAIN)
def test_one_row_is_refused(name):
    with pytest.raises(ArtifactError, match=r"layer `x` has 1 example; .* at least 2"):
        METRICS[name].function(np.ones((1, 3)), np.ones((1, 3)))


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("value", [0.0, 7.1])
def test_a_constant_array_has_no_answer(name, value, case):
    _, y = case("tall")
    for dtype in (np.float32, np.float64):
        constant = np.full((200, 5), value, dtype)
        with pytest.raises(NoAnswerError, match="`x` is constant"):
            METRICS[name].function(constant, y)


def test_more_than_two_dimensions_must_be_reduced_first():
    with pytest.raises(ValueError, match=r"`x` must be real and \(n, d\)"):
        linear_cka(np.ones((3, 2, 2)), np.ones((3, 2)))


def test_the_registry_is_consistent():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.kind in ("similarity", "distance")
        assert metric.invariances <= set(TRANSFORMATIONS)
        assert metric.low < metric.high


def test_the_examples_in_the_docstrings_hold():
    failed = 0
    for module in pkgutil.walk_packages(nncli.similarity.__path__, "nncli.similarity."):
        failed += doctest.testmod(importlib.import_module(module.name)).failed
    assert failed == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [name for name in PLAIN if METRICS[name].kind == "similarity"])
def test_a_copy_of_a_layer_has_the_similarity_one_to_the_last_digit(name, dtype):
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((90, 12)) @ rng.standard_normal((12, 12)) + 3).astype(dtype)
    sides = [[layer_of(one, "x"), layer_of(one[:, :5], "y")] for one in (x, x.copy())]
    found = compare(*sides, [name])
    if name == "rank-similarity":  # a mean of 90 ratios
        assert [found[0].score.value, found[3].score.value] == pytest.approx([1, 1], abs=1e-12)
    else:
        assert [found[0].score.value, found[3].score.value] == [1.0, 1.0]
