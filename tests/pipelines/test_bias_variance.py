"""The decomposition as a real process, in pipes; and the example, small, from training on."""

import csv
import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

EXAMPLE = Path(__file__).parents[2] / "examples" / "width-sweep"


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_pipe_carries_predictions_in_and_a_table_out(shell, tmp_path):
    answers = np.random.default_rng(0).standard_normal((3, 30, 4))
    save_file({"logits": answers, "label": np.arange(30) % 4}, tmp_path / "p.safetensors")
    line = "cat p.safetensors | nncli bias-variance - -f csv"
    done = shell(line, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    rows = table(done.stdout.decode())
    found = {(one["loss"], one["metric"]): float(one["value"]) for one in rows}
    assert {one["models"] for one in rows} == {"3"}
    for loss in ("squared", "cross-entropy", "zero-one", "kohavi-wolpert"):
        parts = found[loss, "bias"] + found[loss, "variance"]
        assert found[loss, "risk"] == pytest.approx(parts)
    substituted = shell(line.replace("cat p.safetensors |", "").replace(" - ", " <(cat p.saf*) "),
                        cwd=tmp_path)  # fmt: skip
    assert substituted.stdout == done.stdout


def test_the_command_imports_neither_torch_nor_scikit_learn(python, tmp_path):
    script = """
import sys
import numpy as np
from safetensors.numpy import save_file
save_file({"logits": np.random.default_rng(0).standard_normal((3, 5, 4)),
           "label": np.arange(5) % 4}, "p.safetensors")
from nncli.cli import main
sys.argv[1:] = ["bias-variance", "p.safetensors", "-o", "out.parquet"]
try:
    main()
except SystemExit as done:
    assert done.code == 0, done.code
print(sorted({"torch", "sklearn", "datasets", "matplotlib"} & set(sys.modules)))
"""
    done = python(script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines()[-1] == "[]"


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_width_sweep_becomes_a_table_and_a_picture_of_its_shape(tmp_path):
    place = tmp_path / "width-sweep"
    shutil.copytree(EXAMPLE, place)
    few = ["WIDTHS=2 16", "PARTS=2", "STEPS=100"]
    for _ in range(2):
        done = subprocess.run(
            ["make", *few], cwd=place, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing to be done" in done.stdout
    assert (place / "sweep.png").read_bytes().startswith(b"\x89PNG")
    rows = table((place / "sweep.csv").read_text())
    found = {(one["width"], one["loss"], one["metric"]): one["value"] for one in rows}
    for loss, metric in (("squared", "bias"), ("zero-one", "training_error")):
        narrow, wide = (float(found[width, loss, metric]) for width in ("2", "16"))
        assert narrow > wide
    narrow, wide = (float(found[width, "squared", "variance"]) for width in ("2", "16"))
    assert narrow < wide
