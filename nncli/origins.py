"""Where models and data come from, as artifacts record it; and many models, one at a time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nncli.checkpoints import Member, Model, resolve

KEPT_NUMBERS = 1 << 26  # of all models that stay in memory


class Examples(Protocol):
    """What is asked of a dataset here; see `nncli.formats.datasets.Dataset`."""

    @property
    def name(self) -> str:
        """The dataset as given."""

    @property
    def split(self) -> str:
        """The part that was chosen."""

    @property
    def digest(self) -> str:
        """SHA-256 of the rows."""

    @property
    def source_digest(self) -> str | None:
        """Digest of the whole source, where example ids are places in it."""


def data_facts(data: Examples, limit: int | None, portable: Callable[[str], str]) -> dict[str, Any]:
    """Which rows an artifact was made from.

    Args:
        data: The dataset.
        limit: The `--limit` it was loaded with.
        portable: Makes a name one that artifacts may record.

    Returns:
        A fact for the entry.
    """
    return {
        "name": portable(data.name),
        "digest": data.digest,
        "source": data.source_digest,
        "split": data.split,
        "limit": limit,
    }


def model_facts(model: "Model | Origin", portable: Callable[[str], str]) -> dict[str, Any]:
    """Which model an artifact was made from.

    Args:
        model: The model.
        portable: Makes a name one that artifacts may record.

    Returns:
        A fact for the entry.
    """
    return {
        "name": portable(model.name),
        "digest": model.digest,
        "arch": model.arch and portable(model.arch),
        "factors": model.factors,
    }


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, without its weights.

    Attributes:
        name: The checkpoint as given.
        digest: SHA-256 of the checkpoint.
        arch: The architecture spec, `None` for checkpoints that bring their network.
        entry: What the checkpoint says of itself, `None` for a foreign one.
        factors: What tells it from the other members of its series.
        load: Gives the model.
    """

    name: str
    digest: str
    arch: str | None
    entry: Any
    factors: dict[str, Any]
    load: Callable[[], Model]


def survey(members: Iterable[Member], arch: str | None, device: str) -> list[Origin]:
    """Load every checkpoint once, so that a bad one is found before the work begins.

    Small models stay in memory, and so does what can be read only once; others are loaded again
    when their turn comes, so that memory does not grow with their number.

    Args:
        members: The checkpoints.
        arch: The architecture, for those that do not say theirs.
        device: Where the networks go.

    Returns:
        The origins, in the same order.

    Raises:
        NncliError: As `nncli.checkpoints.resolve` raises it.
    """
    origins, held = [], 0
    for member in members:
        model = resolve(member, arch, device)
        held += sum(one.numel() for one in model.module.parameters())
        regular = Path(member.name).is_file() or Path(member.name).is_dir()
        load = _again(member, arch, device) if held > KEPT_NUMBERS and regular else _kept(model)
        origins.append(
            Origin(model.name, model.digest, model.arch, model.entry, model.factors, load)
        )
    return origins


def _again(member: Member, arch: str | None, device: str) -> Callable[[], Model]:
    return lambda: resolve(member, arch, device)


def _kept(model: Model) -> Callable[[], Model]:
    return lambda: model
