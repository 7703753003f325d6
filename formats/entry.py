"""The one metadata entry that every artifact carries, under the key `nncli`.

It is a JSON object, the same bytes in safetensors and in Parquet: what the file is (`kind`,
`schema`), which command made it from what (`command`, `version`, `inputs`, `seed`), and the facts
a reader needs. It holds no clock, host or absolute path, so equal inputs give equal bytes.

The entry of each input is carried along, less its facts, so an artifact knows its whole lineage.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

from nncli.errors import ArtifactError

KEY = "nncli"


@dataclass(frozen=True)
class Entry:
    """What an artifact says of itself.

    Attributes:
        kind: What it is: `checkpoint`, `activations`, `predictions`, `table`, ...
        schema: Version of the layout of that kind.
        command: The arguments it was made with, options that cannot change the content left out.
        version: The version of nncli that wrote it.
        inputs: For each input `name`, `digest` and, where it had one, its own `entry`.
        seed: The seed of everything random in it, if anything was.
        facts: What a reader of this kind needs (architecture, layer reductions, data digest, ...).
    """

    kind: str
    schema: int = 1
    command: tuple[str, ...] = ()
    version: str = ""
    inputs: tuple[dict[str, Any], ...] = ()
    seed: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The entry as a JSON object."""
        return {
            "kind": self.kind,
            "schema": self.schema,
            "command": list(self.command),
            "version": self.version,
            "inputs": list(self.inputs),
            "seed": self.seed,
            "facts": self.facts,
        }

    def to_json(self) -> str:
        """The entry as compact JSON with sorted keys: equal entries give equal text.

        JSON has no infinity and no NaN: where a fact is not finite, it is null.
        """
        return json.dumps(
            finite(self.to_dict()),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str, *, source: str) -> "Entry":
        """Read an entry back.

        Args:
            text: The JSON text stored under the key `nncli`.
            source: The file it came from, for the error.

        Raises:
            ArtifactError: The text is not an entry.
        """
        try:
            raw = json.loads(text)
            seed = raw.get("seed")
            return cls(
                kind=str(raw["kind"]),
                schema=int(raw["schema"]),
                command=tuple(str(word) for word in raw.get("command", ())),
                version=str(raw.get("version", "")),
                inputs=tuple(dict(one) for one in raw.get("inputs", ())),
                seed=None if seed is None else int(seed),
                facts=dict(raw.get("facts", {})),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ArtifactError(
                f"the `{KEY}` metadata entry of `{source}` is not one of ours: {error}",
                hint="was the file edited by hand? make it again",
            ) from error

    def as_parent(self) -> dict[str, Any]:
        """The entry as the next artifact carries it: everything but the facts."""
        return {key: value for key, value in self.to_dict().items() if key != "facts"}


def finite(value: Any) -> Any:
    """A JSON value in which numbers that JSON cannot hold are null.

    Args:
        value: Dictionaries, lists and scalars.

    Returns:
        The same, with null for NaN and the infinities.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, list | tuple) else value


def demand_kind(entry: Entry | None, kind: str, *, source: str, schema: int = 1) -> None:
    """Refuse an artifact of another kind; a foreign file, which says nothing, is let through.

    Args:
        entry: The entry of the file, `None` for a foreign one.
        kind: The kind that is wanted.
        source: The file, for the error.
        schema: The newest layout of that kind that the caller can read.

    Raises:
        ArtifactError: The file says that it is something else, or of a later layout.
    """
    if entry is None:
        return
    if entry.kind != kind:
        raise ArtifactError(
            f"`{source}` holds {entry.kind}, expected {kind}",
            hint=f"`nncli show {source}` says what it is and how it was made",
        )
    if entry.schema > schema:
        raise ArtifactError(
            f"`{source}` holds {kind} of layout {entry.schema}, this nncli reads up to {schema}",
            hint=f"nncli {entry.version} wrote it: bring this one up to date",
        )
