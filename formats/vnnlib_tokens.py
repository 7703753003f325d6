"""The words of a VNN-LIB file, and the lines they stand in."""

import re

from nncli.errors import ArtifactError

# the words `X [0, 1]` of version 2 are one token, as `X_1` is in version 1
TOKEN = re.compile(
    r""";[^\n]* | "[^"]*" | \|[^|]*\| | [()]
    | [^\s()\[\]";|]+ (?:\s*\[[^\[\]()\n;]*\])? | \S""",
    re.X,
)


class Tokens:
    """The tokens of a file.

    Attributes:
        name: The file as given.
        words: The tokens, without comments.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._text = text
        self.words = [word for word in TOKEN.findall(text) if word[0] != ";"]

    def line(self, place: int) -> int:
        """The line of a token, counted from 1, or the last line; found only when it is needed."""
        seen = -1
        for found in TOKEN.finditer(self._text):
            seen += found.group()[0] != ";"
            if seen == place:
                return self._text.count("\n", 0, found.start()) + 1
        return self._text.rstrip().count("\n") + 1

    def error(self, place: int, message: str, *, hint: str | None = None) -> ArtifactError:
        """The error for something wrong at a token.

        Args:
            place: Place of the token.
            message: What is wrong, and what was expected.
            hint: The way out.

        Returns:
            The error, for the caller to raise.
        """
        return ArtifactError(f"`{self.name}`, line {self.line(place)}: {message}", hint=hint)
