"""`--cluster` and `--ties`: in both forms, over shards, and with wrong turns."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from nncli.cli import cli

Z = np.random.default_rng(0).standard_normal((5, 40, 3)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 40)
PATIENT = np.array([f"p{k}" for k in np.random.default_rng(2).integers(0, 8, 40)])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pa.table(
        {
            "example_id": np.tile(np.arange(40), 5),
            "model_id": np.repeat([f"m{k}" for k in range(5)], 40),
            "seed": np.repeat(np.arange(5), 40),
            "label": np.tile(Y, 5),
            "patient": np.tile(PATIENT, 5),
            "logits": pa.FixedSizeListArray.from_arrays(pa.array(Z.reshape(-1)), 3),
        }
    )
    pq.write_table(table, "p.parquet")
    return table


def nncli(*arguments, code=0):
    done = CliRunner().invoke(cli, ["bias-variance", *map(str, arguments)])
    assert done.exit_code == code, done.stderr
    return done


def rows_of(*arguments):
    nncli(*arguments, "-o", "out.parquet", "--overwrite")
    return pq.read_table("out.parquet").to_pylist()


def test_groups_change_errors_and_nothing_else_and_are_counted():
    grouped, plain = rows_of("p.parquet", "--cluster", "patient"), rows_of("p.parquet")
    assert {row.pop("clusters") for row in grouped} == {8}
    assert [row["value"] for row in grouped] == [row["value"] for row in plain]
    assert [row["se"] for row in grouped] != [row["se"] for row in plain]
    correct = (Z.argmax(axis=2) == Y).mean(axis=0)
    sums = [sum(correct[one == PATIENT] - correct.mean()) for one in np.unique(PATIENT)]
    examples = 8 / 7 * np.square(sums).sum() / 40**2
    (risk,) = (r for r in grouped if (r["loss"], r["metric"]) == ("zero-one", "risk"))
    assert risk["se"] ** 2 >= examples * (1 - 1e-12)


def test_both_forms_shards_and_any_order_of_rows_have_the_same_groups(here):
    whole = rows_of("p.parquet", "--cluster", "patient")
    order = np.random.default_rng(3).permutation(200)
    pq.write_table(here.take(order[:90]), "a.parquet")
    pq.write_table(here.take(order[90:]), "b.parquet")
    dense = {"logits": Z, "label": Y, "patient": np.unique(PATIENT, return_inverse=True)[1]}
    save_file(dense, "d.safetensors")
    np.savez("d.npz", **{**dense, "patient": PATIENT})
    for given in (("a.parquet", "b.parquet"), ("d.safetensors",), ("d.npz",)):
        again = rows_of(*given, "--cluster", "patient")
        for one, other in zip(whole, again, strict=True):
            assert other["se"] == pytest.approx(one["se"], rel=1e-6)
            assert other["clusters"] == 8


def test_groups_that_are_none_are_refused_by_name(here):
    done = nncli("p.parquet", "--cluster", "patiens", code=3)
    assert "`patiens`" in done.stderr
    assert "patient" in done.stderr
    save_file({"logits": Z, "label": Y}, "d.safetensors")
    assert "no tensor `patient`" in nncli("d.safetensors", "--cluster", "patient", code=3).stderr
    done = nncli("p.parquet", "--cluster", "seed", code=3)
    assert "has two values of `seed`: 0 and, in row 40, 1" in done.stderr
    assert "not of the models" in done.stderr
    some = here["patient"].to_pylist()
    some[7] = None
    at = here.column_names.index("patient")
    pq.write_table(here.set_column(at, "patient", pa.array(some)), "n.parquet")
    assert (
        "row 7 of `n.parquet` has no `patient`"
        in nncli("n.parquet", "--cluster", "patient", code=3).stderr
    )
    other = [f"q{one}" for one in here["patient"].to_pylist()]
    changed = here.set_column(at, "patient", pa.array(other))
    names = pa.array([f"n{k}" for k in np.repeat(np.arange(5), 40)])
    changed = changed.set_column(1, "model_id", names)
    pq.write_table(
        changed.set_column(2, "seed", pa.array(np.repeat(np.arange(5, 10), 40))), "q.parquet"
    )
    done = nncli("p.parquet", "q.parquet", "--cluster", "patient", code=3)
    assert "is in group p" in done.stderr


def test_votes_of_equals_go_to_the_first_class_or_to_each_with_equal_chances():
    z = np.zeros((2, 2, 3), np.float32)
    z[0, :, 0], z[1, :, 1] = 1, 1
    for order, bias in (([0, 1, 2], 0.5), ([1, 0, 2], 1.0), ([2, 1, 0], 1.0)):
        logits = np.ascontiguousarray(z[:, :, np.argsort(order)])
        save_file({"logits": logits, "label": np.array([order[0], order[2]])}, "t.safetensors")
        found = {
            ties: {
                row["metric"]: row["value"]
                for row in rows_of("t.safetensors", "--loss", "zero-one", "--ties", ties)
            }
            for ties in ("first", "average")
        }
        assert found["first"]["bias"] == bias
        assert found["average"]["bias"] == 0.75
        for one in found.values():
            assert one["risk"] == one["bias"] + one["variance"] == 0.75
