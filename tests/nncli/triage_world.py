"""Answers of a model and of people whose curves have reference values."""

import numpy as np


def reference_world():
    """3,000 binary cases, the probability of one class, and five readers each."""
    rng = np.random.default_rng(41)
    label = rng.integers(0, 2, 3000)
    a, t = rng.random(3000), rng.random(3000)
    of_model, of_people = 0.02 + 0.45 * a**2, 0.02 + 0.35 * t**2
    answer = np.where(rng.random(3000) < of_model, 1 - label, label)
    sure = np.clip(1 - of_model + 0.05 * rng.standard_normal(3000), 0.5, 0.999)
    probability = np.where(answer == 1, sure, 1 - sure)
    wrong = rng.random((3000, 5)) < of_people[:, None]
    return label, probability, np.where(wrong, 1 - label[:, None], label[:, None])
