"""`nncli compare-test`: both forms, the published analysis, deletion, and what it refuses."""

import csv
import io
import json
from itertools import combinations, combinations_with_replacement

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file
from scipy import stats

from nncli.similarity import procrustes

SEEDS = range(6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, invoke):
    """Captures of six seeds, their series, and predictions."""
    path = tmp_path_factory.mktemp("population")
    runs = path / "runs"
    train = ("--arch", "mlp:64-12-12-10", "--steps", "60", "--seed", "0..5")
    invoke("train", *train, "-o", runs, code=0)
    invoke("capture", runs, "--split", "test", "-o", path / "captures", code=0)
    corrupt = ("--corruption", "gaussian-noise", "--severity", "0", "--severity", "3")
    invoke("predict", runs, "--split", "test", *corrupt, "-o", path / "answers.parquet", code=0)
    measures = ("--metric", "linear-cka", "--metric", "procrustes")
    invoke("compare", path / "captures", *measures, "-o", path / "pairs.parquet", code=0)
    return path


@pytest.fixture
def rows(invoke, folder, monkeypatch):
    """The rows that a command line gives, in the folder of the population."""
    monkeypatch.chdir(folder)

    def run(*arguments):
        done = invoke("compare-test", *arguments, "-f", "json", code=0)
        return json.loads(done.stdout)

    return run


@pytest.fixture
def refused(invoke, folder, monkeypatch):
    """What standard error says of a command line that is refused."""
    monkeypatch.chdir(folder)

    def run(*arguments, code):
        return invoke("compare-test", *arguments, code=code).stderr

    return run


BOTH = ("--metric", "linear-cka", "--metric", "procrustes")


def manifest(folder):
    return pq.read_table(folder / "runs" / "manifest.parquet").to_pylist()


def test_captures_give_what_their_measured_pairs_give(rows):
    scores = ("--scores", "runs/")
    measured = rows("captures/", *scores, *BOTH)
    assert measured == rows("--pairs", "pairs.parquet", *scores)
    assert {one["score"] for one in measured} == {"test_accuracy"}
    assert [one["rank"] for one in measured] == [1, 2]
    assert {one["metric"] for one in measured} == {"linear-cka", "procrustes"}
    assert all(0 < one["p_mantel"] <= 1 for one in measured)


def test_each_reader_of_a_probe_is_a_score_and_can_be_asked_for(rows, invoke, folder, tmp_path):
    readers = ("--reader", "ridge", "--reader", "knn", "--layer", "block.1")
    few = ("--controls", "0", "--orders", "0", "--resamples", "0", "-q")
    invoke("probe", folder / "captures", *readers, *few, "-o", tmp_path / "probe.parquet", code=0)
    asked = ("captures/", "--scores", tmp_path / "probe.parquet", "--layer", "block.1", *BOTH)
    scores = [one["score"] for one in rows(*asked)]
    assert sorted(set(scores)) == ["accuracy, knn", "accuracy, ridge"]
    only = rows(*asked, "--score", "accuracy, knn")
    assert only == [one for one in rows(*asked) if one["score"] == "accuracy, knn"]


def test_pairs_may_have_gone_through_csv(rows, invoke, folder, tmp_path):
    measures = ("--metric", "linear-cka", "--metric", "procrustes")
    invoke("compare", folder / "captures", *measures, "-o", tmp_path / "pairs.csv", code=0)
    found = rows("--pairs", tmp_path / "pairs.csv", "--scores", "runs/")
    whole = rows("--pairs", "pairs.parquet", "--scores", "runs/")
    for one, other in zip(found, whole, strict=True):
        assert one["metric"] == other["metric"]
        assert one["spearman"] == pytest.approx(other["spearman"])


def test_correlations_are_those_of_scipy_on_the_pairs_of_the_best_network(rows, folder):
    table = pq.read_table(folder / "pairs.parquet").to_pylist()
    score = {f"seed-{one['seed']}": one["test_loss"] for one in manifest(folder)}
    best = min(score, key=score.get)
    found = rows("captures/", "--scores", "runs/", "--score", "test_loss", "--each", *BOTH)
    assert {one["reference"] for one in found} == {best}
    for one in found:
        pairs = [
            row
            for row in table
            if row["metric"] == one["metric"]
            and row["layer_a"] == row["layer_b"] == one["layer"]
            and best in (row["a"], row["b"])
        ]
        assert one["n"] == len(pairs) == 5
        turn = -1 if one["metric"] == "linear-cka" else 1
        d = [turn * row["value"] for row in pairs]
        g = [abs(score[row["a"]] - score[row["b"]]) for row in pairs]
        assert one["spearman"] == pytest.approx(stats.spearmanr(d, g)[0])
        assert one["kendall"] == pytest.approx(stats.kendalltau(d, g)[0])


