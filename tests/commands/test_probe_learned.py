"""`nncli probe --learned`: the order in which layers learn."""

import csv

import pytest

QUICK = ("--reader", "prototype", "--controls", "0", "--orders", "0", "--resamples", "0")


@pytest.fixture(scope="module")
def captures(tmp_path_factory, invoke):
    folder = tmp_path_factory.mktemp("learned")
    train = ("train", "--arch", "mlp:64-8-10", "--steps", "40", "--save-steps", "0,20")
    invoke(*train, "-o", folder / "runs", code=0)
    invoke("capture", folder / "runs", "--limit", "200", "-o", folder / "captures", code=0)
    return folder / "captures"


def test_the_step_is_the_first_at_which_the_scores_are_there(captures, invoke):
    told = invoke("probe", captures, *QUICK, "-f", "csv", code=0).stdout
    learned = invoke("probe", captures, *QUICK, "--learned", "0.5", "-f", "csv", code=0).stdout
    share = {}
    for row in csv.DictReader(told.splitlines()):
        if row["metric"] == "accuracy":
            way = float(row["value"]) - float(row["baseline"])
            share.setdefault(row["layer"], {})[int(row["step"])] = way
    expected = {}
    for layer, ways in share.items():
        step = 40
        for earlier in (20, 0):
            if ways[earlier] < 0.5 * ways[40]:
                break
            step = earlier
        expected[layer] = step
    found = {
        row["layer"]: int(row["step"])
        for row in csv.DictReader(learned.splitlines())
        if row["metric"] == "accuracy"
    }
    assert found == expected


def test_one_step_has_no_order(captures, invoke):
    one = next(captures.glob("*step-20*.safetensors"))
    result = invoke("probe", one, *QUICK, "--learned", "0.5", code=2)
    assert "captures of several steps" in result.stderr
