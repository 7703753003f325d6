import pytest

from nncli.errors import ArtifactError
from nncli.layer_names import matches, select_layers

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


@pytest.mark.parametrize(
    ("name", "glob", "expected"),
    [
        ("block.0", "block.*", True),
        ("block.0.linear", "block.*", False),
        ("block.0.linear", "block.**", True),
        ("block.0.linear", "block.*.linear", True),
        ("block.0.linear", "**.linear", True),
        ("linear", "**.linear", True),
        ("block", "block.*", False),
        ("block.0.linear", "*", True),
        ("encoder.layer.11.output", "encoder.layer.[0-9]", False),
        ("encoder.layer.1.output", "encoder.**.output", True),
    ],
)
def test_a_star_stays_within_one_part_of_a_path_and_two_stars_cross_them(name, glob, expected):
    assert matches(name, glob) is expected
