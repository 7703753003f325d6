"""What a study leaves: the layers in the order in which they learn, answers, fitted readers."""

from typing import TYPE_CHECKING, Any

from nncli.errors import UsageError
from nncli.options import lineage

if TYPE_CHECKING:
    import pyarrow as pa

    from nncli.commands.probe.work import Work
    from nncli.formats.probe_answers import Reading


def learned_table_schema(work: "Work") -> "pa.Schema":
    """The columns of `--learned`, after making sure that there are steps."""
    from nncli.formats.probe_inputs import learned_schema

    if "step" not in work.factors[0] or work.positions:
        raise UsageError(
            "`--learned` is about captures of several steps, each layer probed as a whole",
            hint="`nncli train --save-steps` keeps steps, `nncli capture` captures them all",
        )
    return learned_schema(work.factors)


def write_readings(
    work: "Work", readings: "list[Reading]", asked: dict[str, Any], *, overwrite: bool
) -> None:
    """Write answers and fitted readers, where they are wanted."""
    from nncli.formats.probe_answers import write_answers, write_readers
    from nncli.probing import losses_of

    first, target = work.read.first, work.targets[0]
    told = {"inputs": work.inputs, "seed": asked["seed"]}
    if asked["predictions"]:
        names = None if target.kind == "numbers" else list(target.classes)
        entry = lineage.entry("predictions", **told, class_names=names)
        also: dict[str, Any] = {"several": work.several, "overwrite": overwrite}
        write_answers(asked["predictions"], readings, first, entry, losses_of(target), **also)
    if asked["probes"]:
        entry, train = (
            lineage.entry("probes", **told, source=first.source_digest),
            work.survey.train,
        )
        write_readers(asked["probes"], readings, first, train, entry, overwrite=overwrite)
