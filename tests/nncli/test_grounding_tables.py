"""Tables of pairs and of scores: which column is what, and which row is whose."""

import numpy as np
import pytest

from nncli.errors import ArtifactError, MismatchError, UsageError
from nncli.grounding import (
    Member,
    Representation,
    grouped,
    join_scores,
    larger_is_alike,
    lay_out,
    lowest_is_best,
    read_pairs,
)

DISTANCES = larger_is_alike({}, ())


def read(columns, **settings):
    names = ("sides", "measures", "differences", "scores")
    told = {name: settings.pop(name) for name in names if name in settings}
    layout = lay_out(columns, source="t", **told)
    measures = told.get("measures", ())
    settings = {"similarities": DISTANCES, "measures": measures, **settings}
    return read_pairs(columns, layout, source="t", **settings)


PUBLISHED = {
    "": [0, 1, 2],
    "dataset1": ["mnli"] * 3,
    "seed1": [1, 1, 1],
    "step1": [2000] * 3,
    "layer1": [0, 0, 0],
    "dataset2": ["mnli"] * 3,
    "seed2": [1, 2, 2],
    "step2": [2000] * 3,
    "layer2": [0, 0, 1],
    "PWCCA": [0.0, 0.3, 0.4],
    "CKA": [0.0, 0.1, 0.2],
    "QNLI_diff": [0.0, 0.05, 0.06],
    "SST-2_diff": [0.0, 0.01, 0.02],
}


def test_a_published_wide_table_needs_no_options():
    pairs, members = read(PUBLISHED)
    assert pairs.items == (
        Representation("1", "0"), Representation("2", "0"), Representation("2", "1")
    )  # fmt: skip
    assert pairs.layers == ("0", "1")
    assert pairs.a.tolist() == [0, 0, 0]
    assert pairs.b.tolist() == [0, 1, 2]
    assert {name: one.tolist() for name, one in pairs.distances.items()} == {
        "PWCCA": [0.0, 0.3, 0.4], "CKA": [0.0, 0.1, 0.2]
    }  # fmt: skip
    assert list(pairs.differences) == ["QNLI", "SST-2"]
    assert pairs.differences["QNLI"].tolist() == [0.0, 0.05, 0.06]
    assert pairs.scores == {}
    assert members["2"].factors == {"dataset": "mnli", "seed": 2, "step": 2000}


def test_models_are_called_by_all_factors_in_which_they_differ():
    columns = {**PUBLISHED, "step2": [2000, 2000, 3000]}
    pairs, _ = read(columns)
    assert [one.model for one in pairs.items] == [
        "seed=1, step=2000", "seed=2, step=2000", "seed=2, step=3000"
    ]  # fmt: skip


def test_the_long_form_of_compare_is_read_by_metric_and_similarities_are_turned_round():
    columns = {
        "a": ["x", "x", "y", "x"],
        "b": ["y", "z", "z", "y"],
        "seed_a": [0, 0, 1, 0],
        "seed_b": [1, 2, 2, 1],
        "layer_a": ["l"] * 4,
        "layer_b": ["l"] * 4,
        "metric": ["linear-cka"] * 3 + ["procrustes"],
        "value": [0.9, 0.8, None, 0.1],
        "n": [10] * 4,
    }
    pairs, members = read(columns)
    assert [one.model for one in pairs.items] == ["x", "y", "z"]
    assert members["y"].factors == {"seed": 1}
    found = {name: one.tolist() for name, one in pairs.distances.items()}
    assert found["linear-cka"][:2] == [-0.9, -0.8]
    assert np.isnan(found["linear-cka"][2])
    assert found["procrustes"][0] == 0.1
    assert np.isnan(found["procrustes"][1:]).all()
    only, _ = read(columns, measures=("procrustes",))
    assert list(only.distances) == ["procrustes"]
    with pytest.raises(ArtifactError, match="no metric `cka`"):
        read(columns, measures=("cka",))


def test_layers_keep_the_order_of_the_table_and_numbers_that_of_their_values():
    base = {"a": ["x", "x", "y"], "b": ["y", "y", "y"], "d": [1.0, 2, 3]}
    named = {**base, "layer_a": ["stem", "block", "head"], "layer_b": ["stem", "block", "head"]}
    assert read(named)[0].layers == ("stem", "block", "head")
    counted = {**base, "layer_a": [10, 2, 1], "layer_b": [10, 2, 1]}
    assert read(counted)[0].layers == ("1", "2", "10")


def test_what_is_a_similarity_is_told_recorded_or_known_of_its_name():
    facts = {"metrics": [{"metric": "ours", "kind": "similarity"}, "svcca"]}
    alike = larger_is_alike(facts, ["CCA"])
    assert [alike(name) for name in ("ours", "CCA", "linear-cka", "svcca:variance=0.9")] == [
        True
    ] * 4
    assert not any(alike(name) for name in ("procrustes", "PWCCA", "CKA"))


