"""Sums over examples: shards add up to the whole, and measures of sums are those of rows."""

import warnings
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest

from nncli.errors import ArtifactError, MismatchError, NncliWarning, UsageError
from nncli.similarity import METRICS, Chosen, Layer, Settings, all_pairs, compare, layer_of
from nncli.similarity.grid import compare_moments
from nncli.similarity.sums.gathering import gather
from nncli.similarity.sums.moments import Shard, demand_disjoint, merge
from nncli.similarity.sums.packed import add_up, in_order, pack

CKA = ("linear-cka", "rv", "angular-cka", "debiased-cka", "cka-lange")
CCA = ("svcca", "pwcca", "cca", "cca-r2", "linear-r2", "gulp", "shape-metric")
SHAPE = ("procrustes", "procrustes-angular", "procrustes-size-shape", "bures")
UNITS = ("permutation", "soft-matching")
EVERY = (*CKA, *CCA, *SHAPE, *UNITS)
CASES = ("tall", "square", "wide", "affine", "null", "dead", "self")


def chosen(*names):
    return [Chosen(replace(METRICS[one], from_sums=True), Settings(), one) for one in names]


# float64, from the definitions; the same numbers as of rows
REFERENCES = {
    ("tall", "linear-cka"): 0.7953569453,
    ("tall", "debiased-cka"): 0.7875017093,
    ("tall", "cca"): 0.5905434267,
    ("tall", "cca-r2"): 0.4416635011,
    ("tall", "svcca"): 0.7725008946,
    ("tall", "pwcca"): 0.9002943016,
    ("tall", "procrustes"): 0.1638588359,
    ("tall", "procrustes-angular"): 0.4076107487,
    ("tall", "procrustes-size-shape"): 127.7687039405,
    ("tall", "linear-r2"): 0.9801299356,
    ("tall", "gulp"): 0.4618270930,
    ("dead", "cca"): 0.6112700773,
    ("dead", "svcca"): 0.8629735050,
    ("dead", "pwcca"): 0.9120904453,
    ("dead", "procrustes"): 0.1761786152,
    ("dead", "linear-r2"): 0.9807400331,
    ("null", "cca"): 0.4477700376,
    ("null", "pwcca"): 0.4484772288,
    ("square", "cca"): 0.5111460734,
    ("affine", "cca"): 1.0,
    ("wide", "cca"): 1.0,
}


def one(x, name="x"):
    return [layer_of(x, name)]


def sums(x, y, span=None, **settings):
    part = slice(*span) if span else slice(None)
    return gather(one(x[part]), one(y[part], "y"), [(0, 0)], **settings)


def shards(x, y, cuts):
    return [sums(x, y, span) for span in pairwise(cuts)]


@dataclass(frozen=True)
class Stored:
    """Sums as a file holds them."""

    name: str
    packed: tuple

    @property
    def facts(self):
        return self.packed[1]

    def arrays(self):
        return self.packed[0]


def added(parts):
    """The sums of all parts, as `nncli merge` adds them."""
    stored = [Stored(f"part {place}", pack(part)) for place, part in enumerate(parts)]
    return add_up(in_order(stored))


def value(moments, name):
    return compare_moments(moments, chosen(name))[0].score.value


def test_the_sums_are_those_of_the_definition(case):
    x, y = case("tall", seed=0)
    found = sums(x, y).of(0, 1)
    x, y = x - x.mean(0), y - y.mean(0)
    p, q = (x**2).sum(1), (y**2).sum(1)
    assert np.allclose(found.second, x.T @ y, rtol=0, atol=1e-10 * np.abs(x.T @ y).max())
    assert np.allclose(found.left, x.T @ q, rtol=0, atol=1e-10 * np.abs(x.T @ q).max())
    assert np.allclose(found.right, y.T @ p, rtol=0, atol=1e-10 * np.abs(y.T @ p).max())
    assert found.fourth == pytest.approx(p @ q, rel=1e-13)
    turned = sums(x, y).of(1, 0)
    assert np.array_equal(turned.second, sums(x, y).of(0, 1).second.T)


