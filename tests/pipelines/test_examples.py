"""The examples as they stand, with small networks and few steps in place of good ones."""

import csv
import shutil

import pytest

PNG = b"\x89PNG"


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
class TestExamples:
    def test_layers_against_their_last_step_become_pictures_and_steps(self, make):
        few = ("ARCH=mlp:64-16-16-10", "STEPS=20", "KEPT=0,10", "SEEDS=0")
        place = make("bottom-up", *few)
        for name in ("dynamics.png", "dynamics-svcca.png"):
            assert (place / name).read_bytes().startswith(PNG)
        assert "| block.0" in (place / "settled.md").read_text()

    def test_networks_that_generalise_and_memorise_become_a_tree(self, make):
        place = make("memorisation", "ARCH=mlp:64-16-10", "STEPS=20", "SEEDS=0..1")
        assert (place / "clusters.png").read_bytes().startswith(PNG)
        assert {row["member"] for row in rows_of(place / "clusters.csv")} == {
            f"{kind}/seed-{seed}" for kind in ("true", "random") for seed in range(2)
        }

    def test_the_pictures_of_the_page_on_measures_are_made(self, make):
        few = ("ARCH=mlp:64-16-16-10", "STEPS=20", "SEEDS=0..1", "SHUFFLES=3")
        place = make("choosing", *few, "EXAMPLES=50 100", "MEASURES=linear-cka svcca")
        for name in ("chance.png", "layers.png"):
            assert (place / name).read_bytes().startswith(PNG)
        assert [(row["metric"], row["n"]) for row in rows_of(place / "chance.csv")] == [
            (metric, n) for n in ("50", "100") for metric in ("linear-cka", "svcca")
        ]
        assert "| procrustes" in (place / "deletion.md").read_text()

    def test_measures_are_ranked_by_what_networks_do(self, make):
        few = ("ARCH=mlp:64-16-10", "STEPS=20", "SEEDS=0..3", "NOISE=0 0.8")
        place = make("which-measure", *few, "CORRUPTIONS=blur", "MEASURES=linear-cka procrustes")
        assert (place / "ranking.png").read_bytes().startswith(PNG)
        for name in ("ranking.md", "within.md"):
            table = (place / name).read_text()
            for score in ("| accuracy ", "| accuracy, blur-4 "):
                assert table.count(score) == 2, table
