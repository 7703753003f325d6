import pytest

from nncli.errors import ArtifactError
from nncli.layer_names import select_layers

NAMES = ["block.0", "block.1", "block.10", "head"]


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        ([], NAMES),
        (["block.*"], ["block.0", "block.1", "block.10"]),
        (["head", "block.1"], ["block.1", "head"]),
        (["block.?"], ["block.0", "block.1"]),
        (["block.[01]", "*"], NAMES),
        (["head", "h*"], ["head"]),
    ],
)
def test_layers_that_match_any_glob_are_chosen_in_the_order_of_the_network(globs, expected):
    assert select_layers(NAMES, globs, source="a") == expected


@pytest.mark.parametrize("globs", [["blok.*"], ["head", "BLOCK.0"], [""]])
def test_a_glob_that_matches_nothing_is_an_error_although_others_match(globs):
    with pytest.raises(ArtifactError, match=f"no layer of `a` matches `{globs[-1][:3]}") as caught:
        select_layers(NAMES, globs, source="a")
    assert "lists them" in caught.value.hint


def test_the_error_names_the_nearest_layers():
    with pytest.raises(ArtifactError, match=r"closest: `block\.0`"):
        select_layers(NAMES, ["blok.0"], source="a")