@pytest.mark.filterwarnings("ignore::nncli.errors.NncliWarning")
@pytest.mark.parametrize("name", CASES)
def test_shards_of_any_sizes_add_up_to_what_all_rows_give(name, case):
    x, y = case(name)
    cuts = [0, 0, 1, 2, 9, len(x) // 2, len(x) - 1, len(x), len(x)]
    merged = compare_moments(added(shards(x, y, cuts)), chosen(*EVERY))
    for ours, rows in zip(merged, compare(one(x), one(y, "y"), EVERY), strict=True):
        # beside 0 an angle and a root lose half of the digits, of rows as well
        rooted = name == "self" and ours.metric in ("angular-cka", "procrustes-angular")
        accuracy = 1e-7 if rooted or ours.metric in ("shape-metric", SHAPE[2]) else 1e-9
        assert ours.score.value == pytest.approx(rows.score.value, abs=accuracy), ours.metric
        assert dict(ours.score.extra) == pytest.approx(dict(rows.score.extra), abs=1e-9)
        assert (ours.score.note, ours.n) == (rows.score.note, rows.n)


@pytest.mark.filterwarnings("ignore::nncli.errors.NncliWarning")
@pytest.mark.parametrize(("name", "measure"), REFERENCES)
def test_shards_give_the_reference_values(name, measure, case):
    x, y = case(name)
    merged = added(shards(x, y, [0, len(x) // 3, len(x)]))
    assert value(merged, measure) == pytest.approx(REFERENCES[name, measure], abs=1e-8)


def test_float32_with_a_mean_1000_times_the_spread_keeps_its_digits(case):
    x, y = case("offset")
    merged = added(shards(x, y, [0, 50, 120, 200]))
    for (name, measure), expected in REFERENCES.items():
        if name == "tall":
            assert value(merged, measure) == pytest.approx(expected, rel=1e-4), measure


def test_the_order_of_merging_does_not_matter(case):
    x, y = case("tall", seed=1)
    x[:60] += 100.0  # shards that are unlike each other
    parts = shards(x, y, [0, 3, 60, 61, 130, 200])
    trees = [
        reduce(merge, parts),
        reduce(merge, parts[::-1]),
        merge(merge(parts[3], parts[0]), merge(parts[4], merge(parts[2], parts[1]))),
        sums(x, y),
    ]
    for name in EVERY:
        found = [value(tree, name) for tree in trees]
        assert np.ptp(found) < 1e-9 * max(1.0, abs(found[0])), name


def test_parts_are_added_in_the_order_of_their_examples(case):
    x, y = case("tall", seed=1)
    spans = [(0, 70), (70, 71), (71, 200)]
    parts = [sums(x, y, (i, j), shards=[Shard("source", i, j, f"{i}-{j}")]) for i, j in spans]
    whole = [added(parts), added(parts[::-1]), added([parts[i] for i in (1, 2, 0)])]
    assert [one.shards for one in whole] == [whole[0].shards] * 3
    for other in whole[1:]:
        assert np.array_equal(whole[0].of(0, 1).second, other.of(0, 1).second)


def test_first_rows_unlike_the_others_cost_no_digits(latent_pair):
    x, y = latent_pair(80_000, 5, 8, 9, seed=2)
    x[:1024] += 1e4
    x, y = x.astype(np.float32), y.astype(np.float32)
    expected = [r.score.value for r in compare(one(x[::-1]), one(y[::-1], "y"), CKA)]
    found = [r.score.value for r in compare(one(x), one(y, "y"), chosen(*CKA), memory=1 << 20)]
    assert found == pytest.approx(expected, abs=1e-7)


def test_sums_of_layers_with_themselves_are_kept_once(case):
    layers = [layer_of(x, f"l{i}") for i, x in enumerate(case("square", seed=0))]
    found = gather(layers, layers, all_pairs(layers, layers))
    assert sorted(found.joint) == [(0, 0), (0, 1), (1, 1)]
    ours = compare_moments(found, chosen(*CKA, "pwcca"))
    rows = compare(layers, layers, (*CKA, "pwcca"))
    assert [one.pair for one in ours] == [one.pair for one in rows]
    assert [one.score.value for one in ours] == pytest.approx([r.score.value for r in rows])


def test_pairs_with_different_numbers_of_rows_have_no_sums(case):
    x, y = case("tall", seed=0)
    a, b = [layer_of(x, "a")], [layer_of(y[:90], "b"), layer_of(y, "c")]
    found = gather(a, b, [(0, 0), (0, 1)])
    assert found.pairs() == [(0, 1)]
    noted, fine = compare_moments(found, ["linear-cka"], pairs=[(0, 0), (0, 1)])
    assert (noted.score.value, noted.score.note) == (None, "200 rows against 90")
    expected = compare(a, b[1:], ["linear-cka"])[0].score.value
    assert fine.score.value == pytest.approx(expected, abs=1e-12)


def test_threads_change_no_bit(case):
    layers = [layer_of(x, f"l{i}") for i, x in enumerate(case("square", seed=0))]
    one, two = (gather(layers, layers[::-1], [(0, 0), (1, 1)], threads=t) for t in (1, 2))
    for pair in one.joint:
        assert np.array_equal(one.joint[pair].second, two.joint[pair].second)


def test_constant_shards_with_different_constants_make_a_layer_that_varies(case):
    x, y = np.repeat([[1.0, 5.0], [2.0, 7.0]], 20, axis=0), case("tall", seed=0)[1][:40]
    expected = compare(one(x), one(y, "y"), ["linear-cka"])[0].score.value
    assert value(added(shards(x, y, [0, 20, 40])), "linear-cka") == pytest.approx(expected)


@pytest.mark.parametrize("constant", [0.1, 1e10 / 3, 3e-9])
def test_a_constant_layer_is_constant_in_shards_too(constant, case):
    y = case("tall", seed=0)[1]
    x = np.full((200, 3), constant)
    found = compare_moments(added(shards(x, y, [0, 1, 90, 200])), chosen("linear-cka"))[0].score
    assert (found.value, found.note) == (None, "`x` of A is constant over the rows")


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e10 / 3])
def test_dead_features_of_any_size_count_for_nothing_and_need_no_word(constant, case):
    x, y = case("tall", seed=0)
    expected = compare(one(x), one(y, "y"), ["cca"])[0].score
    x = np.concatenate([x, np.full((200, 4), constant)], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare_moments(added(shards(x, y, [0, 66, 200])), chosen("cca"))[0].score
    assert found.value == pytest.approx(expected.value, abs=1e-9)
    assert found.extra["dims_a"] == 32


def test_repeated_features_count_once_and_it_is_said(case):
    x, y = case("tall", seed=0)
    expected = compare(one(x), one(y, "y"), ["cca"])[0].score
    x = np.concatenate([x, 3.0 * x[:, :5]], 1)
    with pytest.warns(NncliWarning, match="`x` has features that sums cannot tell from linear"):
        found = compare_moments(added(shards(x, y, [0, 66, 200])), chosen("cca"))[0].score
    assert found.value == pytest.approx(expected.value, abs=1e-9)
    assert found.extra["dims_a"] == 32


def conditioned(share, n=400, d=12):
    """A layer whose least singular value is a share of the largest, and one that is like it."""
    rng = np.random.default_rng(5)
    u, v = (
        np.linalg.qr(rng.standard_normal((n, d)))[0],
        np.linalg.qr(rng.standard_normal((d, d)))[0],
    )
    x = (u - u.mean(0)) * np.geomspace(1, share, d) @ v
    return x, u @ rng.standard_normal((d, d)) + 0.05 * rng.standard_normal((n, d))


@pytest.mark.parametrize("share", [1e-2, 1e-3, 2e-4])
def test_small_directions_are_good_to_what_is_promised(share):
    x, y = conditioned(share)
    for name in (*CCA, *SHAPE):
        rows = compare(one(x), one(y, "y"), [name])[0].score.value
        assert value(sums(x, y), name) == pytest.approx(rows, abs=1e-6), name


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e6])
def test_features_of_any_size_lose_no_digits(size, case):
    x, y = case("tall", seed=0)  # such as units that hardly ever fire
    x[:, :7] *= size
    y[:, 3] /= size
    for name in EVERY:
        rows = compare(one(x), one(y, "y"), [name])[0].score
        found = compare_moments(sums(x, y), chosen(name))[0].score
        assert found.value == pytest.approx(rows.value, rel=1e-9, abs=1e-9), name
        assert dict(found.extra) == pytest.approx(dict(rows.extra), abs=1e-9), name


@pytest.mark.parametrize("share", [1e-5, 1e-6])
def test_directions_too_small_for_sums_are_a_null_that_names_the_layer(share):
    x, y = conditioned(share)
    for name in ("cca", "pwcca", "linear-r2"):
        found = compare_moments(sums(x, y), chosen(name))[0].score
        assert found.value is None
        assert found.note.startswith("`x` has features so nearly dependent, to ")
        assert found.note.endswith("sums cannot tell them apart: compare the files themselves")
    for name in (*CKA, *SHAPE, "svcca"):  # which do not divide by them
        rows = compare(one(x), one(y, "y"), [name])[0].score.value
        assert value(sums(x, y), name) == pytest.approx(rows, abs=1e-9), name


def test_one_layer_too_fine_for_sums_spoils_no_other_pair():
    fine, y = conditioned(1e-6)
    x = y @ np.random.default_rng(0).standard_normal((12, 6))
    a, b = [layer_of(fine, "fine"), layer_of(x, "x")], one(y, "y")
    found = compare_moments(gather(a, b, all_pairs(a, b)), chosen("cca"))
    assert found[0].score.value is None
    assert found[1].score.value == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_float32_of_extreme_size_is_scaled_as_rows_are(size, case):
    x, y = (one.astype(np.float32) for one in case("tall", seed=0))
    expected = {name: value(sums(x, y), name) for name in EVERY if name != SHAPE[2]}
    big = {name: value(sums(x * np.float32(size), y), name) for name in expected}
    assert big == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [1e-100, 1e100])
