"""`--check`: prove from a certificate, of which nothing is believed."""

import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nncli.errors import ArtifactError, MismatchError, NncliWarning
from nncli.options import lineage
from nncli.options.progress import progress

if TYPE_CHECKING:
    from nncli.commands.verify.questions import Questions
    from nncli.formats.certificates import Certificate, StoredProof
    from nncli.origins import Origin
    from nncli.verification.subjects import Subject

ACCEPTED, REJECTED = "accepted", "rejected"


def check_all(
    checkpoints: tuple[str, ...], questions: "Questions | None", given: dict[str, Any]
) -> bool:
    """Check a certificate, and write what was found of each proof.

    Args:
        checkpoints: The checkpoints; none stands for those that the certificate names.
        questions: What is to be proved; `None` stands for whatever the certificate proves.
        given: The options.

    Returns:
        Whether all is proved.
    """
    from nncli.checkpoints import expand
    from nncli.formats.certificates import read_certificate
    from nncli.formats.tables import create_table
    from nncli.formats.verdict_tables import CHECKED
    from nncli.origins import survey

    certificate = read_certificate(given["check"])
    if questions is None:
        _tell_of_rest(certificate)
        origins = survey(expand(checkpoints or _named(certificate)), given["arch"], "cpu")
        rows: Iterator[dict[str, Any]] = _proofs_about(origins, certificate, given)
        inputs = [certificate, *origins]
    else:
        rows = _proofs_of(questions, certificate, given)
        inputs = [certificate, *questions.inputs]
    entry = lineage.entry("table", inputs=inputs)
    sound = True
    with create_table(
        given["output"],
        CHECKED,
        entry,
        format=given["table_format"],
        overwrite=given["overwrite"],
    ) as table:
        for row in rows:
            if not certificate.whole:
                row |= {
                    "verdict": REJECTED,
                    "reason": "the certificate was changed after it was made",
                }
            sound = sound and row["verdict"] == ACCEPTED
            table.write_row(row)
    return sound


def _named(certificate: "Certificate") -> tuple[str, ...]:
    """The checkpoints that a certificate names, to be looked for where it was made."""
    if not certificate.networks:
        raise MismatchError(
            f"`{certificate.name}` holds no proof",
            hint="of what was asked when it was made, nothing was verified",
        )
    names = tuple(name for name, _ in certificate.networks)
    for name in names:
        if not os.path.exists(name):
            raise MismatchError(
                f"`{certificate.name}` is about `{name}`, which is not here",
                hint=f"name the checkpoint: `nncli verify --check {certificate.name} CHECKPOINT`",
            )
    return names


def _tell_of_rest(certificate: "Certificate") -> None:
    count = len(certificate.proofs)
    if count < certificate.asked:
        warnings.warn(
            f"`{certificate.name}` holds proofs of {count} of the {certificate.asked} properties "
            "that were asked when it was made",
            NncliWarning,
            stacklevel=2,
        )


