"""Tables that summarise comparisons become the picture of what they say."""

import numpy as np
import pyarrow as pa
import pytest

from nncli.errors import ArtifactError
from nncli.figures.curve_pictures import Curves
from nncli.figures.drawing import draw
from nncli.figures.pictures import Heatmaps
from nncli.figures.tables import table_picture


def picture(rows, **how):
    return table_picture(pa.Table.from_pylist(list(rows)), source="t", facts={}, **how)


def test_measures_stand_in_their_order_with_their_intervals_a_panel_for_each_score():
    rows = [
        {"score": score, "metric": name, "rank": k, "spearman": s, "low": s - 0.5, "high": s + 0.1}
        for score in ("accuracy", "test_loss")
        for k, (name, s) in enumerate([("procrustes", 0.8), ("svcca", 0.2)], 1)
    ]
    found = picture(rows)
    assert found.categories == ("procrustes", "svcca")
    assert [one.y_label for one in found.panels] == ["spearman, accuracy", "spearman, test_loss"]
    (line,) = found.panels[0].lines
    np.testing.assert_allclose([line.y, line.low], [[0.8, 0.2], [0.3, -0.3]])
    assert not found.joined
    low, _ = draw(found).axes[0].get_ylim()
    assert low < -0.3


def test_each_reference_is_averaged_and_measures_are_lines():
    rows = [
        {"score": "f", "metric": m, "reference": r, "layer": layer, "spearman": s + d}
        for m, s in (("cka", 0.5), ("rsa", 0.1))
        for r, d in (("p", 0.1), ("q", 0.3))
        for layer in ("in", "out")
    ]
    found = picture(rows)
    assert [line.label for line in found.panels[0].lines] == ["cka", "rsa"]
    np.testing.assert_allclose(found.panels[0].lines[0].y, [0.7, 0.7])
    assert "by reference" in found.caption


def test_deletion_shows_when_each_measure_notices_layer_by_layer():
    rows = [
        {
            "metric": m,
            "layer": layer,
            "spread": 0.9,
            "detected_at": at,
            "detected": 1.0,
            "lost": 0.1,
        }
        for m, at in (("cka", 0.9), ("svcca", None))
        for layer in ("in", "out")
    ]
    found = picture(rows)
    assert found.categories == ("in", "out")
    np.testing.assert_allclose(found.panels[0].lines[0].y, [0.9, 0.9])
    assert np.isnan(found.panels[0].lines[1].y).all()


def test_the_rungs_of_all_captures_are_one_curve():
    rows = [
        {
            "metric": "cka",
            "layer": "in",
            "capture": c,
            "kept": 5,
            "deleted": at + d,
            "value": 1 - at,
        }
        for c, d in (("p", 0.0), ("q", 0.02))
        for at in (0.2, 0.6)
    ]
    (line,) = picture(rows).panels[0].lines
    np.testing.assert_allclose([line.x, line.y], [[0.21, 0.61], [0.8, 0.4]])


def test_settled_steps_run_along_the_layers():
    rows = [
        {"seed": seed, "layer": layer, "metric": "cka", "step": step, "correlation": 1.0, "p": 0.5}
        for seed in (0, 1)
        for layer, step in (("in", 10), ("out", 30))
    ]
    found = picture(rows)
    assert found.panels[0].y_label == "settled from step, cka"
    np.testing.assert_allclose(found.panels[0].lines[0].y, [10, 30])


def dominant():
    def row(*cells):
        names = ("layer_a", "layer_b", "example_id", "metric", "removed", "value")
        return dict(zip(names, cells, strict=True))

    layers = ("in", "out")
    yield from (row(a, None, None, "pc1-share", 0, 0.4) for a in layers)
    yield from (row(a, b, None, "pc1-cosine2", 0, 0.9) for a in layers for b in layers)
    yield from (row(a, None, str(k), "pc1-example-share", 0, 1 / k) for a in layers for k in (1, 2))
    for removed in (0, 1):
        yield from (
            row(a, b, None, "linear-cka", removed, 0.8 - removed / 2)
            for a in layers
            for b in layers
        )


def test_the_grid_stands_beside_itself_without_the_first_components():
    found = picture(dominant())
    assert isinstance(found, Heatmaps)
    assert [one.title for one in found.panels] == [
        "pc1-cosine2",
        "linear-cka",
        "linear-cka without pc1",
    ]
    assert (found.panels[1].values == 0.8).all()
    np.testing.assert_allclose(found.panels[2].values, 0.3)


def test_shares_of_components_and_of_examples_are_curves():
    assert picture(dominant(), metrics=["pc1-share"]).categories == ("in", "out")
    found = picture(dominant(), metrics=["pc1-example-share"])
    np.testing.assert_allclose(found.panels[0].lines[0].y, [1, 0.5])
    with pytest.raises(ArtifactError, match="no metric `pc1-shares`; closest: `pc1-share`"):
        picture(dominant(), metrics=["pc1-shares"])


def test_captures_against_one_file_run_along_what_they_differ_in():
    rows = [
        {"a": f"{s}-{t}", "b": "end", "seed_a": s, "seed_b": 9, "step_a": t, "step_b": 7}
        | {"layer_a": layer, "layer_b": layer, "metric": "linear-cka", "value": t / 10}
        for s in (0, 1)
        for t in (1, 5)
        for layer in ("in", "out")
    ]
    found = picture(rows)
    assert isinstance(found, Curves)
    assert (found.x_label, len(found.panels[0].lines)) == ("step (updates)", 2)
    assert "mean of 2 runs" in found.caption


def test_a_list_of_blocks_names_the_way_to_see_them():
    rows = [{"metric": "cka", "first": "in", "last": "out", "layers": 2, "weakest": 0.9}]
    with pytest.raises(ArtifactError, match="is a list of blocks") as caught:
        picture(rows)
    assert "nncli compare CAPTURE | nncli plot" in caught.value.hint