def test_predictions_are_scores_by_their_accuracies(rows, folder):
    answers = pq.read_table(folder / "answers.parquet").to_pylist()
    found = rows("captures/", "--scores", "answers.parquet", "--each", "--metric", "procrustes")
    noisy = sorted({one["score"] for one in found} - {"accuracy"})
    assert noisy == ["accuracy, gaussian-noise-3"]
    right = {}
    for one in answers:
        if one["perturbation"]:
            mark = int(np.argmax(one["logits"])) == one["label"]
            right.setdefault(one["model_id"], []).append(mark)
    best = max(right, key=lambda name: np.mean(right[name]))
    assert {one["reference"] for one in found if one["score"] == noisy[0]} == {best}


def test_all_layers_of_all_networks_can_be_one_family(rows):
    scores = ("--scores", "runs/", "--metric", "procrustes")
    found = rows("captures/", *scores, "--pairing", "all", "--each")
    assert {one["n"] for one in found} == {6 * 3 - 1}
    assert all(one["partial"] is not None for one in found)
    (mean,) = rows("captures/", *scores, "--pairing", "all")
    assert mean["partial"] == pytest.approx(np.mean([one["partial"] for one in found]))
    assert "partial" not in rows("captures/", *scores)[0]


def test_layers_groups_and_references_can_be_chosen(rows):
    scores = ("--scores", "runs/", "--metric", "procrustes", "--each")
    found = rows("captures/", *scores, "--layer", "block.*", "--reference", "seed-3")
    assert [(one["reference"], one["layer"]) for one in found] == [
        ("seed-3", "block.0"), ("seed-3", "block.1")
    ]  # fmt: skip
    found = rows("captures/", *scores, "--reference-layer", "head", "--reference", "all")
    assert [one["layer"] for one in found] == ["head"] * 6


def published(path):
    """A table in the form of the published ones: 5 seeds, 3 depths, every pair, self included."""
    rng = np.random.default_rng(0)
    items = [(seed, layer) for seed in range(1, 6) for layer in range(3)]
    score = {one: one[1] * 0.1 + rng.normal(0, 0.05) for one in items}
    rows = []
    for one, other in combinations_with_replacement(items, 2):
        gap = abs(score[one] - score[other])
        far = 0 if one == other else 0.2 + abs(one[1] - other[1]) + rng.random()
        rows.append(
            {
                "": len(rows), "dataset1": "mnli", "seed1": one[0], "layer1": one[1],
                "dataset2": "mnli", "seed2": other[0], "layer2": other[1],
                "Procrustes": far, "mean_cca_corr": 1 / (1 + far + 0.3 * rng.random() * (far > 0)),
                "QNLI_diff": gap,
            }
        )  # fmt: skip
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows, score


def test_the_published_analysis_is_repeated_to_its_printed_digits(rows, tmp_path):
    table, score = published(tmp_path / "full_df.csv")
    best = max(range(1, 6), key=lambda seed: score[seed, 2])
    near = [
        row for row in table
        if (row["seed1"], row["layer1"]) == (best, 2) or (row["seed2"], row["layer2"]) == (best, 2)
    ]  # fmt: skip
    assert len(near) == 15
    found = rows(
        "--pairs", tmp_path / "full_df.csv", "--paper", "--similarity", "mean_cca_corr",
        "--reference", best, "--reference-layer", "2",
    )  # fmt: skip
    assert {one["metric"] for one in found} == {"Procrustes", "mean_cca_corr"}
    for one in found:
        d = np.array([row[one["metric"]] for row in near])
        d = 1 - d if one["metric"] == "mean_cca_corr" else d
        g = np.array([row["QNLI_diff"] for row in near])
        rho, tau = stats.spearmanr(d, g), stats.kendalltau(d, g)
        near_ranks = np.array([stats.percentileofscore(d, value, "rank") for value in d])
        far_ranks = np.array([stats.percentileofscore(g, value, "rank") for value in g])
        expected = {
            "spearman": rho.statistic,
            "p_spearman": rho.pvalue / 2 if rho.statistic > 0 else 1 - rho.pvalue / 2,
            "kendall": tau.statistic,
            "p_kendall": tau.pvalue / 2 if tau.statistic > 0 else 1 - tau.pvalue / 2,
            "bad_fraction": np.mean((near_ranks / 100 < 0.2) & (far_ranks / 100 > 0.8)),
        }
        for name, value in expected.items():
            assert round(one[name], 3) == round(float(value), 3), name
        assert one["n"] == 15


