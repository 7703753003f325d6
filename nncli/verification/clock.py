"""One deadline that all stages share."""

import time
from dataclasses import dataclass, field


class OutOfTime(Exception):
    """The deadline has passed; whoever set it says so to the user."""


@dataclass(frozen=True)
class Clock:
    """Time left.

    Attributes:
        seconds: From the start on.
        begun: When it was started, by `time.monotonic`.
    """

    seconds: float = float("inf")
    begun: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begun

    @property
    def left(self) -> float:
        """Seconds until the deadline, negative after it."""
        return self.seconds - self.spent

    def going(self) -> bool:
        """Whether there is any."""
        return self.left > 0

    def check(self) -> None:
        """Go on.

        Raises:
            OutOfTime: The deadline has passed.
        """
        if self.left < 0:
            raise OutOfTime

    def part(self, seconds: float) -> "Clock":
        """A clock for a stage that may take some seconds, and no more than are left."""
        return Clock(max(0.0, min(seconds, self.left)))
