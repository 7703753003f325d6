"""What `nncli verify` is asked: networks and properties, from files or about examples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nncli.errors import MismatchError
from nncli.options import lineage
from nncli.options.demands import typed

if TYPE_CHECKING:
    from nncli.formats.datasets import Dataset
    from nncli.origins import Origin
    from nncli.verification.exact import Asked
    from nncli.verification.subjects import Subject


@dataclass(frozen=True)
class Task:
    """One network and one property."""

    subject: "Subject"
    asked: "Asked"
    seconds: float
    keys: dict[str, Any]
    label: int | None = None
    point: Any = None  # the example, where it is about one


@dataclass(frozen=True)
class Questions:
    """What one call decides, and what it was made from."""

    tasks: Iterator[Task]
    count: int
    inputs: list[Any]
    local: bool
    facts: dict[str, Any]


def near(checkpoints: tuple[str, ...], given: dict[str, Any]) -> Questions:
    """Neighbourhoods of examples."""
    from nncli.checkpoints import expand
    from nncli.formats.datasets import load
    from nncli.origins import data_facts, survey

    examples = load(given["data"], split=given["split"], limit=given["limit"])
    if examples.x is None or examples.x.dtype.kind != "f":
        raise MismatchError(f"`{examples.name}` holds texts or token ids, which have no neighbours")
    labelled = examples.y is not None and examples.y.dtype.kind == "i"
    if given["truth"] == "label" and not labelled:
        raise MismatchError(
            f"`{examples.name}` has no classes that examples could keep",
            hint="`--truth answer` asks whether answers change",
        )
    origins = survey(expand(checkpoints), given["arch"], "cpu")
    return Questions(
        _neighbourhoods(origins, examples, given),
        len(origins) * len(examples.x) * len(_epsilons(given)),
        [*origins, examples],
        local=True,
        facts={"data": data_facts(examples, given["limit"], lineage.portable)},
    )


def _neighbourhoods(
    origins: "list[Origin]", examples: "Dataset", given: dict[str, Any]
) -> Iterator[Task]:
    import torch

    from nncli.attacks.ball import valid_box
    from nncli.verification.neighbourhoods import robustness

    assert examples.x is not None
    x = torch.from_numpy(examples.x)
    limits = given["limits"] or valid_box(x)
    flat = x.flatten(1).double()
    for subject in _subjects(origins, tuple(x.shape[1:])):
        subject.demand_same(flat.amin(dim=0), flat.amax(dim=0))
        y = examples.y
        if given["truth"] == "answer" or y is None:
            y = subject.outputs(flat).argmax(dim=1).numpy()
        for row, label, name in zip(x, y.tolist(), examples.example_id, strict=True):
            for epsilon in _epsilons(given):
                asked = robustness(
                    str(name), row, label, epsilon,
                    outputs=subject.network.outputs, norm=given["norm"], limits=limits,
                )  # fmt: skip
                keys = {"label": label, "norm": given["norm"], "epsilon": _number(epsilon)}
                yield Task(subject, asked, given["timeout"], keys, label, row)


def _epsilons(given: dict[str, Any]) -> tuple[str, ...]:
    """The extents of neighbourhoods; where none is given, examples themselves."""
    return tuple(given["epsilons"]) or ("0",)


def _number(epsilon: str) -> float:
    from fractions import Fraction

    return float(Fraction(epsilon))


def _subjects(origins: "list[Origin]", shape: tuple[int, ...]) -> "Iterator[Subject]":
    from nncli.checkpoint_names import short_names
    from nncli.verification.subjects import subject

    names = short_names([lineage.without_descriptor(one.name) for one in origins])
    for name, origin in zip(names, origins, strict=True):
        model = origin.load()
        yield subject(name, origin.digest, model.module, shape, drop_softmax=True)


def from_files(checkpoints: tuple[str, ...], given: dict[str, Any]) -> Questions:
    """Properties in files, each asked of each network."""
    from nncli.checkpoints import expand
    from nncli.formats.vnnlib import read_vnnlib
    from nncli.origins import survey

    origins = survey(expand(checkpoints), given["arch"], "cpu")
    properties = [read_vnnlib(name) for name in given["vnnlibs"]]
    texts = given["specifications"]
    written = _written(_subject_of(origins[0], None), texts) if texts else []
    return Questions(
        _asked_of_all(origins, properties, written, given),
        len(origins) * (len(properties) + len(texts)),
        [*origins, *properties, *written],
        local=False,
        facts={},
    )


def _written(subject: "Subject", texts: tuple[str, ...]) -> list[Any]:
    """Specifications in words; they speak of inputs and outputs by number."""
    from nncli.formats.specification_text import read_specification

    sizes = {"inputs": subject.network.inputs, "outputs": subject.network.outputs}
    return [read_specification(name, **sizes) for name in texts]


def _asked_of_all(
    origins: "list[Origin]", properties: list[Any], written: list[Any], given: dict[str, Any]
) -> Iterator[Task]:
    for origin in origins:
        subject = _subject_of(origin, properties[0] if properties else None)
        for one in (*properties, *written):
            yield _specified(subject, one, given["timeout"])


def _specified(subject: "Subject", one: Any, seconds: float) -> Task:
    from nncli.verification.asking import asked, demand_fit

    network = subject.network
    demand_fit(
        one.name, inputs=one.inputs, outputs=one.outputs, network=subject.name,
        network_inputs=network.inputs, network_outputs=network.outputs,
    )  # fmt: skip
    question = asked(one.name, one.cases, inputs=one.inputs, outputs=one.outputs)
    for violation in question.violations[:1]:
        subject.demand_same(violation.region.low, violation.region.high)
    return Task(subject, question, seconds, {})


def _subject_of(origin: "Origin", specification: Any) -> "Subject":
    from nncli.verification.subjects import subject

    model = origin.load()
    shape = model.input_shape
    if shape is None and specification is not None:
        shape = specification.shape or (specification.inputs,)
    if shape is None:
        raise MismatchError(
            f"`{origin.name}` does not say what shape its inputs have",
            hint="name its architecture with `--arch`",
        )
    return subject(origin.name, origin.digest, model.module, shape, drop_softmax=False)


def from_instances(given: dict[str, Any]) -> Questions:
    """A list of networks and properties."""
    from nncli.formats.instances import read_instances

    listed = read_instances(given["instances"])
    return Questions(_listed(listed.rows, given), len(listed.rows), [listed], False, {})


def _listed(rows: Any, given: dict[str, Any]) -> Iterator[Task]:
    """The tasks of a list; a network that comes several times in a row is loaded once."""
    from itertools import groupby

    from nncli.checkpoints import expand
    from nncli.formats.vnnlib import read_vnnlib
    from nncli.origins import survey

    for network, group in groupby(rows, key=lambda row: row.network):
        subject = None
        for row in group:
            one = read_vnnlib(str(row.property))
            if subject is None:
                (origin,) = survey(expand((str(network),)), given["arch"], "cpu")
                subject = _subject_of(origin, one)
            seconds = given["timeout"] if typed("timeout") else row.seconds
            yield _specified(subject, one, seconds)