def test_scores_of_both_sides_give_differences_and_values():
    columns = {
        "a": ["x", "x", "y"], "b": ["y", "z", "z"], "d": [1.0, 2, 3],
        "acc_a": [0.5, 0.5, 0.75], "acc_b": [0.75, 1.0, 1.0],
    }  # fmt: skip
    pairs, _ = read(columns, scores=("acc",))
    assert pairs.differences["acc"].tolist() == [0.25, 0.5, 0.25]
    assert pairs.scores["acc"].tolist() == [0.5, 0.75, 1.0]


def test_columns_can_be_named_where_they_cannot_be_guessed():
    columns = {
        "ours": ["x", "x"],
        "theirs": ["y", "z"],
        "far": [1, 2],
        "noise": [5, 6],
        "dF": [3, 4],
    }
    sides = (("ours",), ("theirs",))
    pairs, _ = read(columns, sides=sides, measures=("far",), differences=("dF",))
    assert [one.model for one in pairs.items] == ["x", "y", "z"]
    assert list(pairs.distances) == ["far"]
    assert list(pairs.differences) == ["dF"]


@pytest.mark.parametrize(
    ("columns", "told", "message"),
    [
        ({"u": [1]}, {}, "nothing in `t` names two representations; its columns are `u`"),
        ({"layer_a": [1], "layer_b": [2], "c": [3]}, {}, "names layers, but no networks"),
        ({"a": [1], "b": [2]}, {}, "no column of `t` is a measure"),
        ({"a": [1], "b": [2]}, {"measures": ["c"]}, "`t` has no column `c`"),
        ({"a": [1], "b": [2], "c": ["u"]}, {"measures": ["c"]}, "`c` of `t` does not hold numbers"),
        ({"a": [1], "b": [2]}, {"sides": (["a"], ["c"])}, "`t` has no column `c`"),
    ],
)
def test_a_table_that_cannot_be_read_says_what_there_is(columns, told, message):
    with pytest.raises(ArtifactError, match=message):
        lay_out(columns, source="t", **told)


def test_sides_must_have_equally_many_columns():
    with pytest.raises(UsageError, match="2 columns for the left side and 1 for the right"):
        lay_out({"u": [1], "v": [1], "w": [1]}, source="t", sides=(["u", "v"], ["w"]))


def test_an_empty_table_is_refused():
    with pytest.raises(ArtifactError, match="has no rows"):
        read({"a": [], "b": [], "metric": [], "value": []})


MEMBERS = {
    "one": Member(("caps/one.safetensors", "runs/seed-0.safetensors"), "sha256:0", {"seed": 0}),
    "two": Member(("caps/two.safetensors", "runs/seed-1.safetensors"), "sha256:1", {"seed": 1}),
}
ITEMS = [("one", Representation("one", "l")), ("two", Representation("two", "l"))]


def joined(columns, wanted=()):
    return {
        name: values.tolist()
        for name, values in join_scores(columns, MEMBERS, ITEMS, wanted, source="s").items()
    }


@pytest.mark.parametrize(
    "keys",
    [
        {"digest": ["sha256:1", "sha256:0"], "path": ["wrong", "names"]},
        {"path": ["seed-1.safetensors", "seed-0.safetensors"]},
        {"name": ["two", "one"]},
        {"model_id": ["seed-1", "seed-0"]},
        {"seed": [1, 0]},
    ],
)
def test_scores_are_joined_by_digest_name_or_factors(keys):
    assert joined({**keys, "score": [0.1, 0.9]}) == {"score": [0.9, 0.1]}


def test_scores_of_layers_are_joined_by_layer_too():
    table = {"name": ["one", "one", "two"], "layer": ["k", "l", "l"], "f": [1, 2, 3]}
    assert joined(table) == {"f": [2.0, 3.0]}


def test_long_scores_are_one_for_each_metric():
    table = {"name": ["one", "two"] * 2, "metric": ["u", "u", "v", "v"], "value": [1, 2, 3, 4]}
    assert joined(table) == {"u": [1.0, 2.0], "v": [3.0, 4.0]}
    assert joined(table, ["v"]) == {"v": [3.0, 4.0]}


def test_constants_and_factors_are_no_scores_unless_asked_for():
    table = {"seed": [0, 1], "same": [5, 5], "f": [1, 2], "n": [7, 8]}
    assert joined(table) == {"f": [1.0, 2.0]}
    assert joined(table, ["same"]) == {"same": [5.0, 5.0]}


def test_a_score_that_is_null_is_missing():
    found = joined({"name": ["one", "two"], "f": [1.0, None]}, ["f"])["f"]
    assert found[0] == 1
    assert np.isnan(found[1])


