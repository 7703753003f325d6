"""Readers that were fitted before, on captures that they are new to."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from nncli.commands.probe.work import Work, effort_of
from nncli.errors import UsageError

if TYPE_CHECKING:
    from nncli.probing import Target


def applying(
    activations: tuple[str, ...], stored: str, asked: dict[str, Any], stack: ExitStack
) -> Work:
    """Open captures and the readers that were fitted before."""
    from nncli import probing
    from nncli.formats.probe_inputs import open_probed, untrained
    from nncli.formats.probes import read_probes

    if asked["train_on"] or asked["test_on"] or asked["probes"] or asked["twin"]:
        raise UsageError("`--apply` fits nothing: it takes ACTIVATIONS and `--columns` alone")
    known = read_probes(stored)
    read = open_probed(
        stack, activations, columns=asked["table"], assume_aligned=asked["assume_aligned"]
    )
    group = probing.groups_of(read.first, read.text(asked["groups"]))
    allowed = untrained(known.train, known.source_digest, read.first, fitted=known.name)
    targets: dict[str, Target] = {}
    for one in known.probes:
        name = str(one.about["target"])
        if name not in targets:
            targets[name] = probing.coded(read.values(name)[0], one.about, read.first.name)

    application = probing.Application(
        captures=read.captures.members,
        readers=[known.of_capture(name) for name in read.captures.names],
        targets=targets,
        group=group,
        allowed=allowed,
        effort=effort_of(asked),
    )
    positions = any(one.about.get("position") is not None for one in known.probes)
    facts = {"metrics": probing.told(asked["metrics"], list(targets.values()))}
    inputs = [*read.captures.members, known, *([read.table] if read.table else [])]
    return Work(read, list(targets.values()), inputs, facts, positions, application)
