"""`nncli cluster`: which networks of a population are near one another."""

from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.errors import ArtifactError, NncliWarning, UsageError, closest
from nncli.options import lineage
from nncli.options.demands import demand_other_output
from nncli.parameters import Choice

if TYPE_CHECKING:
    import pyarrow as pa

    from nncli.formats.tables import Table
    from nncli.populations import Arrangement, Distances

KINDS = ("similarity", "distance")
UNKNOWN = "value"
NOT_EUCLIDEAN = 0.01  # share of negative eigenvalues above which Ward's method gets a warning


@click.command("cluster", cls=options.Command)
@click.argument("table", type=options.artifact)
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME", help="Only this metric (repeatable)."
)
@options.layers
@click.option(
    "--mean/--by-layer",
    default=True,
    show_default=True,
    help="Distances averaged over layers, or each layer by itself.",
)
@click.option(
    "--method",
    type=Choice(["average", "complete", "single", "ward"]),
    default="average",
    show_default=True,
    help="How far two groups are apart.",
)
@click.option(
    "--clusters",
    type=click.IntRange(min=1),
    metavar="K",
    help="Cut the tree into K clusters.  [default: by the silhouette]",
)
@click.option(
    "--values",
    type=Choice(KINDS),
    help="What the values of a foreign table are.  [default: what is known of the metric]",
)
@click.option(
    "--matrix",
    type=options.artifact,
    metavar="FILE",
    help="Write the matrices of distances too, as safetensors.",
)
@options.output
@options.table_format
@options.overwrite
def command(
    *,
    table: str,
    metrics: tuple[str, ...],
    layers: tuple[str, ...],
    mean: bool,
    method: str,
    clusters: int | None,
    values: str | None,
    matrix: str | None,
    output: str,
    table_format: str,
    overwrite: bool,
) -> None:
    """Say which members of a population are near one another.

    TABLE is what `nncli compare` writes of three captures or more, or any table with the columns a,
    b and value, perhaps metric and layer: a row for each pair of members. Similarities in which 1
    means the same become distances as 1 - value.

    Writes a table with a row for each metric and member: cluster, silhouette, leaf (its place along
    the tree), x and y (its place on a map that shows the distances). The tree is in the metadata,
    and `nncli plot` draws both.

    \b
    Examples:
      nncli cluster pairs.parquet
      nncli cluster pairs.parquet --by-layer --clusters 2 -o clusters.parquet
      nncli cluster pairs.parquet | nncli plot - -o clusters.png
    """
    from nncli.formats.output import STREAMS
    from nncli.formats.tables import create_table, from_rows, read_table
    from nncli.populations import arrange

    if matrix in STREAMS and output in STREAMS:
        raise UsageError("table and matrix cannot both go to standard output", hint="give `-o`")
    demand_other_output(output, [table])
    if matrix is not None:
        demand_other_output(matrix, [table])
    read = read_table(table)
    found = _distances(read, metrics, layers, values)
    if mean:
        from nncli.populations import mean_over_layers

        found = mean_over_layers(found)
    members = found[0].members
    if clusters is not None and clusters > len(members):
        raise UsageError(
            f"`{read.name}` has {len(members)} members, fewer than {clusters} clusters"
        )
    told, factors = _factors(read.data, members, read.name)
    arranged = [arrange(one, method, clusters) for one in found]
    _warn_of_ward(arranged, method)
    facts: dict[str, Any] = {"members": list(members), "trees": [one.summary() for one in arranged]}
    schema = _schema(told)
    entry = lineage.entry("table", inputs=[read], **facts)
    with create_table(output, schema, entry, format=table_format, overwrite=overwrite) as writer:
        if matrix is not None:
            _write_matrices(matrix, found, read, overwrite=overwrite)
        rows = [{**row, **factors[row["member"]]} for one in arranged for row in one.rows()]
        writer.write(from_rows(rows, schema))


def _distances(
    read: "Table", metrics: tuple[str, ...], layers: tuple[str, ...], values: str | None
) -> "list[Distances]":
    """The matrices of the chosen metrics and layers."""
    from nncli.figures.table_roles import demand_number, of_layers
    from nncli.formats.tables import demand_column
    from nncli.populations import Pair, distance_matrices

    if {"layer_a", "layer_b"} <= set(read.data.column_names) and "a" not in read.data.column_names:
        raise ArtifactError(
            f"`{read.name}` compares layers of one pair of captures, which is no population",
            hint="`nncli compare` of a folder, or of three captures or more, compares every two",
        )
    for column in ("a", "b", "value"):
        demand_column(read.data, column, source=read.name)
    demand_number(read.data, "value", source=read.name)
    rows = _same_layers(of_layers(read.data, layers, source=read.name), read.name)
    named = [str(row.get("metric", UNKNOWN)) for row in rows]
    there = list(dict.fromkeys(named))
    for metric in metrics:
        if metric not in there:
            raise ArtifactError(f"`{read.name}` has no metric `{metric}`; {closest(metric, there)}")
    chosen = [one for one in there if not metrics or one in metrics]
    rules = {metric: _convention(metric, read, values) for metric in chosen}
    pairs = []
    for metric, row in zip(named, rows, strict=True):
        if metric not in rules:
            continue
        _demand_names(row, read.name)
        about = str(row["a"]), str(row["b"]), metric, row["layer"]
        pairs.append(Pair(*about, row["value"], row.get("note")))
        if row.get("reverse") is not None and row["a"] != row["b"]:
            turned = str(row["b"]), str(row["a"]), metric, row["layer"]
            pairs.append(Pair(*turned, row["reverse"]))
    return distance_matrices(pairs, rules, source=read.name)


