"""What is to be done to which layers, and what it is made from."""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from nncli.formats.probe_inputs import Probed
    from nncli.probing import Application, Effort, Survey, Target


class Work(NamedTuple):
    """What is to be done, and what it is made from."""

    read: "Probed"
    targets: "list[Target]"
    inputs: list[Any]
    facts: dict[str, Any]
    positions: bool
    survey: "Survey | Application"

    @property
    def several(self) -> bool:
        """Whether there is more than one capture."""
        return len(self.read.captures.members) > 1

    @property
    def factors(self) -> list[dict[str, Any]]:
        """What tells captures apart."""
        return self.read.captures.factors() if self.several else [{}]


def effort_of(asked: dict[str, Any]) -> "Effort":
    """How much is done for one number."""
    from nncli.probing import Effort

    told = {name: asked[name] for name in ("controls", "orders", "resamples", "seed")}
    return Effort(**told, metrics=tuple(dict.fromkeys(asked["metrics"])))
