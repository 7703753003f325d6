"""`nncli show`: what is in a file, and how it was made."""

from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.options import lineage
from nncli.options.progress import progress
from nncli.parameters import Choice

if TYPE_CHECKING:
    from nncli.formats.describe import Description
    from nncli.formats.sources import Source

ROWS = ("csv", "jsonl", "markdown")


@click.command("show", cls=options.Command)
@click.argument("artifact", type=options.artifact)
@click.option(
    "-f",
    "--format",
    "form",
    type=Choice(["text", "json", *ROWS]),
    default="text",
    show_default=True,
    help="For people (text), one JSON object for scripts, or the rows of a table and nothing else.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=0),
    metavar="N",
    help="Show N rows of a table.  [default: all of 40, 10 of more; as csv, ... all]",
)
@click.option("--stats", is_flag=True, help="Read the numbers too: minimum, mean, maximum, std.")
@options.layers
@click.option("--digest", is_flag=True, help="Read all bytes and give their SHA-256.")
@click.option("--all", "everything", is_flag=True, help="Shorten no list.")
def command(
    *,
    artifact: str,
    form: str,
    rows: int | None,
    stats: bool,
    layers: tuple[str, ...],
    digest: bool,
    everything: bool,
) -> None:
    """Say what is in ARTIFACT and how it was made.

    Reads every kind of artifact, foreign files (safetensors, .npz, .npy, Parquet, Arrow, CSV, JSON,
    torch.save, pickle, torch.export, ONNX, images) and folders (series, Hugging Face models,
    datasets). It reads headers, not contents, unless --stats or --digest asks for them, and it runs
    nothing that a file holds: pickles are listed without being loaded.

    \b
    Examples:
      nncli show checkpoint.safetensors
      nncli compare a.safetensors b.safetensors | nncli show -
      nncli show model.pt --stats --layer '**.weight'
      nncli show grid.parquet -f json
      nncli show grid.parquet -f csv > grid.csv
    """
    from nncli.errors import UsageError
    from nncli.formats.describe import describe
    from nncli.formats.sources import open_source

    if form in ROWS and (stats or layers or digest or everything):
        raise UsageError(
            f"`--format {form}` writes the rows of a table and nothing else",
            hint="`--rows` says how many; `-f text` and `-f json` say the rest",
        )
    with open_source(artifact) as source:
        if form in ROWS:
            _write_rows(source, form, rows)
            return
        if digest and source.folder is not None:
            raise UsageError(
                f"`{artifact}` is a folder, and a folder has no digest",
                hint="name a file inside it",
            )
        said = source.digest if digest else None
        found = _selected(describe(source, rows=rows), layers)
        numbers = _statistics(source, found, everything or form == "json") if stats else None
    if form == "json":
        import json

        from nncli.formats.describe_json import as_json

        told = as_json(found, digest=said, statistics=numbers)
        click.echo(json.dumps(told, indent=1, allow_nan=False))
        return
    from nncli.formats.describe_text import description_text

    text = description_text(found, digest=said, statistics=numbers, everything=everything)
    click.echo(text.encode(), nl=False)


def _write_rows(source: "Source", form: str, rows: int | None) -> None:
    """The rows of a table, all or the first, on standard output."""
    from nncli.formats.describe_tables import read_rows
    from nncli.formats.tables import write_table

    table = read_rows(source)
    data = table.data if rows is None else table.data.slice(0, rows)
    write_table("-", data, lineage.entry("table", inputs=[table]), format=form)


def _selected(found: "Description", layers: tuple[str, ...]) -> "Description":
    """The description with only the tensors that were asked for."""
    from dataclasses import replace

    from nncli.errors import ArtifactError
    from nncli.layer_names import select_layers

    if not layers:
        return found
    if found.tensors is None:
        raise ArtifactError(f"`{found.name}` holds no tensors for `--layer` to choose from")
    chosen = set(select_layers([t.name for t in found.tensors], layers, source=found.name))
    return replace(found, tensors=tuple(t for t in found.tensors if t.name in chosen))


def _statistics(
    source: "Source", found: "Description", everything: bool
) -> dict[str, dict[str, Any]]:
    """Statistics of the tensors that will be shown, or of the columns of numbers."""
    from dataclasses import asdict

    from nncli.formats.any_tensors import blocks, numeric, open_any_tensors
    from nncli.formats.describe_contents import in_order
    from nncli.formats.describe_tables import number_columns
    from nncli.formats.describe_text import MOST_LINES
    from nncli.tensor_statistics import summarise

    if found.columns is not None:
        named = progress(number_columns(source), label="reading", unit="column")
        return {name: asdict(summarise([values])) for name, values in named}
    if found.tensors is None or found.format == "onnx":
        return {}
    with open_any_tensors(source) as file:
        readable = numeric(file)
        names = [one.name for one in in_order(found)[: None if everything else MOST_LINES]]
        shown = progress(names, label="reading", unit="tensor")
        return {name: asdict(summarise(blocks(file, name))) for name in shown if name in readable}
