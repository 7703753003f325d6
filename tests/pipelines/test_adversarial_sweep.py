"""The sweep over the radius of adversarial training, small, from training to pictures."""

import csv
import shutil

import pytest

PNG = b"\x89PNG"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def curve(place, family, loss, metric):
    """The values of a metric along the axis, which is the first column."""
    with (place / f"{family}.csv").open() as file:
        rows = list(csv.DictReader(file))
    axis = next(iter(rows[0]))
    found = [row for row in rows if row[axis] and (row["loss"], row["metric"]) == (loss, metric)]
    return {float(row[axis]): float(row["value"]) for row in found}


def test_variance_peaks_where_networks_just_fit_what_they_were_attacked_with(make):
    place = make("adversarial-sweep", "FAMILIES=network", "EPSILONS=0 0.06 0.2", "MODELS=2")
    assert (place / "network.png").read_bytes().startswith(PNG)
    errors = curve(place, "network", "zero-one", "training_error")
    assert errors[0.0] == errors[0.06] == 0
    assert errors[0.2] > 0.3
    for loss in ("squared", "cross-entropy"):
        variance, bias = (curve(place, "network", loss, one) for one in ("variance", "bias"))
        assert variance[0.0] < variance[0.06] > variance[0.2]
        assert bias[0.2] > 1.5 * max(bias[0.0], bias[0.06])


def test_the_alternatives_are_trained_split_and_drawn_too(make):
    families = {"logistic": [0, 0.1, 0.2], "noise": [0, 0.3, 0.6], "smoothing": [0, 0.3, 0.6]}
    few = ("EPSILONS=0 0.1 0.2", "SIGMAS=0 0.3 0.6", "MODELS=2", "SAMPLES=5", "STEPS=10")
    place = make("adversarial-sweep", f"FAMILIES={' '.join(families)}", *few)
    for family, places in families.items():
        assert (place / f"{family}.png").read_bytes().startswith(PNG)
        for loss, metric in (("squared", "variance"), ("zero-one", "training_error")):
            assert list(curve(place, family, loss, metric)) == places
