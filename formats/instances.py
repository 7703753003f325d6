"""Lists of instances, as the verification competitions write them: network, property, time-out.

One row an instance, without a header: `nets/a.onnx,props/p1.vnnlib,116`. Paths are relative to the
folder of the list. What is packed with gzip is found under either name.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from nncli.errors import ArtifactError
from nncli.formats.packed_text import packed_text
from nncli.formats.sources import nearby, open_source

WANTED = "a list of instances, `NETWORK,PROPERTY,SECONDS` a row"
PACKED = ".gz"
ANSWERS = ("sat", "unsat", "unknown", "timeout")


@dataclass(frozen=True)
class Instance:
    """A network, a property and how long the answer may take.

    Attributes:
        network: Where the network is.
        property: Where the property is.
        seconds: Time-out.
        line: Line of the list.
        name: The two as the list names them.
        expected: The answer known beforehand, where a fourth column says it: `sat` or `unsat`.
    """

    network: Path
    property: Path
    seconds: float
    line: int
    name: tuple[str, str]
    expected: str | None = None


@dataclass(frozen=True)
class Instances:
    """A list of instances.

    Attributes:
        name: The file as given.
        digest: SHA-256 of its bytes.
        rows: The instances, in order.
    """

    name: str
    digest: str
    rows: tuple[Instance, ...]


def read_instances(name: str) -> Instances:
    """Read a list of instances.

    Args:
        name: The CSV file, gzip or not, or `-`, whose paths are relative to the working folder.

    Returns:
        The instances. Blank lines, comments (`#`) and a header are passed over.

    Raises:
        ArtifactError: A row has no three columns, its time-out is no positive number, or a file in
            it is not there.
    """
    with open_source(name) as source:
        text = packed_text(source, WANTED)
        folder = Path() if source.path is None else source.path.parent
        digest = source.digest
    reader = csv.reader(text.splitlines(), skipinitialspace=True)
    rows: list[Instance] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if not rows and _is_header(cells):
                continue
            rows.append(_instance(name, reader.line_num, cells, folder))
    except csv.Error as error:
        raise ArtifactError(f"`{name}`, line {reader.line_num}: {error}") from None
    if not rows:
        raise ArtifactError(f"`{name}` lists no instances, expected {WANTED}")
    return Instances(name, digest, tuple(rows))


def _is_header(cells: list[str]) -> bool:
    """Whether a first row names columns: its time-out is a word, and its files are none."""
    words = [cell.lower() for cell in cells[:3]]
    return len(words) == 3 and words[2] in ("timeout", "time-out", "time_out", "seconds", "time")


def _instance(name: str, line: int, cells: list[str], folder: Path) -> Instance:
    where = f"`{name}`, line {line}"
    if len(cells) < 3 or not all(cells[:3]):
        raise ArtifactError(
            f"{where}: expected `NETWORK,PROPERTY,SECONDS`, found {len(cells)} "
            f"column{'s' if len(cells) > 1 else ''}: `{','.join(cells)[:80]}`"
        )
    try:
        seconds = float(cells[2])
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ArtifactError(
            f"{where}: the time-out is `{cells[2]}`, expected seconds, a number above 0"
        )
    expected = cells[3].lower() if len(cells) > 3 and cells[3] else None
    return Instance(
        _found(where, folder, cells[0]),
        _found(where, folder, cells[1]),
        seconds,
        line,
        (cells[0], cells[1]),
        expected if expected in ANSWERS else None,
    )


def _found(where: str, folder: Path, cell: str) -> Path:
    """The file that a cell names, or the same one packed or unpacked."""
    path = folder / cell
    if path.exists():
        return path
    other = path.with_name(path.name + PACKED)
    if path.suffix == PACKED:
        other = path.with_suffix("")
    if other.exists():
        return other
    hint = nearby(path) or f"paths are relative to the folder of the list, `{folder}`"
    raise ArtifactError(f"{where}: there is no file `{path}`", hint=hint)
