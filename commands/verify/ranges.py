"""`--bounds` and `--ranges`: what layers and outputs can be over the regions asked about."""

from typing import TYPE_CHECKING, Any

from nncli.errors import MismatchError
from nncli.options import lineage

if TYPE_CHECKING:
    from nncli.commands.verify.questions import Questions, Task
    from nncli.verification.layer_bounds import Layer
    from nncli.verification.properties import Region
    from nncli.verification.standing import Answer

INNER_STEPS = 10


class Ranges:
    """The bounds of a call."""

    def __init__(self, questions: "Questions", given: dict[str, Any]) -> None:
        self.questions, self.given = questions, given
        self.layers: list[list[Layer]] = []
        self.facts: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []
        self.model = ""

    def take(self, task: "Task", answer: "Answer") -> None:
        """Bound the layers over each region of a task."""
        from nncli.verification.layer_bounds import layer_bounds
        from nncli.verification.queries import queries

        if self.model and self.given["bounds"] and task.subject.digest != self.model:
            raise MismatchError(
                "`--bounds` is about one network, and several are given",
                hint="ask about each in a call of its own",
            )
        self.model = task.subject.digest
        for place, query in enumerate(queries(task.asked)):
            found = layer_bounds(task.subject.network, query.region, self._effort())
            if self.given["bounds"]:
                self.layers.append(found)
                self.facts.append(
                    {
                        "model_id": task.subject.name,
                        "instance": lineage.portable(task.asked.name),
                        "region": place,
                        **task.keys,
                    }
                )
            if self.given["ranges"]:
                self._outputs(task, place, query.region, found[-1])

    def _effort(self) -> Any:
        from nncli.commands.verify.deciding import numbers_at_once
        from nncli.verification.tightening import Effort

        method = self.given["method"]
        steps = INNER_STEPS if method == "alpha-crown" else 0
        return Effort(method != "ibp", steps, numbers_at_once(self.given) // 4)

    def _outputs(self, task: "Task", place: int, region: "Region", found: "Layer") -> None:
        from nncli.commands.verify.deciding import numbers_at_once
        from nncli.verification.layer_bounds import reached_outputs

        least, most = reached_outputs(
            task.subject.network, region, self.given["seed"], numbers_at_once(self.given)
        )
        shared = {
            "model_id": task.subject.name,
            "instance": lineage.without_descriptor(task.asked.name),
            "region": place,
            "numerics": "float64, rounding bounded",
            "seed": self.given["seed"],
        }
        columns = zip(*(one.tolist() for one in (found.low, found.high, least, most)), strict=True)
        for output, (low, high, seen_low, seen_high) in enumerate(columns):
            self.outputs.append(
                {
                    **shared,
                    "output": output,
                    "low": _or_none(low),
                    "high": _or_none(high),
                    "attacked_low": _or_none(seen_low),
                    "attacked_high": _or_none(seen_high),
                }
            )

    def write(self) -> None:
        """Write what was asked for."""
        from nncli.formats.tables import from_rows, write_table
        from nncli.formats.tensors import write_tensors
        from nncli.formats.verdict_tables import RANGES

        given, inputs = self.given, self.questions.inputs
        shared = {"inputs": inputs, "seed": given["seed"]}
        if given["bounds"]:
            write_tensors(
                given["bounds"],
                self._tensors(),
                lineage.entry("bounds", **shared, rows=self.facts, **self.questions.facts),
                overwrite=given["overwrite"],
            )
        if given["ranges"]:
            write_table(
                given["ranges"],
                from_rows(self.outputs, RANGES),
                lineage.entry("table", **shared, **self.questions.facts),
                format="auto",
                overwrite=given["overwrite"],
            )

    def _tensors(self) -> dict[str, Any]:
        """`LAYER/lower` and `LAYER/upper`: a row for each region, a column for each number."""
        import torch

        tensors = {}
        for same in zip(*self.layers, strict=True):
            name = same[0].name
            tensors[f"{name}/lower"] = torch.stack([one.low for one in same]).numpy()
            tensors[f"{name}/upper"] = torch.stack([one.high for one in same]).numpy()
        return tensors


def _or_none(number: float) -> float | None:
    return number if abs(number) < float("inf") else None
