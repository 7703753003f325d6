"""The long form of predictions, read block by block and joined by key.

Rows may come in any order. Only the answers themselves are kept, in the type they are stored in, a
block for each member; whatever else a row says is looked at once and summed up.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError
from nncli.formats.arrow_columns import column_of
from nncli.formats.entry import KEY, Entry
from nncli.formats.prediction_batches import Codes, encoded, matrix
from nncli.formats.prediction_checks import demand_sound
from nncli.formats.prediction_columns import SCORES, score_of
from nncli.formats.prediction_examples import ClusterStore, ExampleIndex, LabelStore
from nncli.formats.prediction_mixed import MixedRows
from nncli.formats.prediction_spool import Spool
from nncli.formats.sources import Source
from nncli.formats.tables import demand_column, read_table

Array = NDArray[Any]

MEMBER_KEY = ("model_id", "seed", "seed2", "perturbation", "sample")
EXAMPLE_KEY = ("split", "example_id")
# names that only models have, so that rows which differ there belong to different ones
MODEL_ONLY = ("part", "parts", "partition", "step", "epoch", "width", "depth", "epsilon")
BATCH_ROWS = 1 << 16


@dataclass(frozen=True)
class LongRows:
    """The long form, joined.

    Attributes:
        score: What the answers are, one of `SCORES`.
        entry: What the file says of itself.
        members: What is known of each of the K members.
        ids: (N,) identifiers of the examples, in the order of their first rows.
        split: (N,) places in `splits`.
        splits: The names of the splits; `None` where no column says one.
        label: (N,) or (N, C), or `None`.
        rows: For each member the examples it answers (increasing places) and its answers.
        cluster: (N,) the groups that examples come in, `None` if they were not asked for.
    """

    score: str
    entry: Entry | None
    members: tuple[dict[str, Any], ...]
    ids: Array
    split: Codes
    splits: tuple[str | None, ...]
    label: Array | None
    rows: tuple[tuple[Codes, Array], ...]
    cluster: Array | None = None


def read_long(source: Source, *, renormalise: bool = False, cluster: str | None = None) -> LongRows:
    """Read the long form.

    Args:
        source: A table; it is closed at the end.
        renormalise: Divide probabilities by their sum, see `demand_sound`.
        cluster: The column that says in what groups examples come.

    Returns:
        The rows by member.

    Raises:
        ArtifactError: It is no table of predictions, a column of the key is missing, there are no
            rows, an example is answered twice by one member or has two labels, or a cell is empty
            or no answer.
        MismatchError: Answers have different lengths.
    """
    with source:
        name = source.name
        schema, batches = _batches(source)
        text = (schema.metadata or {}).get(KEY.encode())
        entry = Entry.from_json(text.decode("utf-8", "replace"), source=name) if text else None
        try:
            with Spool() as spool:
                reading = _Reading(schema, name, spool, renormalise, cluster)
                for batch in batches:
                    reading.take(batch)
                return reading.finish(entry)
        except (pa.ArrowException, OSError, OverflowError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise ArtifactError(
                f"`{name}` is a damaged table: {reason}",
                hint="did the command or the copy that made it fail?",
            ) from error


def _batches(source: Source) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema and the rows; Parquet without ever holding all of it."""
    if source.format != "parquet":
        table = read_table(source.reopened() if source.folder is None else source).data
        return table.schema, iter(table.combine_chunks().to_batches(max_chunksize=BATCH_ROWS))
    import pyarrow.parquet as pq

    try:
        # by default pyarrow fetches every row group at once
        file = pq.ParquetFile(pa.PythonFile(source.file, mode="r"), pre_buffer=False)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ArtifactError(
            f"`{source.name}` is a damaged table: {reason}",
            hint="did the command or the copy that made it fail?",
        ) from error
    unused = {"loss", *SCORES} - {score_of(schema.names, source.name)}
    wanted = [name for name in schema.names if name not in unused]
    return schema, _of_groups(file, wanted)


