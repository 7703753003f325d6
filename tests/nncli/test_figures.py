"""What pictures show, and that figures show just that, the same bytes every time."""

import io
import re

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from nncli.calibration import softmax
from nncli.errors import ArtifactError
from nncli.figures.confidence import reliability
from nncli.figures.curves import axis_scale, curves
from nncli.figures.drawing import draw, encode
from nncli.figures.examples import gallery
from nncli.figures.gallery_figure import mosaic
from nncli.figures.grids import diagonal, heatmaps, pair_columns
from nncli.figures.pictures import Heatmaps
from nncli.figures.tensors import spectra, weight_histograms
from nncli.spectra import flat_layer, spectrum

ROWS, COLUMNS = ("in", "mid", "out"), ("first", "last")
VALUES = np.array([[0.9, 0.2], [0.4, 0.8], [0.1, 0.3]])


def pairs(values=VALUES, metric="linear-cka", **more):
    rows = [
        {"layer_a": a, "layer_b": b, "metric": metric, "value": float(values[i, j]), "n": 50}
        for i, a in enumerate(ROWS)
        for j, b in enumerate(COLUMNS)
    ]
    return pa.Table.from_pylist([{**row, **more} for row in rows])


def heat_axes(figure):
    return [axes for axes in figure.axes if axes.images]


def test_a_heat_map_has_the_rows_of_a_from_the_top_and_the_columns_of_b():
    figure = draw(heatmaps(pairs(), source="t", sides=("a.st", "b.st")))
    (axes,) = heat_axes(figure)
    image = axes.images[0]
    np.testing.assert_array_equal(image.get_array().data, VALUES)
    assert image.origin == "upper"
    assert [one.get_text() for one in axes.get_yticklabels()] == list(ROWS)
    assert [one.get_text() for one in axes.get_xticklabels()] == list(COLUMNS)
    assert axes.get_ylim() == (2.5, -0.5)
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("layers of a.st", "layers of b.st")


def test_the_value_of_every_cell_stands_in_it():
    (axes,) = heat_axes(draw(heatmaps(pairs(), source="t")))
    found = {one.get_position(): one.get_text() for one in axes.texts}
    assert found == {(j, i): f"{VALUES[i, j]:.2f}" for i in range(3) for j in range(2)}


@pytest.mark.parametrize(
    ("metric", "ends", "alike"), [("linear-cka", (0, 1), "yellow"), ("procrustes", (0, 2), "blue")]
)
def test_colours_span_the_range_of_the_measure_and_yellow_means_alike(metric, ends, alike):
    (axes,) = heat_axes(draw(heatmaps(pairs(metric=metric), source="t")))
    image = axes.images[0]
    assert image.get_clim() == ends
    red, _, blue, _ = image.cmap(image.norm(ends[1]))
    assert ("yellow" if red > blue else "blue") == alike


def test_a_table_says_itself_what_its_measures_mean():
    said = [{"metric": "own", "kind": "distance", "low": 0.0, "high": 4.0}]
    (grid,) = heatmaps(pairs(metric="own"), source="t", said=said).panels
    assert (grid.low, grid.high, grid.alike) == (0.0, 4.0, "low")


@pytest.mark.parametrize(("scale", "ends"), [(1.0, (0, 1)), (10.0, (0, 9)), (-1.0, (-0.9, -0.1))])
def test_an_unknown_measure_spans_its_values(scale, ends):
    (grid,) = heatmaps(pairs(VALUES * scale, metric="other"), source="t").panels
    assert (grid.low, grid.high, grid.alike) == (*ends, "")


def test_a_missing_value_is_hatched_and_explained():
    values = VALUES.copy()
    values[1, 0] = np.nan
    data = pairs(values)
    notes = [None if np.isfinite(one) else "`mid` is constant" for one in values.ravel()]
    figure = draw(heatmaps(data.append_column("note", pa.array(notes)), source="t"))
    (axes,) = heat_axes(figure)
    hatched = [one for one in axes.patches if one.get_hatch()]
    assert [(one.get_x(), one.get_y()) for one in hatched] == [(-0.5, 0.5)]
    assert [one.get_text() for one in figure.legends[0].get_texts()] == [
        "no value: `mid` is constant"
    ]


