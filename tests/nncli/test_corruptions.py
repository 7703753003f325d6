"""Corruptions: ranges, determinism, and what each does to images one can reckon by hand."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from nncli.corruptions import CORRUPTIONS, SEVERITIES, corrupt

NOISES = ("gaussian-noise", "shot-noise", "impulse-noise")


@pytest.fixture
def images():
    return np.random.default_rng(0).random((6, 3, 12, 10)).astype(np.float32)


def grey(value=0.5, *, n=20, size=32):
    return np.full((n, 1, size, size), value, dtype=np.float32)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_corrupted_images_are_images_of_the_same_shape(images, name, severity):
    found = corrupt(images, name, severity)
    assert found.shape == images.shape
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert not np.array_equal(found, images)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_blocks_give_what_the_whole_gives(images, name):
    whole = corrupt(images, name, 3, seed=5)
    parts = [corrupt(images[a:b], name, 3, seed=5, start=a) for a, b in ((0, 1), (1, 4), (4, 6))]
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_equal_seeds_give_equal_images_and_the_input_is_left_alone(images, name):
    before = images.copy()
    assert np.array_equal(corrupt(images, name, 2, seed=1), corrupt(images, name, 2, seed=1))
    assert np.array_equal(images, before)
    if name in NOISES:
        assert not np.array_equal(corrupt(images, name, 2, seed=1), corrupt(images, name, 2))


@pytest.mark.parametrize("name", NOISES)
def test_images_get_noise_of_their_own(name):
    found = corrupt(grey(), name, 3)
    assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_severity_grows(name):
    noise = np.random.default_rng(1).random((40, 1, 31, 29))
    smooth = np.clip(gaussian_filter(noise, (0, 0, 1, 1)), 0, 1).astype(np.float32)
    changes = [np.abs(corrupt(smooth, name, s) - smooth).mean() for s in SEVERITIES]
    assert changes == sorted(changes)


def test_gaussian_noise_has_the_deviation_it_promises():
    # 20 images of 1024 values: the standard error of the deviation is 0.5 %.
    assert corrupt(grey(), "gaussian-noise", 1).std() == pytest.approx(0.08, rel=0.02)


def test_shot_noise_has_the_variance_of_a_poisson_count():
    found = corrupt(grey(0.25), "shot-noise", 1)
    assert found.mean() == pytest.approx(0.25, rel=0.01)
    assert found.var() == pytest.approx(0.25 / 60, rel=0.04)


def test_impulse_noise_hits_the_share_it_promises_on_either_side():
    found = corrupt(grey(), "impulse-noise", 5)
    assert (found == 0).mean() == pytest.approx(0.135, abs=0.01)
    assert (found == 1).mean() == pytest.approx(0.135, abs=0.01)


def test_blur_and_pixelation_leave_a_flat_image_flat():
    for name in ("blur", "pixelate", "rotate", "contrast"):
        np.testing.assert_allclose(corrupt(grey(0.3), name, 5), 0.3, atol=1e-6)


def test_blur_spreads_a_point_as_a_normal_density():
    point = np.zeros((1, 1, 21, 21), dtype=np.float32)
    point[0, 0, 10, 10] = 1
    found = corrupt(point, "blur", 5)[0, 0]
    assert found.sum() == pytest.approx(1, abs=1e-4)
    # The ratio of neighbours along an axis is exp(-1/2) at a deviation of 1 pixel.
    assert found[10, 11] / found[10, 10] == pytest.approx(np.exp(-0.5), rel=1e-3)


def test_contrast_keeps_the_mean_and_scales_the_rest(images):
    found = corrupt(images, "contrast", 1)
    mean = images.mean(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(found, mean + 0.4 * (images - mean), atol=1e-6)


def test_brightness_raises_the_value_and_keeps_the_hue():
    pixel = np.array([0.4, 0.2, 0.1], dtype=np.float32).reshape(1, 3, 1, 1)
    found = corrupt(pixel, "brightness", 4)
    np.testing.assert_allclose(found.ravel(), [0.8, 0.4, 0.2], atol=1e-6)
    black = np.zeros((1, 1, 2, 2), dtype=np.float32)
    np.testing.assert_allclose(corrupt(black, "brightness", 1), 0.1, atol=1e-6)


def test_pixelation_is_that_of_pillow():
    image = np.random.default_rng(2).random((1, 1, 20, 12)).astype(np.float32)
    small = Image.fromarray(image[0, 0]).resize((7, 13), Image.Resampling.BOX)
    expected = np.asarray(small.resize((12, 20), Image.Resampling.BOX))
    np.testing.assert_array_equal(corrupt(image, "pixelate", 5)[0, 0], expected)


def test_rotation_turns_either_way_by_the_same_angle():
    ramp = np.linspace(0, 1, 33, dtype=np.float32)[None, :].repeat(33, 0)  # rises to the right
    found = corrupt(np.stack([ramp[None]] * 40), "rotate", 5)[:, 0, 16, 16 - 8 : 16 + 9]
    slopes = found[:, -1] - found[:, 0]
    np.testing.assert_allclose(slopes, np.cos(np.pi / 6) * 0.5, atol=1e-5)
    up = corrupt(np.stack([ramp[None]] * 40), "rotate", 5)[:, 0, 16 - 8, 16]
    turned_left = up > 0.5
    assert 5 < turned_left.sum() < 35


def test_no_images_stay_no_images():
    assert corrupt(grey(n=0), "gaussian-noise", 1).shape == (0, 1, 32, 32)


@pytest.mark.parametrize(
    ("x", "name", "severity", "message"),
    [
        (grey(), "snow", 1, "unknown corruption"),
        (grey(), "blur", 6, "severity"),
        (grey()[0], "blur", 1, "shape"),
        (grey() * 255, "blur", 1, r"\[0, 1\]"),
    ],
)
def test_what_is_not_an_image_or_a_corruption_is_refused(x, name, severity, message):
    with pytest.raises(ValueError, match=message):
        corrupt(x, name, severity)
