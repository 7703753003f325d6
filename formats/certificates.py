"""Certificates: proofs of properties as safetensors files, of kind `certificate`.

The facts of the entry list the networks (`networks`: name and digest of each checkpoint) and the
proofs (`proofs`): the name of the property, its network by place, the digest of its exact text, and
the parts of its proof, each with its method and the violations it is about. Tensors hold the rest:

- `property.<i>`: U8, the exact text of proof i's property, which says all there is to say of it;
- `proof.<i>.<k>.<name>`: what makes the re-proof of part k quick.

`digest` is one of everything else in the file. It finds whatever was changed by accident; what was
changed on purpose is found because nothing in the file is believed (`nncli verify --check`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.formats.entry import Entry, demand_kind
from nncli.formats.tensors import open_tensors, write_tensors

Array = NDArray[Any]
KIND = "certificate"
MOST_TEXT = 1 << 28


@dataclass(frozen=True)
class StoredPart:
    """A part of a proof.

    Attributes:
        method: What excluded the violations.
        violations: Their places in the property.
        tensors: Hints, by name.
    """

    method: str
    violations: tuple[int, ...]
    tensors: Mapping[str, Array]


@dataclass(frozen=True)
class StoredProof:
    """A proof.

    Attributes:
        name: What the property is called.
        network: The place of its network.
        digest: Of the property's exact text.
        text: That text.
        parts: The parts.
    """

    name: str
    network: int
    digest: str
    text: str
    parts: tuple[StoredPart, ...]


@dataclass(frozen=True)
class Certificate:
    """A certificate as it was read.

    Attributes:
        name: The file.
        digest: Of its bytes.
        entry: What it says of itself.
        networks: Name and digest of each checkpoint.
        proofs: The proofs.
        asked: Properties that were asked when it was made.
        whole: Whether the digest in it is that of its content.
    """

    name: str
    digest: str
    entry: Entry
    networks: tuple[tuple[str, str], ...]
    proofs: tuple[StoredProof, ...]
    asked: int
    whole: bool


def write_certificate(
    target: str,
    networks: Sequence[tuple[str, str]],
    proofs: Sequence[StoredProof],
    entry: Entry,
    *,
    overwrite: bool = False,
) -> None:
    """Write a certificate.

    Args:
        target: A path, or `-`.
        networks: Name and digest of each checkpoint.
        proofs: The proofs.
        entry: The entry, of kind `certificate`; what is in the file is added to its facts.
        overwrite: Replace a file that nncli did not write.

    Raises:
        ArtifactError: It cannot be written.
    """
    tensors: dict[str, Array] = {}
    listed = []
    for place, proof in enumerate(proofs):
        tensors[f"property.{place}"] = np.frombuffer(proof.text.encode(), dtype=np.uint8)
        for turn, part in enumerate(proof.parts):
            for name, one in part.tensors.items():
                tensors[f"proof.{place}.{turn}.{name}"] = one
        listed.append(
            {
                "name": proof.name,
                "network": proof.network,
                "digest": proof.digest,
                "parts": [
                    {"method": part.method, "violations": list(part.violations)}
                    for part in proof.parts
                ],
            }
        )
    facts = {
        **entry.facts,
        "networks": [{"name": name, "digest": digest} for name, digest in networks],
        "proofs": listed,
    }
    entry = replace(entry, facts=facts)
    entry = replace(entry, facts={**facts, "digest": _digest(entry, tensors)})
    write_tensors(target, tensors, entry, overwrite=overwrite)


def read_certificate(source: str) -> Certificate:
    """Read a certificate.

    Args:
        source: A file, or `-`.

    Returns:
        The certificate. Whether its proofs hold is another question.

    Raises:
        ArtifactError: It is none, or damaged beyond reading.
    """
    with open_tensors(source) as file:
        demand_kind(file.entry, KIND, source=source)
        if file.entry is None:
            raise ArtifactError(
                f"`{source}` is a file of tensors, expected a certificate",
                hint="`nncli verify --certificate FILE` writes one",
            )
        tensors = {name: file.read(name) for name in file.specs}
        digest, entry = file.digest, file.entry
    facts = entry.facts
    try:
        networks = tuple((str(one["name"]), str(one["digest"])) for one in facts["networks"])
        proofs = tuple(
            _proof(place, one, tensors, len(networks)) for place, one in enumerate(facts["proofs"])
        )
        asked = int(facts.get("asked", len(proofs)))
        bare = replace(entry, facts={key: one for key, one in facts.items() if key != "digest"})
        whole = facts.get("digest") == _digest(bare, tensors)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"`{source}` is no sound certificate: {type(error).__name__}: {error}",
            hint="was it edited by hand? make it again",
        ) from None
    return Certificate(source, digest, entry, networks, proofs, asked, whole)


def _proof(
    place: int, facts: Mapping[str, Any], tensors: Mapping[str, Array], networks: int
) -> StoredProof:
    text = tensors[f"property.{place}"]
    if text.dtype != np.uint8 or text.ndim != 1 or text.size > MOST_TEXT:
        raise ValueError(f"`property.{place}` is no text")
    network = int(facts["network"])
    if not 0 <= network < networks:
        raise ValueError(f"there is no network {network}")
    parts = []
    for turn, one in enumerate(facts["parts"]):
        start = f"proof.{place}.{turn}."
        held = {
            name.removeprefix(start): each
            for name, each in tensors.items()
            if name.startswith(start)
        }
        numbers = tuple(int(number) for number in one["violations"])
        parts.append(StoredPart(str(one["method"]), numbers, held))
    return StoredProof(
        str(facts["name"]), network, str(facts["digest"]), text.tobytes().decode(), tuple(parts)
    )


def _digest(entry: Entry, tensors: Mapping[str, Array]) -> str:
    """Of the entry without its digest, and of all tensors by name."""
    found = hashlib.sha256(entry.to_json().encode())
    for name in sorted(tensors):
        one = np.ascontiguousarray(tensors[name])
        found.update(f"\n{name} {one.dtype.newbyteorder('<').str} {one.shape}\n".encode())
        found.update(one.tobytes())
    return f"sha256:{found.hexdigest()}"