def test_the_best_match_of_each_row_is_framed():
    (axes,) = heat_axes(draw(heatmaps(pairs(), source="t")))
    framed = {(round(one.get_y() + 0.46), round(one.get_x() + 0.46)) for one in axes.patches}
    assert framed == {(0, 0), (1, 1), (2, 1)}
    (axes,) = heat_axes(draw(heatmaps(pairs(metric="procrustes"), source="t")))
    framed = {(round(one.get_y() + 0.46), round(one.get_x() + 0.46)) for one in axes.patches}
    assert framed == {(0, 1), (1, 0), (2, 0)}


def test_each_measure_has_a_panel_and_can_be_chosen():
    data = pa.concat_tables([pairs(), pairs(metric="svcca")])
    assert [one.title for one in heatmaps(data, source="t").panels] == ["linear-cka", "svcca"]
    chosen = heatmaps(data, source="t", metrics=["svcca"]).panels
    assert [one.title for one in chosen] == ["svcca"]
    with pytest.raises(ArtifactError, match="no metric `svca`; closest: `svcca`"):
        heatmaps(data, source="t", metrics=["svca"])


def test_two_values_for_one_pair_are_refused():
    with pytest.raises(ArtifactError, match="two values of linear-cka for `in` and `first`"):
        heatmaps(pa.concat_tables([pairs(), pairs()]), source="t")


def test_a_table_of_twins_becomes_a_table_of_layers():
    data = pa.table(
        {"layer_a": ["x", "y"], "layer_b": ["x", "y"], "metric": ["m", "m"], "value": [0.1, 0.2]}
    )
    assert pair_columns(data.column_names) == ("layer_a", "layer_b")
    assert diagonal(data).column_names == ["layer", "metric", "value"]
    assert diagonal(pairs()) is None


def series(seeds=4, steps=(0, 10, 100, 1000)):
    rng = np.random.default_rng(0)
    return pa.Table.from_pylist(
        [
            {
                "path": f"{seed}-{step}",
                "seed": seed,
                "step": step,
                "train_loss": 1 / (1 + step) + rng.random(),
                "test_loss": 2 / (1 + step) + rng.random(),
                "test_accuracy": rng.random(),
            }
            for seed in range(seeds)
            for step in steps
        ]
    )


def test_a_series_runs_along_its_steps_with_train_and_test_in_one_panel():
    picture = curves(series(), source="runs")
    assert picture.x_label == "step (updates)"
    assert [one.y_label for one in picture.panels] == [
        "loss (mean per example)",
        "accuracy (share of examples)",
    ]
    assert [line.label for line in picture.panels[0].lines] == ["train", "test"]


def test_runs_of_several_seeds_become_a_mean_with_a_band_of_one_standard_deviation():
    data = series()
    (line,) = curves(data, source="runs", metrics=["test_accuracy"]).panels[0].lines
    values = np.array(data["test_accuracy"].to_pylist()).reshape(4, 4)
    np.testing.assert_allclose(line.y, values.mean(axis=0))
    np.testing.assert_allclose(line.high - line.y, values.std(axis=0, ddof=1))
    np.testing.assert_allclose(line.y - line.low, values.std(axis=0, ddof=1))
    np.testing.assert_allclose([run[1] for run in line.runs], values)
    axes = draw(curves(data, source="runs", metrics=["test_accuracy"])).axes[0]
    thin = [one for one in axes.lines if one.get_linewidth() < 1]
    assert len(thin) == 4
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), values.mean(axis=0))


def test_a_long_table_has_a_panel_a_metric_and_a_line_a_group():
    rows = [
        {"width": width, "norm": norm, "metric": metric, "value": v, "low": v - 1, "high": v + 2}
        for width in (1, 2, 4)
        for norm in ("l2", "linf")
        for metric, v in (("bias", 1.0 * width), ("variance", 2.0 * width))
    ]
    picture = curves(pa.Table.from_pylist(rows), source="t")
    assert [one.y_label for one in picture.panels] == ["bias", "variance"]
    assert picture.x_label == "width (units)"
    first = picture.panels[1].lines[0]
    assert first.label == "l2"
    assert first.y.tolist() == [2, 4, 8]
    assert first.low.tolist() == [1, 3, 7]
    assert first.high.tolist() == [4, 6, 10]
    assert picture.band == "band: from `low` to `high`"


def test_names_along_the_axis_keep_their_order():
    data = pa.table({"layer": ["out", "in", "mid"], "metric": ["m"] * 3, "value": [3.0, 1.0, 2.0]})
    picture = curves(data, source="t")
    assert picture.categories == ("out", "in", "mid")
    assert picture.panels[0].lines[0].y.tolist() == [3, 1, 2]
    axes = draw(picture).axes[0]
    assert [one.get_text() for one in axes.get_xticklabels()] == ["out", "in", "mid"]


