"""A property under way, and how to go about it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from nncli.verification.clock import Clock
from nncli.verification.network import Network
from nncli.verification.trees import Tree

Confirm = Callable[[Tensor], bool]


@dataclass(frozen=True)
class Setting:
    """How to go about it.

    Attributes:
        method: `auto`, or the name of a stage: that one, and what it rests on.
        timeout: Seconds for a property.
        seed: Of the attack's starts.
        numbers: Numbers of float64 held at once, about.
        record: Whether to record what makes a re-proof quick.
        strengthened: Whether the property asks for more than what a counterexample has to violate,
            so that a point may miss it and be none: then no search can end in a proof.
    """

    method: str = "auto"
    timeout: float = float("inf")
    seed: int = 0
    numbers: int = 60_000_000
    record: bool = False
    strengthened: bool = False

    @property
    def tree(self) -> Tree | None:
        """What takes the tree of a search, if it is recorded."""
        return Tree() if self.record else None


@dataclass
class Work:
    """One property under way."""

    network: Network
    confirm: Confirm
    setting: Setting
    clock: Clock
    seconds: dict[str, float] = field(default_factory=dict)
    counterexample: Tensor | None = None