def _proofs_about(
    origins: "list[Origin]", certificate: "Certificate", given: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Check what the certificate says of some checkpoints."""
    from nncli.checkpoint_names import short_names

    names = short_names([lineage.without_descriptor(one.name) for one in origins])
    for name, origin in zip(names, origins, strict=True):
        mine = [
            proof
            for proof in certificate.proofs
            if certificate.networks[proof.network][1] == origin.digest
        ]
        subjects: dict[Any, Subject] = {}
        for proof in progress(mine, label=name, total=len(mine)):
            yield _checked(name, origin, proof, subjects, given)
        if not mine:
            yield _row(name, None, reason=_strange(certificate))
    digests = {one.digest for one in origins}
    left = sum(certificate.networks[one.network][1] not in digests for one in certificate.proofs)
    if left and left < len(certificate.proofs):
        warnings.warn(
            f"{left} proofs of `{certificate.name}` are about checkpoints that are not given",
            NncliWarning,
            stacklevel=2,
        )


def _strange(certificate: "Certificate") -> str:
    if not certificate.proofs:
        return "the certificate holds no proof"
    names = ", ".join(f"`{name}`" for name, _ in certificate.networks[:3])
    return f"the certificate is about other weights ({names})"


def _checked(
    model: str,
    origin: "Origin",
    proof: "StoredProof",
    subjects: "dict[Any, Subject]",
    given: dict[str, Any],
) -> dict[str, Any]:
    """Check one proof of a property as it is stored."""
    from nncli.verification.certifying.exact_text import exact_text, is_ranking, read_exact
    from nncli.verification.subjects import subject

    try:
        stored = read_exact(proof.text, proof.name, given["check"])
    except ArtifactError as error:
        return _row(model, proof, reason=error.message)
    words = stored.question.words
    key = stored.shape, is_ranking(stored.question)
    if key not in subjects:
        subjects[key] = subject(
            model, origin.digest, origin.load().module, key[0], drop_softmax=key[1]
        )
    network = subjects[key].network
    for violation in stored.question.violations[:1]:
        subjects[key].demand_same(violation.region.low, violation.region.high)
    if network.outputs != stored.outputs:
        return _row(model, proof, words, "the network has another number of outputs")
    single = stored.single
    text = exact_text(stored.question, stored.shape, stored.outputs, single=single)
    return _proved(subjects[key], stored.question, proof, text, given, single=single)


def _proved(
    subject: "Subject",
    question: Any,
    proof: "StoredProof",
    text: str,
    given: dict[str, Any],
    *,
    single: bool,
) -> dict[str, Any]:
    """Prove a property, of real numbers or of float32, from what is stored."""
    import torch

    from nncli.commands.verify.deciding import numbers_at_once
    from nncli.verification.certifying.checking import check
    from nncli.verification.certifying.exact_text import digest
    from nncli.verification.certifying.parts import Part
    from nncli.verification.float_margin import strengthened_in_time

    if digest(text) != proof.digest:
        return _row(subject.name, proof, question.words, "the property is not that of its digest")
    parts = [
        Part(
            one.method,
            one.violations,
            {name: torch.from_numpy(each) for name, each in one.tensors.items()},
        )
        for one in proof.parts
    ]
    numbers = numbers_at_once(given)
    if single:
        found = strengthened_in_time(question, subject.as_it_runs, numbers, float("inf"))
        if not found.is_provable:
            return _row(subject.name, proof, question.words, "numbers of float32 may overflow")
        question = found.question
    reason = check(subject.network, question, parts, numbers=numbers)
    return _row(subject.name, proof, question.words, reason, single=single)


def _proofs_of(
    questions: "Questions", certificate: "Certificate", given: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Check that the certificate proves what is asked."""
    from nncli.verification.certifying.exact_text import digest, exact_text

    held = {(certificate.networks[one.network][1], one.digest): one for one in certificate.proofs}
    known = {one for one, _ in held}
    for task in progress(questions.tasks, label="check", total=questions.count):
        subject, network = task.subject, task.subject.network
        wanted = given["float_margin"]
        # what holds of outputs in float32, with room for their rounding, holds of the real ones
        texts = {
            single: exact_text(task.asked, network.shape, network.outputs, single=single)
            for single in (wanted, True)
        }
        for single, text in texts.items():
            proof = held.get((subject.digest, digest(text)))
            if proof is not None:
                row = _proved(subject, task.asked, proof, text, given, single=single)
                break
        else:
            reason = "the certificate holds no proof of this property"
            if subject.digest not in known:
                reason = "the certificate is about other weights"
            row = _row(subject.name, None, task.asked.words, reason, single=wanted)
            row["property"] = digest(texts[wanted])
        yield row | {"instance": lineage.without_descriptor(task.asked.name)}


def _row(
    model: str,
    proof: "StoredProof | None",
    words: str | None = None,
    reason: str | None = None,
    *,
    single: bool = False,
) -> dict[str, Any]:
    from nncli.commands.verify.deciding import NUMERICS

    methods = () if proof is None else dict.fromkeys(one.method for one in proof.parts)
    return {
        "model_id": model,
        "instance": None if proof is None else proof.name,
        "verdict": ACCEPTED if proof is not None and reason is None else REJECTED,
        "stage": "+".join(methods) or None,
        "reason": reason,
        "numerics": NUMERICS[single],
        "property": None if proof is None else proof.digest,
        "words": words,
    }
