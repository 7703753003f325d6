"""What is asked of a comparison: one question at a time, of what the inputs can answer."""

from typing import TYPE_CHECKING, Any

import click

from nncli.errors import UsageError
from nncli.options.demands import typed

if TYPE_CHECKING:
    from nncli.formats.captures import Captures

LAST = "last"
DOUBTS = "tests and intervals"
OF_EXAMPLES = (
    *("against", "reduction", "null", "permutations", "samples", "settled", "blocks", "dominant"),
    *("rows", "partial", "assume_aligned"),
)


def demand_one_question(asked: dict[str, Any]) -> None:
    """Refuse to write several tables at once, and options that say nothing of the one asked for."""
    doubts = asked["null"] or asked["permutations"] or asked["samples"]
    found = {
        "--settled": asked["settled"] is not None,
        "--blocks": asked["blocks"] is not None,
        "--dominant": asked["dominant"],
        "--partial": asked["partial"],
        DOUBTS: bool(doubts),
    }
    questions = [name for name, wanted in found.items() if wanted]
    if len(questions) > 1 and questions[-1] == DOUBTS:
        raise click.UsageError(f"{questions[0]} comes without {DOUBTS}")
    if len(questions) > 1:
        raise click.UsageError(f"{' and '.join(questions)} write different things: one at a time")
    _demand_fitting_reference(questions, asked["against"])
    if asked["partial"] and (given := typed("metrics", "table_format")):
        raise UsageError(
            f"--partial writes sums, which all measures are made of, and no table: {given[0]} is "
            "for `compare` of the parts"
        )


def _demand_fitting_reference(questions: list[str], against: str | None) -> None:
    if "--settled" in questions and against != LAST:
        raise click.UsageError("--settled goes with `--against last`")
    if against is not None and "--partial" in questions:
        raise click.UsageError("--partial sums over one capture or two, --against no other")
    if against is not None and {"--blocks", "--dominant"} & set(questions):
        raise click.UsageError(
            f"{questions[0]} looks at each capture by itself, --against no other"
        )


def demand_plain(name: str) -> None:
    """Refuse to ask sums over examples for more than there is in them."""
    if given := typed(*OF_EXAMPLES):
        raise UsageError(
            f"{given[0]} needs the examples, and `{name}` holds sums over them",
            hint=f"compare the captures themselves, or leave {given[0]} out",
        )


def places(rows: str | None, n: int, *, fewest: int) -> tuple[int, int]:
    """The first of the examples that are meant, and the one after the last."""
    ends = (int(one) if one else None for one in (rows or ":").split(":"))
    start, stop, _ = slice(*ends).indices(n)
    if rows and stop - start < fewest:
        raise UsageError(
            f"`--rows {rows}` leaves {max(stop - start, 0)} of {n} examples; a comparison needs 2"
        )
    return start, max(start, stop)


def wanted_pairs(opened: "Captures", against: str | None) -> list[tuple[int, int]]:
    """Which captures are compared with which."""
    from nncli.similarity import every_two

    count = len(opened.members)
    if against == LAST:
        return opened.against_last_steps()
    if against is not None:
        return [(member, count - 1) for member in range(count - 1)]
    return [(0, 0)] if count == 1 else every_two(count)
