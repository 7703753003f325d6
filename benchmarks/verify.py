"""What `nncli verify` takes: to start, on digits networks, and on lists of the competition.

    python benchmarks/verify.py [--instances FILE.csv] [--every 1] [--timeout 116] [--limit 40]

Prints the tables of verify.md, of fresh processes with one thread each.
`--instances` names a list of the verification competition, network, property and time-out a row,
and a fourth column, if it is there, with what is known: `sat` or `unsat`. `--every N` takes every
Nth row.
"""

import argparse
import csv
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SETTINGS = {
    **os.environ,
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}
NETWORKS = {
    "mlp:64-50-50-10": (),
    "mlp:64-50-50-10 against PGD": ("--epsilon", "0.1"),
    "mlp:64-50-50-10 by IBP": ("--epsilon", "0.1", "--defence", "ibp"),
}
METHODS = ("ibp", "crown", "alpha-crown", "sdp", "relu-split", "auto")
COLUMNS = "violated", "verified", "unknown", "timeout"
ANSWERS = {"verified": "unsat", "violated": "sat"}


def run(*words):
    """CPU and wall seconds of a process, and its exit code."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, words)], env=SETTINGS, capture_output=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, time.perf_counter() - begun, done.returncode


def nncli(*words):
    """The same of a command of nncli, which must give an answer."""
    found = run("-m", "nncli", *words)
    if found[2] not in (0, 1, 4):
        raise SystemExit(f"nncli {' '.join(map(str, words))} ended with {found[2]}")
    return found


def verdicts(path):
    """The rows of a table of verdicts."""
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def trained(folder, name):
    """A digits network."""
    place = Path(folder) / name.replace(" ", "-").replace(":", "-")
    words = ("--arch", name.split()[0], "--data", "digits", "--steps", "1500")
    nncli("train", *words, *NETWORKS[name], "-q", "-o", place)
    return place / "seed-0.safetensors"


def starting(folder, checkpoint):
    """What a trivial case takes, and of that what importing PyTorch does."""
    trivial = Path(folder) / "trivial.txt"
    trivial.write_text("inputs in [0, 1]\nnever y[0] >= 1000\n")
    words = ("verify", checkpoint, "--specification", trivial, "-f", "csv", "-o", os.devnull)
    print("| process | CPU s, least of 5 | median |")
    print("|---|---|---|")
    for name, work in (
        ("`import torch`", ("-c", "import torch")),
        ("`nncli verify`, a trivial case", ("-m", "nncli", *words)),
    ):
        spent = [run(*work)[0] for _ in range(5)]
        print(f"| {name} | {min(spent):.2f} | {statistics.median(spent):.2f} |", flush=True)


def digits(folder, checkpoints, limit, epsilon):
    """What each method proves of digits networks."""
    print(f"\n| network | method | {' | '.join(COLUMNS)} | wall s an image |")
    print("|---|---|---|---|---|---|---|")
    for name, checkpoint in checkpoints.items():
        for method in METHODS:
            table = Path(folder) / "digits.csv"
            words = ("--split", "test", "--limit", limit, "--epsilon", epsilon, "--timings")
            nncli(
                "verify", checkpoint, *words, "--method", method, "--threads", 1,
                "-o", table, "--overwrite",
            )  # fmt: skip
            rows = verdicts(table)
            count = Counter(row["verdict"] for row in rows)
            spent = statistics.mean(float(row["seconds"]) for row in rows)
            told = " | ".join(str(count[one]) for one in COLUMNS)
            print(f"| {name} | {method} | {told} | {spent:.2f} |", flush=True)


def listed(folder, instances, every, timeout):
    """The cases of a list, each in a process of its own."""
    place = Path(instances).parent
    with Path(instances).open() as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith("onnx")][::every]
    solved, wrong, spent, slow = 0, [], [], []
    for network, asked, limit, *known in rows:
        table = Path(folder) / "listed.csv"
        cpu, _, _ = nncli(
            "verify", place / network, "--vnnlib", place / asked, "--threads", 1,
            "--timeout", timeout or limit, "-o", table, "--overwrite",
        )  # fmt: skip
        (row,) = verdicts(table)
        answer = ANSWERS.get(row["verdict"])
        name = f"{network} {asked}"
        solved += answer is not None
        spent.append(cpu)
        if answer is None:
            slow.append(f"{name}: {row['verdict']}")
        elif known and answer != known[0].strip():
            wrong.append(f"{name}: {answer}, known {known[0]}")
    spent.sort()
    nine = spent[min(len(spent) - 1, round(0.9 * len(spent)))]
    print("\n| cases | solved | wrong | CPU s median | 90th percentile | largest |")
    print("|---|---|---|---|---|---|")
    middle, most = statistics.median(spent), spent[-1]
    print(f"| {len(rows)} | {solved} | {len(wrong)} | {middle:.1f} | {nine:.1f} | {most:.1f} |")
    for one in (*wrong, *slow):
        print(f"- {one}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--timeout", type=float)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--epsilon", default="0.1")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = {name: trained(folder, name) for name in NETWORKS}
        starting(folder, next(iter(checkpoints.values())))
        digits(folder, checkpoints, given.limit, given.epsilon)
        if given.instances:
            listed(folder, given.instances, given.every, given.timeout)


if __name__ == "__main__":
    main()
