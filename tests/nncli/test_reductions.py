import numpy as np
import pytest
import torch

from nncli.reductions import (
    MAPS,
    REDUCTIONS,
    TOKENS,
    VECTOR,
    layout_of,
    masked,
    positions_of,
    reduce,
    reduced_shape,
)

RANDOM = np.random.default_rng(0)
MAP = RANDOM.standard_normal((3, 4, 2, 5)).astype(np.float32)
SEQUENCE = RANDOM.standard_normal((3, 6, 4)).astype(np.float32)
MASK = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]], bool)


def reduced(x, how, layout, mask=None):
    mask = None if mask is None else torch.from_numpy(mask)
    return reduce(torch.from_numpy(x), how, layout, mask).numpy()


def test_the_layout_follows_from_the_number_of_dimensions():
    assert layout_of((4,)) == VECTOR
    assert layout_of(()) == VECTOR
    assert layout_of((6, 4)) == TOKENS
    assert layout_of((4, 6), channels_first=True) == MAPS
    assert layout_of((4, 2, 5)) == MAPS


def test_none_keeps_everything():
    assert np.array_equal(reduced(MAP, "none", MAPS), MAP)


def test_flatten_is_numpys_reshape():
    assert np.array_equal(reduced(MAP, "flatten", MAPS), MAP.reshape(3, -1))


def test_mean_of_maps_is_over_places_and_keeps_channels():
    assert np.allclose(reduced(MAP, "mean", MAPS), MAP.mean(axis=(2, 3)), atol=1e-6)


def test_mean_of_tokens_is_over_tokens_and_keeps_features():
    assert np.allclose(reduced(SEQUENCE, "mean", TOKENS), SEQUENCE.mean(axis=1), atol=1e-6)


def test_positions_of_a_map_are_its_places_row_by_row():
    rows = reduced(MAP, "positions", MAPS)
    assert np.array_equal(rows, MAP.transpose(0, 2, 3, 1).reshape(-1, 4))
    assert np.array_equal(rows[10 + 5 + 3], MAP[1, :, 1, 3])


def test_positions_of_a_sequence_are_its_tokens_in_order():
    assert np.array_equal(reduced(SEQUENCE, "positions", TOKENS), SEQUENCE.reshape(-1, 4))


def test_the_mean_leaves_padding_out():
    expected = np.stack([one[keep].mean(axis=0) for one, keep in zip(SEQUENCE, MASK, strict=True)])
    assert np.allclose(reduced(SEQUENCE, "mean", TOKENS, MASK), expected, atol=1e-6)


def test_last_and_cls_find_real_tokens_on_either_side_of_the_padding():
    assert np.array_equal(reduced(SEQUENCE, "last", TOKENS, MASK), SEQUENCE[[0, 1, 2], [2, 5, 5]])
    assert np.array_equal(reduced(SEQUENCE, "cls", TOKENS, MASK), SEQUENCE[[0, 1, 2], [0, 2, 0]])


def test_last_and_cls_without_a_mask_are_the_ends():
    assert np.array_equal(reduced(SEQUENCE, "last", TOKENS), SEQUENCE[:, -1])
    assert np.array_equal(reduced(SEQUENCE, "cls", TOKENS), SEQUENCE[:, 0])


def test_positions_drop_padding():
    assert np.array_equal(reduced(SEQUENCE, "positions", TOKENS, MASK), SEQUENCE[MASK])


@pytest.mark.parametrize("how", ["mean", "last", "cls", "positions"])
def test_padding_may_hold_nan(how):
    spoiled = np.where(MASK[..., None], SEQUENCE, np.float32("nan"))
    clean = reduced(SEQUENCE, how, TOKENS, MASK)
    assert np.array_equal(reduced(spoiled, how, TOKENS, MASK), clean)


def test_the_mean_of_many_halves_does_not_overflow():
    x = torch.full((1, 4096, 1), 1000.0, dtype=torch.float16)
    mask = torch.ones(1, 4096, dtype=torch.bool)
    assert reduce(x, "mean", TOKENS, mask).item() == 1000


@pytest.mark.parametrize("how", REDUCTIONS)
def test_a_vector_has_no_positions_to_reduce(how):
    x = RANDOM.standard_normal((3, 4)).astype(np.float32)
    assert np.array_equal(reduced(x, how, VECTOR), x)


@pytest.mark.parametrize("how", ["last", "cls"])
def test_maps_have_no_first_and_last_position(how):
    with pytest.raises(ValueError, match="maps have no"):
        reduced(MAP, how, MAPS)


@pytest.mark.parametrize("how", REDUCTIONS)
@pytest.mark.parametrize(
    ("x", "layout"), [(MAP, MAPS), (SEQUENCE, TOKENS), (MAP[..., 0, 0], VECTOR)]
)
def test_the_shape_of_a_row_is_known_beforehand(how, x, layout):
    if layout == MAPS and how in ("last", "cls"):
        return
    rows = reduced(x, how, layout)
    each = positions_of(x.shape[1:], layout) if how == "positions" else 1
    assert rows.shape == (3 * each, *reduced_shape(x.shape[1:], how, layout))


def test_a_mask_speaks_of_tokens_of_its_length_only():
    assert masked((6, 4), TOKENS, 6)
    assert not masked((5, 4), TOKENS, 6)
    assert not masked((6, 4, 2), MAPS, 6)
    assert not masked((6, 4), TOKENS, None)