def test_values_whose_fourth_powers_are_no_numbers_are_refused_by_name(size, case):
    x, y = case("tall", seed=0)
    with pytest.raises(ArtifactError, match="layer `x` are too large or too small"):
        sums(x * size, y)


@pytest.mark.parametrize("rows", [1, 2, 150])
def test_a_value_that_is_not_finite_is_named(rows, case):
    x, y = case("tall", seed=0)
    x[rows - 1, 3] = np.nan
    with pytest.raises(ArtifactError, match=f"`x` holds nan at row {rows - 1}, feature 3"):
        sums(x, y, (0, rows))


def test_what_sums_cannot_hold_is_compared_by_rows(latent_pair):
    x, y = (each * 1e90 for each in latent_pair(5000, 5, 20, 30, seed=4))
    expected = compare(one(x), one(y, "y"), ["linear-cka"])[0].score.value
    found = compare(one(x), one(y, "y"), ["linear-cka"], memory=100_000)[0].score.value
    assert found == pytest.approx(expected, abs=1e-9)
    x[77, 7] = np.inf
    with pytest.raises(ArtifactError, match="`x` holds inf at row 77, feature 7"):
        compare(one(x), one(y, "y"), ["linear-cka"], memory=100_000)


def test_measures_that_need_rows_are_refused_and_those_that_do_not_are_named(case):
    x, y = case("tall", seed=0)
    with pytest.raises(UsageError, match="not enough for `rbf-cka`") as error:
        compare_moments(sums(x, y), ["linear-cka", "rbf-cka"])
    assert "linear-cka" in error.value.hint
    assert "rbf-cka" not in error.value.hint


