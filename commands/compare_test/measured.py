"""The test on captures, whose distances are measured here."""

from functools import partial
from typing import TYPE_CHECKING, Any

from nncli.commands.compare_test.tables import Table, columns_of, plan, rows_of
from nncli.options.progress import pair_progress, progress
from nncli.options.threads import cores

if TYPE_CHECKING:
    from contextlib import ExitStack

    from nncli.grounding import Population
    from nncli.similarity import Chosen


def of_captures(
    captures: tuple[str, ...],
    table: str | None,
    asked: dict[str, Any],
    stack: "ExitStack",
    *,
    deletion: bool,
) -> Table:
    """The test on captures: distances are measured here."""
    from nncli import similarity
    from nncli.formats.captures import capture_files, open_captures
    from nncli.grounding import demand_population, population_of
    from nncli.layer_names import select_layers

    chosen = similarity.choose(asked["metrics"])
    opened = open_captures(capture_files(captures), assume_aligned=asked["assume_aligned"])
    stack.callback(opened.close)
    members = opened.members
    same = deletion or asked["pairing"] != "all"
    demand_population(opened.names, fewest=4 if same and not deletion else 2)
    names = [select_layers(one.layers, asked["layers"], source=one.name) for one in members]
    population = population_of(
        opened.names,
        members,
        opened.factors(),
        similarity.layers_of(members, names, asked["reduction"]),
        group=asked["group"],
        same_layer=same,
        with_self=asked["paper"] and not deletion,
    )
    facts = {
        "metrics": [one.summary() for one in chosen],
        "reduce": asked["reduction"],
        "pairing": "same-layer" if same else "all",
    }
    made = (
        _deleted(population, chosen, members[0].label, asked)
        if deletion
        else _tested(population, chosen, str(table), asked, same=same)
    )
    return Table(made.columns, made.rows, [*members, *made.inputs], facts)


def _tested(
    population: "Population",
    chosen: "list[Chosen]",
    table: str,
    asked: dict[str, Any],
    *,
    same: bool,
) -> Table:
    """Distances against differences of scores; the scores are joined before the work begins."""
    from dataclasses import replace

    from nncli.formats.scores import read_scores
    from nncli.grounding import Pairs, measure, scored_pairs

    scores = read_scores(table)
    pairs = Pairs.of(population.items, population.pairs)
    wanted = asked["score"] or scores.usual
    scored = scored_pairs(pairs, population.members, scores.columns, wanted, source=scores.name)
    options_of_test = plan(scored, asked, same=same)

    def rows() -> list[dict[str, Any]]:
        distances = measure(
            population.layers,
            population.pairs,
            chosen,
            threads=asked["threads"] or cores(),
            advance=pair_progress(len(chosen) * len(population.pairs)),
        )
        measured = replace(scored, distances=distances)
        return rows_of(measured, options_of_test, each=asked["each"])

    return Table(columns_of(asked, same=same), rows, [scores], {})


def _deleted(
    population: "Population", chosen: "list[Chosen]", labels: Any, asked: dict[str, Any]
) -> Table:
    """Layers against themselves with components deleted."""
    from nncli.grounding import deletion_columns, deletion_rows

    each, threads = asked["each"], asked["threads"] or cores()
    shown = partial(progress, label="deleting", total=len(population.layers), unit="layer")
    made = deletion_rows(population, chosen, labels, each=each, threads=threads, shown=shown)
    return Table(deletion_columns(each=each), lambda: list(made), [], {})
