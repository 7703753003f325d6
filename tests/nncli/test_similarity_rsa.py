"""Correlations of distances: reference values, ties, undefined layers, resources."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr

from nncli.errors import NoAnswerError
from nncli.similarity import compare, layer_of, rsa
from nncli.similarity.algebra.ranks import centred_ranks

DISTANCES, CORRELATIONS = ("correlation", "euclidean", "cosine"), ("spearman", "pearson", "kendall")


CASES = ("tall", "square", "wide", "rot", "affine", "null", "dead", "offset", "self")
# in float64, from the distances and the correlations of scipy, in the order of CASES
REFERENCE = {
    ("correlation", "spearman"): (
        0.7955609296,
        0.774062413235,
        0.949556509411,
        0.92516202705,
        0.872317072308,
        -0.00637539455502,
        0.777071185951,
        0.795560675254,
        1,
    ),
    ("correlation", "pearson"): (
        0.80948452324,
        0.788157068969,
        0.956200519916,
        0.92486103338,
        0.876535842823,
        -0.00655089626511,
        0.791692689802,
        0.809483645841,
        1,
    ),
    ("euclidean", "spearman"): (
        0.781580467326,
        0.763685186957,
        0.944299079033,
        1,
        0.93387932001,
        0.0233358894044,
        0.767124613942,
        0.781580270577,
        1,
    ),
    ("euclidean", "pearson"): (
        0.790853789312,
        0.774808746247,
        0.946526163764,
        1,
        0.936290249946,
        0.0249697402973,
        0.77775262368,
        0.790854856591,
        1,
    ),
    ("cosine", "spearman"): (
        0.739961143919,
        0.737765232363,
        0.894373846515,
        0.977912868702,
        0.902001473258,
        -0.00502755375474,
        0.713946172023,
        0.773659459595,
        1,
    ),
    ("cosine", "pearson"): (
        0.750162757808,
        0.748557146263,
        0.900431430966,
        0.977710802199,
        0.905807520286,
        -0.00486956370315,
        0.723784209321,
        0.762891507949,
        1,
    ),
}


@pytest.mark.parametrize("inputs", CASES)
@pytest.mark.parametrize("choice", REFERENCE, ids="-".join)
def test_values_are_those_of_scipy_in_float64(choice, inputs, case):
    expected = REFERENCE[choice][CASES.index(inputs)]
    found = rsa(*case(inputs), distance=choice[0], correlation=choice[1])
    assert found == pytest.approx(expected, abs=1e-8 if inputs == "offset" else 1e-11)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize("memory", [1, 3_000_000, 1 << 28])
def test_a_grid_is_made_of_correlations_of_distances_whatever_the_memory(
    distance, correlation, memory
):
    rng = np.random.default_rng(0)
    a = [rng.standard_normal((300, d)) for d in (5, 300)]
    b = [np.tanh(a[0] @ rng.standard_normal((5, d)) / 3) for d in (7, 30, 4)]
    measure = {"spearman": spearmanr, "pearson": pearsonr, "kendall": kendalltau}[correlation]
    far = [[pdist(x, distance) for x in side] for side in (a, b)]
    expected = [measure(x, y).statistic for x in far[0] for y in far[1]]
    layers = [[layer_of(x, f"{i}") for i, x in enumerate(side)] for side in (a, b)]
    label = f"rsa:distance={distance},correlation={correlation}"
    found = [one.score.value for one in compare(*layers, [label], memory=memory)]
    assert found == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("dtype", [bool, np.float32, np.float64])
@pytest.mark.parametrize("correlation", ["spearman", "kendall"])
def test_equal_distances_of_whole_numbers_are_ties(dtype, correlation):
    x = np.random.default_rng(0).integers(0, 2, (60, 7)).astype(dtype)  # 7 distances in all
    y = np.random.default_rng(1).standard_normal((60, 4))
    measure = {"spearman": spearmanr, "kendall": kendalltau}[correlation]
    for other in (y, 1 - x.astype(int)[:, :4]):
        expected = measure(pdist(x, "hamming"), pdist(other)).statistic
        found = rsa(x, other, distance="euclidean", correlation=correlation)
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_between_duplicated_examples_are_ties(distance):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((25, 6)).astype(np.float32), rng.standard_normal((100, 5))
    x = np.tile(x + np.float32(100), (4, 1))
    stored = pdist(x[:25].astype(np.float64), distance)
    far = np.zeros((25, 25))
    far[np.triu_indices(25, 1)] = stored
    far += far.T
    every = np.tile(far, (4, 4))[np.triu_indices(100, 1)]
    expected = spearmanr(every, pdist(y, distance)).statistic
    assert rsa(x, y, distance=distance) == pytest.approx(expected, abs=1e-12)


def test_distances_beside_one_that_is_ten_thousand_times_as_large_keep_their_order():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100, 6)), rng.standard_normal((100, 6))
    x[40] = 1e4
    expected = spearmanr(pdist(x), pdist(y)).statistic
    assert rsa(x, y, distance="euclidean") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_float32_data_give_the_value_of_float64(distance, correlation, case):
    x, y = case("tall")
    expected = rsa(x, y, distance=distance, correlation=correlation)
    x, y = x.astype(np.float32), y.astype(np.float32)
    found = rsa(x, y, distance=distance, correlation=correlation)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("places", [24, 3])
@pytest.mark.parametrize("values", [1, 3, 40, 1 << 30])
def test_ranks_are_those_of_scipy_whether_or_not_places_fit_beside_them(
    monkeypatch, values, places
):
    monkeypatch.setattr("nncli.similarity.algebra.ranks.PLACES", places)
    numbers = np.random.default_rng(0).integers(0, values, 1000).astype(np.float64)
    expected = 2 * rankdata(numbers) - 1001
    assert np.array_equal(centred_ranks(numbers), expected)


def test_crowds_of_distances_are_not_ties_for_standing_close():
    crowd = np.append(np.arange(1000) * 2.0**-40, 1.0)
    expected = np.append(np.arange(-1000, 1000, 2), 1000)
    assert np.abs(centred_ranks(crowd) - expected).max() <= 2
    pairs = np.append(np.repeat(np.arange(1, 300), 2) / 301 + np.tile([0, 1e-13], 299), 1.0)
    assert np.array_equal(np.unique(centred_ranks(pairs)), np.append(np.arange(-597, 598, 4), 598))


def test_ranks_of_nothing_but_zeros_are_all_the_same():
    assert np.array_equal(centred_ranks(np.zeros(5)), np.zeros(5))


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_examples_without_different_distances_are_null_with_a_note(correlation):
    corners, flat = np.eye(20), np.random.default_rng(0).standard_normal((20, 3))
    flat[4] = 0.3
    dark = flat.copy()
    dark[4] = 0.0
    a = [layer_of(corners, "corners"), layer_of(flat, "flat"), layer_of(dark, "dark")]
    b = [layer_of(np.random.default_rng(1).standard_normal((20, 5)), "y")]
    labels = [f"rsa:distance={one},correlation={correlation}" for one in DISTANCES]
    same = "`corners` of A has the same distance between all examples"
    one = "`{}` of A has an example with the same value in all features"
    zero = "`dark` of A has an example that is 0 in all features"
    notes = [each.score.note for each in compare(a, b, labels)]
    assert notes[:3] == [same, one.format("flat"), one.format("dark")]
    assert notes[3:6] == [same, None, None]
    assert notes[6:] == [same, None, zero]
    mirrored = compare(b, a, labels[:1])
    assert mirrored[0].score.note == same.replace("of A", "of B")


def test_two_examples_have_one_distance_and_so_no_answer():
    with pytest.raises(NoAnswerError, match="the same distance between all examples"):
        rsa(np.eye(2), np.eye(2), distance="euclidean")


@pytest.mark.parametrize(
    ("distance", "kept"),
    [("correlation", ()), ("euclidean", ("shift", "rotation")), ("cosine", ("rotation",))],
)
def test_each_distance_is_invariant_to_what_is_said_of_it(distance, kept, case):
    x, y = case("tall")
    rng = np.random.default_rng(1)
    changed = {
        "shift": x + 10 * rng.standard_normal(32),
        "rotation": x @ np.linalg.qr(rng.standard_normal((32, 32)))[0],
        "scale": 0.01 * x,
        "permutation": x[:, rng.permutation(32)],
    }
    value = rsa(x, y, distance=distance)
    for name, other in changed.items():
        same = rsa(other, y, distance=distance) == pytest.approx(value, abs=1e-9)
        assert same == (name in (*kept, "scale", "permutation"))
