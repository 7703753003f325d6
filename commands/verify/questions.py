"""What `nncli verify` is asked: networks and properties, from files or about examples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nncli.errors import MismatchError
from nncli.options.demands import typed

if TYPE_CHECKING:
    from nncli.formats.linear_cases import Specification
    from nncli.formats.specification_text import Text
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
    change: str | None = None  # how far outputs may move, where that is asked


@dataclass(frozen=True)
class Questions:
    """What one call decides, and what it was made from."""

    tasks: Iterator[Task]
    count: int
    inputs: list[Any]
    local: bool
    facts: dict[str, Any]


def from_files(checkpoints: tuple[str, ...], given: dict[str, Any]) -> Questions:
    """Properties in files, each asked of each network."""
    from nncli.checkpoints import expand
    from nncli.formats.specification_text import read_text
    from nncli.formats.vnnlib import read_vnnlib
    from nncli.origins import survey

    origins = survey(expand(checkpoints), given["arch"], "cpu")
    properties = [read_vnnlib(name) for name in given["vnnlibs"]]
    texts = [read_text(name) for name in given["specifications"]]
    first = _subject_of(origins[0], None) if texts else None
    written = [_written(first, text) for text in texts] if first else []
    return Questions(
        _asked_of_all(origins, properties, list(zip(written, texts, strict=True)), given),
        len(origins) * (len(properties) + len(texts)),
        [*origins, *properties, *written],
        local=False,
        facts={},
    )


def _written(subject: "Subject", text: "Text") -> "Specification":
    """A specification in words; it speaks of inputs and outputs by number."""
    from functools import partial

    from nncli.formats.specification_text import specification_of
    from nncli.verification.neighbourhoods import outputs_at

    network = subject.network
    at = partial(outputs_at, network)
    return specification_of(text, inputs=network.inputs, outputs=network.outputs, outputs_at=at)


def _asked_of_all(
    origins: "list[Origin]",
    properties: list[Any],
    written: "list[tuple[Specification, Text]]",
    given: dict[str, Any],
) -> Iterator[Task]:
    for origin in origins:
        subject = _subject_of(origin, properties[0] if properties else None)
        for one in properties:
            yield _specified(subject, one, given["timeout"])
        for one, text in written:
            own = _written(subject, text) if one.pointed else one
            yield _specified(subject, own, given["timeout"])


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
