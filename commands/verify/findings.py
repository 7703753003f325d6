"""What was found: inputs that violate as a dataset, answers as competitions exchange them."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nncli.errors import NncliWarning, UsageError
from nncli.options import lineage

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
        """Write the dataset; without a counterexample, nothing, and say so of an older one."""
        import numpy as np

        from nncli.formats.dataset_writers import write_dataset

        found = self.found
        if not found:
            place = self.given["counterexamples"]
            if place != "-" and Path(place).is_file():
                warnings.warn(
                    f"no counterexample was found; `{place}` is of an earlier run, and stays",
                    NncliWarning,
                    stacklevel=2,
                )
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
            entry=lineage.entry("dataset", inputs=self.questions.inputs, seed=self.given["seed"]),
            overwrite=self.given["overwrite"],
        )


class Results:
    """The answers of a call in the words of the competitions, for `--results`."""

    def __init__(self, questions: "Questions", given: dict[str, Any]) -> None:
        self.single = questions.count == 1
        self.given = given
        self.found: list[Any] = []

    def take(self, task: "Task", answer: "Answer") -> None:
        """Keep the answer to a task."""
        from nncli.formats.competition_results import Answer as Told
        from nncli.formats.competition_results import Result

        if self.single:
            told = Told(answer.verdict)
            if answer.counterexample is not None:
                y = task.subject.outputs(answer.counterexample[None])[0]
                x = tuple(answer.counterexample.tolist())
                told = Told(answer.verdict, x, tuple(y.double().tolist()))
            self.found.append(told)
            return
        self.found.append(
            Result(
                Path(self.given["instances"] or "-").resolve().parent.name,
                lineage.portable(task.subject.name),
                lineage.portable(task.asked.name),
                answer.verdict,
                sum(answer.seconds.values()),
            )
        )

    def write(self) -> None:
        """Write a single answer with its counterexample, or a line for each."""
        from nncli.formats.competition_results import write_answer, write_results

        place, replaced = self.given["results"], self.given["overwrite"]
        if self.single:
            write_answer(place, self.found[0], overwrite=replaced)
        else:
            write_results(place, self.found, overwrite=replaced)
