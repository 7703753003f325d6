"""`nncli triage split` among other commands, as real processes."""

import csv
import shutil
import subprocess

import pytest


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_example_with_readers_of_varying_skill_runs(make, started):
    place = make("triage-digits", "STEPS=60", "RESAMPLES=20")
    for name in ("splits.png", "effort.png"):
        assert (place / name).read_bytes().startswith(b"\x89PNG")
    with (place / "splits.csv").open() as file:
        rows = {row["order"]: row for row in csv.DictReader(file)}
    ends = [float(rows[one]["error"]) for one in ("all-human", "all-algorithm")]
    assert float(rows["difference"]["error"]) < min(ends)
    assert float(rows["oracle"]["error"]) < float(rows["difference"]["error"])
    # from pipes too
    line = (
        "nncli triage split - --human ratings.parquet --features activations.safetensors "
        "--resamples 0 < predictions.parquet | nncli show - | grep -c ^difference"
    )
    words = ["bash", "-c", line]
    piped = subprocess.run(words, cwd=place, env=started, capture_output=True, check=False)
    assert (piped.stdout, piped.returncode) == (b"1\n", 0), piped.stderr.decode()
