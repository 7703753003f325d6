"""What the `--list-...` options print: what there is to choose from."""

from nncli.options import lineage


def write_metrics(output: str, table_format: str, overwrite: bool) -> None:
    """Write the registry of measures of similarity as a table, for `--list-metrics`."""
    import pyarrow as pa

    from nncli.formats.tables import write_table
    from nncli.similarity import METRICS

    data = pa.Table.from_pylist([one.summary() for one in METRICS.values()])
    write_table(output, data, lineage.entry("table"), format=table_format, overwrite=overwrite)


def listing_format(wanted: str, output: str) -> str:
    """The format of what a `--list-...` option prints: it is read by people, in a pipe too."""
    return "table" if (wanted, output) == ("auto", "-") else wanted
