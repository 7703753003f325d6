"""`nncli triage split` among other commands, as real processes."""

import csv
import shutil
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_example_with_readers_of_varying_skill_runs(shell, tmp_path):
    place = tmp_path / "triage-digits"
    shutil.copytree(EXAMPLES / "triage-digits", place)
    done = shell(
        f"make splits.csv splits.png STEPS=100 RESAMPLES=50 PYTHON={sys.executable}", cwd=place
    )
    assert done.returncode == 0, done.stderr.decode()
    assert (place / "splits.png").read_bytes().startswith(b"\x89PNG")
    with (place / "splits.csv").open() as file:
        rows = {row["order"]: row for row in csv.DictReader(file)}
    ends = [float(rows[one]["error"]) for one in ("all-human", "all-algorithm")]
    assert float(rows["difference"]["error"]) < min(ends)
    assert float(rows["oracle"]["error"]) < float(rows["difference"]["error"])
    # the same from pipes
    line = (
        "nncli triage split - --human <(cat ratings.parquet) --features <(cat "
        "activations.safetensors) --resamples 50 < predictions.parquet | nncli show - | "
        "grep -c ^difference"
    )
    piped = shell(line, cwd=place)
    assert (piped.stdout, piped.returncode) == (b"1\n", 0), piped.stderr.decode()
