"""The population's pipelines of `nncli compare-test`: real processes and real pipes."""

import json

import pytest


@pytest.fixture(scope="module")
def here(tmp_path_factory, pipe):
    folder = tmp_path_factory.mktemp("population")
    train = "nncli train --arch mlp:64-16-10 --steps 40 --save-steps 5,10,20 --seed 0..1 -o runs/"
    pipe(f"{train} && nncli capture runs/ --split test -o captures/", folder)
    return folder


def test_scores_can_come_from_predictions_on_a_pipe(here, pipe):
    line = (
        "nncli predict runs/ --split test --limit 200 --corruption blur --severity 5 "
        "| nncli compare-test captures/ --metric procrustes --scores - -f json"
    )
    (found,) = json.loads(pipe(line, here).stdout)
    assert found["score"] == "accuracy, blur-5"
    assert found["models"] == 8
