"""Trees, maps and dynamics: what the pictures show is what the tables say."""

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.colors import to_hex
from scipy.spatial.distance import pdist, squareform

from nncli.drawings import drawn
from nncli.errors import ArtifactError, UsageError
from nncli.figures.curve_pictures import Curves
from nncli.figures.drawing import draw, encode
from nncli.figures.dynamics import dynamics, dynamics_curves, of_dynamics
from nncli.figures.pictures import Heatmaps, Populations
from nncli.figures.populations import is_population, populations, short_names
from nncli.figures.style import COLOURS
from nncli.figures.tables import table_picture
from nncli.populations import Distances, arrange

MEMBERS = tuple(f"runs/{kind}-{seed}.st" for kind in ("noise", "true") for seed in range(3))
NOISE = [0.9] * 3 + [0.0] * 3


def population(seed=0, metric="linear-cka", layer="mean", clusters=None):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((6, 2)) + 8 * np.repeat(np.eye(2), 3, axis=0)
    matrix = squareform(pdist(points)) / 20
    return arrange(Distances(metric, layer, 4, "1 - value", MEMBERS, matrix), clusters=clusters)


def table(*found, **columns):
    rows = [
        {**row, "label_noise": NOISE[place % 6], "seed": place % 3}
        for one in found
        for place, row in enumerate(one.rows())
    ]
    return pa.Table.from_pylist([{**row, **columns} for row in rows]), {
        "trees": [one.summary() for one in found]
    }


def picture(*found, **wanted):
    return populations(*table(*found), source="t", **wanted)


def test_a_table_of_clusters_is_known_by_its_columns():
    data, facts = table(population())
    assert is_population(data.column_names)
    assert isinstance(table_picture(data, source="t", facts=facts), Populations)


def test_every_pair_meets_in_the_picture_at_its_height_in_the_tree():
    found = population()
    (panel,) = picture(found).panels
    below = {float(place): [place] for place in range(6)}
    met = np.zeros((6, 6))
    for branch in panel.branches:
        left, right = (below.pop(end) for end in branch.ends)
        met[np.ix_(left, right)] = met[np.ix_(right, left)] = branch.height
        below[sum(branch.ends) / 2] = left + right
    matrix = found.distances.matrix[
        np.ix_(np.argsort(found.tree.leaf), np.argsort(found.tree.leaf))
    ]
    halves = np.array(panel.groups)
    across = matrix[np.ix_(halves == 0, halves == 1)].mean()
    assert met[halves == 0][:, halves == 1] == pytest.approx(across)  # average linkage
    assert met.max() == pytest.approx(across)


def test_names_and_points_are_in_the_order_of_the_leaves():
    found = population()
    (panel,) = picture(found).panels
    order = np.argsort(found.tree.leaf)
    assert panel.names == tuple(short_names(MEMBERS)[place] for place in order)
    np.testing.assert_allclose(panel.points, found.embedding.points[order])


def test_colours_show_a_factor_else_the_clusters_and_whatever_is_asked_for():
    data, facts = table(population())
    assert populations(data, facts, source="t").groups == ("label_noise 0", "label_noise 0.9")
    bare = data.drop_columns(["label_noise"])
    assert populations(bare, facts, source="t").groups == ("cluster 1", "cluster 2")
    seeds = populations(data, facts, source="t", colour="seed")
    assert seeds.groups == ("seed 0", "seed 1", "seed 2")
    with pytest.raises(ArtifactError, match="closest: `label_noise`"):
        populations(data, facts, source="t", colour="label_nois")


def test_a_branch_has_the_colour_that_all_its_leaves_share():
    (panel,) = picture(population()).panels
    groups = [branch.group for branch in panel.branches]
    assert sorted(groups) == [-1, 0, 0, 1, 1]
    assert panel.branches[-1].group == -1


@pytest.mark.parametrize("clusters", [2, 3, 5])
def test_the_cut_crosses_as_many_branches_as_there_are_clusters(clusters):
    (panel,) = picture(population(clusters=clusters)).panels
    crossed = sum(
        start < panel.cut < branch.height for branch in panel.branches for start in branch.starts
    )
    assert crossed == clusters


@pytest.mark.parametrize("clusters", [1, 6])
def test_there_is_no_cut_above_the_root_or_through_the_leaves(clusters):
    (panel,) = picture(population(clusters=clusters)).panels
    assert panel.cut is None