@pytest.mark.parametrize(
    ("columns", "wanted", "message"),
    [
        ({"name": ["one"], "f": [1]}, (), "`s` has no row for `two` .joined by `name`."),
        ({"name": ["x"], "f": [1]}, (), "no row of `s` belongs to any of `one`, `two`"),
        ({"f": [1]}, (), "no row of `s` belongs to any"),
        ({"name": ["one", "two"], "f": [1, 2]}, ["g"], "`s` has no score `g`"),
        ({"name": ["one", "two"], "f": [1, 1]}, (), "no column of `s` is a score that differs"),
        ({"name": ["one", "two", "two"], "f": [1, 2, 3]}, (), "2 rows for `two`, layer `l`"),
        ({"name": ["one", "two"], "layer": ["k", "k"], "f": [1, 2]}, (), "no `f` for `one`"),
    ],
)
def test_scores_that_cannot_be_joined_say_why(columns, wanted, message):
    with pytest.raises((ArtifactError, MismatchError), match=message):
        joined(columns, wanted)


def test_models_of_a_group_are_called_by_their_other_factors():
    factors = [{"seed": s, "step": t} for t in (10, 20) for s in (0, 1)]
    models, groups = grouped(["w", "x", "y", "z"], factors, "step")
    assert models == ["0", "1", "0", "1"]
    assert groups == ["10", "10", "20", "20"]
    with pytest.raises(UsageError, match="do not differ in `width`"):
        grouped(["w", "x", "y", "z"], factors, "width")


def test_the_name_of_a_loss_says_that_the_lowest_is_best():
    assert lowest_is_best("test_loss")
    assert not lowest_is_best("test_accuracy")
    assert lowest_is_best("log-loss, linear")
    assert lowest_is_best("mse")
    assert not lowest_is_best("accuracy, knn, less-error")


def probed(**how):
    """Two readings of both networks, of which the second is worth ten times the first."""
    return {
        "capture": ["one", "one", "two", "two"],
        "layer": ["l"] * 4,
        "metric": ["accuracy"] * 4,
        "value": [1.0, 10.0, 2.0, 20.0],
        **how,
    }


@pytest.mark.parametrize(
    ("how", "first", "second"),
    [
        ({"reader": ["knn", "linear"] * 2}, "accuracy, knn", "accuracy, linear"),
        ({"target": ["@label", "writer"] * 2}, "accuracy, @label", "accuracy, writer"),
        ({"position": [0, 3] * 2}, "accuracy, position 0", "accuracy, position 3"),
        (
            {"split": ["test", "shifted"] * 2, "reader": ["ridge"] * 4},
            "accuracy, test",
            "accuracy, shifted",
        ),
        (
            {"split": ["test", "shifted"] * 2, "reader": ["knn", "linear"] * 2},
            "accuracy, knn, test",
            "accuracy, linear, shifted",
        ),
    ],
)
def test_each_reader_target_and_split_is_a_score_of_its_own(how, first, second):
    table = probed(**how)
    both = {first: [1.0, 2.0], second: [10.0, 20.0]}
    assert joined(table) == both
    assert joined(table, [second]) == {second: [10.0, 20.0]}
    assert joined(table, ["accuracy"]) == both


def test_readings_of_wide_tables_are_scores_of_their_own_too():
    table = {"name": ["one", "two"] * 2, "split": ["a", "a", "b", "b"], "f": [1, 2, 3, 4]}
    assert joined(table) == {"f, a": [1.0, 2.0], "f, b": [3.0, 4.0]}
    assert joined(table, ["f, b"]) == {"f, b": [3.0, 4.0]}


def test_readings_of_other_layers_and_networks_are_none():
    table = {
        "name": ["one", "two", "one", "three"],
        "layer": ["l", "l", "k", "l"],
        "reader": ["knn", "knn", "linear", "mlp"],
        "f": [1, 2, 3, 4],
    }
    assert joined(table) == {"f": [1.0, 2.0]}


def test_a_perturbation_that_the_metric_names_is_not_named_twice():
    table = probed(metric=["accuracy", "accuracy, blur-4"] * 2, perturbation=[None, "blur-4"] * 2)
    assert list(joined(table)) == ["accuracy", "accuracy, blur-4"]


def test_a_score_that_one_network_lacks_is_named_with_its_reader():
    table = probed(reader=["knn", "linear", "knn", "mlp"])
    with pytest.raises(MismatchError, match="has no `accuracy, linear` for `two`, layer `l`"):
        joined(table)


def test_rows_that_nothing_known_tells_apart_say_what_differs():
    table = probed(shots=[1, 5, 1, 5])
    with pytest.raises(MismatchError, match="different `accuracy`; they differ in `shots`"):
        joined(table)


def test_a_score_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ArtifactError, match="no score `accuracy, kn`; closest: `accuracy, knn`"):
        joined(probed(reader=["knn", "linear"] * 2), ["accuracy, kn"])
