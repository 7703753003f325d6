"""Measures of nearest neighbours: definitions, ties, precision, too few examples."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from nncli.similarity import (
    METRICS,
    cknna,
    compare,
    debiased_cka,
    jaccard_knn,
    layer_of,
    mutual_knn,
    rank_similarity,
    second_order_cosine,
)
from nncli.similarity.algebra.nearest import nearest, ranks_in
from nncli.similarity.centring import centre
from nncli.similarity.measures.neighbours import MEASURES

NAMES = [*(one.name for one in MEASURES), "second-order-cosine", "cknna"]


CASES = ("tall", "square", "wide", "null", "dead")


def unit(x):
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norms > 0, norms, 1)


def lists(gram, k):
    gram = gram - np.diag(np.full(len(gram), np.inf))
    return np.argsort(-gram, 1, kind="stable")[:, :k]


def mask(gram, k):
    found = np.zeros(gram.shape)
    np.put_along_axis(found, lists(gram, k), 1, 1)
    return found


def ranks_agree(x, y, k):
    near = [lists(unit(one) @ unit(one).T, k).tolist() for one in (x, y)]
    total = 0.0
    for one, other in zip(*near, strict=True):
        common = set(one) & set(other)
        ranks = [(one.index(j) + 1, other.index(j) + 1) for j in common]
        most = sum(1 / i for i in range(1, len(common) + 1))
        total += sum(2 / ((1 + abs(r - s)) * (r + s)) for r, s in ranks) / (most or 1)
    return total / len(x)


def second_order(x, y, k, of=lambda cosines: cosines):
    x, y = unit(x) @ unit(x).T, unit(y) @ unit(y).T
    either = mask(x, k) + mask(y, k) > 0
    values = []
    for i, row in enumerate(either):
        one, other = of(x[i, row]), of(y[i, row])
        size = np.linalg.norm(one) * np.linalg.norm(other)
        values.append(one @ other / size if size else float(not (one.any() or other.any())))
    return np.mean(values)


def hsic(k, other):
    """The unbiased HSIC of Song et al. as the program of Huh et al. has it."""
    n = len(k)
    k, other = (one - np.diag(np.diag(one)) for one in (k, other))
    total = k.sum() * other.sum() / ((n - 1) * (n - 2)) - 2 * (k @ other).sum() / (n - 2)
    return (np.trace(k @ other) + total) / (n * (n - 3))


def alignment(x, y, k, orders=1):
    gram_x, gram_y = x @ x.T, y @ y.T
    near_x, near_y = mask(gram_x, k), mask(gram_y, k)
    cut = near_x * near_y * gram_x, near_x * near_y * gram_y
    both = hsic(*cut) if orders == 1 else (hsic(*cut) + hsic(*cut[::-1])) / 2
    own = [hsic(near * gram, near * gram) for near, gram in ((near_x, gram_x), (near_y, gram_y))]
    return both / np.sqrt(own[0] * own[1])


# values of public programs: rank similarity and second-order cosines of ReSi (which takes
# 1 - cosine), CKNNA of platonic-rep on rows as they are
PEERS = {
    "tall": (0.3953677868, 0.9184302704, 0.4401432858),
    "square": (0.3706536313, 0.9088244598, 0.4285097124),
    "wide": (0.6349338991, 0.9774601339, 0.8593799086),
    "null": (0.02854145594, 0.9096495748, 0.02923003669),
    "dead": (0.3776809914, 0.9104620137, 0.4190949259),
}


@pytest.mark.parametrize("name", CASES)
def test_the_definitions_of_this_file_give_the_values_of_public_programs(name, case):
    x, y = case(name)
    found = ranks_agree(x, y, 10), second_order(x, y, 10, lambda c: 1 - c), alignment(x, y, 10)
    assert found == pytest.approx(PEERS[name], abs=1e-8)


@pytest.mark.parametrize("k", [1, 3, 10, 39])
@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_the_definitions(name, k, case):
    x, y = case(name)
    near = [lists(unit(one) @ unit(one).T, k).tolist() for one in (x, y)]
    shared = np.array([len(set(one) & set(other)) for one, other in zip(*near, strict=True)])
    found = [measure(x, y, neighbours=k) for measure in (mutual_knn, jaccard_knn)]
    assert found == pytest.approx([np.mean(shared / k), np.mean(shared / (2 * k - shared))])
    assert rank_similarity(x, y, neighbours=k) == pytest.approx(ranks_agree(x, y, k), abs=1e-12)
    found = second_order_cosine(x, y, neighbours=k)
    assert found == pytest.approx(second_order(x, y, k), abs=1e-12)
    found = cknna(x, y, neighbours=k)
    assert found == pytest.approx(alignment(unit(x), unit(y), k, orders=2), abs=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_cknna_of_all_neighbours_is_debiased_cka_of_rows_of_length_one(name, case):
    x, y = case(name)
    found = cknna(x, y, neighbours=len(x) - 1)
    assert found == pytest.approx(debiased_cka(unit(x), unit(y)), abs=1e-11)


def test_three_neighbours_in_reverse_order_by_hand():
    # on a circle: the neighbours of the first example are in the order of the angles
    angles = np.array([[0, 1, 2.1, 3.3, 30], [0, 3.3, 2.1, 1, 30]]) / 20
    x, y = (np.stack([np.cos(one), np.sin(one)], 1) for one in angles)
    near = [nearest(centre(layer_of(one, "one")), 3, 1 << 20).indices for one in (x, y)]
    assert near[0][0].tolist() == [1, 2, 3]
    assert ranks_in(*near, 5)[0].tolist() == [3, 2, 1]
    # 1 and 3 change places, 2 has the same distances in another order, 4 has 3, 2, 1 and 1, 2, 3
    crossed = (2 / (3 * 4) + 2 / 4 + 2 / (3 * 4)) / (1 + 1 / 2 + 1 / 3)
    assert near[0].tolist() == [[1, 2, 3], [0, 2, 3], [1, 3, 0], [2, 1, 0], [3, 2, 1]]
    assert near[1].tolist() == [[3, 2, 1], [2, 3, 0], [3, 1, 0], [0, 2, 1], [1, 2, 3]]
    # (1, 3), (2, 1), (3, 2) of example 1; (1, 2), (2, 1), (3, 3) of 2; (1, 2), (2, 3), (3, 1) of 3
    one = (2 / (3 * 4) + 2 / (2 * 3) + 2 / (2 * 5)) / (11 / 6)
    two = (2 / (2 * 3) + 2 / (2 * 3) + 2 / 6) / (11 / 6)
    three = (2 / (2 * 3) + 2 / (3 * 4) + 2 / (2 * 5)) / (11 / 6)
    expected = (crossed + one + two + three + crossed) / 5
    assert rank_similarity(x, y, neighbours=3) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("height", [1, 7, 50])
def test_ranks_in_another_list_are_found_by_looking(monkeypatch, height):
    monkeypatch.setattr("nncli.similarity.algebra.nearest.TABLE", 50 * height)
    rng = np.random.default_rng(0)
    one, other = (np.array([rng.permutation(50)[:8] for _ in range(50)]) for _ in range(2))
    expected = [
        [list(there).index(j) + 1 if j in there else 0 for j in here]
        for here, there in zip(one.tolist(), other.tolist(), strict=True)
    ]
    assert ranks_in(one, other, 50).tolist() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("memory", [1, 100_000, 1 << 28])
def test_neighbours_are_those_of_scikit_learn_in_their_order(memory, dtype):
    x = np.random.default_rng(0).standard_normal((300, 33)).astype(dtype)
    found = nearest(centre(layer_of(x, "x")), 10, memory)
    peer = NearestNeighbors(n_neighbors=10, metric="cosine").fit(x.astype(np.float64))
    far, near = peer.kneighbors()
    assert np.array_equal(found.indices, near)
    assert found.cosines == pytest.approx(1 - far, abs=1e-6 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("memory", [1, 100_000, 1 << 28])
def test_ties_go_to_the_first_rows(memory, dtype):
    x = np.random.default_rng(0).standard_normal((150, 33)).astype(dtype)
    x[:20] = -np.abs(x[:20])
    x[20:] = np.abs(x[20])
    x[3] = 0.0
    found = nearest(centre(layer_of(x, "x")), 10, memory).indices
    assert found[90].tolist() == list(range(20, 30))
    assert found[25].tolist() == [*range(20, 25), *range(26, 31)]
    assert found[3].tolist() == [0, 1, 2, *range(4, 11)]


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_float32_rows_that_hardly_differ_have_the_neighbours_of_float64(scale):
    # cosines of rows with an offset of many times their spread differ in their last digits only
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((400, 64)) + scale).astype(np.float32)
    cosines = unit(x.astype(np.float64)) @ unit(x.astype(np.float64)).T
    found = nearest(centre(layer_of(x, "x")), 10, 1 << 28).indices
    expected = lists(cosines.round(12), 10)
    assert np.mean(found == expected) > 0.999
    rough = lists(unit(x) @ unit(x).T, 10)
    assert scale < 10 or np.mean(rough == expected) < 0.9  # which is not so in float32


@pytest.mark.parametrize("name", NAMES)
def test_measures_of_whole_numbers_are_the_same_in_any_type(name, case):
    x, y = (np.maximum(one, 0).round().astype(np.int8) for one in case("wide"))
    measure = METRICS[name].function
    expected = measure(x.astype(np.float64), y.astype(np.float64))
    assert measure(x.astype(np.float32), y) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_too_few_examples_for_the_neighbours_are_null_with_a_note(name):
    rng = np.random.default_rng(0)

    def grid(n, label):
        a, b = ([layer_of(rng.standard_normal((n, d)), f"{d}") for d in (4, 5)] for _ in "ab")
        return compare(a, b, [label])

    assert {one.score.note for one in grid(10, name)} == {"10 examples; 10 neighbours need 11"}
    assert all(one.score.value is None for one in grid(3, f"{name}:neighbours=5"))
    assert None not in [one.score.value for one in grid(11, name)]


def test_all_others_are_neighbours_of_eleven_examples(case):
    x, y = (one[:11] for one in case("tall"))
    assert mutual_knn(x, y) == jaccard_knn(x, y) == 1.0


def test_second_order_cosines_of_rows_of_zeros_are_one_with_each_other_and_zero_with_others(case):
    x, _ = case("wide")
    x[0] = 0.0
    y = x.copy()
    assert second_order_cosine(x, y) == pytest.approx(1.0, abs=1e-12)
    y[0] = 1.0
    assert second_order_cosine(x, y) == pytest.approx(second_order(x, y, 10), abs=1e-12)


def test_neighbours_without_a_hsic_are_null_with_a_note():
    # all rows in one direction: the kernel is the same everywhere
    x = np.outer(np.arange(1.0, 13), np.ones(3))
    y = np.random.default_rng(0).standard_normal((12, 4))
    found = compare([layer_of(x, "ray")], [layer_of(y, "y")], ["cknna:neighbours=11"])
    assert found[0].score.value is None
    assert found[0].score.note == "the neighbours of `ray` of A have no HSIC with themselves"


def test_neighbours_are_found_once_for_all_measures(monkeypatch, case):
    calls = []

    def counted(x, count, memory):
        calls.append(x.name)
        return nearest(x, count, memory)

    monkeypatch.setattr("nncli.similarity.measures.neighbours.nearest", counted)
    x, y = case("tall")
    compare([layer_of(x, "x")], [layer_of(y, "y"), layer_of(x + 1, "z")], NAMES)
    assert sorted(calls) == ["x", "y", "z"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name", ["mutual-knn", "jaccard-knn", "rank-similarity", "cknna", "second-order-cosine"]
)
def test_a_layer_of_nothing_but_ties_is_noted_since_row_order_makes_it_look_alike(name, dtype):
    # all rows are multiples of one, so that all cosines are 1
    rng = np.random.default_rng(0)
    line = np.outer(rng.random(40) + 0.5, rng.random(5)).astype(dtype)
    plain = rng.standard_normal((40, 6)).astype(dtype)
    layers = [layer_of(line, "line"), layer_of(plain, "plain")]
    notes = {one.pair: one.score.note for one in compare(layers, layers, [name])}
    assert "`line` of A: for most examples others are as near" in notes[0, 1]
    assert "`line` of B: for most examples others are as near" in notes[1, 0]
    assert notes[1, 1] is None


def test_a_mean_of_a_million_spreads_is_noted_as_ties_of_neighbours():
    rng = np.random.default_rng(1)
    far = [layer_of(rng.standard_normal((300, 8)) + 1e6, name) for name in "xy"]
    assert "the first rows are taken" in compare(far[:1], far[1:], ["mutual-knn"])[0].score.note


def test_all_other_examples_as_neighbours_are_no_ties():
    rng = np.random.default_rng(2)
    sides = [layer_of(rng.standard_normal((11, 8)), name) for name in "xy"]
    score = compare(sides[:1], sides[1:], ["mutual-knn"])[0].score
    assert (score.value, score.note) == (1.0, None)