def _of_groups(file: Any, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Blocks that never reach over a row group, which often holds one model."""
    for group in range(file.metadata.num_row_groups):
        yield from file.iter_batches(
            batch_size=BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False
        )


class _Reading:
    """What is known after some of the rows."""

    def __init__(
        self, schema: pa.Schema, source: str, spool: Spool, renormalise: bool, cluster: str | None
    ) -> None:
        names = schema.names
        self._source, self._renormalise = source, renormalise
        for name in ("example_id", "model_id", *([cluster] if cluster else [])):
            demand_column(pa.Table.from_batches([], schema), name, source=source)
        self.score = score_of(names, source)
        self._key = [one for one in (*MEMBER_KEY, *MODEL_ONLY) if one in names]
        others = (self.score, *SCORES, *EXAMPLE_KEY, "label", "loss", *self._key)
        self._facts: dict[str, list[Any]] = {one: [] for one in names if one not in others}
        self._members: dict[tuple[Any, ...], int] = {}
        self._examples: dict[str | None, ExampleIndex] = {}
        self._split: list[int] = []
        self._chunks: list[list[tuple[Codes, Array]]] = []
        self._labels = LabelStore(source) if "label" in names else None
        self._clusters = ClusterStore(cluster, source) if cluster else None
        self._spool = spool
        self._mixed = MixedRows(spool)
        self._width: int | None = None
        self._start = 0

    def take(self, batch: pa.RecordBatch) -> None:
        """Take the next rows."""
        batch.validate(full=True)
        if not batch.num_rows:
            return
        answers = matrix(batch.column(self.score), self.score, self._source, self._start)
        self._width = matrix_width(answers, self._width, self._start, self.score, self._source)
        which, first = self._grouped(batch, self._key)
        keys = [self._keys(batch, row) for row in first.tolist()]
        members = [self._member(one) for one in keys]
        place = self._places(batch, members[0] if len(members) == 1 else None)
        sound = demand_sound(
            answers,
            self.score,
            lambda row: f"`{keys[which[row]][0]}` to example `{self.id_of(int(place[row]))}`",
            source=self._source,
            renormalise=self._renormalise,
        )
        self._keep(sound, place, which, members)
        if self._labels is not None:
            self._labels.take(batch.column("label"), place, self._start, self.id_of)
        if self._clusters is not None:
            column = batch.column(self._clusters.name)
            self._clusters.take(column, place, self._start, self.id_of)
        self._note_facts(batch, which, first, members)
        self._start += batch.num_rows

    def _keep(self, answers: Array, place: Codes, which: Codes, members: list[int]) -> None:
        """Keep answers by member; copies, because Arrow's own blocks are larger than they seem."""
        if len(members) == 1:
            self._refuse_twice(place, members[0])
            self._chunks[members[0]].append((place, self._spool.keep(answers.copy())))
            return
        for member, own in self._mixed.add(answers, place, which, members):
            self._refuse_twice(own, member)

    @staticmethod
    def _grouped(batch: pa.RecordBatch, names: Iterable[str]) -> tuple[Codes, Codes]:
        """Number the distinct rows of some columns by first appearance; and their first rows."""
        codes = np.zeros(batch.num_rows, np.int64)
        for name in names:
            each, count = encoded(batch.column(name))
            if count > 1:
                _, codes = np.unique(codes * count + each, return_inverse=True)
        if not codes.any():
            return codes, np.zeros(1, np.int64)
        _, first, which = np.unique(codes, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return rank[which], first[order]

    def _keys(self, batch: pa.RecordBatch, row: int) -> tuple[Any, ...]:
        found = tuple(batch.column(name)[row].as_py() for name in self._key)
        if found[0] is None:
            raise ArtifactError(f"row {self._start + row} of `{self._source}` has no `model_id`")
        return found

    def _member(self, keys: tuple[Any, ...]) -> int:
        if keys not in self._members:
            self._members[keys] = len(self._members)
            self._chunks.append([])
            for values in self._facts.values():
                values.append(...)
        return self._members[keys]

    def _places(self, batch: pa.RecordBatch, member: int | None) -> Codes:
        """The places of the examples of some rows, of one member or of several."""
        ids = batch.column("example_id")
        if "split" not in batch.schema.names:
            return self._places_of(None, ids, member)
        which, first = self._grouped(batch, ["split"])
        names = [batch.column("split")[row].as_py() for row in first.tolist()]
        if len(names) == 1:
            return self._places_of(names[0], ids, member)
        place = np.empty(len(ids), np.int64)
        for code, split in enumerate(names):
            rows = np.flatnonzero(which == code)
            place[rows] = self._places_of(split, ids.take(column_of(rows)), None)
        return place

    def _places_of(self, split: str | None, ids: pa.Array, member: int | None) -> Codes:
        if split not in self._examples:
            self._examples[split] = ExampleIndex(self._source)
        index = self._examples[split]
        new = index.take(ids, member, self._start, len(self._split))
        self._split += [list(self._examples).index(split)] * new
        return index.found

    def id_of(self, place: int) -> Any:
        """The identifier of the example at a place."""
        index = list(self._examples.values())[self._split[place]]
        return index.ids[int(np.flatnonzero(index.places() == place)[0])].as_py()

    def _note_facts(
        self, batch: pa.RecordBatch, which: Codes, first: Codes, members: list[int]
    ) -> None:
        """Keep what is the same in all rows of a member, which is then a fact of it."""
        for name in list(self._facts):
            column, known = batch.column(name), self._facts[name]
            codes, count = encoded(column)
            if count > 1 and (codes != codes[first][which]).any():
                del self._facts[name]
                continue
            for row, member in zip(first.tolist(), members, strict=True):
                value = column[row].as_py()
                if not (known[member] is ... or known[member] == value):
                    del self._facts[name]
                    break
                known[member] = value

    def finish(self, entry: Entry | None) -> LongRows:
        """All rows, joined."""
        if not self._members:
            raise ArtifactError(f"`{self._source}` has zero rows")
        members = tuple(
            dict(zip(self._key, keys, strict=True))
            | {name: values[place] for name, values in self._facts.items()}
            for keys, place in self._members.items()
        )
        ids = np.empty(len(self._split), object)
        for index in self._examples.values():
            ids[index.places()] = index.ids.to_pylist()
        ids = np.array(ids.tolist())
        rows = self._rows()
        label = None if self._labels is None else self._labels.finish(len(ids))
        cluster = None if self._clusters is None else self._clusters.finish(len(ids))
        split = np.array(self._split, np.int64)
        told = self.score, entry, members, ids, split
        return LongRows(*told, tuple(self._examples), label, rows, cluster)

    def _refuse_twice(self, place: Codes, member: int) -> None:
        if (place[1:] > place[:-1]).all():
            return
        found, counts = np.unique(place, return_counts=True)
        if len(found) < len(place):
            model = list(self._members)[member][0]
            raise ArtifactError(
                f"`{model}` answers example `{self.id_of(int(found[counts > 1][0]))}` twice in "
                f"`{self._source}`",
                hint="rows are told apart by " + ", ".join((*EXAMPLE_KEY, *MEMBER_KEY)),
            )

    def _rows(self) -> tuple[tuple[Codes, Array], ...]:
        """The answers of all members."""
        found = {
            member: self._joined(member, [*self._chunks[member], (place, answers)], kept=False)
            for member, place, answers in self._mixed.members()
        }
        return tuple(
            found[member]
            if member in found
            else self._joined(member, self._chunks[member], kept=len(self._chunks[member]) == 1)
            for member in range(len(self._members))
        )

    def _joined(
        self, member: int, chunks: list[tuple[Codes, Array]], *, kept: bool
    ) -> tuple[Codes, Array]:
        """The answers of one member by increasing place of the example."""
        self._chunks[member] = []
        place, answers = chunks[0]
        if len(chunks) > 1:
            place = np.concatenate([one for one, _ in chunks])
            answers = np.concatenate([one for _, one in chunks])
        if not (place[1:] > place[:-1]).all():
            order = np.argsort(place, kind="stable")
            self._refuse_twice(place, member)
            place, answers = place[order], answers[order]
            kept = False
        return place, answers if kept else self._spool.keep(answers)


def matrix_width(answers: Array, known: int | None, start: int, name: str, source: str) -> int:
    """How many numbers an answer has, the same in all rows.

    Raises:
        MismatchError: It is another number than before.
    """
    width = answers.shape[1] if answers.ndim == 2 else 0
    if known is not None and width != known:
        raise MismatchError(
            f"`{name}` in `{source}` has {width} numbers in row {start}, {known} in row 0"
        )
    return width
