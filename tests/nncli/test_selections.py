"""Selections on the command line: numbers, ranges, parts."""

import pytest

from nncli.selections import read_numbers, read_parts


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("3", (3,)),
        ("0..4", (0, 1, 2, 3, 4)),
        ("0,3,7", (0, 3, 7)),
        ("5, 0..2,1", (5, 0, 1, 2)),
        ("7..7", (7,)),
    ],
)
def test_numbers_are_read(text, numbers):
    assert read_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "-1", "4..0", "0..", "0..9999999", "1.5", "0...3"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="`"):
        read_numbers(text)


def test_parts_are_read():
    assert read_parts("2/4") == ((2,), 4)
    assert read_parts("1..4/4") == ((1, 2, 3, 4), 4)
    for text in ("2", "0/4", "5/4", "1/x", "/4"):
        with pytest.raises(ValueError, match="`"):
            read_parts(text)
