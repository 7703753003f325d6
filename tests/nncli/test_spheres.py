"""Concentric spheres: the data, and the formulas against simulation."""

import math

import numpy as np
import pytest

from nncli.errors import UsageError
from nncli.formats.dataset_spheres import parse_spheres
from nncli.formats.datasets import load
from nncli.spheres import optimal_mean_distance


def test_points_lie_on_spheres_of_radius_1_and_1_3_in_turn():
    data = load("spheres:50:count=200")
    lengths = np.linalg.norm(data.x.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths[0::2], 1.0, rtol=1e-6)
    np.testing.assert_allclose(lengths[1::2], 1.3, rtol=1e-6)
    assert data.y.tolist() == [0, 1] * 100
    assert data.classes == 2
    assert data.class_names == ("inner", "outer")
    np.testing.assert_allclose(data.factors["radius"], lengths, rtol=1e-6)
    assert data.x.dtype == np.float32


def test_points_are_uniform_on_their_sphere():
    x = load("spheres:5:count=20000").x[0::2].astype(np.float64)
    # the coordinates have mean 0 and variance 1 / 5; 0.018 and 0.01 are 4 standard errors
    assert np.abs(x.mean(axis=0)).max() < 0.018
    assert np.abs(np.cov(x.T) - np.eye(5) / 5).max() < 0.01


def test_equal_names_give_equal_points_and_others_do_not():
    digest = load("spheres:20:count=50").digest
    assert digest == load("spheres:20:count=50").digest
    assert digest == "sha256:65e63e081823d6597c85e924b926d20527613fa5b7c5f6db43ff7b8e5c35922e"
    assert digest != load("spheres:20:count=50,seed=1").digest
    assert digest != load("spheres:20:count=50,outer=1.2").digest


def test_a_longer_set_begins_with_a_shorter_one_and_splits_are_disjoint():
    short, long = load("spheres:8:count=40"), load("spheres:8:count=80")
    assert np.array_equal(short.x, long.x[:40])
    train, test = (load("spheres:8:count=80", split=split) for split in ("train", "test"))
    assert len(train) + len(test) == 80
    assert not set(train.example_id) & set(test.example_id)
    assert np.array_equal(test.x, long.x[test.example_id])
    assert np.array_equal(load("spheres:8", split="test", limit=3).y, load("spheres:8").y[
        load("spheres:8", split="test", limit=3).example_id])  # fmt: skip
    assert len(load("spheres:3")) == 4000


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("spheres:", "how many dimensions"),
        ("spheres:0", "how many dimensions"),
        ("spheres:x", "how many dimensions"),
        ("spheres:5:cuont=7", "no setting `cuont`; closest: `count`"),
        ("spheres:5:count=many", "`count` in `spheres:5:count=many` is `many`"),
        ("spheres:5:count=1", "asks for 1 points"),
        ("spheres:5:outer=1", "no radius other than 1"),
        ("spheres:5:outer=nan", "no radius other than 1"),
        ("spheres:999999999", "asks for 4,000 points of 999,999,999 numbers"),
    ],
)
def test_names_that_say_nothing_are_refused(spec, said):
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        parse_spheres(spec)


def test_the_optimal_distance_in_500_dimensions_at_1_percent_is_0_104():
    found = optimal_mean_distance(0.01, 500)
    assert found == pytest.approx(0.104, abs=5e-4)
    random = np.random.default_rng(0)
    first, rest = random.standard_normal(400_000), random.chisquare(499, 400_000)
    height = first / np.sqrt(first**2 + rest)  # of uniform points
    edge = np.quantile(height, 0.99)
    # the nearest point of the cap is on its rim, in the plane of the point and the axis
    angle = np.arccos(height) - np.arccos(edge)
    chord = 2 * np.sin(np.maximum(angle, 0) / 2)
    assert found == pytest.approx(chord.mean(), rel=0.01)


def test_the_optimal_distance_scales_with_the_radius_and_falls_with_the_error():
    assert optimal_mean_distance(0.02, 100, 1.3) == pytest.approx(
        1.3 * optimal_mean_distance(0.02, 100)
    )
    found = [optimal_mean_distance(error, 100) for error in (0, 1e-9, 0.01, 0.5, 0.99, 1)]
    assert found[0] == math.inf
    assert found[-1] == 0
    assert found == sorted(found, reverse=True)
    with pytest.raises(ValueError, match="share"):
        optimal_mean_distance(1.1, 10)
