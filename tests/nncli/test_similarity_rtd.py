"""Topological divergence: reference values, trees by hand, invariances, and a missing package."""

import sys

import numpy as np
import pytest

from nncli.errors import EnvironmentFault
from nncli.similarity import METRICS, choose, compare, layer_of, rtd
from nncli.similarity.measures.rtd import barcodes, divergence, drawn, scaled_distances
from nncli.similarity.scores import Settings

pytest.importorskip("ripser")


@pytest.fixture(scope="module")
def small(case):
    return case("wide")


def test_values_are_those_of_the_definition(small, case):
    # reference values of the paper's construction over all examples
    assert rtd(*small) == pytest.approx(0.9235689044, abs=1e-5)
    assert rtd(*case("square")) == pytest.approx(7.16042222828, abs=1e-5)


def test_it_is_symmetric_and_blind_to_rotation_scale_and_shift(small):
    x, y = small
    value = rtd(x, y)
    assert rtd(y, x) == pytest.approx(value, abs=1e-9)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((96, 96)))[0]
    assert rtd(7 * x @ turn - 3, y) == pytest.approx(value, abs=1e-4)
    assert rtd(x, x @ turn) == pytest.approx(0.0, abs=1e-5)
    assert rtd(x, x) == 0.0
    assert rtd(x, y @ np.diag(np.linspace(1, 5, 64))) != pytest.approx(value, abs=1e-2)


def test_two_pairs_of_points_that_change_partners():
    # In x the pairs {0, 1} and {2, 3} are at distance 1 and 9 apart, in y {0, 2} and {1, 3}. From 1
    # to 9 the graph of min(x, y) is a square: one part and one loop; that of x has two parts and no
    # loop. A bar of length 8 for the part that is joined, and one for the loop that x has not.
    def distances(pairs):
        away = np.full((4, 4), 9.0)
        np.fill_diagonal(away, 0.0)
        for i, j in pairs:
            away[i, j] = away[j, i] = 1.0
        return away

    x, y = distances([(0, 1), (2, 3)]), distances([(0, 2), (1, 3)])
    assert divergence(x, y, barcodes()) == pytest.approx(8 + 8, abs=1e-5)
    assert divergence(x, x, barcodes()) == 0.0
    # four parts until 9, against one part and a loop
    far = distances([])
    assert divergence(far, np.minimum(x, y), barcodes()) == pytest.approx(3 * 8 + 8, abs=1e-5)


def test_distances_are_in_units_of_their_upper_decile(small):
    x = small[0]
    away = np.linalg.norm(x[:, None] - x[None], axis=2)
    assert scaled_distances(x) == pytest.approx(away / np.quantile(away, 0.9), abs=1e-10)


def test_of_many_examples_the_same_few_are_looked_at_in_all_layers(small):
    x, y = small
    chosen = drawn(40, Settings(sample=25, seed=3))
    assert len(set(chosen.tolist())) == 25
    assert (drawn(40, Settings(sample=40)) == np.arange(40)).all()
    found = compare([layer_of(x, "x")], [layer_of(y, "y")], ["rtd:sample=25,seed=3"])[0].score
    assert found.value == pytest.approx(rtd(x[chosen], y[chosen]), abs=1e-9)
    assert found.extra == {"sample": 25}
    assert rtd(x, y, sample=25, seed=4) != found.value


def test_few_and_repeated_examples_have_a_value_or_a_reason():
    x = np.random.default_rng(0).standard_normal((60, 3))
    assert rtd(x[:2], x[2:4]) == 0.0
    spike = np.zeros((60, 3))
    spike[7] = 1.0
    twice = np.vstack([x[:30], x[:30]])
    spiked, doubled = (
        one.score
        for one in compare(
            [layer_of(spike, "s"), layer_of(twice, "t")], [layer_of(x, "x")], ["rtd"]
        )
    )
    assert spiked.value is None
    assert spiked.note == "`s` has the same activations for most examples"
    assert doubled.value > 0.0


def test_groups_leave_out_what_needs_a_package_of_its_own():
    assert METRICS["rtd"].extra == "rtd"
    assert "rtd" not in [one.metric.name for one in choose(["all", "geometry-family"])]
    assert choose(["rtd:sample=50"])[0].label == "rtd:sample=50"


def test_without_the_package_the_extra_is_named(monkeypatch, small):
    monkeypatch.setitem(sys.modules, "ripser", None)
    with pytest.raises(EnvironmentFault, match="`ripser`, which is not installed") as caught:
        rtd(*small)
    assert caught.value.hint == "pip install 'nncli[rtd]'"