def test_a_single_row_is_no_comparison(case):
    x, y = case("tall", seed=0)
    with pytest.raises(MismatchError, match="layer `x` has 1 example in all"):
        compare_moments(sums(x, y, (0, 1)), ["linear-cka"])


def test_what_does_not_fit_is_not_added(case):
    x, y = case("tall", seed=0)
    whole = sums(x, y)
    with pytest.raises(MismatchError, match="different layers: `x`, `y` and `z`, `y`"):
        merge(whole, gather(one(x, "z"), one(y, "y"), [(0, 0)]))
    with pytest.raises(MismatchError, match="layer `x` has 32 features in one and 31 in another"):
        merge(whole, sums(x[:, :31], y))
    with pytest.raises(MismatchError, match="different pairs of layers: 1 and 0"):
        merge(whole, gather(one(x), one(y, "y"), []))


def test_no_example_is_counted_twice():
    first = Shard("sha256:abc", 0, 500, "r0")
    demand_disjoint([first, Shard("sha256:abc", 500, 600, "r1"), Shard("other", 0, 500, "r2")])
    demand_disjoint([first, Shard("sha256:abc", 200, 200, "r1")])
    for again, said in (
        (first, "examples 0 to 500 of `sha256:abc` are in two parts"),
        (Shard("sha256:abc", 499, 600, "r1"), "examples 499 to 500"),
        (Shard("elsewhere", 7, 507, "r0"), "the same 500 examples are in two parts"),
    ):
        between = Shard("sha256:abc", 300, 300, "empty")
        with pytest.raises(MismatchError, match=said):
            demand_disjoint([first, between, again])


