"""`nncli plot`: the natural picture of an artifact."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.errors import ArtifactError, UsageError
from nncli.options import lineage
from nncli.options.progress import progress
from nncli.parameters import Choice

if TYPE_CHECKING:
    from nncli.figures.pictures import Picture
    from nncli.formats.entry import Entry
    from nncli.formats.sources import Source

PICTURES = {
    "activations": "the variance of each layer over its principal components",
    "checkpoint": "a histogram of each tensor",
    "dataset": "examples of each class, and how many there are",
    "predictions": "a reliability diagram",
    "series": "curves of the metrics over steps, widths, epsilons, ...",
    "table": "a heat map of pairs of layers, a tree and map of a population, or curves",
}
WIDEST = 160
MOST_TENSORS = 32


@dataclass(frozen=True)
class Choices:
    """What of an artifact is to be drawn."""

    x: str | None
    y: tuple[str, ...]
    metrics: tuple[str, ...]
    layers: tuple[str, ...]
    colour: str | None
    log: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """The input as the entry of the figure records it."""

    name: str
    digest: str
    entry: "Entry | None"


@click.command("plot", cls=options.Command)
@click.argument("artifact", type=options.artifact)
@click.option("--x", metavar="COLUMN", help="Column along the axis.  [default: what varies most]")
@click.option("--y", multiple=True, metavar="COLUMN", help="Column to draw (repeatable).")
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME", help="Only this metric (repeatable)."
)
@click.option(
    "--log",
    type=Choice(["x", "y"]),
    multiple=True,
    help="Logarithmic axis of curves, x or y (repeatable).  [default: x where its places are "
    "geometric]",
)
@options.layers
@click.option(
    "--colour",
    "--color",
    metavar="COLUMN",
    help="What the colours of a population show.  [default: a factor, or the clusters]",
)
@click.option(
    "--kind",
    type=Choice(list(PICTURES)),
    help="Take a foreign file for this.  [default: by its contents]",
)
@options.output
@click.option(
    "-f",
    "--format",
    "form",
    type=Choice(["auto", "png", "svg", "pdf", "text"]),
    default="auto",
    show_default=True,
    help="auto goes by the suffix, a terminal (text) or a pipe (PNG).",
)
@options.overwrite
def command(
    *,
    artifact: str,
    x: str | None,
    y: tuple[str, ...],
    metrics: tuple[str, ...],
    layers: tuple[str, ...],
    colour: str | None,
    log: tuple[str, ...],
    kind: str | None,
    output: str,
    form: str,
    overwrite: bool,
) -> None:
    """Draw the natural picture of ARTIFACT.

    Similarities of layers become heat maps; series and other tables curves, runs with different
    seeds averaged; layers against their last step maps of layers over steps; clusters a tree and a
    map; predictions reliability diagrams; activations spectra; checkpoints histograms of their
    weights; datasets a gallery. The figure is a PNG, SVG or PDF, the same bytes every time; on a
    terminal it is drawn in characters.

    \b
    Examples:
      nncli plot grid.parquet -o grid.png
      nncli compare a.safetensors b.safetensors | nncli plot -
      nncli plot runs/ --metric test_accuracy -o learning.svg
      nncli plot predictions.parquet -o reliability.pdf
    """
    from nncli.formats.figure_files import choose_format
    from nncli.formats.output import open_output

    chosen = choose_format(output, form)
    choices = Choices(x, y, metrics, layers, colour, log)
    with open_output(output, kind="figure", overwrite=overwrite, binary=chosen != "text") as out:
        picture, given = _picture(artifact, kind, choices)
        if chosen == "text":
            out.write(_text(picture, live=output == "-").encode())
            return
        from nncli.figures.drawing import draw, encode

        entry = lineage.entry("figure", inputs=[given])
        out.write(encode(draw(picture), chosen, entry=entry.to_json()))


def _text(picture: "Picture", *, live: bool) -> str:
    """The picture in characters, in colour on a terminal."""
    import io

    from rich.console import Console

    from nncli.drawings import drawn

    outer = Console()
    width = min(outer.width, WIDEST) if live and outer.is_terminal else 100
    colour = live and outer.is_terminal and not outer.no_color
    text = drawn(picture, width=width, colour=colour)
    if not colour:
        return text.plain
    file = io.StringIO()
    system: Any = outer.color_system or "standard"
    console = Console(file=file, force_terminal=True, width=width, color_system=system)
    console.print(text, end="", soft_wrap=True)
    return file.getvalue()


def _picture(artifact: str, kind: str | None, choices: Choices) -> "tuple[Picture, Given]":
    from nncli.figures.log_axes import on_log_axes
    from nncli.formats.digits import NAME as DIGITS
    from nncli.formats.kinds import kind_of
    from nncli.formats.sources import DESCRIPTIONS, open_source

    if not os.path.lexists(artifact) and (artifact == DIGITS or artifact.startswith("hf:")):
        _demand_fitting(choices, "dataset", artifact)
        return _dataset(artifact, artifact, choices)
    with open_source(artifact) as source:
        found = kind or kind_of(source)
        if found not in _DRAWERS:
            what = f"is {DESCRIPTIONS[source.format]}" if found == "unknown" else f"holds {found}"
            raise ArtifactError(
                f"`{artifact}` {what}: there is no picture of that",
                hint=f"`nncli compare {artifact} | nncli plot -` draws what they say of layers"
                if found == "moments"
                else f"there are pictures of {', '.join(PICTURES)}",
            )
        _demand_fitting(choices, found, artifact)
        picture, given = _DRAWERS[found](source, choices)
    picture = on_log_axes(picture, choices.log, source=artifact)
    return replace(picture, title=_title(picture.title, given)), given


def _title(title: str, given: Given) -> str:
    """The title; where it would be the name of a stream, the command that wrote it instead."""
    if given.name != "-" and not given.name.startswith("/dev/fd/"):
        return title
    words = ("nncli", *given.entry.command) if given.entry else ("standard", "input")
    start = title.removesuffix(given.name)
    return start + " ".join(words) if start != title else title


def _demand_fitting(choices: Choices, kind: str, name: str) -> None:
    """Refuse options that mean nothing for a kind, rather than pass over them."""
    fitting = {
        "--x": kind in ("series", "table"),
        "--y": kind in ("series", "table"),
        "--metric": kind in ("series", "table"),
        "--layer": kind in ("activations", "checkpoint", "table"),
        "--colour": kind == "table",
        "--log": kind in ("activations", "series", "table"),
    }
    given = {
        "--x": choices.x,
        "--y": choices.y,
        "--metric": choices.metrics,
        "--layer": choices.layers,
        "--colour": choices.colour,
        "--log": choices.log,
    }
    for option, fits in fitting.items():
        if given[option] and not fits:
            raise UsageError(f"`{option}` does not fit `{name}`, which holds {kind}")


def _table(source: "Source", choices: Choices) -> "tuple[Picture, Given]":
    from nncli.figures.table_roles import of_layers
    from nncli.figures.tables import table_picture
    from nncli.formats.describe_tables import read_rows

    table = read_rows(source)
    picture = table_picture(
        of_layers(table.data, choices.layers, source=source.name),
        source=source.name,
        facts=table.entry.facts if table.entry else {},
        inputs=[str(one.get("name")) for one in table.entry.inputs] if table.entry else [],
        x=choices.x,
        y=choices.y,
        metrics=choices.metrics,
        colour=choices.colour,
    )
    return picture, Given(source.name, table.digest, table.entry)


def _predictions(source: "Source", choices: Choices) -> "tuple[Picture, Given]":
    from nncli.figures.confidence import reliability
    from nncli.formats.predictions import open_predictions

    read = open_predictions(source)
    picture = reliability(
        read.members, read.answers, read.label, score=read.score, source=source.name
    )
    return picture, Given(source.name, read.digest, read.entry)


def _activations(source: "Source", choices: Choices) -> "tuple[Picture, Given]":
    from nncli.figures.tensors import spectra
    from nncli.formats.activations import open_activations
    from nncli.layer_names import select_layers
    from nncli.spectra import flat_layer, spectrum

    read = open_activations(source)
    names = select_layers(read.layers, choices.layers, source=read.name)
    shown = progress(names, label="decomposing", unit="layer")
    found = [
        spectrum(flat_layer(name, read.shape(name), partial(read.rows, name))) for name in shown
    ]
    return spectra(found, source=read.name), Given(source.name, read.digest, read.entry)


def _checkpoint(source: "Source", choices: Choices) -> "tuple[Picture, Given]":
    from nncli.figures.tensors import weight_histograms
    from nncli.formats.any_tensors import blocks, numeric, open_any_tensors
    from nncli.formats.tensor_groups import natural
    from nncli.layer_names import select_layers

    file = open_any_tensors(source)
    there = list(numeric(file))
    if source.format in ("safetensors", "folder"):  # whose order is that of bytes
        there.sort(key=natural)
    names = select_layers(there, choices.layers, source=file.name)
    drawn, rest = names[:MOST_TENSORS], len(names) - MOST_TENSORS
    shown = progress(drawn, label="counting", unit="tensor")
    tensors = {name: partial(blocks, file, name) for name in shown}
    picture = weight_histograms(tensors, source=file.name, rest=max(rest, 0))
    return picture, Given(source.name, file.digest, file.entry)


def _data(source: "Source", choices: Choices) -> "tuple[Picture, Given]":
    # a stream has been spooled: the loader finds it under the number of its file
    at = str(source.path) if source.path else f"/dev/fd/{source.file.fileno()}"
    return _dataset(at, source.name, choices)


def _dataset(at: str, name: str, choices: Choices) -> "tuple[Picture, Given]":
    from nncli.figures.examples import gallery
    from nncli.formats.datasets import load

    data = load(at)
    picture = gallery(data.x, data.y, source=name, class_names=data.class_names)
    return picture, Given(name, data.digest, data.entry)


_DRAWERS: "dict[str, Callable[[Source, Choices], tuple[Picture, Given]]]" = {
    "activations": _activations,
    "checkpoint": _checkpoint,
    "dataset": _data,
    "predictions": _predictions,
    "series": _table,
    "table": _table,
}
