"""CKA of minibatches: reference values, batches, one pass, undefined layers."""

import importlib

import numpy as np
import pytest

from nncli.similarity import (
    METRICS,
    Layer,
    Settings,
    compare,
    debiased_cka,
    layer_of,
    minibatch_cka,
)
from nncli.similarity.centring import centre
from nncli.similarity.work import working

CASES = ("tall", "square", "affine", "null", "dead", "offset")
# in float64, from whole Gram matrices: batches of 50, and one of all rows
REFERENCE = {
    "tall": (0.785992422178, 0.787501709261),
    "square": (0.766372146149, 0.756849679137),
    "affine": (0.923991203253, 0.924804698913),
    "null": (-0.0134047253651, -0.0064375495886),
    "dead": (0.772676093143, 0.774545345287),
    "offset": (0.785991775463, 0.787500765703),
}


def hsic(k, other):
    n = len(k)
    k, other = (one - np.diag(np.diag(one)) for one in (k, other))
    total = k.sum() * other.sum() / ((n - 1) * (n - 2)) - 2 * k.sum(0) @ other.sum(0) / (n - 2)
    return ((k * other).sum() + total) / (n * (n - 3))


def by_definition(x, y, size):
    sums = np.zeros(3)
    for start in range(0, len(x), size):
        k, other = (one[start : start + size] @ one[start : start + size].T for one in (x, y))
        if len(k) >= 4:
            sums += hsic(k, other), hsic(k, k), hsic(other, other)
    return sums[0] / np.sqrt(sums[1] * sums[2])


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_the_definition(name, case):
    x, y = case(name)
    found = minibatch_cka(x, y, minibatch=50), minibatch_cka(x, y, minibatch=200)
    assert found == pytest.approx(REFERENCE[name], abs=1e-8 if name == "offset" else 1e-11)


@pytest.mark.parametrize("name", CASES)
def test_a_batch_of_all_rows_gives_debiased_cka(name, case):
    x, y = case(name)
    for size in (200, 256):
        assert minibatch_cka(x, y, minibatch=size) == pytest.approx(debiased_cka(x, y), abs=1e-9)


@pytest.mark.parametrize("size", [4, 7, 33, 49, 66, 197, 198])
def test_the_last_batch_counts_if_it_has_four_rows(size, case):
    x, y = case("tall")
    expected = by_definition(x, y, size)
    assert minibatch_cka(x, y, minibatch=size) == pytest.approx(expected, abs=1e-10)


def test_every_batch_is_centred_on_its_own(case):
    # in float32 products of rows far from the mean of all would leave little of a batch
    x, y = case("tall")
    far = 1e4 * (np.arange(200) // 50)[:, None]
    expected = by_definition(x, y, 50)
    moved = minibatch_cka((x + far).astype(np.float32), (y - far).astype(np.float32), minibatch=50)
    assert moved == pytest.approx(expected, abs=1e-4)
    assert minibatch_cka(x + far, y - far, minibatch=50) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("memory", [1, 100_000, 1 << 28])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_grid_holds_the_values_of_its_pairs_whatever_the_memory(memory, threads):
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((700, 5))
    a, b = ([np.tanh(shared @ rng.standard_normal((5, d))) for d in (8, 300)] for _ in range(2))
    layers = [[layer_of(x, f"{i}") for i, x in enumerate(side)] for side in (a, b)]
    found = compare(*layers, ["minibatch-cka:minibatch=300"], memory=memory, threads=threads)
    expected = [by_definition(x - x.mean(0), y - y.mean(0), 300) for x in a for y in b]
    assert [one.score.value for one in found] == pytest.approx(expected, abs=1e-11)


def test_ordinary_float32_data_give_the_value_of_float64_to_1e_7(monkeypatch, case):
    module = importlib.import_module("nncli.similarity.measures.minibatch_cka")
    monkeypatch.setattr(module, "EXACT_WORK", 0)  # as with more data
    x, y = case("tall")
    found = minibatch_cka(x.astype(np.float32), y.astype(np.float32), minibatch=50)
    assert found == pytest.approx(by_definition(x, y, 50), abs=1e-7)


def test_rows_are_read_in_one_pass(case):
    reads = []

    def layer(name, rows):
        def read(start, stop):
            reads.append((name, start, stop))
            return rows[start:stop]

        return centre(Layer(name, *rows.shape, np.dtype(np.float64), read))

    a, b = ([layer(name, rows)] for name, rows in zip("xy", case("tall"), strict=True))
    reads.clear()
    grid = METRICS["minibatch-cka"].grid
    with working() as work:
        grid(a, b, [(0, 0)], Settings(minibatch=64), work)
    spans = [(0, 64), (64, 128), (128, 192), (192, 200)]
    assert sorted(reads) == [(name, *span) for name in "xy" for span in spans]


def test_a_side_without_a_positive_hsic_is_null_with_a_note():
    spike = np.zeros((150, 3))
    spike[7] = 1.0
    y = np.random.default_rng(0).standard_normal((150, 4))
    found = compare([layer_of(spike, "spike")], [layer_of(y, "y")], ["minibatch-cka"])
    assert found[0].score.value is None
    assert found[0].score.note == "the HSIC of `spike` with itself is not positive"


def test_three_examples_are_too_few():
    x = np.random.default_rng(0).standard_normal((3, 4))
    found = compare([layer_of(x, "x")], [layer_of(x, "y")], ["minibatch-cka"])
    assert found[0].score.note == "3 examples; the unbiased HSIC needs 4"
