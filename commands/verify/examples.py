"""What `nncli verify` is asked about examples: that nearby inputs keep their class, or outputs."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from nncli.commands.verify.questions import Questions, Task
from nncli.errors import MismatchError, UsageError
from nncli.options import lineage
from nncli.options.demands import typed

if TYPE_CHECKING:
    from nncli.formats.datasets import Dataset
    from nncli.formats.radii import Radii
    from nncli.origins import Origin
    from nncli.verification.subjects import Subject


@dataclass(frozen=True)
class Extent:
    """How far inputs may be from an example.

    Attributes:
        amount: A number as text, or one for each feature.
        most: The greatest of them.
        file: The file that it was read from, if it was.
    """

    amount: Any
    most: float
    file: "Radii | None" = None


def near(checkpoints: tuple[str, ...], given: dict[str, Any]) -> Questions:
    """Neighbourhoods of examples."""
    from nncli.checkpoints import expand
    from nncli.formats.datasets import load
    from nncli.origins import data_facts, survey

    examples = load(given["data"], split=given["split"], limit=given["limit"])
    if examples.x is None or examples.x.dtype.kind != "f":
        raise MismatchError(f"`{examples.name}` holds texts or token ids, which have no neighbours")
    _demand_classes(examples, given)
    extents = _extents(given)
    files = [one.file for one in extents if one.file is not None]
    if files and given["lipschitz"]:
        raise UsageError(
            "`--lipschitz` is about distances, for which `--epsilon` is one number",
            hint=f"leave out `--epsilon {files[0].name}`, or give the least of its numbers",
        )
    for file in files:
        file.demand_fit(tuple(examples.x.shape[1:]))
    origins = survey(expand(checkpoints), given["arch"], "cpu")
    return Questions(
        _neighbourhoods(origins, examples, extents, given),
        len(origins) * len(examples.x) * len(extents),
        [*origins, examples, *files],
        local=True,
        facts={"data": data_facts(examples, given["limit"], lineage.portable)},
    )


def _is_labelled(examples: "Dataset") -> bool:
    return examples.y is not None and examples.y.dtype.kind == "i"


def _demand_classes(examples: "Dataset", given: dict[str, Any]) -> None:
    """Refuse examples without classes where these are asked about."""
    if given["output_change"] is not None:
        if typed("truth"):
            raise UsageError("`--output-change` is about outputs, not classes; it has no `--truth`")
        return
    if given["truth"] == "label" and not _is_labelled(examples):
        raise MismatchError(
            f"`{examples.name}` has no classes that examples could keep",
            hint="`--truth answer` asks whether answers change, `--output-change D` how far "
            "outputs move",
        )


def _extents(given: dict[str, Any]) -> list[Extent]:
    """The extents of neighbourhoods; where none is given, examples themselves."""
    return [_extent(one) for one in tuple(given["epsilons"]) or ("0",)]


def _extent(text: str) -> Extent:
    from nncli.formats.exact_numbers import brief, exact_number
    from nncli.formats.radii import read_radii

    number = exact_number(text)
    if number is not None:
        if number < 0:
            raise UsageError(f"epsilon `{brief(text)}` is negative")
        return Extent(text, _most(text, number))
    if not os.path.exists(text):
        raise UsageError(
            f"epsilon `{brief(text)}` is no number, and no file has that name",
            hint="give for example `0.1` or `8/255`, each with an `--epsilon` of its own, or a "
            "file with a number for each feature",
        )
    file = read_radii(text)
    return Extent(file.values, _most(text, max(file.values)), file)


def _most(text: str, number: Fraction) -> float:
    try:
        return float(number)
    except OverflowError:
        raise UsageError(f"epsilon `{text}` is beyond 1.8e308") from None


def _neighbourhoods(
    origins: "list[Origin]", examples: "Dataset", extents: list[Extent], given: dict[str, Any]
) -> Iterator[Task]:
    import torch

    from nncli.attacks.ball import valid_box

    assert examples.x is not None
    x = torch.from_numpy(examples.x)
    limits = given["limits"] or valid_box(x)
    flat = x.flatten(1).double()
    change = given["output_change"]
    for subject in _subjects(origins, tuple(x.shape[1:]), drop_softmax=change is None):
        subject.demand_same(flat.amin(dim=0), flat.amax(dim=0))
        labels = _labels(subject, examples, flat, given)
        for row, label, name in zip(x, labels, examples.example_id, strict=True):
            for extent in extents:
                keys = {"label": label, "norm": given["norm"], "epsilon": extent.most}
                shared = {"norm": given["norm"], "limits": limits}
                if change is None:
                    asked = _keeps_class(subject, str(name), row, label, extent.amount, **shared)
                else:
                    asked = _keeps_output(subject, str(name), row, change, extent.amount, **shared)
                    keys["output_change"] = float(Fraction(change))
                yield Task(subject, asked, given["timeout"], keys, label, row, change)


def _keeps_class(
    subject: "Subject", name: str, row: Any, label: int, amount: Any, **shared: Any
) -> Any:
    from nncli.verification.neighbourhoods import robustness

    return robustness(name, row, label, amount, outputs=subject.network.outputs, **shared)


def _keeps_output(
    subject: "Subject", name: str, row: Any, change: str, amount: Any, **shared: Any
) -> Any:
    from nncli.verification.neighbourhoods import stability, usual_outputs

    usual = usual_outputs(subject.network, row)
    return stability(name, row, usual, change, amount, **shared)


def _labels(subject: "Subject", examples: "Dataset", flat: Any, given: dict[str, Any]) -> list[Any]:
    """The classes that examples should keep; where outputs are asked about, what is known."""
    if given["output_change"] is None and (given["truth"] == "answer" or examples.y is None):
        found: list[int] = subject.outputs(flat).argmax(dim=1).tolist()
        return found
    if examples.y is None or not _is_labelled(examples):
        return [None] * len(flat)
    known: list[int] = examples.y.tolist()
    return known


def _subjects(
    origins: "list[Origin]", shape: tuple[int, ...], *, drop_softmax: bool
) -> "Iterator[Subject]":
    from nncli.checkpoint_names import short_names
    from nncli.verification.subjects import subject

    names = short_names([lineage.without_descriptor(one.name) for one in origins])
    for name, origin in zip(names, origins, strict=True):
        model = origin.load()
        yield subject(name, origin.digest, model.module, shape, drop_softmax=drop_softmax)
