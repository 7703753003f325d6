"""`--certificate`: keep proofs in a file."""

import warnings
from typing import TYPE_CHECKING, Any

from nncli.errors import NncliWarning
from nncli.options import lineage

if TYPE_CHECKING:
    from nncli.commands.verify.questions import Questions, Task
    from nncli.formats.certificates import StoredProof
    from nncli.verification.certifying.parts import Part
    from nncli.verification.standing import Answer


class Proofs:
    """The proofs of a call, for `--certificate`."""

    def __init__(self, questions: "Questions", given: dict[str, Any]) -> None:
        self.questions, self.given = questions, given
        self.networks: dict[tuple[str, str], int] = {}
        self.proofs: list[StoredProof] = []
        self.names = {one.digest: one.name for one in questions.inputs}
        self.asked = 0

    def take(self, task: "Task", answer: "Answer") -> None:
        """Keep the proof of a task that is verified, once it has passed the check."""
        from nncli.formats.certificates import StoredPart, StoredProof
        from nncli.verification.certifying.exact_text import digest, exact_text

        self.asked += 1
        if answer.verdict != "verified":
            return
        parts = self._checked(task, answer)
        if parts is None:
            return
        network = task.subject.network
        single = self.given["float_margin"]
        text = exact_text(task.asked, network.shape, network.outputs, single=single)
        digest_of = task.subject.digest
        key = lineage.portable(self.names.get(digest_of, task.subject.name)), digest_of
        place = self.networks.setdefault(key, len(self.networks))
        stored = [
            StoredPart(
                one.method,
                one.violations,
                {name: each.numpy() for name, each in one.tensors.items()},
            )
            for one in parts
        ]
        name = lineage.portable(task.asked.name)
        self.proofs.append(StoredProof(name, place, digest(text), text, tuple(stored)))

    def _checked(self, task: "Task", answer: "Answer") -> "list[Part] | None":
        """The parts in the least room in which they pass, `None` if they do not."""
        from nncli.commands.verify.deciding import numbers_at_once
        from nncli.verification.certifying.checking import check

        narrow = [one.narrowed() for one in answer.proof]
        reason = None
        for parts in (narrow, list(answer.proof)):
            numbers = numbers_at_once(self.given)
            reason = check(task.subject.network, task.asked, parts, numbers=numbers)
            if reason is None:
                return parts
        warnings.warn(
            f"`{lineage.without_descriptor(task.asked.name)}` is verified, and is not in the "
            f"certificate: {reason}",
            NncliWarning,
            stacklevel=2,
        )
        return None

    def write(self) -> None:
        """Write the certificate, be it one without proofs."""
        from nncli.formats.certificates import KIND, write_certificate

        entry = lineage.entry(
            KIND,
            inputs=self.questions.inputs,
            seed=self.given["seed"],
            asked=self.asked,
            **self.questions.facts,
        )
        write_certificate(
            self.given["certificate"],
            list(self.networks),
            self.proofs,
            entry,
            overwrite=self.given["overwrite"],
        )
