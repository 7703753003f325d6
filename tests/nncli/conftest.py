"""What tests of the numerics share: pairs of layers, seeded, and a single thread."""

import numpy as np
import pytest

SEED = 20210803


def two_views(rng, n, k, d1, d2):
    """Two noisy linear views of the same k latents, with different means."""
    latents = rng.standard_normal((n, k))
    to_x, to_y = rng.standard_normal((k, d1)), rng.standard_normal((k, d2))
    x = latents @ to_x + 0.5 * rng.standard_normal((n, d1)) + 2.0
    y = latents @ to_y + 0.5 * rng.standard_normal((n, d2)) - 1.0
    return x, y


def tall(rng):
    return two_views(rng, 200, 10, 32, 48)


def square(rng):
    return two_views(rng, 200, 10, 40, 40)


def rotated(rng):
    x, _ = square(np.random.default_rng(SEED))
    rotation, _ = np.linalg.qr(rng.standard_normal((40, 40)))
    return x, 3.0 * (x @ rotation) + 5.0


def affine(rng):
    x, _ = square(np.random.default_rng(SEED))
    return x, x @ rng.standard_normal((40, 40)) + 1.0


def dead(rng):
    x, y = tall(rng)
    x[:, 1], x[:, 2], x[:, 3] = x[:, 0], 0.0, 7.0
    return x, y


def offset(rng):
    x, y = tall(rng)
    return (x + 1e4).astype(np.float32), (y - 1e4).astype(np.float32)


CASES = {
    "tall": tall,
    "square": square,
    "wide": lambda rng: two_views(rng, 40, 6, 96, 64),
    "rot": rotated,
    "affine": affine,
    "null": lambda rng: (rng.standard_normal((200, 32)), rng.standard_normal((200, 48))),
    "dead": dead,
    "offset": offset,
    "self": lambda rng: (tall(rng)[0],) * 2,
}


SAME_FEATURES = ("gram", "sliced-wasserstein")  # of which both sides must have as many


@pytest.fixture(scope="session")
def case():
    """Give a pair of layers by its name, cut to as many features where a measure needs that."""

    def made(name, measure=None, *, seed=SEED):
        x, y = CASES[name](np.random.default_rng(seed))
        if measure in SAME_FEATURES:
            width = min(x.shape[1], y.shape[1])
            return x[:, :width], y[:, :width]
        return x, y

    return made


@pytest.fixture(scope="session")
def latent_pair():
    """Give two layers of d1 and d2 features that see the same k latents of n examples."""

    def made(n, k, d1, d2, *, seed=SEED):
        return two_views(np.random.default_rng(seed), n, k, d1, d2)

    return made


@pytest.fixture
def one_thread():
    """Keep torch to one thread, whatever earlier tests asked for: small tensors gain nothing."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