def _same_layers(data: "pa.Table", name: str) -> list[dict[str, Any]]:
    """The rows about one layer of both sides, the layer in `layer`."""
    rows: list[dict[str, Any]] = data.to_pylist()
    if not rows:
        raise ArtifactError(f"`{name}` has no rows")
    if not {"layer_a", "layer_b"} <= set(data.column_names):
        return [{"layer": None, **row} for row in rows]
    kept = [{**row, "layer": row["layer_a"]} for row in rows if row["layer_a"] == row["layer_b"]]
    if not kept:
        raise ArtifactError(
            f"`{name}` compares no layer with the layer of the same name",
            hint="members of different architectures have no common layers: rename the layers",
        )
    return kept


def _demand_names(row: dict[str, Any], name: str) -> None:
    if row["a"] is None or row["b"] is None:
        raise ArtifactError(f"a row of `{name}` does not say which members it compares")


def _convention(metric: str, read: "Table", values: str | None) -> str:
    """How the values of a metric become distances: by what the table or the registry says."""
    import warnings

    from nncli.figures.grids import meaning
    from nncli.populations import convention

    said = read.entry.facts.get("metrics") if read.entry else None
    listed = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    own = next((one for one in listed if one.get("metric") == metric), None)
    kind, ends = meaning(metric, own)
    known = kind in KINDS
    if known and values and values != kind:
        raise UsageError(f"`{metric}` is a {kind}, whatever `--values` says")
    if not known and not values:
        warnings.warn(
            f"`{read.name}` does not say what `{metric}` is: taken for a distance; "
            "`--values similarity` if larger means more alike",
            NncliWarning,
            stacklevel=2,
        )
    kind = kind if known else values or "distance"
    return convention(metric, kind, ends[1] if ends else None, source=read.name)


def _factors(
    data: "pa.Table", members: tuple[str, ...], name: str
) -> "tuple[list[tuple[str, pa.DataType]], dict[str, dict[str, Any]]]":
    """What the table says of its members besides their names: `seed`, `label_noise`, ..."""
    from nncli.populations import factors

    told = [one for one in factors(data.column_names) if one not in FIXED]
    found: dict[str, dict[str, Any]] = {member: {} for member in members}
    for side in "ab":
        columns = [data[f"{one}_{side}"].to_pylist() for one in told]
        for member, *row in zip(data[side].to_pylist(), *columns, strict=True):
            mine = found.get(str(member), {})
            for factor, value in zip(told, row, strict=True):
                if mine.setdefault(factor, value) != value:
                    raise ArtifactError(
                        f"`{name}` says of `{member}` both {factor} {mine[factor]} and {value}",
                        hint="give each member its own name",
                    )
    return [(one, data.schema.field(f"{one}_a").type) for one in told], found


# what stands in every row of the output, and so can be no factor
FIXED = ("metric", "distance", "layer", "member", "cluster", "silhouette", "leaf", "x", "y")


def _schema(told: "list[tuple[str, pa.DataType]]") -> "pa.Schema":
    import pyarrow as pa

    texts = [(name, pa.string()) for name in ("metric", "distance", "layer", "member")]
    whole = pa.int64()
    numbers = [("cluster", whole), ("silhouette", pa.float64()), ("leaf", whole)]
    return pa.schema([*texts, *told, *numbers, ("x", pa.float64()), ("y", pa.float64())])


def _warn_of_ward(arranged: "list[Arrangement]", method: str) -> None:
    import warnings

    worst = max(one.embedding.negative for one in arranged)
    if method == "ward" and worst > NOT_EUCLIDEAN:
        warnings.warn(
            f"Ward's method takes distances for Euclidean, which these are not ({worst:.0%} of "
            "their eigenvalues are negative): its heights mean little",
            NncliWarning,
            stacklevel=2,
        )


def _write_matrices(
    target: str, found: "list[Distances]", read: "Table", *, overwrite: bool
) -> None:
    """The matrices, a tensor each: `METRIC` or `METRIC/LAYER`."""
    from nncli.formats.tensors import write_tensors

    names = [one.metric if one.layer is None else f"{one.metric}/{one.layer}" for one in found]
    facts: dict[str, Any] = {
        "members": list(found[0].members),
        "distance": {name: one.convention for name, one in zip(names, found, strict=True)},
    }
    arrays = {name: one.matrix for name, one in zip(names, found, strict=True)}
    entry = lineage.entry("distances", inputs=[read], **facts)
    write_tensors(target, arrays, entry, overwrite=overwrite)
