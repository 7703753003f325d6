"""The fixed division of sources that have no split of their own."""

import subprocess
import sys

import numpy as np
import pytest

from nncli.errors import ArtifactError, UsageError
from nncli.formats.splits import choose_rows, demand_split, draw_test_rows, hash_places, parts_of

MASK64 = (1 << 64) - 1


def splitmix64(place: int) -> int:
    """The published generator in integer arithmetic: the state after `place + 1` steps from 0."""
    z = (0x9E3779B97F4A7C15 * (place + 1)) & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def random_classes(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, rng.integers(1, 40), rng.integers(2, 80))


def test_places_are_hashed_as_splitmix64_publishes():
    assert hash_places(3).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert hash_places(50).tolist() == [splitmix64(place) for place in range(50)]


def test_the_test_rows_are_those_of_the_smallest_hash_of_their_class():
    classes = random_classes(1)
    drawn = draw_test_rows(len(classes), classes)
    for one in np.unique(classes):
        rows = np.flatnonzero(classes == one).tolist()
        count = int(drawn[classes == one].sum())
        if len(rows) > 1:
            expected = sorted(sorted(rows, key=splitmix64)[:count])
            assert np.flatnonzero(drawn & (classes == one)).tolist() == expected


@pytest.mark.parametrize("seed", range(40))
def test_every_class_is_within_one_row_of_a_quarter_and_in_both_splits(seed):
    classes = random_classes(seed)
    drawn = draw_test_rows(len(classes), classes)
    for one, size in zip(*np.unique(classes, return_counts=True), strict=True):
        count = drawn[classes == one].sum()
        if size > 1:
            assert abs(count - size / 4) < 1
            assert 0 < count < size


@pytest.mark.parametrize("seed", range(40))
def test_a_quarter_rounded_up_is_drawn_unless_small_classes_need_more(seed):
    classes = random_classes(seed)
    sizes = np.unique(classes, return_counts=True)[1]
    several = sizes[sizes > 1]
    at_least = np.maximum(several // 4, 1).sum() + (sizes == 1).sum() // 4
    total = draw_test_rows(len(classes), classes).sum()
    assert total == max(-(-len(classes) // 4), at_least)


def test_classes_may_be_any_integers():
    classes = random_classes(3)
    renamed = 1_000_003 * classes + 5
    assert (draw_test_rows(len(classes), classes) == draw_test_rows(len(classes), renamed)).all()


def test_classes_of_single_rows_share_a_quarter():
    assert draw_test_rows(40, np.arange(40)).sum() == 10


@pytest.mark.parametrize(
    ("count", "test"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1), (5, 2), (9, 3)]
)
def test_without_classes_a_quarter_of_all_rows_is_drawn(count, test):
    assert draw_test_rows(count).sum() == test


def test_rows_stay_in_source_order_and_the_splits_are_disjoint_and_exhaustive():
    classes = random_classes(7)
    chosen = {
        split: choose_rows(
            len(classes), classes=classes, own=None, split=split, limit=None, source="s"
        )
        for split in ("train", "test", "all")
    }
    assert (np.diff(chosen["train"]) > 0).all()
    assert (np.diff(chosen["test"]) > 0).all()
    both = np.concatenate([chosen["train"], chosen["test"]])
    assert sorted(both.tolist()) == chosen["all"].tolist() == list(range(len(classes)))


@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_a_limit_takes_the_first_rows_of_the_split(split):
    options = {"classes": random_classes(5), "own": None, "split": split, "source": "s"}
    count = len(options["classes"])
    whole = choose_rows(count, **options, limit=None)
    assert choose_rows(count, **options, limit=3).tolist() == whole[:3].tolist()
    assert choose_rows(count, **options, limit=10**9).tolist() == whole.tolist()


def test_a_source_is_believed_about_its_split():
    own = np.array(["test", "Train", "val", "train", "test"])
    options = {"classes": None, "own": own, "limit": None, "source": "s"}
    assert choose_rows(5, split="train", **options).tolist() == [1, 3]
    assert choose_rows(5, split="test", **options).tolist() == [0, 4]
    assert choose_rows(5, split="all", **options).tolist() == [0, 1, 2, 3, 4]


def test_validation_rows_are_test_rows_where_there_are_no_test_rows():
    assert parts_of("test", {"train", "validation"}) == ["validation"]
    assert parts_of("test", {"train", "validation", "test"}) == ["test"]
    assert parts_of("all", {"test", "validation", "train"}) == ["train", "validation", "test"]
    assert parts_of("train", {"test"}) == []


def test_an_unknown_word_in_a_split_column_is_named():
    with pytest.raises(ArtifactError, match=r"^row 1 of `s` has the split `fold3`, expected train"):
        choose_rows(
            2, classes=None, own=np.array(["test", "fold3"]), split="all", limit=None, source="s"
        )


def test_an_unknown_split_and_an_empty_limit_are_usage_errors():
    with pytest.raises(UsageError, match="there is no split `tset`; closest: `test`"):
        demand_split("tset", None)
    with pytest.raises(UsageError, match="`--limit 0` leaves no rows"):
        demand_split("all", 0)


def test_the_division_does_not_depend_on_the_process():
    code = (
        "import numpy as np; from nncli.formats.splits import draw_test_rows as draw;"
        "print(np.flatnonzero(draw(60, np.arange(60) % 7)).tolist())"
    )
    here = np.flatnonzero(draw_test_rows(60, np.arange(60) % 7)).tolist()
    there = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PATH": ""},
    )
    assert there.stdout.strip() == str(here)
