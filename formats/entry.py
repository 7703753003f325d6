"""The one metadata entry that every artifact carries, under the key `nncli`.

It is a JSON object, the same bytes in safetensors and in Parquet: what the file is (`kind`,
`schema`), which command made it from what (`command`, `version`, `inputs`, `seed`), and the facts
a reader needs. It holds no clock, host or absolute path, so equal inputs give equal bytes.

The entry of each input is carried along, less its facts, so an artifact knows its whole lineage.
"""

import json
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
        """The entry as compact JSON with sorted keys: equal entries give equal text."""
        return json.dumps(
            self.to_dict(),
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
            return cls(
                kind=str(raw["kind"]),
                schema=int(raw["schema"]),
                command=tuple(str(word) for word in raw.get("command", ())),
                version=str(raw.get("version", "")),
                inputs=tuple(dict(one) for one in raw.get("inputs", ())),
                seed=raw.get("seed"),
                facts=dict(raw.get("facts", {})),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"the `{KEY}` metadata entry of `{source}` is not one of ours: {error}",
                hint="was the file edited by hand? make it again",
            ) from error

    def as_parent(self) -> dict[str, Any]:
        """The entry as the next artifact carries it: everything but the facts."""
        return {key: value for key, value in self.to_dict().items() if key != "facts"}


def demand_kind(entry: Entry | None, kind: str, *, source: str) -> None:
    """Refuse an artifact of another kind; a foreign file, which says nothing, is let through.

    Args:
        entry: The entry of the file, `None` for a foreign one.
        kind: The kind that is wanted.
        source: The file, for the error.

    Raises:
        ArtifactError: The file says that it is something else.
    """
    if entry is not None and entry.kind != kind:
        raise ArtifactError(
            f"`{source}` holds {entry.kind}, expected {kind}",
            hint=f"`nncli show {source}` says what it is and how it was made",
        )
