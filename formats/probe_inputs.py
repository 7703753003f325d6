"""What a probe reads, opened, and the table that it writes."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nncli.errors import NncliWarning, UsageError
from nncli.formats.activations import Activations, open_activations
from nncli.formats.captures import Captures, capture_files, open_captures
from nncli.formats.comparisons import comparison_schema
from nncli.formats.example_columns import (
    LABEL,
    ExampleColumns,
    others_than,
    read_example_columns,
    text_of,
    values_of,
)

TEXT = ("capture", "layer", "target", "reader", "split", "metric", "note")
WHOLE = ("position", "n", "n_train")
SCORES = (
    *("value", "low", "high", "baseline", "shuffled", "control", "selectivity", "twin"),
    *("mdl_bits", "mdl_sd", "compression", "penalty"),
)


class Probed(NamedTuple):
    """What is probed, by what it is for.

    Attributes:
        captures: Readers are fitted on one part of their examples and scored on the other.
        twin: The same layers of an untrained network.
        others: Readers are scored on these too.
        table: Further columns of the examples.
    """

    captures: Captures
    twin: Activations | None
    others: list[Activations]
    table: ExampleColumns | None

    @property
    def first(self) -> Activations:
        """The capture whose labels and identifiers hold for all."""
        return self.captures.members[0]

    @property
    def inputs(self) -> list[Any]:
        """All that was opened, for the entry of what is made from it."""
        further = [one for one in (self.twin, *self.others, self.table) if one is not None]
        return [*self.captures.members, *further]

    def values(self, column: str) -> tuple[list[Any], str]:
        """A column for the examples of the captures and then of the others, and where it is from.

        Raises:
            UsageError: There is no table to have the column.
            ArtifactError: Nothing has the column.
            MismatchError: Rows do not correspond.
        """
        found = [
            value
            for one in (self.first, *self.others)
            for value in values_of(column, one, self.table)
        ]
        return found, self.first.name if column == LABEL or self.table is None else self.table.name

    def text(self, column: str | None) -> list[list[str]]:
        """A column by which examples go together, as text, if one is named."""
        return text_of(column, self.first, self.table)

    def allowed(self, train: Sequence[int]) -> list[NDArray[np.bool_]]:
        """Which examples of the others are none of those at some places of the captures.

        Warns:
            NncliWarning: That cannot be told.
        """
        ids = None if self.first.example_id is None else self.first.example_id[list(train)]
        source = self.first.source_digest
        return [untrained(ids, source, one, fitted=self.first.name) for one in self.others]


def untrained(
    used: NDArray[Any] | None, source_digest: str | None, capture: Activations, *, fitted: str
) -> NDArray[np.bool_]:
    """Which examples of a capture readers were not fitted on, as far as identifiers tell.

    Args:
        used: Identifiers of the examples that readers were fitted on, `None` where they have none.
        source_digest: The digest of the data that these are places in, if they are that.
        capture: The capture.
        fitted: The file that they are from, for the warning.

    Returns:
        (n,) False for examples that readers were fitted on; True everywhere if none can be told.

    Warns:
        NncliWarning: None can be told.
    """
    why = None
    if used is None or capture.example_id is None:
        why = f"`{fitted if used is None else capture.name}` has no `@example_id`"
    elif capture.source_digest != source_digest:
        why = f"`{capture.name}` is recorded to be of other data than `{fitted}`"
    if why:
        warnings.warn(
            f"{why}: whether readers were fitted on some of the examples of `{capture.name}`, or "
            "on changed copies of them, cannot be told; all are scored, too well if they were",
            NncliWarning,
            stacklevel=3,
        )
    return others_than(used, source_digest, capture)


def open_probed(
    stack: ExitStack,
    activations: Sequence[str],
    *,
    columns: str | None = None,
    train_on: str | None = None,
    test_on: Sequence[str] = (),
    twin: str | None = None,
    assume_aligned: bool = False,
) -> Probed:
    """Open captures, and the table of their examples.

    Args:
        stack: Closes them.
        activations: Files and folders.
        columns: The table.
        train_on: Readers are fitted on this instead, and scored on `activations`.
        test_on: Readers are scored on these too.
        twin: The same layers of an untrained network.
        assume_aligned: Take rows by position whatever is recorded.

    Returns:
        The captures.

    Raises:
        UsageError: There are several to fit on, and others to score on.
        ArtifactError: One is no capture.
        MismatchError: Their rows do not correspond.
    """
    files, further = capture_files(activations), list(test_on)
    if train_on:
        files, further = [train_on], [*files, *further]
    if further and len(files) > 1:
        raise UsageError(
            f"`--test-on` goes with one capture, not with {len(files)}", hint="run it for each"
        )
    opened = open_captures([*files, *([twin] if twin else [])], assume_aligned=assume_aligned)
    stack.callback(opened.close)
    others = [open_activations(one) for one in further]
    for one in others:
        stack.callback(one.file.close)
    table = read_example_columns(columns)
    if not twin:
        return Probed(opened, None, others, table)
    ours = Captures(opened.names[:-1], opened.members[:-1])
    return Probed(ours, opened.members[-1], others, table)


def probe_schema(
    factors: Sequence[Mapping[str, Any]], *, several: bool, positions: bool, twin: bool
) -> pa.Schema:
    """The columns of the table.

    Args:
        factors: What captures differ in.
        several: Whether there are several captures.
        positions: Whether each position is probed.
        twin: Whether a control capture is probed too.

    Returns:
        Names and types.
    """
    where = ["capture", *factors[0]] if several else []
    place = ["layer", "position"] if positions else ["layer"]
    scores = [name for name in SCORES if twin or name != "twin"]
    names = [*where, *place, "target", "reader", "split", "metric", *scores, *WHOLE[1:], "note"]
    types = {name: pa.string() for name in TEXT} | {name: pa.int64() for name in WHOLE}
    known = comparison_schema(names, factors)
    return pa.schema([(one.name, types.get(one.name, one.type)) for one in known])


def learned_schema(factors: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """The columns of the order in which layers learn.

    Args:
        factors: What captures differ in.

    Returns:
        Names and types.
    """
    runs = [{name: one for name, one in each.items() if name != "step"} for each in factors]
    names = [*runs[0], "layer", "target", "reader", "split", "metric", "step", "correlation", "p"]
    types = {name: pa.string() for name in TEXT} | {"step": pa.int64()}
    known = comparison_schema(names, runs)
    return pa.schema([(one.name, types.get(one.name, one.type)) for one in known])