def test_without_the_paper_the_self_pair_is_left_out(rows, tmp_path):
    published(tmp_path / "full_df.csv")
    found = rows("--pairs", tmp_path / "full_df.csv", "--reference", "2", "--each",
                 "--measure", "Procrustes")  # fmt: skip
    assert [(one["reference"], one["layer"], one["n"]) for one in found] == [
        ("2", "0", 14), ("2", "1", 14), ("2", "2", 14)
    ]  # fmt: skip


def test_differences_without_scores_take_every_network_in_turn(rows, tmp_path):
    published(tmp_path / "full_df.csv")
    found = rows("--pairs", tmp_path / "full_df.csv", "--measure", "Procrustes")
    assert (found[0]["models"], found[0]["n"]) == (5, 15 * 14)
    assert found[0]["partial"] is not None


def test_pairs_of_a_deletion_ladder_are_read_with_the_paper_s_rules(rows, tmp_path):
    rng = np.random.default_rng(1)
    lines = ["seed1,layer1,seed2,layer2,dims_deleted,far,F_diff"]
    table = []
    for one in range(3):
        for other in range(3):
            for gone in (0, 100, 200):
                table.append((one, other, gone, rng.random(), rng.random()))
                lines.append(f"{one},7,{other},7,{gone},{table[-1][3]},{table[-1][4]}")
    (tmp_path / "ladder.csv").write_text("\n".join(lines) + "\n")
    (found,) = rows(
        "--pairs", tmp_path / "ladder.csv", "--measure", "far", "--reference", "1", "--paper"
    )
    near = [row for row in table if 1 in row[:2]]
    assert found["n"] == len(near) == 15
    rho = stats.spearmanr([row[3] for row in near], [row[4] for row in near])[0]
    assert found["spearman"] == pytest.approx(rho)
    (found,) = rows("--pairs", tmp_path / "ladder.csv", "--measure", "far", "--reference", "1")
    assert found["p_mantel"] is None
    assert "several rows for a pair" in found["note"]


def test_a_measure_that_looks_like_a_similarity_gets_a_warning(invoke, tmp_path):
    published(tmp_path / "full_df.csv")
    done = invoke("compare-test", "--pairs", tmp_path / "full_df.csv", "-f", "csv", code=0)
    assert "say `--similarity mean_cca_corr`" in done.stderr
    assert "Procrustes" not in done.stderr


def test_scores_of_either_side_in_the_table_of_pairs(rows, tmp_path):
    score = dict(zip("uvwxy", (0.1, 0.5, 0.2, 0.9, 0.4), strict=True))
    lines = ["a,b,far,acc_a,acc_b"]
    for one, other in combinations(score, 2):
        gap = abs(score[one] - score[other])
        lines.append(f"{one},{other},{gap},{score[one]},{score[other]}")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    found = rows("--pairs", tmp_path / "t.csv", "--score", "acc", "--each")
    assert [(one["reference"], one["spearman"]) for one in found] == [("x", pytest.approx(1))]


def test_captures_of_anybody_are_joined_by_the_names_of_their_files(rows, tmp_path):
    rng = np.random.default_rng(2)
    worth = dict(zip("uvwxyz", (0.3, 0.1, 0.9, 0.4, 0.2, 0.6), strict=True))
    layers = {name: rng.standard_normal((40, 5)) for name in worth}
    for name, x in layers.items():
        save_file({"l": x}, tmp_path / f"{name}.safetensors")
    lines = ["name,worth", *(f"{name},{value}" for name, value in worth.items())]
    (tmp_path / "worth.csv").write_text("\n".join(lines) + "\n")
    found = rows(
        *sorted(tmp_path.glob("*.safetensors")), "--scores", tmp_path / "worth.csv",
        "--metric", "procrustes", "--assume-aligned",
    )  # fmt: skip
    others = [name for name in worth if name != "w"]
    d = [procrustes(layers["w"], layers[name]) for name in others]
    g = [0.9 - worth[name] for name in others]
    assert found[0]["spearman"] == pytest.approx(stats.spearmanr(d, g)[0])


