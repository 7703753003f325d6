"""Drawings in characters: they fit the width, say the numbers, and need no colour."""

import numpy as np
import pyarrow as pa
import pytest

from nncli.drawings import drawn
from nncli.figures.braille import Canvas
from nncli.figures.curve_pictures import Curves, Line, Panel
from nncli.figures.curves import curves
from nncli.figures.examples import gallery
from nncli.figures.pictures import Grid, Heatmaps
from nncli.figures.tensors import weight_histograms
from nncli.figures.text_parts import axis_numbers, bar, cut, shade, viridis

VALUES = np.array([[0.9, 0.2], [0.4, 0.8]])


def heat(values=VALUES, names=("in", "out"), **settings):
    settings = {"low": 0.0, "high": 1.0, "alike": "high", **settings}
    return Heatmaps("t", "rows", "columns", (Grid("cka", names, names, values, **settings),))


def line(x, y, label="", **settings):
    return Line(label, np.array(x, float), np.array(y, float), **settings)


def panel(*lines, **settings):
    return Curves("t", "step", (Panel("loss", lines),), **settings)


def text_of(picture, width=80):
    return drawn(picture, width=width).plain.splitlines()


def test_a_canvas_sets_one_braille_dot_for_each_place():
    canvas = Canvas(2, 1)
    for x, y in ((0, 1), (0.99, 0)):  # upper left of the first, lower right of the last
        canvas.dot(x, y, 0)
    assert canvas.rows() == ["\u2801\u2880"]


def test_a_line_is_unbroken_and_a_missing_value_breaks_it():
    canvas = Canvas(10, 1)
    canvas.curve([0, 1], [0.5, 0.5], 0)
    assert " " not in canvas.rows()[0]
    canvas = Canvas(10, 1)
    canvas.curve([0, 0.3, 0.5, 0.7, 1], [0.5, 0.5, np.nan, 0.5, 0.5], 0)
    assert canvas.rows()[0][4:6] == "  "


def test_a_heat_map_writes_every_value_in_its_place():
    lines = text_of(heat())
    (top,) = [one for one in lines if one.strip().startswith("in ") and "0." in one]
    (bottom,) = [one for one in lines if one.strip().startswith("out ") and "0." in one]
    assert [top.index("0.90") < top.index("0.20"), bottom.index("0.40") < bottom.index("0.80")] == [
        True,
        True,
    ]
    assert "█" in top
    assert "cka (similarity, 1 = same)" in lines[3]


def test_dark_means_alike_for_distances_too():
    near = text_of(heat(np.array([[0.0, 2.0], [2.0, 0.0]]), high=2.0, alike="low"))
    (top,) = [one for one in near if one.strip().startswith("in ") and "." in one]
    assert top.split()[1] == "██"


def test_a_missing_value_is_a_dash_with_its_reason():
    values = VALUES.copy()
    values[0, 1] = np.nan
    lines = text_of(heat(values, notes={(0, 1): "`in` is constant"}))
    assert any("–" in one and "0.90" in one for one in lines)
    assert "– none: `in` is constant" in lines


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("size", [2, 9, 30, 70, 200])
@pytest.mark.parametrize("colour", [True, False])
def test_a_heat_map_of_any_size_fits_the_width(width, size, colour):
    names = tuple(f"model.layers.{n}" for n in range(size))
    values = np.random.default_rng(0).random((size, size))
    text = drawn(heat(values, names), width=width, colour=colour).plain
    assert max(map(len, text.splitlines())) <= width


def test_of_a_huge_grid_each_cell_is_a_mean():
    names = tuple(str(n) for n in range(100))
    lines = text_of(heat(np.full((100, 100), 0.5), names), width=60)
    assert any("each cell is the mean of 2 × 2" in one for one in lines)


def test_a_curve_goes_from_its_first_to_its_last_value_and_has_its_name_there():
    lines = text_of(panel(line([0, 1, 2], [0.0, 1.0, 4.0], "test")))
    rows = [one for one in lines if "┤" in one or "│" in one]
    assert rows[0].startswith("4.00")
    assert rows[0].endswith("test")
    assert rows[-1].startswith("0.00")
    assert lines[-2].split() == ["0", "1", "2"]
    assert lines[-1].strip() == "step"


def test_every_curve_has_its_name_on_a_row_of_its_own_in_order():
    many = [line([0, 1], [0, 0.5 + n / 100], f"run {n}") for n in range(8)]
    ends = [one.split("run ")[1] for one in text_of(panel(*many)) if "run " in one]
    assert ends == [str(n) for n in range(7, -1, -1)]


def test_zero_has_a_place_on_a_logarithmic_axis():
    lines = text_of(panel(line([0, 10, 100, 1000], [1, 2, 3, 4]), scale="symlog"))
    assert lines[-2].split() == ["0", "10", "100", "1,000"]


def test_names_along_the_axis_are_written_below_it():
    lines = text_of(panel(line([0, 1], [1, 2]), categories=("block.0", "head")))
    assert lines[-2].split() == ["block.0", "head"]


def test_a_panel_without_values_says_why():
    picture = Curves("t", "step", (Panel("loss", (), "no values: diverged"),))
    assert "  (no values: diverged)" in text_of(picture)


@pytest.mark.parametrize("width", [40, 100])
def test_all_other_drawings_fit_the_width(width):
    rng = np.random.default_rng(0)
    data = pa.Table.from_pylist(
        [{"layer": f"model.layers.{n}", "metric": "m", "value": rng.random()} for n in range(60)]
    )
    images = gallery(rng.random((40, 3, 64, 64)), np.arange(40) % 8, source="d")
    for picture in (curves(data, source="t"), images):
        for colour in (True, False):
            text = drawn(picture, width=width, colour=colour).plain
            assert max(map(len, text.splitlines())) <= width


def test_a_histogram_is_as_high_as_its_counts():
    values = np.repeat([0.0, 1.0], [100, 50])
    lines = text_of(weight_histograms({"w": lambda: [values]}, source="c"))
    (row,) = [one for one in lines if one.startswith("w ")]
    assert row.count("█") > 0
    assert row.count("▄") == row.count("█")


def test_images_are_drawn_in_shades_and_counted():
    x = np.zeros((3, 1, 2, 2), np.float32)
    x[0, 0, 0, 1] = 1
    lines = text_of(gallery(x, np.array([0, 1, 1]), source="d"))
    assert "  ██" in lines
    (one, two) = [row.split() for row in lines if "━" in row]
    assert (one[-1], two[-1]) == ("1", "2")
    assert len(two[1]) == 2 * len(one[1])


def test_without_colour_there_is_no_style():
    assert not drawn(heat(), colour=False).spans
    assert drawn(heat(), colour=True).spans


def test_shades_and_colours_run_from_dark_to_light():
    assert [shade(share) for share in (0, 0.3, 0.5, 0.7, 1)] == list(" ░▒▓█")
    light = [sum(viridis(share)) for share in np.linspace(0, 1, 9)]
    assert light == sorted(light)


def test_small_parts_do_what_they_say():
    assert bar(0.5, 4) == "━━  "
    assert bar(1 / 8, 4) == "╸   "
    assert cut("block.0.attention", 9) == "bloc…tion"
    assert cut("a\x1bb", 9) == "a?b"
    assert axis_numbers([1.0, 0.5, 0.0]) == ["1.00", "0.50", "0.00"]
    assert axis_numbers([0.99011, 0.99]) == ["0.990110", "0.990000"]
    assert axis_numbers([2e6, 0]) == ["2,000,000", "0"]