def test_columns_can_be_chosen_and_mistyped_ones_are_named():
    picture = curves(series(), source="t", x="test_accuracy", y=["test_loss"])
    assert (picture.x_label, len(picture.panels)) == ("test_accuracy", 1)
    with pytest.raises(ArtifactError, match="no column `stepp`; closest: `step`"):
        curves(series(), source="t", x="stepp")
    with pytest.raises(ArtifactError, match="no column `test_los`; closest: `test_loss`"):
        curves(series(), source="t", y=["test_los"])
    with pytest.raises(ArtifactError, match="no metric `accuracy`; closest: `test_accuracy`"):
        curves(series(), source="t", metrics=["accuracy"])


def test_rows_that_differ_in_nothing_drawn_are_averaged_and_counted():
    rows = [{"step": s, "value": v, "day": [v]} for s, v in ((1, 1.0), (1, 3.0), (2, 5.0))]
    picture = curves(pa.Table.from_pylist(rows), source="t")
    assert picture.panels[0].lines[0].y.tolist() == [2, 5]
    assert picture.caption == "mean of up to 2 rows with the same step"


def test_yes_and_no_are_two_lines():
    rows = [{"step": s, "robust": r, "value": s + r} for s in (1, 2) for r in (False, True)]
    data = pa.Table.from_pylist(rows).set_column(2, "value", pa.array([1.0, 2.0, 2.0, 3.0]))
    labels = [line.label for line in curves(data, source="t").panels[0].lines]
    assert labels == ["robust False", "robust True"]


def test_names_of_models_and_attacks_stand_in_the_legend_without_their_column():
    rows = [
        {"epsilon": e, "model_id": m, "attack": a, "norm": n, "metric": "error", "value": e}
        for e in (0.1, 0.2)
        for m, n in (("net", "l2"), ("other", "linf"))
        for a in ("pgd", "fgsm")
    ]
    (panel,) = curves(pa.Table.from_pylist(rows), source="t").panels
    assert panel.lines[0].label == "net, pgd, norm l2"


def test_what_follows_the_axis_makes_no_lines():
    rows = [{"step": s, "epoch": s / 10, "metric": "loss", "value": 1.0 / s} for s in (10, 20, 30)]
    picture = curves(pa.Table.from_pylist(rows), source="t")
    assert len(picture.panels[0].lines) == 1


@pytest.mark.parametrize(
    ("places", "scale"),
    [
        ([1, 2, 3, 4, 5], "linear"),
        ([0, 10, 100, 1000], "symlog"),
        ([1, 2, 4, 8, 16, 32, 64], "log"),
        ([0.1, 0.2], "linear"),
        ([-1, 1, 10, 100], "linear"),
        ([10, 20, 30, 400], "log"),
    ],
)
def test_an_axis_is_logarithmic_where_its_places_are_geometric(places, scale):
    assert axis_scale(np.array(places, float)) == scale


def test_few_places_of_a_logarithmic_axis_are_named_themselves():
    axes = draw(curves(series(), source="t")).axes[0]
    assert [one.get_text() for one in axes.get_xticklabels()] == ["0", "10", "100", "1000"]


def test_missing_values_interrupt_a_curve_and_are_counted():
    rows = [
        {"step": s, "metric": "loss", "value": v}
        for s, v in ((1, 1.0), (2, None), (3, float("nan")))
    ]
    picture = curves(pa.Table.from_pylist(rows), source="t")
    assert np.isnan(picture.panels[0].lines[0].y).tolist() == [False, True, True]
    assert picture.caption == "2 of 3 values are missing"


def test_values_that_are_all_missing_leave_hatched_axes_with_the_reason():
    rows = [{"step": s, "metric": "loss", "value": None, "note": "diverged"} for s in (1, 2)]
    text, number = pa.string(), pa.float64()
    schema = pa.schema([("step", pa.int64()), ("metric", text), ("value", number), ("note", text)])
    axes = draw(curves(pa.Table.from_pylist(rows, schema), source="t")).axes[0]
    assert axes.patch.get_hatch()
    assert [one.get_text() for one in axes.texts] == ["no values: diverged"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pa.table({"value": pa.array([], pa.float64())}), "no rows"),
        (pa.table({"metric": ["m"], "value": [1.0]}), "nothing varies"),
        (pa.table({"name": ["a", "b"]}), "no column of values"),
    ],
)
def test_a_table_without_a_curve_is_refused(data, said):
    with pytest.raises(ArtifactError, match=said):
        curves(data, source="t")


