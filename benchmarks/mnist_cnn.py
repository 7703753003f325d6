"""The convolutional network of the literature on semidefinite bounds, for `--arch FILE:Name`."""

from torch import nn


class Network(nn.Sequential):
    """Two convolutions of 4 x 4 in steps of 2, of 16 and 32 channels, and 100 hidden neurons.

    Of an image of 28 x 28 it makes 784 + 3136 + 1568 + 100 numbers that are not outputs.
    """

    def __init__(self) -> None:
        """Fresh weights."""
        super().__init__(
            nn.Conv2d(1, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 100),
            nn.ReLU(),
            nn.Linear(100, 10),
        )
