"""Numbers in text, without a rounding: decimals, scientific notation and fractions."""

import re
from fractions import Fraction

NUMBER = re.compile(
    r"""[-+]?(?:
        \d+/\d+
        | (?:\d+\.?\d*|\.\d+) (?:[eE][-+]?\d+)?
    )""",
    re.X,
)
# digits, and powers of ten: larger ones fill the memory before anybody can refuse them, and Python
# writes and reads no whole number of more than 4,300 digits
LONGEST = 1_000
FORMS = "a number such as `0.1`, `-2e-3` or `8/255`"
SHOWN = 40  # characters of what is no number


def exact_number(text: str) -> Fraction | None:
    """Read a number.

    Args:
        text: `0.1`, `-2e-3`, `8/255`.

    Returns:
        The number exactly, or `None` if the text is none.
    """
    if len(text) > LONGEST or not NUMBER.fullmatch(text):
        return None
    power = text.lower().partition("e")[2]
    if power and (len(power) > 5 or abs(int(power)) > LONGEST):
        return None
    try:
        return Fraction(text)
    except ZeroDivisionError:
        return None


def brief(text: str) -> str:
    """A text that is no number as messages show it."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
