"""What one call measures: the networks, the attacks and the examples."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nncli.errors import MismatchError, UsageError
from nncli.options import lineage
from nncli.options.demands import demand_other_output
from nncli.parameters import FARTHEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncli.attacks.attack import Attack
    from nncli.formats.datasets import Dataset
    from nncli.formats.entry import Entry
    from nncli.origins import Origin


@dataclass(frozen=True)
class Run:
    """What one call measures."""

    examples: "Dataset"
    origins: "Sequence[Origin]"
    source: "Origin | None"
    limit: int | None
    given: dict[str, Any]

    @property
    def attacks(self) -> "list[Attack]":
        """The attacks, each once."""
        from nncli.attacks.attack import Attack

        names = ("norm", "steps", "restarts", "losses", "schedule", "target", "seed")
        settings = {name: self.given[name] for name in names}
        return [Attack(name, **settings) for name in dict.fromkeys(self.given["names"])]

    def entry(self, kind: str, **facts: Any) -> "Entry":
        """The entry of an output."""
        from nncli.origins import data_facts, model_facts

        source = [self.source] if self.source else []
        return lineage.entry(
            kind,
            inputs=[*self.origins, *source, self.examples],
            seed=self.given["seed"],
            models=[model_facts(one, lineage.portable) for one in self.origins],
            data=data_facts(self.examples, self.limit, lineage.portable),
            **facts,
        )


def demand_classes(examples: "Dataset", truth: str) -> None:
    """Refuse data without neighbours to attack with, or without classes."""
    if examples.x is None or examples.x.dtype.kind != "f":
        raise MismatchError(
            f"`{examples.name}` holds texts or token ids, which have no neighbours to attack with"
        )
    if examples.y is None and truth == "label":
        hint = "`--truth answer` counts answers that change"
        raise MismatchError(
            f"`{examples.name}` has no labels that answers could differ from", hint=hint
        )
    if examples.y is not None and examples.y.dtype.kind != "i":
        hint = "`nncli predict --attack` moves predicted numbers"
        raise MismatchError(f"`{examples.name}` has numbers for labels, no classes", hint=hint)


def demand_outputs(given: dict[str, Any], inputs: tuple[str, ...]) -> None:
    """Refuse outputs in one place, or in the place of an input."""
    places = [given[name] for name in ("output", "per_example", "adversarial") if given[name]]
    if len(set(places)) < len(places):
        raise UsageError("two outputs cannot go to one place", hint="name a file for each")
    for place in places:
        demand_other_output(place, inputs)


def demand_one_dataset(run: Run) -> None:
    """Refuse a dataset of the points of several attacks, or one that cannot be written."""
    from nncli.formats.writable import demand_tensors

    target = run.given["adversarial"]
    if target and len(run.origins) * len(run.attacks) > 1:
        raise UsageError(
            "`--adversarial` is for one network and one attack", hint="run it for each"
        )
    if target:
        demand_tensors(target, kind="dataset", overwrite=run.given["overwrite"])


def radii_of(
    *, epsilons: tuple[float, ...], radii: tuple[float, float, int] | None, **_: Any
) -> tuple[float, ...]:
    """The radii that were asked for, rising; none where the data decide."""
    from nncli.attacks.epsilons import log_grid

    if epsilons and radii:
        raise UsageError("`--radii` and `--epsilon` exclude each other")
    if radii:
        low, high, count = radii
        if not (0 < low < high <= FARTHEST and count > 1):
            raise UsageError(
                f"`--radii {low:g} {high:g} {count}` is no grid",
                hint=f"0 < LOW < HIGH <= {FARTHEST:g}, and N >= 2",
            )
        return log_grid(low, high, count)
    found = tuple(sorted({one for one in epsilons if one}))
    if epsilons and not found:
        raise UsageError("`--epsilon 0` is no attack", hint="it is always in the table")
    return found
