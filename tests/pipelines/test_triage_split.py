"""`nncli triage split` among other commands, as real processes."""

import csv
import io
import shutil
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_example_with_readers_of_varying_skill_runs(shell, tmp_path):
    place = tmp_path / "triage-digits"
    shutil.copytree(EXAMPLES / "triage-digits", place)
    done = shell(f"make STEPS=100 RESAMPLES=50 PYTHON={sys.executable}", cwd=place)
    assert done.returncode == 0, done.stderr.decode()
    assert (place / "splits.png").read_bytes().startswith(b"\x89PNG")
    with (place / "splits.csv").open() as file:
        rows = {row["order"]: row for row in csv.DictReader(file)}
    ends = [float(rows[one]["error"]) for one in ("all-human", "all-algorithm")]
    assert float(rows["difference"]["error"]) < min(ends)
    assert float(rows["oracle"]["error"]) < float(rows["difference"]["error"])
    # the same from pipes, predictions on one and ratings on another
    line = (
        "nncli predict runs/seed-0.safetensors --data cases.npz | nncli triage split - "
        "--human <(cat ratings.parquet) --features <(cat activations.safetensors) "
        "--resamples 50 | nncli show - | grep -c ^difference"
    )
    piped = shell(line, cwd=place)
    assert (piped.stdout, piped.returncode) == (b"1\n", 0), piped.stderr.decode()
    shown = shell("nncli triage evaluate predictions.parquet --resamples 0 -f csv", cwd=place)
    assert next(csv.DictReader(io.StringIO(shown.stdout.decode())))["metric"]
