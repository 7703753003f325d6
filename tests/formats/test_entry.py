import json

import pytest

from nncli.errors import ArtifactError
from nncli.formats.entry import Entry, demand_kind

FULL = Entry(
    kind="activations",
    schema=1,
    command=("capture", "a.safetensors", "--layer", "block.*"),
    version="0.1.0",
    inputs=({"name": "a.safetensors", "digest": "sha256:00", "entry": {"kind": "checkpoint"}},),
    seed=3,
    facts={"n": 10, "layers": {"b": {"reduce": "mean"}, "a": {}}, "é": None},
)


def test_an_entry_comes_back_as_it_was():
    assert Entry.from_json(FULL.to_json(), source="x") == FULL


def test_an_entry_is_compact_json_with_sorted_keys_at_every_level():
    raw = json.loads(FULL.to_json())
    canonical = json.dumps(raw, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert FULL.to_json() == canonical
    assert list(raw) == sorted(raw)


def test_equal_facts_in_another_order_give_equal_text():
    one = Entry(kind="table", facts={"a": 1, "b": {"c": 2, "d": 3}})
    other = Entry(kind="table", facts={"b": {"d": 3, "c": 2}, "a": 1})
    assert one.to_json() == other.to_json()


def test_facts_that_are_not_finite_become_null_since_json_has_no_name_for_them():
    entry = Entry(kind="checkpoint", facts={"metrics": {"loss": float("nan")}, "b": [1e999, 1.5]})
    assert json.loads(entry.to_json())["facts"] == {"metrics": {"loss": None}, "b": [None, 1.5]}


def test_a_parent_is_carried_without_its_facts():
    carried = FULL.as_parent()
    assert "facts" not in carried
    assert carried["inputs"] == [dict(FULL.inputs[0])]
    assert json.loads(Entry(kind="table", inputs=(carried,)).to_json())["inputs"] == [carried]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "3",
        "[]",
        "{}",
        '{"kind":"table"}',
        '{"kind":"table","schema":"new"}',
        '{"kind":"table","schema":1,"inputs":[3]}',
        '{"kind":"table","schema":1,"facts":[3]}',
        '{"kind":"table","schema":1,"seed":"x"}',
        '{"kind":"table","schema":1,"command":7}',
        "[" * 100_000,
    ],
)
def test_text_that_is_no_entry_is_an_error_that_names_the_file(text):
    with pytest.raises(ArtifactError, match="entry of `a` is not one of ours"):
        Entry.from_json(text, source="a")


def test_another_kind_is_refused_and_a_foreign_file_is_let_through():
    demand_kind(FULL, "activations", source="x")
    demand_kind(None, "activations", source="x")
    with pytest.raises(
        ArtifactError, match="`x` holds activations, expected predictions"
    ) as caught:
        demand_kind(FULL, "predictions", source="x")
    assert "nncli show x" in caught.value.hint


def test_a_later_layout_is_refused_rather_than_misread():
    later = Entry(kind="table", schema=2, version="9.0")
    demand_kind(later, "table", source="x", schema=2)
    with pytest.raises(ArtifactError, match="layout 2") as caught:
        demand_kind(later, "table", source="x")
    assert "9.0" in caught.value.hint
