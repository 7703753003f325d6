"""Answers as the verification competitions exchange them: a word, and for `sat` a counterexample.

The first line is `unsat` (the property holds), `sat` (it is violated), `unknown`, `timeout` or
`error`. After `sat` follow all numbers of the input and of the output:

    sat
    ((X_0 0.25)
    (X_1 -1.0)
    (Y_0 3.5))

Of a list of instances there is a line for each, without its counterexample.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from nncli.formats.output import open_output

WORDS = {
    "verified": "unsat",
    "violated": "sat",
    "unknown": "unknown",
    "timeout": "timeout",
    "error": "error",
}
VERDICTS = {word: verdict for verdict, word in WORDS.items()}
KIND = "answer"
FIELDS, LONGEST = 6, 20_000  # of a line of a list: its fields, and its bytes


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        verdict: A key of `WORDS`.
        x: The numbers of the input, where it is a counterexample.
        y: The numbers of the output.
    """

    verdict: str
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()


def answer_text(answer: Answer) -> str:
    """An answer as text; numbers have the digits that give the same float64 again.

    Args:
        answer: The answer.

    Returns:
        Lines, a newline at the end of each.
    """
    lines = [WORDS[answer.verdict]]
    if answer.verdict == "violated" and answer.x:
        pairs = [f"(X_{place} {number!r})" for place, number in enumerate(answer.x)]
        pairs += [f"(Y_{place} {number!r})" for place, number in enumerate(answer.y)]
        lines.append("(" + "\n".join(pairs) + ")")
    return "".join(f"{line}\n" for line in lines)


def write_answer(target: str, answer: Answer, *, overwrite: bool = False) -> None:
    """Write an answer.

    Args:
        target: A path, or `-`. A file that holds an answer already is replaced.
        answer: The answer.
        overwrite: Replace any other file as well.

    Raises:
        ArtifactError: It cannot be written, or would replace a file that holds something else.
    """
    with open_output(
        target, kind=KIND, overwrite=overwrite or holds_answer(target), binary=False
    ) as out:
        out.write(answer_text(answer).encode())


def holds_answer(target: str) -> bool:
    """Whether a file starts with the word of an answer, alone in its line, or a line of a list."""
    try:
        with open(target, "rb") as file:
            first = file.readline(LONGEST).decode("utf-8", "replace").strip()
    except OSError:
        return False
    fields = next(csv.reader([first]), [])
    return first in VERDICTS or (len(fields) == FIELDS and fields[4] in VERDICTS)


@dataclass(frozen=True)
class Result:
    """A line of the results of a list.

    Attributes:
        category: The list it belongs to.
        network: The network as listed.
        property: The property as listed.
        verdict: A key of `WORDS`.
        seconds: What the answer took.
    """

    category: str
    network: str
    property: str
    verdict: str
    seconds: float


def write_results(target: str, results: Sequence[Result], *, overwrite: bool = False) -> None:
    """Write the answers to a list: `category,network,property,prepare seconds,word,seconds`.

    Args:
        target: A path, or `-`. A file that holds answers already is replaced.
        results: A line each.
        overwrite: Replace any other file as well.

    Raises:
        ArtifactError: It cannot be written, or would replace a file that holds something else.
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    for one in results:
        word = WORDS[one.verdict]
        lines.writerow([one.category, one.network, one.property, "0", word, f"{one.seconds:.3f}"])
    with open_output(
        target, kind=KIND, overwrite=overwrite or holds_answer(target), binary=False
    ) as out:
        out.write(text.getvalue().encode())
