"""Reductions of tokens and maps, by blocks: the same as of the whole array."""

import numpy as np
import pytest

from nncli.errors import ArtifactError
from nncli.similarity import REDUCTIONS, Raw, reduce, reduction
from nncli.similarity.layers import blocks


def raw(x, **settings):
    return Raw("layer", x.shape, x.dtype, lambda start, stop: x[start:stop], **settings)


def whole(layer, step=None):
    parts = [
        layer.rows(start, min(start + (step or layer.n), layer.n))
        for start in range(0, layer.n, step or layer.n)
    ]
    assert all(part.shape[1] == layer.d for part in parts)
    return np.concatenate(parts)


@pytest.fixture
def tokens():
    return np.random.default_rng(0).standard_normal((11, 5, 3)).astype(np.float32)


@pytest.fixture
def maps():
    return np.random.default_rng(0).standard_normal((11, 3, 4, 2)).astype(np.float32)


@pytest.mark.parametrize("step", [1, 2, 7, None])
def test_flatten_puts_all_numbers_of_an_example_in_one_row(tokens, maps, step):
    assert np.array_equal(whole(reduce(raw(tokens), "flatten"), step), tokens.reshape(11, 15))
    assert np.array_equal(whole(reduce(raw(maps), "flatten"), step), maps.reshape(11, 24))


@pytest.mark.parametrize("step", [1, 2, 7, None])
def test_mean_is_over_tokens_and_over_the_places_of_maps(tokens, maps, step):
    assert whole(reduce(raw(tokens), "mean"), step) == pytest.approx(tokens.mean(1), abs=1e-6)
    assert whole(reduce(raw(maps), "mean"), step) == pytest.approx(maps.mean((2, 3)), abs=1e-6)


@pytest.mark.parametrize("step", [1, 2, 7, 23, None])
@pytest.mark.parametrize("most", [1, 100, 1 << 20])
def test_positions_make_every_token_and_place_an_example(tokens, maps, step, most, monkeypatch):
    monkeypatch.setattr(reduction, "BLOCK_BYTES", most)
    assert np.array_equal(whole(reduce(raw(tokens), "positions"), step), tokens.reshape(55, 3))
    expected = maps.transpose(0, 2, 3, 1).reshape(88, 3)
    assert np.array_equal(whole(reduce(raw(maps), "positions"), step), expected)


@pytest.mark.parametrize("how", REDUCTIONS)
def test_vectors_are_taken_as_they_are(how):
    x = np.arange(12.0).reshape(4, 3)
    assert np.array_equal(whole(reduce(raw(x), how)), x)
    assert np.array_equal(whole(reduce(raw(x[:, 0]), how)), x[:, :1])


def test_channels_come_first_where_the_file_says_so(tokens):
    layer = reduce(raw(tokens, maps=True), "mean")
    assert whole(layer) == pytest.approx(tokens.mean(2), abs=1e-6)
    assert layer.d == 5


@pytest.mark.parametrize("step", [1, 2, 7, None])
def test_masked_tokens_enter_neither_the_mean_nor_the_positions(tokens, step):
    mask = np.random.default_rng(1).random((11, 5)) < 0.6
    mask[:, 2] = True
    spoiled = np.where(mask[..., None], tokens, np.nan)
    mean = np.stack([one[real].mean(0) for one, real in zip(tokens, mask, strict=True)])
    assert whole(reduce(raw(spoiled, mask=mask), "mean"), step) == pytest.approx(mean, abs=1e-6)
    assert np.array_equal(whole(reduce(raw(spoiled, mask=mask), "positions"), step), tokens[mask])


def test_a_mask_of_another_length_or_of_maps_is_no_concern(tokens, maps):
    mask = np.zeros((11, 4), bool)
    assert reduce(raw(tokens, mask=mask), "positions").n == 55
    assert reduce(raw(maps, mask=mask), "positions").n == 88


def test_an_example_without_a_real_token_has_no_mean(tokens):
    mask = np.ones((11, 5), bool)
    mask[7] = False
    with pytest.raises(ArtifactError, match="row 7 has no token that is not masked"):
        reduce(raw(tokens, mask=mask), "mean")
    assert reduce(raw(tokens, mask=mask), "positions").n == 50


def test_a_position_is_named_by_its_example_and_place(tokens):
    mask = np.ones((11, 5), bool)
    mask[0, 1:] = False
    assert reduce(raw(tokens), "positions").where(23) == "row 4, position 3"
    assert reduce(raw(tokens, mask=mask), "positions").where(2) == "row 1, position 1"


def test_large_maps_are_averaged_in_blocks_of_what_is_stored():
    most = []
    x = np.zeros((300, 2, 256, 128), np.float32)

    def rows(start, stop):
        most.append(stop - start)
        return x[start:stop]

    layer = reduce(Raw("layer", x.shape, x.dtype, rows), "mean")
    assert layer.rows(0, 300).shape == (300, 2)
    assert max(most) * 8 * 2 * 256 * 128 <= reduction.BLOCK_BYTES


def test_blocks_cover_all_rows_once():
    for n, width in ((1, 1), (1000, 10**9), (5000, 3), (5000, 4000)):
        spans = list(blocks(n, width))
        assert [start for start, _ in spans] == [0, *(stop for _, stop in spans)][:-1]
        assert spans[-1][1] == n