@pytest.mark.parametrize(
    ("columns", "settings", "said"),
    [
        (
            {"step": [1, 2], "metric": ["m", "m"], "value": ["a", "b"]},
            {},
            "`value` in `t` is string",
        ),
        ({"step": [[1], [2]], "loss": [0.5, 1.0]}, {"x": "step"}, "no axis runs along that"),
        ({"step": [1, 2], "loss": [0.5, 1.0], "name": ["a", "b"]}, {"y": ["name"]}, "no number"),
        ({"step": pa.nulls(2, pa.int64()), "loss": [0.5, 1.0]}, {"x": "step"}, "no value to draw"),
    ],
)
def test_columns_of_the_wrong_type_are_refused(columns, settings, said):
    with pytest.raises(ArtifactError, match=said):
        curves(pa.table(columns), source="t", **settings)


def test_a_grid_of_words_is_refused():
    data = pa.table({"layer_a": ["x"], "layer_b": ["y"], "value": ["high"]})
    with pytest.raises(ArtifactError, match="`value` in `t` is string, no number"):
        heatmaps(data, source="t")


def test_reliability_bars_stand_where_the_bins_are():
    rng = np.random.default_rng(3)
    logits = rng.standard_normal((2, 300, 4)) * 2
    label = rng.integers(0, 4, 300)
    members = [{"model_id": "a", "seed": 0}, {"model_id": "b", "seed": 1}]
    picture = reliability(members, lambda at: logits[at], label, score="logits", source="p")
    (panel,) = picture.panels
    confidence = softmax(logits.reshape(-1, 4)).max(axis=1)
    hit = logits.reshape(-1, 4).argmax(axis=1) == np.tile(label, 2)
    counts, _ = np.histogram(confidence, np.linspace(0, 1, 16))
    np.testing.assert_array_equal(panel.count, counts)
    assert len(panel.members) == 2
    figure = draw(picture)
    upper, lower = figure.axes
    bars = {round(one.get_x() * 15): one.get_height() for one in upper.patches}
    for place in np.flatnonzero(counts):
        inside = (confidence >= place / 15) & (confidence < (place + 1) / 15)
        assert bars[place] == pytest.approx(hit[inside].mean())
    assert [one.get_height() for one in lower.patches] == counts.tolist()
    assert f"ECE {panel.ece:.3f}" in upper.get_title(loc="left")


def test_reliability_keeps_perturbations_and_steps_apart_and_joins_seeds():
    members = [
        {"model_id": f"{seed}-{step}", "seed": seed, "step": step, "perturbation": one}
        for seed in (0, 1)
        for step in (0, 10)
        for one in (None, "fgsm 0.1")
    ]
    answers = np.eye(3)[[0, 1, 2]]
    picture = reliability(members, lambda at: answers, np.arange(3), score="probs", source="p")
    assert [one.title for one in picture.panels] == [
        "step 0, clean", "step 0, fgsm 0.1", "step 10, clean", "step 10, fgsm 0.1",
    ]  # fmt: skip
    assert all(len(one.members) == 2 for one in picture.panels)


@pytest.mark.parametrize(("score", "label"), [("pred", np.zeros(3, int)), ("probs", None)])
def test_answers_without_confidence_or_labels_are_refused(score, label):
    with pytest.raises(ArtifactError, match=r"no confidence|no true class"):
        reliability([{}], lambda at: np.eye(3), label, score=score, source="p")


def test_spectra_are_cumulative_shares_and_say_how_many_components_matter():
    x = np.random.default_rng(0).standard_normal((50, 6)) * [5, 4, 1, 0.1, 0.1, 0.1]
    found = [spectrum(flat_layer(name, x.shape, lambda a, b: x[a:b])) for name in ("one", "two")]
    picture = spectra(found, source="a")
    wanted = np.cumsum(PCA().fit(x).explained_variance_ratio_)
    np.testing.assert_allclose(picture.panels[0].lines[0].y, wanted)
    count = int(np.searchsorted(wanted, 0.9)) + 1
    assert picture.panels[0].lines[1].label == f"two ({count} of 6)"


def test_histograms_count_every_finite_number():
    x = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    x[:3] = np.nan
    picture = weight_histograms({"w": lambda: np.array_split(x, 7)}, source="c")
    (panel,) = picture.panels
    wanted, edges = np.histogram(x[3:].astype(float), panel.edges)
    np.testing.assert_array_equal(panel.count, wanted)
    assert panel.edges[0] == x[3:].min()
    assert "3 NaN" in panel.note
    np.testing.assert_array_equal(edges, panel.edges)


