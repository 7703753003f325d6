"""How a question stands while stages work on it, and what the answer is in the end."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nncli.verification.certifying.parts import Part
from nncli.verification.intervals import Interval
from nncli.verification.queries import Query
from nncli.verification.sharpening import Begun
from nncli.verification.slopes import Choice


@dataclass
class Standing:
    """What is known of one query.

    Attributes:
        query: The violations of one region.
        margins: (V,) the best lower bound of each violation's greatest margin: it cannot happen if
            that is positive.
        nearest: (V,) the least greatest margin that was reached by a point.
        known: Intervals (1, n) of all places, the best so far; empty before the first bounds.
        choice: Slopes of the best bounds.
        deciders: The stage that excluded each violation, empty where none has.
        effort: What `known` took: -1 interval arithmetic, 0 linear bounds, more the steps for their
            slopes.
        supposed: Whether violations were supposed to happen.
        begun: What that has left, if there was room for it.
        parts: What makes a re-proof quick, where it is recorded.
    """

    query: Query
    margins: Tensor
    nearest: Tensor
    known: list[Interval] = field(default_factory=list)
    choice: Choice = field(default_factory=Choice)
    deciders: list[str] = field(default_factory=list)
    effort: int = -1
    supposed: bool = False
    begun: Begun | None = None
    parts: list[Part] = field(default_factory=list)

    @staticmethod
    def of(query: Query) -> "Standing":
        """Nothing is known yet."""
        count = len(query.violations)
        return Standing(
            query,
            torch.full((count,), -torch.inf, dtype=torch.float64),
            torch.full((count,), torch.inf, dtype=torch.float64),
            deciders=[""] * count,
        )

    @property
    def left(self) -> Tensor:
        """(K,) places of the violations that may still happen."""
        return torch.nonzero(self.margins <= 0).flatten()

    def portions(self, most: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The violations that may still happen, some at a time.

        Args:
            most: Rows at a time, but no fewer than one violation has.

        Yields:
            (K,) places of violations, and (R,) their rows.
        """
        owner, left = self.query.owner, self.left
        longest = int(torch.bincount(owner).max())
        for which in torch.split(left, max(1, most // longest)):
            yield which, torch.nonzero(torch.isin(owner, which)).flatten()

    def note(self, stage: str, margins: Tensor, which: Tensor | None = None) -> None:
        """Take over bounds where they are better than what was known.

        Args:
            stage: The stage that found them.
            margins: (V,) or (K,) lower bounds.
            which: (K,) places of the violations they are of; by default all.
        """
        places = torch.arange(len(self.margins)) if which is None else which
        for place, margin in zip(places.tolist(), margins.tolist(), strict=True):
            if margin > 0 and not self.margins[place] > 0:
                self.deciders[place] = stage
            self.margins[place] = max(float(self.margins[place]), margin)


@dataclass(frozen=True)
class Answer:
    """What is to be said of a property.

    Attributes:
        verdict: `verified`, `violated`, `unknown` or `timeout`.
        bound: The least lower bound of a violation's greatest margin: verified where positive.
            Infinite if nothing can be violated; where a search closed the last branches, 0.
        attacked: The least greatest margin that was reached by a point; infinite without a point.
        stage: The stage that decided; empty if none has.
        seconds: What each stage took.
        counterexample: (n,) where it is violated.
        proof: What makes a re-proof quick, where it is verified and that was recorded.
    """

    verdict: str
    bound: float
    attacked: float
    stage: str
    seconds: dict[str, float]
    counterexample: Tensor | None = None
    proof: tuple[Part, ...] = ()
