"""The parts of a risk share a panel, as do a score and what it is held to; logarithmic axes."""

import re

import numpy as np
import pyarrow as pa
import pytest

from nncli.drawings import drawn
from nncli.errors import ArtifactError, UsageError
from nncli.figures.drawing import draw
from nncli.figures.log_axes import on_log_axes
from nncli.figures.tables import table_picture

WIDTHS = (2, 8, 32, 128)
VARIANCE = (0.1, 0.4, 0.3, 0.2)


def parts(loss="squared", widths=WIDTHS, **key):
    for width, variance in zip(widths, VARIANCE, strict=False):
        for metric, value in (("risk", 1 / width + variance), ("bias", 1 / width)):
            yield row(key | {"width": width}, loss, metric, value)
        yield row(key | {"width": width}, loss, "variance", variance)
        yield row(key | {"width": width}, loss, "bias_plugin", 9.0)


def row(key, loss, metric, value, **ends):
    told = {"loss": loss, "metric": metric, "value": value, "se": 0.01}
    return {**key, **told, "low": value - 0.01, "high": value + 0.02, "models": 8, "n": 450} | ends


def summaries(**key):
    at = key | {"width": None}
    yield row(at, "squared", "variance_peak", 8.0, low=2.0, high=32.0)
    yield row(at, "zero-one", "interpolation_threshold", 32.0, low=None, high=None)


def picture(rows, facts=None, **how):
    return table_picture(pa.Table.from_pylist(list(rows)), source="t", facts=facts or {}, **how)


def test_risk_bias_and_variance_are_lines_of_one_panel_for_each_loss():
    found = picture([*parts(), *parts("cross-entropy")], {"axis": "width", "unit": "bits"})
    assert [one.y_label for one in found.panels] == ["squared loss", "cross-entropy (bits)"]
    lines = found.panels[0].lines
    assert [one.label for one in lines] == ["risk", "bias", "variance"]
    np.testing.assert_allclose(lines[2].y, VARIANCE)
    np.testing.assert_allclose(lines[2].high, np.array(VARIANCE) + 0.02)
    assert (found.x_label, found.scale, found.joined) == ("width (units)", "log", True)
    assert "95 %" in found.band


def test_the_peak_of_the_variance_and_the_threshold_are_marked():
    found = picture([*parts(), *parts("zero-one"), *summaries()])
    squared, zero_one = found.panels
    assert [(one.at, one.low, one.high, one.colour) for one in squared.marks] == [
        (8.0, 2.0, 32.0, 2),
        (32.0, None, None, None),
    ]
    assert [one.at for one in zero_one.marks] == [32.0]
    axes = draw(found).axes[0]
    upright = [
        one.get_xdata()[0] for one in axes.lines if one.get_xdata()[0] == one.get_xdata()[-1]
    ]
    assert upright == [8.0, 32.0]
    text = drawn(found, width=80).plain
    assert "▲ variance peak, its interval: 8 (2 to 32)" in text
    assert "△ interpolation threshold: 32" in text
    axis = next(line for line in text.splitlines() if line.lstrip().startswith("└"))
    assert (axis.count("▲"), axis.count("△")) == (1, 1)


def test_a_mark_of_the_variance_needs_the_variance():
    found = picture([*parts(), *summaries()], metrics=["risk"])
    assert [one.y_label for one in found.panels] == ["squared loss: risk"]
    assert [one.at for one in found.panels[0].marks] == [32.0]


def test_each_set_of_examples_has_panels_and_marks_of_its_own():
    rows = [*parts(split="test"), *parts(split="blurred"), *summaries(split="blurred")]
    found = picture(rows)
    assert [one.y_label for one in found.panels] == ["squared loss, test", "squared loss, blurred"]
    assert [len(one.marks) for one in found.panels] == [0, 2]


def test_an_ensemble_without_a_curve_is_points_with_intervals():
    found = picture([one for one in parts() if one["width"] == 8])
    assert found.categories == ("risk", "bias", "variance")
    assert not found.joined
    text = drawn(found, width=80).plain.splitlines()
    (variance,) = (line for line in text if line.startswith("variance"))
    assert variance.split()[-1] == "0.4"
    assert "●" in variance


def test_names_along_the_axis_are_not_joined_and_stand_side_by_side():
    rows = [{**one, "width": f"net-{one['width']}"} for one in parts()]
    found = picture(rows)
    assert (found.joined, found.categories) == (False, tuple(f"net-{one}" for one in WIDTHS))
    axes = draw(found).axes[0]
    places = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert len(set(places)) == 3
    text = drawn(found, width=90).plain.splitlines()
    assert sum(line.startswith("net-8") for line in text) == 1
    assert sum("bias" in line for line in text) == 4


