"""Many files of predictions as one: models from any of them, on the examples that they share.

Shards of models and shards of examples join alike: a model is what its files agree on (its name,
its factors, the digest of its checkpoint), and it answers what any of them holds.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePath
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import MismatchError
from nncli.formats.predictions import Predictions, Sheet, open_predictions

Array = NDArray[Any]
Codes = NDArray[np.int64]


SHOWN = ("model_id", "split", "perturbation", "strength", "file")  # not what a model is


@dataclass(frozen=True)
class Respondent:
    """A model under a perturbation on the examples of one split.

    Attributes:
        facts: What is known of it: model_id, factors, perturbation, strength, split, file, arch.
        sheets: Its answers, and the file each of them is in.
    """

    facts: dict[str, Any]
    sheets: tuple[tuple[Predictions, Sheet], ...]


class PredictionSet:
    """Files of predictions that are open; a context manager that closes them.

    Attributes:
        files: The files.
        score: What all of their answers are.
        width: How many numbers an answer has, `None` for one.
        itemsize: Bytes of the largest stored number.
        respondents: The models, on each split by themselves.
    """

    def __init__(self, files: Sequence[Predictions], *, apart: bool = False) -> None:
        self.files = tuple(files)
        self.score = files[0].score
        _demand_one_score(files)
        shapes = [(one, one.sheets[0].part(0, 1)) for one in files]
        first, answer = shapes[0]
        self.width = answer.shape[1] if answer.ndim == 2 else None
        self.itemsize = max(one.itemsize for _, one in shapes)
        for file, other in shapes:
            if other.shape != answer.shape:
                raise MismatchError(
                    f"`{file.name}` answers with {other.shape[1:] or 1} numbers, `{first.name}` "
                    f"with {answer.shape[1:] or 1}"
                )
        self.respondents = _respondents(files, apart=apart)

    def __enter__(self) -> "PredictionSet":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        for one in self.files:
            one.close()


def open_prediction_set(
    names: Sequence[str],
    *,
    renormalise: bool = False,
    apart: bool = False,
    cluster: str | None = None,
) -> PredictionSet:
    """Open files of predictions as one.

    Args:
        names: The files as given.
        renormalise: Divide probabilities by their sum in place of refusing them for it.
        apart: Take models of different files for different ones, whatever they are called.
        cluster: The column that says in what groups examples come.

    Returns:
        The set.

    Raises:
        ArtifactError: A file holds no predictions, or unsound ones.
        MismatchError: Files answer in different ways.
    """
    with ExitStack() as stack:
        files = []
        for name in names:
            one = open_predictions(name, renormalise=renormalise, common=False, cluster=cluster)
            stack.callback(one.close)
            files.append(one)
        found = PredictionSet(files, apart=apart)
        stack.pop_all()
        return found


def _demand_one_score(files: Sequence[Predictions]) -> None:
    first = files[0]
    for one in files[1:]:
        if one.score != first.score:
            raise MismatchError(
                f"`{first.name}` holds {first.score}, `{one.name}` {one.score}",
                hint="bring them to one kind first, or decompose each by itself",
            )


def _respondents(files: Sequence[Predictions], *, apart: bool) -> tuple[Respondent, ...]:
    found: dict[tuple[Any, ...], tuple[dict[str, Any], list[tuple[Predictions, Sheet]]]] = {}
    for file in files:
        origins = _origins(file)
        for sheet in file.sheets:
            member = file.members[sheet.member]
            origin = origins.get(str(member["model_id"]), {})
            facts = {**origin, **{k: v for k, v in member.items() if v is not None}}
            split = sheet.examples.split
            facts |= {"split": split} if split is not None else {}
            digest = facts.pop("digest", None)
            key = (file.name if apart else digest, *sorted((k, str(v)) for k, v in facts.items()))
            _, sheets = found.setdefault(key, (facts, []))
            sheets.append((file, sheet))
    names = _file_names(files)
    respondents = [
        Respondent({**facts, "file": names[id(sheets[0][0])]}, tuple(sheets))
        for facts, sheets in found.values()
    ]
    return tuple(sorted(respondents, key=_identity))


def _identity(respondent: Respondent) -> list[str]:
    """What tells models apart, by which they are ordered: the order of rows and files is none."""
    facts = respondent.facts
    told = sorted(f"{name} {value}" for name, value in facts.items() if name not in SHOWN)
    return [str(facts["model_id"]), *told]


def _origins(file: Predictions) -> dict[str, dict[str, Any]]:
    """For each model its architecture and digest, where the file says them."""
    told = file.entry.facts.get("models") if file.entry else None
    names = list(dict.fromkeys(str(one["model_id"]) for one in file.members))
    if not isinstance(told, list) or len(told) != len(names):
        return {}
    kept = ("arch", "digest")
    return {
        name: {key: one[key] for key in kept if one.get(key) is not None}
        for name, one in zip(names, told, strict=True)
        if isinstance(one, dict)
    }


def _file_names(files: Sequence[Predictions]) -> dict[int, str]:
    """What a file is called: without folder and suffix, where that is enough."""
    short = [PurePath(one.name).stem if one.name != "-" else "-" for one in files]
    names = short if len(set(short)) == len(short) else [one.name for one in files]
    return {id(one): name for one, name in zip(files, names, strict=True)}
