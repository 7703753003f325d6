"""The table of the risk and its parts, and that of the parts at each example."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from nncli.bias_variance.report import Result, Units

NUMBERS = ("value", "se", "low", "high")


def demand_outputs(
    output: str, table_format: str, per_example: str | None, overwrite: bool
) -> None:
    """Refuse outputs that cannot be, before the work."""
    from nncli.errors import UsageError
    from nncli.formats.tables import demand_table

    if per_example == output:
        raise UsageError("`--per-example` and `--output` are the same file")
    demand_table(output, format=table_format, overwrite=overwrite)
    if per_example is not None:
        demand_table(per_example, overwrite=overwrite)


def schema_of(
    facts: "Sequence[dict[str, Any]]",
    columns: "Sequence[str]",
    *,
    noted: bool,
    clustered: bool,
) -> "pa.Schema":
    """The columns of the result; `note` only where something is to be said."""
    import pyarrow as pa

    kinds = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}

    def kind_of(name: str) -> pa.DataType:
        types = {type(one[name]) for one in facts if one.get(name) is not None}
        if name == "strength" or types == {int, float}:
            return pa.float64()
        return kinds.get(next(iter(types)), pa.string()) if len(types) == 1 else pa.string()

    return pa.schema(
        [
            *((name, kind_of(name)) for name in columns),
            ("loss", pa.string()),
            ("metric", pa.string()),
            *((name, pa.float64()) for name in NUMBERS),
            ("models", pa.int64()),
            ("n", pa.int64()),
            *([("clusters", pa.int64())] if clustered else []),
            *([("note", pa.string())] if noted else []),
        ]
    )


def write_examples(
    target: str,
    results: "Sequence[Result]",
    units: "Units",
    schema: "pa.Schema",
    entry: Any,
    *,
    overwrite: bool,
) -> None:
    """The parts of the risk at each example, cell by cell."""
    import pyarrow as pa

    from nncli.bias_variance.report import per_example
    from nncli.formats.arrow_columns import column_of, repeated
    from nncli.formats.tables import create_table

    tables = []
    for one in results:
        columns = {
            name: repeated(value, schema.field(name).type, one.found.n)
            for name, value in one.cell.key.items()
        }
        arrays = {"example_id": one.point.examples, **per_example(one, units)}
        columns |= {name: column_of(values) for name, values in arrays.items()}
        tables.append(pa.table(columns))
    with create_table(target, tables[0].schema, entry, overwrite=overwrite) as writer:
        for table in tables:
            writer.write(table.cast(tables[0].schema))