def test_the_figure_draws_the_tree_over_the_leaves_and_the_map_to_scale():
    shown = picture(population())
    figure = draw(shown)
    tree, plane = figure.axes
    (panel,) = shown.panels
    assert [one.get_text() for one in tree.get_yticklabels()] == list(panel.names)
    assert tree.get_ylim()[0] > tree.get_ylim()[1]  # the first leaf is at the top
    assert tree.get_xlim()[0] > tree.get_xlim()[1] == 0  # the root at the left
    assert tree.get_xlabel() == "distance: 1 - linear-cka, mean of 4 layers"
    assert plane.get_aspect() == 1
    places = np.array([line.get_xydata()[0] for line in plane.lines])
    np.testing.assert_allclose(places, panel.points)
    colours = [to_hex(line.get_color()).upper() for line in plane.lines]
    assert colours == [COLOURS[group] for group in panel.groups]
    legend = [one.get_text() for one in figure.legends[0].get_texts()]
    assert legend == ["label_noise 0", "label_noise 0.9", "cluster 1", "cluster 2"]


def test_names_on_the_map_touch_neither_one_another_nor_other_points():
    shown = picture(population(seed=3))
    figure = draw(shown)
    figure.canvas.draw()
    boxes = [one.get_window_extent() for one in figure.axes[1].texts]
    assert boxes
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[place + 1 :])
    dots = figure.axes[1].transData.transform(shown.panels[0].points)
    assert not any(box.contains(*dot) for box in boxes for dot in dots)


def test_members_on_one_spot_share_a_name():
    matrix = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 0]], float)
    found = arrange(Distances("d", None, 1, "value", ("a", "b", "c"), matrix))
    shown = populations(pa.Table.from_pylist(found.rows()), {}, source="t")
    assert [one.get_text() for one in draw(shown).axes[0].texts] == ["a + 1", "c"]


def test_each_metric_and_layer_has_a_panel_and_can_be_chosen():
    found = population(), population(metric="procrustes"), population(layer="head")
    assert len(picture(*found).panels) == 3
    assert [one.title.split(":")[0] for one in picture(*found).panels] == [
        "linear-cka",
        "procrustes",
        "linear-cka, head",
    ]
    assert len(picture(*found, metrics=["procrustes"]).panels) == 1
    assert len(draw(picture(*found)).axes) == 6
    with pytest.raises(ArtifactError, match="no metric `procrust`; closest: `procrustes`"):
        picture(*found, metrics=["procrust"])


def test_without_metadata_there_is_a_map_alone_and_that_is_said():
    data, _ = table(population())
    shown = populations(data, {}, source="t")
    assert shown.panels[0].branches == ()
    assert "metadata" in shown.caption
    assert len(draw(shown).axes) == 1
    assert "noise-1" in drawn(shown).plain


def test_figures_of_populations_are_the_same_bytes_every_time():
    one, other = (encode(draw(picture(population())), "png") for _ in range(2))
    assert one == other


@pytest.mark.parametrize("change", ["leaf", "tree"])
def test_a_tree_that_does_not_fit_its_rows_is_refused(change):
    data, facts = table(population())
    if change == "leaf":
        data = data.slice(1)
    else:
        facts["trees"][0]["left"][0] = 99
    with pytest.raises(ArtifactError, match="`t` is damaged"):
        populations(data, facts, source="t")


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (("a/x.st", "a/y.st"), ("x", "y")),
        (("a/x.st", "b/x.st"), ("a/x", "b/x")),
        (("r/a/x.st", "r/b/x.npz"), ("a/x.st", "b/x.npz")),
        (("v0.1", "v1.1"), ("v0.1", "v1.1")),
        (("a", "b/c"), ("a", "b/c")),
    ],
)
def test_names_lose_what_all_of_them_share(names, short):
    assert short_names(names) == short


def test_characters_draw_the_tree_with_every_leaf_and_number_it_on_the_map():
    shown = picture(population())
    lines = drawn(shown, width=90).plain.splitlines()
    assert max(map(len, lines)) <= 90
    (panel,) = shown.panels
    first = next(place for place, line in enumerate(lines) if panel.names[0] in line)
    leaves = lines[first : first + 6]
    assert [line.split()[1] for line in leaves] == list(panel.names)
    plane = "".join(lines[first + 6 :])
    assert all(str(number) in plane for number in range(1, 7))