def test_a_tensor_of_one_value_and_one_without_any_are_drawn_too():
    tensors = {"zero": lambda: [np.zeros(9)], "none": lambda: [np.full(3, np.nan)]}
    figure = draw(weight_histograms(tensors, source="c"))
    assert [one.get_text() for one in figure.axes[1].texts][-1] == "no finite value"


def test_a_gallery_shows_images_of_each_class_upright_and_counts_them():
    x = np.zeros((5, 1, 2, 3), np.float32)
    x[:, 0, 0, 0] = [0.1, 0.2, 0.3, 0.4, 0.5]
    y = np.array([1, 0, 1, 1, 0])
    picture = gallery(x, y, source="d", class_names=("cat", "dog"), each=2)
    assert [(row.name, row.count) for row in picture.rows] == [("cat", 2), ("dog", 3)]
    assert [float(one[0, 0]) for one in picture.rows[1].images] == pytest.approx([0.1, 0.3])
    whole = mosaic(picture.rows, 2)
    assert whole[0, 0, 0] == pytest.approx(0.2)
    figure = draw(picture)
    assert [bar.get_width() for bar in figure.axes[1].patches] == [2, 3]


def test_colour_images_keep_their_colours():
    x = np.zeros((1, 3, 2, 2), np.float32)
    x[0, 2] = 1
    (row,) = gallery(x, np.array([0]), source="d").rows
    assert row.images[0][0, 0].tolist() == [0, 0, 1]


def test_data_without_images_are_counted_and_targets_become_a_histogram():
    assert gallery(np.zeros((4, 3)), np.array([0, 1, 1, 1]), source="d").rows[1].count == 3
    assert gallery(None, np.linspace(0, 1, 9), source="d").panels[0].count.sum() == 9
    with pytest.raises(ArtifactError, match="neither images nor classes"):
        gallery(np.zeros((4, 3)), None, source="d")


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_equal_pictures_give_equal_bytes_whatever_the_users_settings(form):
    import matplotlib

    picture = heatmaps(pairs(), source="t")
    once = encode(draw(picture), form, entry='{"kind":"figure"}')
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "x", "savefig.dpi": 30}):
        again = encode(draw(picture), form, entry='{"kind":"figure"}')
    assert once == again
    assert not re.search(rb"20\d\d-\d\d-\d\d|CreationDate", once)


def test_figures_say_who_made_them():
    figure = draw(heatmaps(pairs(), source="t"))
    png = encode(figure, "png", entry='{"kind":"figure"}')
    assert b"Software\0nncli" in png[:4096]
    assert Image.open(io.BytesIO(png)).info["nncli"] == '{"kind":"figure"}'
    assert b"nncli" in encode(figure, "svg")[:4096]


def test_figures_leave_no_global_state():
    import sys

    import matplotlib

    before = dict(matplotlib.rcParams)
    encode(draw(heatmaps(pairs(), source="t")), "png")
    assert dict(matplotlib.rcParams) == before
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_any_name_can_be_drawn():
    names = ("$\\frac{", "a\nb\x1b[2J", "x" * 300)
    values = np.eye(3)
    rows = [
        {"layer_a": a, "layer_b": b, "metric": "linear-cka", "value": float(values[i, j])}
        for i, a in enumerate(names)
        for j, b in enumerate(names)
    ]
    picture = heatmaps(pa.Table.from_pylist(rows), source="$t_{" * 40)
    assert isinstance(picture, Heatmaps)
    for form in ("png", "svg"):
        assert len(encode(draw(picture), form)) > 1000


def test_a_large_grid_names_some_of_its_rows_and_writes_no_numbers():
    names = [f"model.layers.{n}.mlp" for n in range(100)]
    rows = [
        {"layer_a": a, "layer_b": b, "metric": "linear-cka", "value": 0.5}
        for a in names
        for b in names
    ]
    (axes,) = heat_axes(draw(heatmaps(pa.Table.from_pylist(rows), source="t")))
    assert not list(axes.texts)
    assert len(axes.get_yticklabels()) == 34
    assert axes.get_yticklabels()[1].get_text() == names[3]


def test_a_metric_that_has_no_place_along_the_axis_has_no_panel():
    data = pa.table(
        {
            "epsilon": [0.1, 0.2, None],
            "metric": ["error", "error", "exponent"],
            "value": [0.3, 0.6, 1.1],
        }
    )
    assert [panel.y_label for panel in curves(data, source="t").panels] == ["error"]