def test_groups_hold_networks_against_those_of_the_same_step(rows, invoke, tmp_path):
    train = ("--arch", "mlp:64-8-10", "--steps", "20", "--seed", "0..4", "--save-steps", "10")
    invoke("train", *train, "-o", tmp_path / "runs", code=0)
    captured = ("--split", "test", "--limit", "60", "-o", tmp_path / "c")
    invoke("capture", tmp_path / "runs", *captured, code=0)
    found = rows(
        tmp_path / "c", "--scores", tmp_path / "runs", "--group", "step", "--each",
        "--metric", "procrustes", "--layer", "block.0",
    )  # fmt: skip
    assert [(one["group"], one["n"]) for one in found] == [("10", 4), ("20", 4)]
    assert {one["reference"] for one in found} <= {str(seed) for seed in range(5)}


def test_deletion_says_where_a_layer_leaves_the_spread_of_seeds(rows, folder):
    found = rows("captures/", "--deletion", *BOTH)
    assert [(one["metric"], one["layer"]) for one in found] == [
        (metric, layer)
        for metric in ("linear-cka", "procrustes")
        for layer in ("block.0", "block.1", "head")
    ]
    table = pq.read_table(folder / "pairs.parquet").to_pylist()
    for one in found:
        between = [
            row["value"] for row in table
            if row["metric"] == one["metric"] and row["layer_a"] == one["layer"]
        ]  # fmt: skip
        assert one["spread"] == pytest.approx(np.median(between))
        assert 0 <= one["detected"] <= 1
        assert (one["detected_at"] is None) == (one["detected"] <= 0.5)
    each = rows("captures/", "--deletion", "--each", "--metric", "linear-cka", "--layer", "head")
    assert {one["capture"] for one in each} == {f"seed-{seed}" for seed in SEEDS}
    assert all(one["deleted"] < 1 for one in each)
    last = [one for one in each if one["kept"] == 1]
    assert min(one["lost"] for one in last) > 0.2


def test_the_same_seed_gives_the_same_bytes_and_is_recorded(invoke, folder, monkeypatch):
    monkeypatch.chdir(folder)
    line = ("compare-test", "--pairs", "pairs.parquet", "--scores", "runs/")
    one, two = (invoke(*line, "--seed", "7", code=0).stdout_bytes for _ in range(2))
    assert one == two
    entry = json.loads(pq.read_metadata(io.BytesIO(one)).metadata[b"nncli"])
    assert entry["seed"] == 7
    assert [one["name"] for one in entry["inputs"]] == ["pairs.parquet", "runs/manifest.parquet"]


def test_measures_can_be_listed(invoke):
    assert "procrustes" in invoke("compare-test", "--list-metrics", code=0).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name four captures or more"),
        (("captures/",), 2, "`--scores TABLE` is needed"),
        (("captures/", "--pairs", "pairs.parquet"), 2, "captures and `--pairs` do not go together"),
        (("--pairs", "pairs.parquet", "--deletion"), 2, "`--deletion` and `--pairs` do not go"),
        (("captures/", "--deletion", "--scores", "runs/"), 2, "`--deletion` has no scores"),
        (("captures/", "--scores", "runs/", "--paper", "--group", "seed"), 2, "has no groups"),
        (("--pairs", "pairs.parquet", "--metric", "svcca"), 2, "`--measure` chooses, not"),
        (("captures/", "--scores", "runs/", "--left", "a"), 2, "`--left` names a column of"),
        (("captures/", "--scores", "runs/", "--measure", "a"), 2, "`--measure` names a column of"),
        (("captures/seed-0.safetensors", "--scores", "runs/"), 2, "a population has 4 captures at"),
        (("captures/seed-0.safetensors",) * 4 + ("--deletion",), 2, "safetensors` is named twice"),
        (("captures/", "--scores", "captures/seed-0.safetensors"), 3, "expected a table of scores"),
        (("captures/", "--scores", "runs/", "--score", "accuracy"), 3, "no score `accuracy`; clos"),
        (("captures/", "--scores", "runs/", "--reference", "seed-9"), 2, "no representation is of"),
        (("captures/", "--scores", "runs/", "--reference-layer", "x"), 3, "no layer of"),
        (("captures/", "--scores", "runs/", "--group", "width"), 2, "do not differ in `width`"),
        (("--pairs", "pairs.parquet"), 3, "says nothing of function"),
        (("--pairs", "pairs.parquet", "--similarity", "x"), 2, "no measure `x`; there are"),
        (("--pairs", "runs/manifest.parquet"), 3, "nothing in `runs/manifest.parquet` names two"),
        (("--pairs", "pairs.parquet", "--measure", "x", "--scores", "runs/"), 3, "no metric `x`"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(refused, arguments, code, said):
    error = refused(*arguments, code=code)
    assert error.startswith("nncli: error: ")
    assert said in error
    assert len(error.splitlines()) <= 2