def test_a_tree_in_characters_is_this_one():
    matrix = np.array([[0, 1, 3, 3], [1, 0, 3, 3], [3, 3, 0, 2], [3, 3, 2, 0]], float)
    found = arrange(Distances("d", None, 1, "value", tuple("abcd"), matrix), clusters=1)
    facts = {"trees": [found.summary()]}
    shown = populations(pa.Table.from_pylist(found.rows()), facts, source="t")
    lines = drawn(shown, width=33).plain.splitlines()
    start = next(place for place, line in enumerate(lines) if "─" in line)
    assert [line[17:] for line in lines[start : start + 5]] == [
        "─────┬─────────┐",
        "─────┘         │",
        "──────────┬────┘",
        "──────────┘",
        "0              3",
    ]


# ------------------------------------------------------------------------------------- dynamics


def steps_table(seeds=(0, 1), metrics=("linear-cka",), noises=(0.0,), steps=(0, 10, 100)):
    """The first layer is at 1 from the start, the last one comes late."""
    rows = []
    for metric in metrics:
        for noise in noises:
            for seed in seeds:
                for place, step in enumerate(steps):
                    for depth, layer in enumerate(("in", "out")):
                        value = 1 - 0.4 * depth * (1 - place / 2) - 0.1 * seed * (2 - place)
                        rows.append(
                            {
                                "a": f"{noise}-{seed}-{step}",
                                "b": f"{noise}-{seed}-{steps[-1]}",
                                "label_noise_a": noise,
                                "label_noise_b": noise,
                                "seed_a": seed,
                                "seed_b": seed,
                                "step_a": step,
                                "step_b": steps[-1],
                                "layer_a": layer,
                                "layer_b": layer,
                                "metric": metric,
                                "value": value,
                                "n": 450,
                            }
                        )
    return pa.Table.from_pylist(rows)


def test_dynamics_are_layers_over_steps_the_first_layer_at_the_bottom_runs_averaged():
    shown = dynamics(steps_table(), source="t")
    (grid,) = shown.panels
    assert grid.rows == ("out", "in")
    assert grid.columns == ("0", "10", "100")
    np.testing.assert_allclose(grid.values, [[0.5, 0.75, 1], [0.9, 0.95, 1]])
    assert (grid.low, grid.high, grid.alike) == (0, 1, "high")
    assert "mean of 2 runs" in shown.caption
    assert "framed" not in "".join(one.get_text() for one in draw(shown).texts)


def test_dynamics_are_drawn_as_a_map_or_by_step_as_curves():
    data = steps_table()
    assert of_dynamics(data)
    assert isinstance(table_picture(data, source="t", facts={}), Heatmaps)
    shown = table_picture(data, source="t", facts={}, x="step")
    assert isinstance(shown, Curves)
    (panel,) = shown.panels
    assert [line.label for line in panel.lines] == ["in", "out"]
    np.testing.assert_allclose(panel.lines[1].y, [0.5, 0.75, 1])
    assert panel.lines[0].x.tolist() == [0, 10, 100]
    assert len(panel.lines[0].runs) == 2


def test_each_metric_and_each_factor_has_a_map_of_its_own():
    data = steps_table(metrics=("linear-cka", "svcca"), noises=(0.0, 0.9))
    titles = [one.title for one in dynamics(data, source="t").panels]
    assert titles == [
        f"{metric}, label_noise {noise}"
        for metric in ("linear-cka", "svcca")
        for noise in ("0", "0.9")
    ]
    (one, _) = dynamics(data, source="t", metrics=["svcca"]).panels
    assert one.title == "svcca, label_noise 0"
    labels = [line.label for line in dynamics_curves(data, source="t").panels[0].lines]
    assert labels == [
        f"layer {layer}, label_noise {noise}" for noise in ("0", "0.9") for layer in ("in", "out")
    ]
    with pytest.raises(ArtifactError, match="no metric `svca`; closest: `svcca`"):
        dynamics(data, source="t", metrics=["svca"])


def test_a_whole_population_and_colours_without_one_are_refused():
    rows = steps_table().to_pylist()
    other = [{**row, "b": "x", "layer_b": "out"} for row in rows]
    both = pa.Table.from_pylist([*rows, *other])
    with pytest.raises(ArtifactError, match="compares 12 pairs of captures"):
        table_picture(both, source="t", facts={})
    with pytest.raises(UsageError, match="--colour"):
        table_picture(steps_table(), source="t", facts={}, colour="seed_a")
