"""How to train: the choices that, with a seed and the data, determine the result."""

from dataclasses import dataclass

import numpy as np

from nncli.attacks import Norm

ORDER, ATTACK, MODULE, CHECK, NOISE, PARTITION, BLUR = range(7)
"""What a seed is used for; every use has random numbers of its own."""


@dataclass(frozen=True)
class Adversary:
    """Adversarial training: every batch is replaced by its worst points within a ball.

    Reference:
        Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018.

    Attributes:
        epsilon: Radius of the ball, in units of the input.
        norm: Norm of the ball.
        steps: Gradient steps of the attack, from one random start.
        step_size: Length of each.
        box: Lowest and highest valid input value, None for no limit.
    """

    epsilon: float
    norm: Norm
    steps: int
    step_size: float
    box: tuple[float, float] | None = None


@dataclass(frozen=True)
class Intervals:
    """Training on what intervals bound: the loss of the worst point of a ball, or more.

    Reference:
        Gowal et al., "On the Effectiveness of Interval Bound Propagation for Training Verifiably
        Robust Models", 2018.

    Attributes:
        epsilon: Radius of the l-infinity ball, in units of the input.
        box: Lowest and highest valid input value, None for no limit.
        kappa: Share of the clean loss at the end; it begins at 1.
        ramp: Share of the training until radius and kappa have come to their last values.
    """

    epsilon: float
    box: tuple[float, float] | None = None
    kappa: float = 0.5
    ramp: float = 0.5


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of one training run.

    Attributes:
        steps: Number of updates.
        batch_size: Examples an update.
        optimizer: A key of `nncli.training.optimizers.OPTIMIZERS`.
        learning_rate: Constant learning rate.
        momentum: Momentum of `sgd`.
        weight_decay: Decay rate of the weights; an L2 penalty but for `adamw`.
        adversary: Adversarial training, if wanted.
        noise: Standard deviation of the normal noise that is added to every batch.
        intervals: Interval bound propagation, if wanted.
    """

    steps: int
    batch_size: int
    optimizer: str
    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    adversary: Adversary | None = None
    noise: float = 0.0
    intervals: Intervals | None = None


def substream(seed: int, use: int) -> int:
    """A seed for one use of a seed, independent of its other uses.

    Args:
        seed: The seed, not negative.
        use: One of the uses above.

    Returns:
        A 63-bit seed for a generator of any library.
    """
    return int(np.random.SeedSequence([seed, use]).generate_state(1, np.uint64)[0] >> np.uint64(1))
