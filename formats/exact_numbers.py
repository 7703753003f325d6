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
LONGEST = 5_000  # digits: a larger power of ten fills the memory before anybody can refuse it
FORMS = "a number such as `0.1`, `-2e-3` or `8/255`"


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
