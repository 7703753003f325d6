"""Common corruptions of images, in five severities, for measuring how predictions shift.

Every corruption is a function of the image, the severity and a seed; the noise of one image
depends on its position and on nothing else, so that a file corrupted in blocks equals the file
corrupted at once.

Reference:
    Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
    Perturbations", 2019. Noise, contrast and brightness have the strengths of their ImageNet-C;
    blur and pixelation, which are measured in pixels, those of CIFAR-10-C. Rotation is ours.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
Randoms = Iterator[np.random.Generator]
Corruption = Callable[[Images, float, Randoms], NDArray[np.floating]]


def corrupt(x: Images, name: str, severity: int, *, seed: int = 0, start: int = 0) -> Images:
    """Corrupt images.

    Args:
        x: Images (n, channels, height, width) with values in [0, 1].
        name: A key of `CORRUPTIONS`.
        severity: 1 (mild) to 5 (strong).
        seed: Seed of the noise, not negative.
        start: Position in the data of the first image, for data that come in blocks.

    Returns:
        Images of the same shape, float32, in [0, 1].

    Raises:
        ValueError: The name or the severity is unknown, or `x` holds no such images.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"unknown corruption {name}; there are {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"a severity is a whole number from 1 to 5, not {severity}")
    if x.ndim != 4:
        raise ValueError(f"images are (n, channels, height, width), not of shape {x.shape}")
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"image values must lie in [0, 1], not reach {x.min():g} to {x.max():g}")
    function, strengths = CORRUPTIONS[name]
    if not len(x):
        return x.astype(np.float32)
    randoms = (_generator(seed, start + row) for row in range(len(x)))
    return np.clip(function(x, strengths[severity - 1], randoms), 0, 1).astype(np.float32)


def gaussian_noise(x: Images, deviation: float, randoms: Randoms) -> NDArray[np.floating]:
    """Add independent normal noise of the given standard deviation."""
    return x + deviation * np.stack([one.standard_normal(x.shape[1:]) for one in randoms])


def shot_noise(x: Images, photons: float, randoms: Randoms) -> NDArray[np.floating]:
    """Replace each value by a Poisson count with mean value x photons, divided by photons."""
    counts = [one.poisson(image * photons) for image, one in zip(x, randoms, strict=True)]
    return np.stack(counts) / photons


def impulse_noise(x: Images, share: float, randoms: Randoms) -> NDArray[np.floating]:
    """Set the given share of all values to 0 or 1, either with probability one half."""
    uniform = np.stack([one.random(x.shape[1:]) for one in randoms])
    return np.where(uniform < share / 2, 0, np.where(uniform < share, 1, x))


def blur(x: Images, deviation: float, randoms: Randoms) -> NDArray[np.floating]:
    """Convolve with a normal density of the given standard deviation, in pixels."""
    from scipy.ndimage import gaussian_filter

    smooth: Images = gaussian_filter(x, sigma=(0, 0, deviation, deviation), mode="nearest")
    return smooth


def contrast(x: Images, factor: float, randoms: Randoms) -> NDArray[np.floating]:
    """Multiply the differences from each channel's mean by the given factor."""
    mean: NDArray[np.float64] = x.mean(axis=(2, 3), keepdims=True, dtype=np.float64)
    return (x - mean) * factor + mean


def brightness(x: Images, amount: float, randoms: Randoms) -> NDArray[np.floating]:
    """Raise the brightest channel of each pixel by the amount, keeping hue and saturation."""
    value: Images = x.max(axis=1, keepdims=True)
    raised: Images = np.minimum(value + amount, 1)
    safe: Images = np.where(value > 0, value, np.float32(1))
    return np.where(value > 0, x * (raised / safe), raised)


def pixelate(x: Images, scale: float, randoms: Randoms) -> NDArray[np.floating]:
    """Shrink to the given share of height and width and enlarge again, both with a box filter."""
    from PIL import Image

    height, width = x.shape[2:]
    small = (max(int(width * scale), 1), max(int(height * scale), 1))
    box = Image.Resampling.BOX
    channels = [
        np.asarray(Image.fromarray(one).resize(small, box).resize((width, height), box))
        for one in x.astype(np.float32).reshape(-1, height, width)
    ]
    return np.stack(channels).reshape(x.shape)


def rotate(x: Images, degrees: float, randoms: Randoms) -> NDArray[np.floating]:
    """Turn by the given angle, left or right at random; corners repeat the border."""
    from scipy.ndimage import rotate as turn

    left = np.array([one.random() < 0.5 for one in randoms])
    turned = np.empty(x.shape, dtype=np.float32)
    for which, angle in ((left, degrees), (~left, -degrees)):
        if which.any():
            turned[which] = turn(
                x[which], angle, axes=(3, 2), reshape=False, order=1, mode="nearest"
            )
    return turned


SEVERITIES = (1, 2, 3, 4, 5)

CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, float, float, float, float]]] = {
    "gaussian-noise": (gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot-noise": (shot_noise, (60, 25, 12, 5, 3)),
    "impulse-noise": (impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "blur": (blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
    "contrast": (contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    "brightness": (brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "pixelate": (pixelate, (0.95, 0.9, 0.85, 0.75, 0.65)),
    "rotate": (rotate, (5, 10, 15, 20, 30)),
}
"""Each corruption and its strength at severities 1 to 5, in the unit its function names."""


def _generator(seed: int, position: int) -> np.random.Generator:
    """Random numbers of one image: a Philox stream keyed by the seed, at the image's counter."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, position]))
