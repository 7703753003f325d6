"""Probes of all layers of captures that share their examples, and of their twin."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nncli.errors import MismatchError, UsageError
from nncli.probing.designs import Capture, Design
from nncli.probing.reports import scores_by_place, with_twin
from nncli.probing.study import Elsewhere, probe_layer
from nncli.probing.tasks import Effort, Outcome, Read


@dataclass(frozen=True)
class Survey:
    """What is probed.

    Attributes:
        captures: Activations of the same examples.
        names: Of each capture its layers.
        plan: Targets, readers and sides.
        effort: What is done beside the fits.
        reduction: What becomes of positions.
        per_position: A probe for each position.
        elsewhere: Captures on which readers are scored too.
        twin: The same layers of an untrained network.
    """

    captures: Sequence[Capture]
    names: Sequence[Sequence[str]]
    plan: Sequence[Design]
    effort: Effort
    reduction: str
    per_position: bool = False
    elsewhere: Sequence[Elsewhere] = ()
    twin: Capture | None = None

    @property
    def train(self) -> list[int]:
        """The places of the examples that readers are fitted on."""
        return trained_on(self.plan)

    def demand_readers(self) -> None:
        """Refuse what has no one fitted reader, where readers or their answers are wanted.

        Raises:
            UsageError: Each episode has its own.
        """
        for one in (one for design in self.plan for its in design.readers for one in its):
            if one.settings.way:
                raise UsageError(
                    f"each episode of `{one.label}` has prototypes of its own, and none to keep",
                    hint="`--reader prototype` is one reader of all classes; leave out "
                    "`--predictions` and `--probes`",
                )

    def steps(self) -> list[tuple[int, str]]:
        """All there is to do: the place of a capture, and a layer."""
        return [(place, name) for place, its in enumerate(self.names) for name in its]

    def take(self, step: tuple[int, Any]) -> Iterator[tuple[list[dict[str, Any]], list[Read]]]:
        """Probe one layer of one capture.

        Yields:
            For each position the rows of the table, and what readers read.

        Raises:
            MismatchError: See `probe_layer`; or the twin has none of the layers.
        """
        place, name = step
        twins = self._twins  # first, so that a twin of another kind is refused before the work
        for where, found in self._outcomes(self.captures[place], name, self.elsewhere):
            rows = [{**where, **row} for one in found for row in one.rows]
            about = {**where, "reduce": self.reduction}
            read = [one.read(about) for one in found]
            yield with_twin(rows, twins), [one for one in read if one is not None]

    def _outcomes(
        self, capture: Capture, name: str, elsewhere: Sequence[Elsewhere]
    ) -> Iterator[tuple[dict[str, Any], list[Outcome]]]:
        run = probe_layer(
            capture,
            name,
            self.plan,
            self.effort,
            reduction=self.reduction,
            per_position=self.per_position,
            elsewhere=elsewhere,
        )
        for where, found in run:
            yield {"layer": name, "position": where.position}, found

    @cached_property
    def _twins(self) -> dict[tuple[Any, ...], float | None] | None:
        """Scores of the same readers on the twin, by what is read."""
        if self.twin is None:
            return None
        return scores_by_place(
            (where, one.rows)
            for name in _common_layers(self.twin, self.names)
            for where, found in self._outcomes(self.twin, name, [])
            for one in found
        )


def trained_on(plan: Sequence[Design]) -> list[int]:
    """The places of the examples that readers of any target are fitted on."""
    return sorted({place for one in plan for place in one.partition.train.tolist()})


def _common_layers(twin: Capture, names: Sequence[Sequence[str]]) -> list[str]:
    """The layers of a twin that have the names of ours."""
    ours = dict.fromkeys(name for its in names for name in its)
    found = [name for name in ours if name in twin.layers]
    if not found:
        raise MismatchError(f"`{twin.name}` has none of the layers {', '.join(names[0][:4])}, ...")
    return found