def counted(x, name, read):
    """A layer that notes which rows are read."""

    def rows(start, stop):
        read.append((start, stop))
        return x[start:stop]

    return Layer(name, len(x), x.shape[1], x.dtype, rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_layers_are_read_once_for_all_measures(dtype, latent_pair):
    x, y = (one.astype(dtype) for one in latent_pair(5000, 5, 20, 30, seed=4))
    names = ["linear-cka", "angular-cka", "debiased-cka", "cka-lange"]
    read = {"x": [], "y": []}
    a, b = [counted(x, "x", read["x"])], [counted(y, "y", read["y"])]
    found = compare(a, b, chosen(*names, "cca", "procrustes"), memory=100_000)
    in_memory = compare(one(x), one(y, "y"), [*names, "cca", "procrustes"])
    for ours, rows in zip(found, in_memory, strict=True):
        accuracy = 1e-9 if dtype == np.float64 else 1e-7
        assert ours.score.value == pytest.approx(rows.score.value, abs=accuracy), ours.metric
    for spans in read.values():
        first, *others = spans  # where the first rows are, and then all of them
        assert first[0] == 0
        assert others[0][0] == 0
        assert all(end == start for (_, end), (start, _) in pairwise(others))
        assert others[-1][1] == 5000


def test_float32_products_are_enough_for_what_divides_by_nothing_small(latent_pair):
    x, y = latent_pair(5000, 5, 20, 30, seed=4)
    expected = [r.score.value for r in compare(one(x), one(y, "y"), CKA)]
    for size in (1.0, 1e-12, 1e12):
        a, b = one((x * size).astype(np.float32)), one(y.astype(np.float32), "y")
        found = [r.score.value for r in compare(a, b, chosen(*CKA), memory=100_000)]
        assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("share", [1e-5, 1e-9])
def test_what_sums_cannot_resolve_is_read_again(share):
    x, y = conditioned(share, n=3000)
    expected = compare(one(x), one(y, "y"), ["cca", "linear-cka"])
    found = compare(one(x), one(y, "y"), chosen("cca", "linear-cka"), memory=100_000)
    for ours, rows in zip(found, expected, strict=True):
        assert ours.score.value == pytest.approx(rows.score.value, abs=1e-9)
        assert ours.score.extra == rows.score.extra


def test_progress_counts_every_pair_once_a_measure_in_one_pass_too(latent_pair):
    x, y = latent_pair(5000, 5, 20, 30, seed=4)
    layers = [*one(x), *one(y, "y")]
    done = []
    compare(layers, layers, chosen("linear-cka", "cca"), memory=100_000, advance=done.append)
    assert sum(done) == pytest.approx(2 * 4)


def test_a_subset_of_pairs_reads_only_its_layers_in_one_pass(latent_pair):
    x, y = latent_pair(5000, 5, 20, 30, seed=4)
    read = []
    a = [counted(x, "unused", read), *one(x)]
    found = compare(a, one(y, "y"), chosen("cca"), pairs=[(1, 0)], memory=100_000)
    expected = compare(one(x), one(y, "y"), ["cca"])[0].score.value
    assert found[0].score.value == pytest.approx(expected, abs=1e-9)
    assert found[0].pair == (1, 0)
    assert read == []
