"""The table of the test: its columns and rows, and what it is made from."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

    from nncli.grounding import Options, Pairs


class Table(NamedTuple):
    """What is written, and what it was made from."""

    columns: tuple[str, ...]
    rows: Callable[[], list[dict[str, Any]]]
    inputs: list[Any]
    facts: dict[str, Any]


def plan(pairs: "Pairs", asked: dict[str, Any], *, same: bool) -> "Options":
    """How to test; what is named wrongly is found here, before the work."""
    from nncli.grounding import Options, lowest_is_best, references_of
    from nncli.layer_names import select_layers

    layers = None
    if asked["reference_layer"]:
        layers = select_layers(pairs.layers, asked["reference_layer"], source="the population")
    names = ("reference", "paper", "permutations", "resamples", "seed")
    lowest = [one for one in pairs.differences if asked["lowest"] or lowest_is_best(one)]
    told = {name: asked[name] for name in names}
    options_of_test = Options(same_layer=same, layers=layers, lowest=lowest, **told)
    for score in pairs.differences:
        references_of(pairs, score, options_of_test)
    return options_of_test


def rows_of(pairs: "Pairs", told: "Options", *, each: bool) -> list[dict[str, Any]]:
    """The table of the test."""
    from dataclasses import asdict

    from nncli.grounding import ground

    means, at_each = ground(pairs, told)
    return [asdict(one) for one in (at_each if each else means)]


def columns_of(asked: dict[str, Any], *, same: bool) -> tuple[str, ...]:
    """The columns of the table that was asked for."""
    from nncli.grounding import report_columns

    each, paper, grouped = asked["each"], asked["paper"], asked["group"] is not None
    return report_columns(each=each, paper=paper, same_layer=same, grouped=grouped)


def schema_of(columns: tuple[str, ...]) -> "pa.Schema":
    """The types of the columns."""
    import pyarrow as pa

    from nncli.grounding.report import TEXT, WHOLE

    types = {name: pa.string() for name in TEXT} | {name: pa.int64() for name in WHOLE}
    return pa.schema([(name, types.get(name, pa.float64())) for name in columns])
