"""What mistakes and readings cost."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nncli.triage.curves import Cases

F64 = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Prices:
    """Prices, all in one currency.

    Attributes:
        algorithm_error: Of an error of the model; a factor where kinds of mistakes have prices.
        human_error: Of an error of people; the same.
        algorithm_case: Of a case that the model answers.
        human_reading: Of one reading.
    """

    algorithm_error: float = 1.0
    human_error: float = 1.0
    algorithm_case: float = 0.0
    human_reading: float = 0.0

    def money(self, mistakes: Cases, readers: int) -> Cases:
        """What cases cost if the model has them, and if people have them.

        Args:
            mistakes: How bad the mistakes of both are.
            readers: Readings that a case of people takes.
        """
        return Cases(
            self.algorithm_error * mistakes.machine + self.algorithm_case,
            self.human_error * mistakes.human + self.human_reading * readers,
            mistakes.together,
        )


def priced_answers(predicted: Index, label: Index, prices: F64) -> F64:
    """What each answer costs by the kind of mistake.

    Args:
        predicted: (n,) the answers.
        label: (n,) the right ones.
        prices: (C, C) of answering the column where the row is right.

    Returns:
        (n,) prices.
    """
    found: F64 = prices[label, predicted]
    return found


def priced_readings(counts: NDArray[np.int64], label: Index, prices: F64) -> F64:
    """What a reading of each case costs on average, by the kind of mistake.

    Args:
        counts: (n, C) readings of each class.
        label: (n,) the right ones.
        prices: (C, C) of answering the column where the row is right.

    Returns:
        (n,) mean prices.
    """
    total = (counts * prices[label]).sum(axis=1)
    found: F64 = total / counts.sum(axis=1)
    return found
