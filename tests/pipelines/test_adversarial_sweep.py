"""The sweep over the radius of adversarial training, small, as real processes from training on.

The robust training error and the bias must grow with the radius, and the variance must have its
peak in between: two radii that are fitted, one that is not.
"""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "adversarial-sweep"
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "OMP_NUM_THREADS": "1",
}
FEW = ["EPSILONS=0 0.08 0.2", "SIGMAS=0 0.2 0.8", "SAMPLES=20", "STEPS=150", "PARTS=8"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    if shutil.which("make") is None:
        pytest.skip("needs make")
    place = tmp_path_factory.mktemp("examples") / "adversarial-sweep"
    shutil.copytree(EXAMPLE, place, ignore=shutil.ignore_patterns("runs", "*.parquet", "*.csv"))
    for _ in range(2):
        done = subprocess.run(
            ["make", *FEW], cwd=place, env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing to be done" in done.stdout
    return place


def curve(place, family, axis, loss, metric):
    with (place / f"{family}.csv").open() as file:
        rows = [one for one in csv.DictReader(file) if one["loss"] == loss]
    found = {one[axis]: float(one["value"]) for one in rows if one["metric"] == metric}
    return [found[at] for at in sorted(found, key=float)]


@pytest.mark.parametrize("family", ["network", "logistic"])
def test_variance_peaks_where_attacked_training_data_are_just_fitted(made, family):
    errors = curve(made, family, "epsilon", "zero-one", "training_error")
    assert errors[0] == 0
    assert errors[1] < 0.1
    assert errors[2] > 0.3
    for loss in ("squared", "cross-entropy"):
        none, peak, beyond = curve(made, family, "epsilon", loss, "variance")
        assert none < peak > beyond
        bias = curve(made, family, "epsilon", loss, "bias")
        assert bias[2] > 1.5 * max(bias[:2])


def test_noise_in_training_adds_bias_too(made):
    errors = curve(made, "smoothing", "noise", "zero-one", "training_error")
    assert errors == sorted(errors)
    assert errors[0] == 0
    bias = curve(made, "smoothing", "noise", "squared", "bias")
    assert bias[2] > 1.5 * max(bias[:2])


def test_every_family_has_its_picture(made):
    for family in ("network", "logistic", "smoothing"):
        assert (made / f"{family}.png").read_bytes().startswith(b"\x89PNG")
