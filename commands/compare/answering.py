"""Layers as matrices, and the table or the sums that a comparison of them gives."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from nncli.commands.compare.asking import LAST, demand_plain, places, wanted_pairs
from nncli.options import lineage
from nncli.options.demands import demand_other_output
from nncli.options.progress import pair_progress
from nncli.options.threads import cores

if TYPE_CHECKING:
    from nncli.formats.captures import Captures
    from nncli.formats.moments import StoredMoments
    from nncli.similarity import Chosen
    from nncli.similarity.structure.reports import Population, Report


def answer(captures: tuple[str, ...], asked: dict[str, Any], where: tuple[str, str, bool]) -> None:
    """Compare what was captured, or add up sums over shards of it, and write what comes out.

    Args:
        captures: The inputs as given.
        asked: The options by the names of their arguments.
        where: The output, its format, and whether a foreign file there is replaced.
    """
    from nncli import similarity
    from nncli.formats.captures import capture_files, open_captures
    from nncli.formats.moments import open_all_moments
    from nncli.formats.sources import open_source

    settings = {name: asked[name] for name in ("variance", "max_rank", "seed")}
    chosen = similarity.choose(asked["metrics"], similarity.Settings(**settings))
    against, reduction, threads = asked["against"], asked["reduction"], asked["threads"]
    reference = [against] if against is not None and against != LAST else []
    with ExitStack() as stack:
        files = [*capture_files(captures), *reference]
        demand_other_output(where[0], files)
        sources = [stack.enter_context(open_source(one)) for one in files]
        if stored := open_all_moments(sources):
            demand_plain(stored[0].name)
            report = _report_of_sums(stored, chosen, asked["layers"], asked["grid"])
            _write_report(report, chosen, (stored, stored[0].facts["reduce"]), threads, where)
            return
        opened = open_captures(sources, assume_aligned=asked["assume_aligned"])
        stack.callback(opened.close)
        span = places(asked["rows"], opened.members[0].n, fewest=0 if asked["partial"] else 2)
        seen = opened.only(*span) if asked["rows"] else opened
        population = _population(seen, asked["layers"], reduction)
        if asked["partial"]:
            how = (asked["grid"] is not False, reduction, threads, where)
            _write_sums(opened, population, span, how)
            return
        report = _report(opened, population, chosen, asked)
        made_of, factors = (opened.members, reduction), population.factors
        drawn = asked["permutations"] or asked["samples"] or any(map(_draws, chosen))
        seed = asked["seed"] if drawn else None
        _write_report(report, chosen, made_of, threads, where, factors=factors, seed=seed)


def _report(
    opened: "Captures", population: "Population", chosen: "list[Chosen]", asked: dict[str, Any]
) -> "Report":
    """The table that was asked for."""
    from nncli.similarity.significance.doubts import Doubts
    from nncli.similarity.structure import reports

    if asked["blocks"] is not None:
        return reports.block_report(population, chosen, asked["blocks"])
    if asked["dominant"]:
        return reports.dominant_report(population, chosen, asked["top"])
    if asked["settled"] is not None:
        last = opened.against_last_steps()
        return reports.settled_report(population, chosen, last, asked["settled"])
    wanted = wanted_pairs(opened, asked["against"])
    several = asked["against"] is not None or len(wanted) > 1
    draws = asked["permutations"] or 0, asked["samples"] or 0, asked["seed"]
    return reports.pair_report(
        population,
        chosen,
        wanted,
        grid=not several if asked["grid"] is None else asked["grid"],
        labelled=several,
        doubts=Doubts(asked["null"] is not None, *draws),
    )


def _population(opened: "Captures", globs: tuple[str, ...], reduction: str) -> "Population":
    """The chosen layers of all captures as matrices."""
    from nncli.layer_names import select_layers
    from nncli.similarity import layers_of
    from nncli.similarity.structure.reports import Population

    members = opened.members
    names = [select_layers(one.layers, globs, source=one.name) for one in members]
    ids = members[0].example_id
    return Population(
        opened.names,
        opened.factors(),
        layers_of(members, names, reduction),
        range(members[0].n) if ids is None else ids.tolist(),
    )


def _draws(one: "Chosen") -> bool:
    """Whether a measure draws at random."""
    return "seed" in one.metric.parameters


def _report_of_sums(
    stored: "Sequence[StoredMoments]",
    chosen: "Sequence[Chosen]",
    globs: tuple[str, ...],
    grid: bool | None,
) -> "Report":
    """The table of layers by their sums over examples."""
    from dataclasses import replace

    from nncli.layer_names import select_layers
    from nncli.similarity.sums.packed import in_order
    from nncli.similarity.sums.reports import layer_names, sums_report

    names = select_layers(layer_names(stored[0]), globs, source=stored[0].name)
    report = sums_report(in_order(stored), chosen, names)

    def same(*how: Any) -> Iterator[dict[str, Any]]:
        return (row for row in report.rows(*how) if row["layer_a"] == row["layer_b"])

    return replace(report, rows=same) if grid is False else report


def _write_report(
    report: "Report",
    chosen: "Sequence[Chosen]",
    made_of: "tuple[Sequence[Any], str]",
    threads: int | None,
    where: tuple[str, str, bool],
    *,
    factors: "Sequence[Mapping[str, Any]]" = (),
    seed: int | None = None,
) -> None:
    """Do the work of a report, and write its table."""
    from nncli.formats.comparisons import comparison_schema
    from nncli.formats.tables import create_table, from_rows

    output, table_format, overwrite = where
    inputs, reduction = made_of
    schema = comparison_schema(report.columns, factors)
    summaries = [one.summary() for one in chosen]
    entry = lineage.entry(
        "table", inputs=inputs, seed=seed, metrics=summaries, reduce=reduction, **report.facts
    )
    with create_table(output, schema, entry, format=table_format, overwrite=overwrite) as table:
        rows = report.rows(threads or cores(), pair_progress(report.total))
        table.write(from_rows(rows, schema))


def _write_sums(
    opened: "Captures",
    population: "Population",
    span: tuple[int, int],
    how: tuple[bool, str, int | None, tuple[str, str, bool]],
) -> None:
    """Sums over some examples, for `nncli merge`."""
    from nncli.formats.moments import KIND, create_moments, origin, shard_of, specs_of
    from nncli.similarity.sums.reports import sums_plan

    grid, reduction, threads, (output, _, overwrite) = how
    plan = sums_plan(population.layers, shard_of(opened.members, *span), grid=grid)
    facts = {**plan.facts, **origin(opened.members), "reduce": reduction}
    entry = lineage.entry(KIND, inputs=opened.members, **facts)
    with create_moments(output, specs_of(plan.outline), entry, overwrite=overwrite) as writer:
        for name, array in plan.arrays(threads or cores(), pair_progress(plan.total)).items():
            writer.write(name, array)
