"""Captures, the division of their examples, and the readers that are to be fitted."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from nncli.commands.probe.work import Work, effort_of
from nncli.options import lineage

if TYPE_CHECKING:
    from nncli.formats.probe_inputs import Probed
    from nncli.probing import Design, Elsewhere, Settings, Target

OWN = "test"  # the split of the part that readers are scored on by themselves


def fitting(activations: tuple[str, ...], asked: dict[str, Any], stack: ExitStack) -> Work:
    """Open the captures, divide their examples, and say what is to be fitted."""
    from nncli import probing
    from nncli.formats.probe_inputs import open_probed
    from nncli.layer_names import select_layers

    told = {name: asked[name] for name in ("train_on", "test_on", "twin", "assume_aligned")}
    read = open_probed(stack, activations, columns=asked["table"], **told)
    targets = []
    for name in dict.fromkeys(asked["names"]):
        values, source = read.values(name)
        targets.append(probing.target_of(values, name, source=source, task=asked["task"]))
    probing.demand_metrics(asked["metrics"], targets)
    plan = _plan(read, targets, asked)
    captures = read.captures.members
    survey = probing.Survey(
        captures=captures,
        names=[select_layers(one.layers, asked["layers"], source=one.name) for one in captures],
        plan=plan,
        effort=effort_of(asked),
        reduction=asked["reduction"],
        per_position=asked["per_position"],
        elsewhere=_elsewhere(read, plan),
        twin=read.twin,
    )
    if asked["predictions"] or asked["probes"]:
        survey.demand_readers()
    facts = {"reduce": asked["reduction"], "metrics": probing.told(asked["metrics"], targets)}
    return Work(read, targets, read.inputs, facts, asked["per_position"], survey)


def _plan(read: "Probed", targets: "list[Target]", asked: dict[str, Any]) -> "list[Design]":
    """The readers, the sides, and the types of the control task."""
    from nncli import probing

    settings, first, seed = _settings(asked), read.first, asked["seed"]
    readers = [probing.choose_readers(asked["readers"], one, settings) for one in targets]
    types, least = read.text(asked["types"]), max(one.outputs for one in targets)
    return probing.designs(
        targets,
        readers,
        probing.groups_of(first, read.text(asked["groups"])),
        probing.together(types) if types else probing.types_of(first, least=least, seed=seed),
        share=asked["test_share"],
        folds=asked["folds"],
        seed=seed,
        source=first.name,
    )


def _elsewhere(read: "Probed", plan: "list[Design]") -> "list[Elsewhere]":
    """Further captures, less the examples that readers are fitted on."""
    from nncli.checkpoint_names import short_names
    from nncli.probing import Elsewhere, trained_on

    files = [lineage.without_descriptor(one.name) for one in read.others]
    names = short_names([OWN, *files])[1:]
    found, start = [], read.first.n
    for name, one, allowed in zip(names, read.others, read.allowed(trained_on(plan)), strict=True):
        found.append(Elsewhere(name, one, start, allowed))
        start += one.n
    return found


def _settings(asked: dict[str, Any]) -> "Settings":
    from nncli.probing import PENALTIES, Settings

    return Settings(tuple(sorted(set(asked["penalties"]))) or PENALTIES, seed=asked["seed"])
