"""Curves in characters: a canvas of braille dots, two across and four down in each character."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

EMPTY = 0x2800
BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column of a dot
ACROSS, DOWN = 2, 4


class Canvas:
    """Dots on characters, each character with the number of the last curve that touched it.

    Attributes:
        width: Characters across.
        height: Characters down.
        owner: (height, width) the last curve in each character, -1 where there is none.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.owner = np.full((height, width), -1)
        self._dots = np.zeros((height, width), np.int64)

    def dot(self, x: float, y: float, owner: int) -> None:
        """Set the dot at a place: (0, 0) is at the lower left, (1, 1) at the upper right."""
        if not (0 <= x <= 1 and 0 <= y <= 1):
            return
        across = min(int(x * self.width * ACROSS), self.width * ACROSS - 1)
        down = min(int((1 - y) * self.height * DOWN), self.height * DOWN - 1)
        row, column = down // DOWN, across // ACROSS
        self._dots[row, column] |= BITS[down % DOWN][across % ACROSS]
        self.owner[row, column] = owner

    def line(self, start: tuple[float, float], end: tuple[float, float], owner: int) -> None:
        """Set the dots between two places."""
        steps = max(
            abs(end[0] - start[0]) * self.width * ACROSS,
            abs(end[1] - start[1]) * self.height * DOWN,
            1.0,
        )
        for share in np.linspace(0.0, 1.0, int(np.ceil(steps)) + 1):
            self.dot(
                start[0] + share * (end[0] - start[0]),
                start[1] + share * (end[1] - start[1]),
                owner,
            )

    def curve(self, x: Sequence[float] | F64, y: Sequence[float] | F64, owner: int) -> None:
        """Join places by lines; a value that is not finite interrupts the curve."""
        before: tuple[float, float] | None = None
        for at, value in zip(x, y, strict=True):
            here = (float(at), float(value)) if np.isfinite(value) else None
            if here is not None:
                self.line(before or here, here, owner)
            before = here

    def rows(self) -> list[str]:
        """The canvas as lines of text, empty characters as spaces."""
        return [
            "".join(chr(EMPTY + int(dots)) if dots else " " for dots in row) for row in self._dots
        ]
