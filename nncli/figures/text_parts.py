"""What drawings in characters share: shades, bars, colours, names of bounded length."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.style import Style
from rich.text import Text

F64 = NDArray[np.float64]

SHADES = " ░▒▓█"
# the colours of our figures, in a lightness that both dark and light screens show
HUES = ("#3f97e0", "#e8762c", "#22a87f", "#d07fae", "#d69a1b", "#52b8e6", "#8c8c8c")
# viridis at even steps, dark to light
VIRIDIS = (
    (68, 1, 84),
    (71, 44, 122),
    (59, 81, 139),
    (44, 113, 142),
    (33, 144, 141),
    (39, 173, 129),
    (92, 200, 99),
    (170, 220, 50),
    (253, 231, 37),
)


def hue(place: int) -> str:
    """The colour of the curve at a place."""
    return HUES[place % len(HUES)]


def shade(share: float) -> str:
    """A character as dark as a share of 1 is large."""
    return SHADES[min(int(share * len(SHADES)), len(SHADES) - 1)]


def viridis(share: float) -> tuple[int, int, int]:
    """A colour, 0 to 255, for a share of 1: dark blue for 0, yellow for 1."""
    at = min(max(share, 0.0), 1.0) * (len(VIRIDIS) - 1)
    left = min(int(at), len(VIRIDIS) - 2)
    part = at - left
    red, green, blue = (
        round(one + part * (other - one))
        for one, other in zip(VIRIDIS[left], VIRIDIS[left + 1], strict=True)
    )
    return red, green, blue


def on(colour: tuple[int, int, int]) -> Style:
    """Black or white, whichever can be read, on a colour."""
    red, green, blue = colour
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 128
    return Style.parse(f"{'white' if dark else 'black'} on #{red:02x}{green:02x}{blue:02x}")


def cut(text: str, most: int) -> str:
    """Text of at most so many characters, cut in the middle; control characters become `?`."""
    text = "".join(one if one.isprintable() else "?" for one in text)
    if len(text) <= most:
        return text
    if most < 3:
        return text[:most]
    half = (most - 1) // 2
    return f"{text[: most - 1 - half]}…{text[len(text) - half :]}"


def bar(share: float, width: int) -> str:
    """A bar of halves of a character for a share of 1, padded to the width."""
    whole, half = divmod(round(min(max(share, 0.0), 1.0) * width * 2), 2)
    return ("━" * whole + "╸" * half).ljust(width)


def number(value: float, digits: int = 3) -> str:
    """A number for an axis, short."""
    return f"{value:,.0f}" if abs(value) >= 1000 and value == int(value) else f"{value:.{digits}g}"


def axis_numbers(values: Sequence[float]) -> list[str]:
    """Numbers of one axis, with as many decimals as tell them apart."""
    spread = max(values) - min(values)
    decimals = 2 - math.floor(math.log10(spread)) if spread > 0 else 2
    if not -7 < decimals < 10:
        return [number(one) for one in values]
    return [f"{one:,.{max(decimals, 0)}f}" for one in values]


def styled(text: str, style: str | Style = "") -> Text:
    """Text with a style."""
    return Text(text, style=style)
