"""How several things are named at once on the command line: `0..4`, `0,3,7`, `2/4`."""

import re

MOST = 100_000


def read_numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers: `3`, `0,3,7`, `0..4` (both ends included), or a mixture.

    Args:
        text: The numbers and ranges, between commas.

    Returns:
        The numbers in the order given, each once.

    Raises:
        ValueError: A word is neither, or a range is empty or longer than 100,000.
    """
    found: dict[int, None] = {}
    for word in text.split(","):
        match = re.fullmatch(r"([0-9]{1,18})(?:\.\.([0-9]{1,18}))?", word.strip())
        if not match:
            raise ValueError(f"`{word}` is neither a whole number nor a range such as `0..4`")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + MOST:
            raise ValueError(f"the range `{word}` is empty or longer than {MOST:,}")
        found.update(dict.fromkeys(range(first, last + 1)))
    return tuple(found)


def read_parts(text: str) -> tuple[tuple[int, ...], int]:
    """Read which parts of how many: `2/4`, `1..4/4`.

    Args:
        text: Numbers as above, a stroke, and the number of parts.

    Returns:
        The parts chosen, counted from 1, and the number of parts.

    Raises:
        ValueError: It has another form, or names a part that there is not.
    """
    chosen, _, total = text.partition("/")
    if not re.fullmatch(r"[0-9]{1,9}", total):
        raise ValueError(f"`{text}` is not of the form `2/4` or `1..4/4`")
    numbers, parts = read_numbers(chosen), int(total)
    if not 1 <= min(numbers) <= max(numbers) <= parts:
        raise ValueError(f"`{text}` asks for a part that there is not: they are 1 to {parts}")
    return numbers, parts
