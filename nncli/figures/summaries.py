"""Tables that say something of many comparisons: which rows of them are a picture, and of what."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from nncli.errors import ArtifactError, closest
from nncli.figures.curve_pictures import Curves
from nncli.figures.curves import curves
from nncli.figures.grids import heatmaps
from nncli.figures.pictures import Heatmaps

TEST = {"score", "metric", "spearman"}
DELETION = {"metric", "layer", "detected_at", "lost"}
LADDER = {"metric", "layer", "capture", "kept", "deleted", "value"}
SETTLED = {"metric", "layer", "step", "correlation", "p"}
BLOCKS = {"metric", "first", "last", "weakest"}
DOMINANT = {"layer_a", "layer_b", "example_id", "metric", "removed", "value"}
SHARE, EXAMPLE_SHARE = "pc1-share", "pc1-example-share"
Row = Mapping[str, Any]


def summary(
    data: pa.Table,
    *,
    source: str,
    said: Sequence[Mapping[str, Any]] = (),
    metrics: Sequence[str] = (),
) -> Curves | Heatmaps | None:
    """The picture of what `compare-test` and `compare --settled` or `--dominant` write.

    Args:
        data: A table.
        source: Its name, for titles and errors.
        said: What the table says of its metrics.
        metrics: Only these measures.

    Returns:
        The picture; `None` if the table is something else.

    Raises:
        ArtifactError: It is a list that has no picture, or lacks a measure.
    """
    names = set(data.column_names)
    if names >= BLOCKS:
        raise ArtifactError(
            f"`{source}` is a list of blocks, which `nncli show {source}` prints",
            hint="to see them draw the layers: `nncli compare CAPTURE | nncli plot -`",
        )
    kinds = {_test: TEST, _deletion: DELETION, _ladder: LADDER, _settled: SETTLED}
    draw = next((one for one, columns in kinds.items() if names >= columns), None)
    if draw is None and not names >= DOMINANT:
        return None
    rows = data.to_pylist()
    _demand_metrics(rows, metrics, source)
    kept = [row for row in rows if not metrics or row["metric"] in metrics]
    return _dominant(kept, source, said) if draw is None else draw(kept, source)


def against_one(data: pa.Table, *, source: str, metrics: Sequence[str] = ()) -> Curves | None:
    """Captures that are all compared with the same one: their layers over what they differ in.

    Returns:
        The curves; `None` if there are several captures to be compared with, or only one pair.
    """
    if not {"a", "b", "layer_a", "layer_b", "metric", "value"} <= set(data.column_names):
        return None
    members, others = (set(data[side].to_pylist()) for side in "ab")
    if len(others) != 1 or len(members) < 2:
        return None
    stems = [name[:-2] for name in data.column_names if name.endswith("_a") and name != "layer_a"]
    told = [one for one in stems if len(set(data[f"{one}_a"].to_pylist())) > 1]
    rows = [
        {"layer": row["layer_a"], **{one: row[f"{one}_a"] for one in told}}
        | ({} if told else {"capture": row["a"]})
        | {name: row[name] for name in ("metric", "value", "note") if name in row}
        for row in data.to_pylist()
        if row["layer_a"] == row["layer_b"]
    ]
    return _drawn(rows, source, metrics=metrics) if rows else None


def _demand_metrics(rows: Sequence[Row], metrics: Sequence[str], source: str) -> None:
    there = list(dict.fromkeys(str(row["metric"]) for row in rows))
    for metric in metrics:
        if metric not in there:
            raise ArtifactError(f"`{source}` has no metric `{metric}`; {closest(metric, there)}")


def _drawn(rows: Iterable[Row], source: str, **how: Any) -> Curves:
    return curves(pa.Table.from_pylist(list(rows)), source=source, **how)


def _of(picture: Curves, replicate: str) -> Curves:
    """Say in the caption what was averaged over."""
    return replace(picture, caption=picture.caption.replace("replicate", replicate))


def _test(rows: Sequence[Row], source: str) -> Curves:
    """Spearman's correlation of each measure with function; of each layer, if there are layers."""
    if all("layer" in row for row in rows):
        long = [
            {"metric": f"spearman, {row['score']}", "measure": row["metric"], "layer": row["layer"]}
            | {"replicate": row.get("reference"), "value": row["spearman"], "note": row.get("note")}
            for row in rows
        ]
        return _of(_drawn(long, source, x="layer"), "reference")
    long = [
        {"metric": f"spearman, {row['score']}", "measure": row["metric"], "value": row["spearman"]}
        | {name: row.get(name) for name in ("low", "high", "note")}
        for row in rows
    ]
    band = "lines: from `low` to `high`"
    found = _drawn(long, source, x="measure")
    return replace(found, joined=False, band=band if found.band else "")


