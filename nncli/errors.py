"""What can go wrong, as the user sees it: one line, a hint, and an exit code.

Every error that a user can cause or cure derives from `NncliError`; anything else that escapes
is a bug of ours and exits with 70.
"""

from collections.abc import Iterable


class NncliError(Exception):
    """An error with a way out.

    Args:
        message: What is wrong and where (the file, row or option), in lower case, values in
            backticks, no full stop.
        hint: What the user can do about it.
    """

    exit_code = 3

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(NncliError):
    """The command line asks for something that does not exist or contradicts itself."""

    exit_code = 2


class ArtifactError(NncliError):
    """An input or output is missing, truncated, of the wrong kind, or not trusted."""


class MismatchError(ArtifactError):
    """Two inputs, each sound, do not fit each other."""


class EnvironmentFault(NncliError):
    """Something outside the inputs is unfit: an extra that is not installed, a device."""


class NoAnswerError(NncliError):
    """The work ran and gave no answer: a time-out, no convergence, undecided."""

    exit_code = 4


class NncliWarning(UserWarning):
    """Something the user should know that does not stop the work.

    Raised with `warnings.warn`, so that library users can filter it; the command line prints it
    as `nncli: warning: ...` on standard error, unless `--quiet`.
    """


def closest(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """Spell out the names nearest to a mistyped one.

    Args:
        name: What was asked for.
        known: The names there are.
        most: How many to name at most.

    Returns:
        A phrase such as "closest: `block.0`, `block.1` (and 7 more)", for an error message. When
        nothing is close it lists the first ones there are; when there are none it says so.
    """
    from difflib import get_close_matches

    names = list(known)
    if not names:
        return "there are none"
    near = get_close_matches(name, names, n=most, cutoff=0.5)
    word, shown = ("closest", near) if near else ("there are", names[:most])
    listed = ", ".join(f"`{one}`" for one in shown)
    rest = len(names) - len(shown)
    return f"{word}: {listed}" + (f" (and {rest} more)" if rest else "")
