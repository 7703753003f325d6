"""Which predictions belong together: the ensembles along a curve, from what is recorded of models.

A cell is one ensemble on one set of examples: one value of each factor of the curve, one split, one
perturbation. Models of a cell may differ in their seed, part of the data and partition only.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nncli.bias_variance.ensembles import Ensemble, grow
from nncli.errors import UsageError, closest

Facts = Mapping[str, Any]

PARTITION = "partition"
NESTING = ("part", "seed", "seed2")
SETTING = ("split", "perturbation", "strength")
NAMES = ("model_id", "file", "arch", "sample", "path", "digest")
METRICS = ("_loss", "_accuracy")
NUMBERED = re.compile(r"[a-z]*(\d+)")


@dataclass(frozen=True)
class Cell:
    """One ensemble on one set of examples.

    Attributes:
        key: The value of each column that tells cells apart.
        members: The places of its models.
        ensemble: How they hang together.
    """

    key: dict[str, Any]
    members: tuple[int, ...]
    ensemble: Ensemble


@dataclass(frozen=True)
class Arrangement:
    """All cells.

    Attributes:
        columns: What tells them apart, the factors of the curve first.
        axis: The column of numbers that the curve runs along, if there is one.
        cells: In the order of their keys.
    """

    columns: tuple[str, ...]
    axis: str | None
    cells: tuple[Cell, ...]


def with_shape(facts: Facts) -> dict[str, Any]:
    """What is recorded of a model, with the width and depth that its architecture says.

    Args:
        facts: What is recorded; `arch` is a spec such as `mlp:64-128-10`.

    Returns:
        The same with `width` (of the widest hidden layer) and `depth` (how many there are), unless
        they are recorded otherwise.
    """
    arch = facts.get("arch")
    family, colon, layers = str(arch or "").partition(",")[0].partition(":")
    hidden = layers.split("-")[1:-1]
    sizes = [int(found[1]) for one in hidden if (found := NUMBERED.fullmatch(one))]
    if not colon or not sizes or family not in ("mlp", "cnn", "rnn", "transformer"):
        return dict(facts)
    if family == "transformer":
        told = {one[0]: int(one[1:]) for one in hidden if one[1:].isdigit()}
        sizes = [told.get("d", sizes[0])] * told.get("b", 1)
    return {"width": max(sizes), "depth": len(sizes), **facts}


def arrange(
    members: Sequence[Facts], by: Sequence[str] = (), nested: Sequence[str] | None = None
) -> Arrangement:
    """Find the ensembles.

    Args:
        members: For each model on each split and under each perturbation what is recorded of it.
        by: The factors of the curve; by default the one that varies.
        nested: The columns of the levels of seeds, outermost first; by default what is recorded as
            `part`, `seed` and `seed2`.

    Returns:
        The cells.

    Raises:
        UsageError: A column is unknown, several factors vary and none is chosen, or a cell has but
            one model.
        ArtifactError: Two models of a cell are told apart by nothing.
    """
    known = dict.fromkeys(name for one in members for name in one)
    for name in (*by, *(nested or ())):
        if name not in known:
            raise UsageError(f"models have no `{name}`; {closest(name, known)}")
    levels = [name for name in nested if name != PARTITION] if nested else list(NESTING)
    beside = {PARTITION, *levels, *SETTING, *NAMES, *NESTING}
    free = [name for name in known if _is_factor(members, name) and name not in {*beside, *by}]
    factors = list(by) or _only_factor(members, free)
    setting = [one for one in _setting(members, factors) if one not in factors]
    columns = [*factors, *setting]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, one in enumerate(members):
        groups.setdefault(tuple(_value(one, name) for name in columns), []).append(place)
    for key, places in groups.items():
        _demand_alike([members[one] for one in places], free, _where(columns, key))
    cells = [_cell(members, columns, key, places, levels) for key, places in groups.items()]
    cells.sort(key=lambda cell: tuple(_order(one) for one in cell.key.values()))
    return Arrangement(tuple(columns), _axis(members, columns), tuple(cells))


def _setting(members: Sequence[Facts], factors: Sequence[str]) -> list[str]:
    """What tells apart what models were shown; of one attack at many strengths the strength.

    Models that are each shown what they were trained against (smoothed with the `noise` of their
    training, attacked at its `epsilon`) are told apart by that already.
    """
    varying = [name for name in SETTING if _distinct(members, name) > 1]
    for name in ("noise", "epsilon"):
        own = all(_value(one, name) == _value(one, "strength") for one in members)
        if own and name in factors and len(_kinds(members)) == 1:
            return [one for one in varying if one not in ("perturbation", "strength")]
    curve = _distinct(members, "strength") > 2 and len(_kinds(members)) == 1
    return [name for name in varying if not (curve and name == "perturbation")]


def _value(facts: Facts, name: str) -> Any:
    found = facts.get(name)
    return 0.0 if found is None and name == "strength" else found


def _distinct(members: Sequence[Facts], name: str) -> int:
    return len({_value(one, name) for one in members})


def _is_factor(members: Sequence[Facts], name: str) -> bool:
    """Whether models differ in it, and it is no measurement and no name of each model."""
    values = [one.get(name) for one in members]
    if not all(one is None or isinstance(one, int | float | str | bool) for one in values):
        return False
    distinct = len(set(values))
    models = len({str(one.get("model_id")) for one in members})
    label = all(isinstance(one, str) for one in values) and distinct >= models
    return distinct > 1 and not label and not name.endswith(METRICS)


def _only_factor(members: Sequence[Facts], free: Sequence[str]) -> list[str]:
    """The factor that all others follow from, numbers first."""
    if not free:
        return []
    numbers = sorted(free, key=lambda name: not _is_number(members, name))
    for name in numbers:
        pairs = {(one.get(name), *(one.get(other) for other in free)) for one in members}
        if len(pairs) == _distinct(members, name):
            return [name]
    listed = ", ".join(f"`{name}`" for name in free)
    raise UsageError(
        f"models differ in {listed}: which is the curve?",
        hint=" ".join(f"`--by {name}`" for name in free[:3]) + ", or several of them",
    )


def _is_number(members: Sequence[Facts], name: str) -> bool:
    found = [_value(one, name) for one in members]
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in found)


def _demand_alike(members: Sequence[Facts], free: Sequence[str], where: str) -> None:
    for name in free:
        values = list(dict.fromkeys(one.get(name) for one in members))
        if len(values) > 1:
            raise UsageError(
                f"models{where} differ in `{name}`: {values[0]}, {values[1]}",
                hint=f"models of one ensemble differ in seed and data only: add `--by {name}`, or "
                f"name it among the seeds with `--nested`",
            )


def _where(columns: Sequence[str], key: tuple[Any, ...]) -> str:
    told = ", ".join(f"{name} {value}" for name, value in zip(columns, key, strict=True))
    return f" at {told}" if told else ""


def _cell(
    members: Sequence[Facts],
    columns: Sequence[str],
    key: tuple[Any, ...],
    places: Sequence[int],
    levels: Sequence[str],
) -> Cell:
    own = [members[one] for one in places]
    values = [(name, [one.get(name) for one in own]) for name in levels]
    names = [str(one.get("model_id")) for one in own]
    partition = [one.get(PARTITION) for one in own]
    ensemble = grow(partition, values, names, where=_where(columns, key))
    return Cell(dict(zip(columns, key, strict=True)), tuple(places), ensemble)


def _order(value: Any) -> tuple[int, float, str]:
    """Nothing first, numbers by size, names as they are."""
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, str(value)


def _axis(members: Sequence[Facts], columns: Sequence[str]) -> str | None:
    """The first column of numbers; strengths only of a single kind of perturbation."""
    for name in columns:
        if not _is_number(members, name) or _distinct(members, name) < 2:
            continue
        if name != "strength" or len(_kinds(members)) == 1:
            return name
    return None


def _kinds(members: Sequence[Facts]) -> set[str]:
    """Perturbations without their strengths: `pgd-linf` of `pgd-linf-0.1`."""
    named = (one.get("perturbation") for one in members)
    return {str(one).rpartition("-")[0] for one in named if one}
