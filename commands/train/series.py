"""The files of a series: which there are, which are missing, and what goes into each."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nncli.errors import ArtifactError, NoAnswerError, UsageError

if TYPE_CHECKING:
    from nncli.formats.entry import Entry
    from nncli.training import Member, Task


def make_folder(name: str) -> Path:
    """The folder that a series goes into."""
    if name == "-":
        raise UsageError("a series of checkpoints is a folder", hint="name one: `-o runs/`")
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"cannot make the folder `{name}`: {reason}") from error
    return folder


@dataclass(frozen=True)
class Series:
    """What the members of a series and their files have in common.

    Attributes:
        task: What is trained.
        stops: Steps to keep, the last one included.
        folder: Where the files go.
        entry: The entry of a checkpoint, less what is particular to it.
        overwrite: Whether files that are something else are replaced.
    """

    task: "Task"
    stops: tuple[int, ...]
    folder: Path
    entry: "Entry"
    overwrite: bool

    def path(self, member: "Member", step: int) -> Path:
        """Where a member's checkpoint after a step goes."""
        return self.folder / member.file(None if step == self.task.recipe.steps else step)

    def has(self, member: "Member") -> bool:
        """Whether all checkpoints of a member are there; an error if anything else is."""
        from nncli.formats.series import is_there

        found = [
            is_there(self.path(member, step), self.entry_of(member, step), overwrite=self.overwrite)
            for step in self.stops
        ]
        return all(found)

    def entry_of(self, member: "Member", step: int) -> "Entry":
        """The entry of a checkpoint, less its metrics; its command makes this checkpoint alone."""
        words = [*self.entry.command, "--seed", str(member.seed)]
        if member.part is not None:
            words += ["--part", f"{member.part}/{self.task.parts}"]
        if step != self.task.recipe.steps:
            words += ["--save-steps", str(step)]
        facts = self.entry.facts | {"factors": self.task.factors(member, step)}
        return replace(self.entry, command=tuple(words), seed=member.seed, facts=facts)


def train_one(series: Series, member: "Member") -> str | None:
    """Train one member and write its checkpoints; runs in a worker process.

    Returns:
        None, or how it diverged.
    """
    from nncli.formats.tensors import write_tensors
    from nncli.training import snapshots

    try:
        for snapshot in snapshots(series.task, member, series.stops):
            entry = series.entry_of(member, snapshot.step)
            entry = replace(entry, facts=entry.facts | {"metrics": snapshot.metrics})
            path = series.path(member, snapshot.step)
            write_tensors(str(path), snapshot.state, entry, overwrite=series.overwrite)
    except NoAnswerError as error:
        return error.message
    return None
