"""`nncli triage second-opinion` and `evaluate` as processes, on a rater pool of known truth."""

import csv
import shutil
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

FILES = {
    "EMBEDDINGS": "pool.safetensors",
    "READINGS": "pool.parquet",
    "GRADES": "pool-grades.parquet",
    "REVIEWS": "pool-reviews.parquet",
}


def write_pool(folder, cases=360, readers=5):
    """Readers who see more of some cases than an embedding holds."""
    chance = np.random.default_rng(0)
    x, unseen = chance.standard_normal((cases, 4)), np.sign(chance.standard_normal(cases))
    logit = 1.5 * x[:, 0] + 5 * unseen * np.maximum(x[:, 1], 0)
    said = chance.random((cases, readers)) < 1 / (1 + np.exp(-logit[:, None]))
    ids = np.array([f"{case // 3}_{case % 3}" for case in range(cases)])
    embedding = np.column_stack([x, x**2, np.abs(x)]).astype(np.float32)
    text = np.array([list(one.ljust(8, "\0").encode()) for one in ids], np.uint8)
    save_file({"last": embedding, "@example_id": text}, folder / FILES["EMBEDDINGS"])
    rows = {"example_id": np.repeat(ids, readers)}
    words = np.where(said, "positive", "negative").reshape(-1)
    pq.write_table(pa.table({**rows, "label": words}), folder / FILES["READINGS"])
    grades = np.where(said, 2, -2).reshape(-1)
    pq.write_table(pa.table({**rows, "label": grades}), folder / FILES["GRADES"])
    reviews = {"example_id": ids, "review": [one.split("_")[0] for one in ids]}
    pq.write_table(pa.table(reviews), folder / FILES["REVIEWS"])


def rows_of(path):
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {(one["score"], one["against"], one["metric"], one["at"]): one for one in rows}


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_example_finds_what_is_true_of_a_simulated_pool(make):
    told = (f"{name}={file}" for name, file in FILES.items())
    place = make("second-opinions", *told, "RESAMPLES=20", before=write_pool)
    for name in ("opinions.csv", "variance.csv"):
        found = rows_of(place / name)
        assert float(found["dup", "uvc", "auroc", ""]["low"]) > 0.03
        assert float(found["uvc", "", "bias", ""]["low"]) > 0.05
    assert ("dup", "uvc", "coverage", "0.1") in rows_of(place / "evaluated.csv")
    assert (place / "referral.png").read_bytes().startswith(b"\x89PNG")


def test_a_pool_goes_from_stage_to_stage_by_pipes(started, tmp_path):
    write_pool(tmp_path, cases=90)
    line = (
        "nncli triage second-opinion pool.safetensors --ratings - -q < pool.parquet "
        "--model model.safetensors -o opinions.parquet && "
        "nncli triage second-opinion - --apply model.safetensors -q < pool.safetensors | "
        "nncli show - | grep -c dup"
    )
    words = ["bash", "-c", line]
    done = subprocess.run(words, cwd=tmp_path, env=started, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
