"""The test on pairs that were measured before, by us or by anybody."""

from typing import TYPE_CHECKING, Any

from nncli.commands.compare_test.tables import Table, columns_of, plan, rows_of
from nncli.errors import NncliWarning, UsageError, closest

if TYPE_CHECKING:
    from nncli.grounding import Pairs


def of_pairs(pairs: str, table: str | None, asked: dict[str, Any]) -> Table:
    """The test on pairs that were measured before."""
    from nncli.formats.scores import read_scores
    from nncli.formats.tables import read_table
    from nncli.grounding import larger_is_alike, lay_out, read_pairs, scored_pairs
    from nncli.layer_names import select_layers

    read = read_table(pairs)
    columns = read.data.to_pydict()
    layout = lay_out(
        columns,
        source=read.name,
        sides=(asked["left"], asked["right"]),
        measures=asked["measure"],
        differences=asked["difference"],
        scores=() if table else asked["score"],
    )
    found, members = read_pairs(
        columns,
        layout,
        source=read.name,
        similarities=larger_is_alike(read.entry.facts if read.entry else {}, asked["similarity"]),
        measures=asked["measure"],
        group=asked["group"],
    )
    for name in asked["similarity"]:
        if name not in found.distances:
            raise UsageError(f"no measure `{name}`; {closest(name, found.distances)}")
    inputs: list[Any] = [read]
    if table is not None:
        scores = read_scores(table)
        wanted = asked["score"] or scores.usual
        found = scored_pairs(found, members, scores.columns, wanted, source=scores.name)
        inputs.append(scores)
    found = found.of_scores(asked["score"], source=read.name)
    if asked["layers"]:
        found = found.of_layers(select_layers(found.layers, asked["layers"], source=read.name))
    _warn_of_pairs(found, asked["paper"], read.name)
    same = found.same_layers() if asked["pairing"] is None else asked["pairing"] == "same-layer"
    facts = {"metrics": list(found.distances), "pairing": "same-layer" if same else "all"}
    told = plan(found, asked, same=same)
    columns_made = columns_of(asked, same=same)
    return Table(columns_made, lambda: rows_of(found, told, each=asked["each"]), inputs, facts)


def _warn_of_pairs(pairs: "Pairs", paper: bool, name: str) -> None:
    """Say what seems to be otherwise in a table than it was taken for."""
    import warnings

    said = [
        f"`{one}` of pairs with themselves is larger than of others: is it a similarity? "
        f"then say `--similarity {one}`"
        for one in pairs.doubtful()
    ]
    if paper and not (pairs.a == pairs.b).any():
        said.append(f"`{name}` has no pairs with themselves, which the published analysis counts")
    for one in said:
        warnings.warn(one, NncliWarning, stacklevel=2)