def _deletion(rows: Sequence[Row], source: str) -> Curves:
    said = {"detected_at": "components deleted when noticed (share)", "lost": "accuracy lost then"}
    long = [
        {"metric": what, "measure": row["metric"], "layer": row["layer"], "value": row[name]}
        for name, what in said.items()
        for row in rows
    ]
    return _drawn(long, source, x="layer")


def _ladder(rows: Sequence[Row], source: str) -> Curves:
    """Each measure over the share of components deleted: rung by rung, mean of the captures."""
    rungs: dict[tuple[str, str, str], int] = defaultdict(int)
    deleted: dict[tuple[str, int], list[float]] = defaultdict(list)
    placed = []
    for row in rows:
        ladder = row["metric"], row["layer"], row["capture"]
        placed.append((row, (row["layer"], rungs[ladder])))
        deleted[placed[-1][1]].append(row["deleted"])
        rungs[ladder] += 1
    means = {place: round(sum(found) / len(found), 4) for place, found in deleted.items()}
    long = [
        {"metric": row["metric"], "layer": row["layer"], "replicate": row["capture"]}
        | {"components deleted (share)": means[place], "value": row["value"]}
        for row, place in placed
    ]
    return _of(_drawn(long, source, x="components deleted (share)"), "capture")


def _settled(rows: Sequence[Row], source: str) -> Curves:
    rest = {*SETTLED, "n", "note"}
    long = [
        {name: value for name, value in row.items() if name not in rest}
        | {"layer": row["layer"], "metric": f"settled from step, {row['metric']}"}
        | {"value": None if row["step"] is None else float(row["step"])}
        for row in rows
    ]
    return _drawn(long, source, x="layer")


def _dominant(
    rows: Sequence[Row], source: str, said: Sequence[Mapping[str, Any]]
) -> Curves | Heatmaps:
    """The grid with and without first components; their shares, where only these are chosen."""
    pairs = [row for row in rows if row["layer_b"] is not None]
    if not pairs:
        return _shares(rows, source)
    named = [
        (": ".join(filter(None, (row.get("a"), row["metric"]))), bool(row["removed"]), row)
        for row in pairs
    ]
    long, meant = [], []
    known = {str(one.get("metric")): one for one in said}
    for name, removed, row in named:
        title = f"{name} without pc1" if removed else name
        kept = ("layer_a", "layer_b", "value", "note", "n")
        long.append({"metric": title, **{key: row.get(key) for key in kept}})
        if row["metric"] in known:
            meant.append({**known[row["metric"]], "metric": title})
    return heatmaps(pa.Table.from_pylist(long), source=source, said=meant)


def _shares(rows: Sequence[Row], source: str) -> Curves:
    """The variance that first components hold, or how they are shared out among examples."""
    examples = [row for row in rows if row["metric"] == EXAMPLE_SHARE]
    if not examples:
        long = [
            {"layer": row["layer_a"], "metric": SHARE, "value": row["value"]}
            | ({"capture": row["a"]} if "a" in row else {})
            for row in rows
        ]
        return _drawn(long, source, x="layer")
    places: dict[tuple[Any, Any], int] = defaultdict(int)
    long = []
    for row in examples:
        whose = row.get("a"), row["layer_a"]
        places[whose] += 1
        one = {"layer": row["layer_a"], "metric": EXAMPLE_SHARE, "value": row["value"]}
        one |= {"capture": row["a"]} if "a" in row else {}
        long.append({**one, "examples, the largest first": places[whose]})
    return _drawn(long, source, x="examples, the largest first")