def test_quantities_can_be_chosen_and_mistyped_ones_are_named():
    found = picture(parts(), metrics=["bias_plugin"])
    assert [one.y_label for one in found.panels] == ["squared loss: bias_plugin"]
    with pytest.raises(ArtifactError, match="no metric `biass`; closest: `bias`"):
        picture(parts(), metrics=["biass"])


def probe_rows():
    for layer, value, control in (("in", 0.9, 0.5), ("out", 0.95, 0.3)):
        for target in ("@label", "slant"):
            yield {
                "layer": layer,
                "target": target,
                "reader": "linear",
                "metric": "accuracy",
                "value": value,
                "low": value - 0.02,
                "high": value + 0.01,
                "baseline": 0.1,
                "shuffled": 0.11,
                "control": control,
                "selectivity": value - control,
                "twin": None,
            }


def test_a_score_of_readers_shares_a_panel_with_what_it_is_held_to():
    found = picture(probe_rows())
    assert [one.y_label for one in found.panels] == ["accuracy, @label", "accuracy, slant"]
    lines = found.panels[0].lines
    assert [one.label for one in lines] == ["reader", "control", "shuffled", "baseline"]
    np.testing.assert_allclose([lines[0].y, lines[1].y], [[0.9, 0.95], [0.5, 0.3]])
    np.testing.assert_allclose(lines[0].low, [0.88, 0.93])
    assert lines[1].low is None
    assert found.categories == ("in", "out")


def test_measures_in_characters_are_rows_not_a_curve():
    rows = [
        {"score": "accuracy", "metric": m, "rank": k, "spearman": s, "low": s - 0.2, "high": s}
        for k, (m, s) in enumerate([("procrustes", 0.5), ("svcca", -0.25)], 1)
    ]
    text = drawn(picture(rows), width=80).plain.splitlines()
    (upper,) = (line for line in text if line.startswith("procrustes"))
    (lower,) = (line for line in text if line.startswith("svcca"))
    assert lower.index("●") < upper.index("│" if "│" in upper else "├") < upper.index("●")
    assert (upper.split()[-1], lower.split()[-1]) == ("0.5", "-0.25")


def test_a_logarithmic_axis_leaves_out_and_counts_what_is_not_positive():
    rows = [{"epsilon": e, "metric": "error", "value": v, "low": v - 0.1, "high": v + 0.1}
            for e, v in ((0.0, 0.0), (0.1, 0.01), (0.2, 0.02), (0.4, 0.5))]  # fmt: skip
    found = on_log_axes(picture(rows), ("x", "y"), source="t")
    (line,) = found.panels[0].lines
    assert np.isnan(line.y).tolist() == [True, False, False, False]
    assert (line.low[1:] > 0).all()
    assert (found.scale, found.y_scale) == ("symlog", "log")
    assert found.caption == "left out, because not positive: 1 of the values"
    axes = draw(found).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("symlog", "log")
    text = drawn(found, width=60).plain
    assert "0.5 ┤" in text
    assert "0.01 ┤" in text


def test_a_logarithmic_axis_needs_positive_numbers_and_curves():
    rows = [{"x": x, "metric": "m", "value": -1.0} for x in (-1.0, 2.0)]
    with pytest.raises(ArtifactError, match="`x` in `t` is not positive"):
        on_log_axes(picture(rows), ("x",), source="t")
    (panel,) = on_log_axes(picture(rows), ("y",), source="t").panels
    assert panel.note == "no positive values"
    named = [{"layer": x, "metric": "m", "value": 1.0} for x in ("a", "b")]
    with pytest.raises(ArtifactError, match="has names, not numbers"):
        on_log_axes(picture(named), ("x",), source="t")
    grid = [{"layer_a": a, "layer_b": b, "metric": "m", "value": 0.5} for a in "xy" for b in "xy"]
    with pytest.raises(UsageError, match="has no curves"):
        on_log_axes(picture(grid), ("y",), source="t")


def test_a_score_and_its_twin_in_panels_of_their_own_have_one_range_and_bits_have_theirs():
    twin = {"layer": ["a", "b"], "metric": ["accuracy"] * 2, "value": [0.97, 0.99]}
    table = pa.table({**twin, "twin": [0.98, 0.6], "bits": [400.0, 200.0]})
    found = table_picture(table, source="t", facts={}, x="layer", y=("value", "twin", "bits"))
    value, other, bits = (axes.get_ylim() for axes in draw(found).axes[:3])
    assert value == other
    assert value[0] < 0.6
    assert 0.99 < value[1] < 1.1
    assert bits[0] > 100
    text = drawn(found, width=60).plain
    assert len(re.findall(r"^ *0\.99\d* ┤", text, re.MULTILINE)) == 2
    assert len(re.findall(r"^ *0\.60* ┤", text, re.MULTILINE)) == 2
