"""Inputs that violate, as a dataset."""

from typing import TYPE_CHECKING, Any

from nncli import options
from nncli.errors import UsageError

if TYPE_CHECKING:
    from nncli.commands.verify.questions import Questions, Task
    from nncli.verification.standing import Answer


class Counterexamples:
    """The counterexamples of a call, for `--counterexamples`."""

    def __init__(self, questions: "Questions", given: dict[str, Any]) -> None:
        self.questions, self.given = questions, given
        self.found: list[tuple[Task, Any]] = []

    def take(self, task: "Task", answer: "Answer") -> None:
        """Keep the counterexample of a task, if it has one."""
        if answer.counterexample is not None:
            self.found.append((task, answer.counterexample))

    def write(self) -> None:
        """Write the dataset; without a counterexample, nothing."""
        import numpy as np

        from nncli.formats.dataset_writers import write_dataset

        found = self.found
        if not found:
            return
        shapes = {task.subject.network.shape for task, _ in found}
        if len(shapes) > 1:
            raise UsageError("counterexamples of networks with different inputs are no dataset")
        x = np.stack(
            [point.numpy().reshape(next(iter(shapes))).astype(np.float32) for _, point in found]
        )
        labels = [-1 if task.label is None else task.label for task, _ in found]
        write_dataset(
            self.given["counterexamples"],
            x,
            np.array(labels, dtype=np.int64),
            example_id=np.array([task.asked.name for task, _ in found]),
            factors={},
            entry=options.entry("dataset", inputs=self.questions.inputs, seed=self.given["seed"]),
            overwrite=self.given["overwrite"],
        )
