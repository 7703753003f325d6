import pytest

from nncli import errors
from nncli.errors import NncliError, closest


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("NncliError", 3),
        ("ArtifactError", 3),
        ("MismatchError", 3),
        ("EnvironmentFault", 3),
        ("UsageError", 2),
        ("NoAnswerError", 4),
    ],
)
def test_each_error_has_its_exit_code(name, code):
    error = getattr(errors, name)("what", hint="way out")
    assert isinstance(error, NncliError)
    assert (error.exit_code, error.message, error.hint, str(error)) == (
        code,
        "what",
        "way out",
        "what",
    )


def test_a_mistyped_name_is_met_with_the_nearest_ones():
    names = [f"block.{n}" for n in range(10)]
    assert closest("blok.3", names) == "closest: `block.3`, `block.9`, `block.8` (and 7 more)"
    assert closest("blok.3", ["block.3"]) == "closest: `block.3`"


def test_a_name_like_no_other_is_met_with_the_first_there_are():
    assert closest("zzz", ["a", "b", "c", "d"]) == "there are: `a`, `b`, `c` (and 1 more)"
    assert closest("x", []) == "there are none"
