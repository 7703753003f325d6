"""The commands of the README, run as they stand there, in the order they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"```console\n(.*?)```", re.S)


def test_the_pipeline_of_the_readme_runs_as_written(tmp_path):
    shown = SECTION.search((ROOT / "README.md").read_text()).group(1)
    lines = [line.removeprefix("$ ") for line in shown.splitlines() if line.startswith("$ ")]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    drawn = next(line for line in shown.splitlines() if line.startswith("          block.0"))
    assert drawn.encode() in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {
        "runs",
        "a.safetensors",
        "b.safetensors",
        "grid.parquet",
        "grid.png",
        "predictions.parquet",
    }
