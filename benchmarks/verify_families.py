"""Classical families of verification cases that tests make themselves, each in a fresh process.

    python benchmarks/verify_families.py [--family NAME ...] [--timeout 60] [--every 1]

Prints the table of verify.md: formulas as networks, text classifiers, controllers, lattices,
learned indexes, networks over windows of time and unrolled recurrent ones. All cases come from
seeds; `--every N` takes every Nth. `wrong` counts verdicts against what is known beforehand (a
solver of formulas, a planted violation), counterexamples that ONNX Runtime does not confirm, and
proofs that sampled points refute.
"""

import argparse
import csv
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from verify_family_formulas import formulas
from verify_family_lattices import lattices
from verify_family_sequences import unrolled, windows
from verify_family_trained import indexes, policies, reachable, text_classifiers

SETTINGS = {
    **os.environ,
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}
SAMPLES = 20_000
VERDICTS = "verified", "violated", "unknown", "timeout"
FAMILIES = {
    "formulas": formulas,
    "text": text_classifiers,
    "policies": policies,
    "reachable": reachable,
    "lattices": lattices,
    "indexes": indexes,
    "unrolled": unrolled,
    "windows": windows,
}


def decided(folder, case, timeout):
    """CPU seconds of a process, the row of its table, and the counterexample if there is one."""
    network, asked = folder / f"{case.name}.onnx", folder / f"{case.name}.vnnlib"
    network.write_bytes(case.network.SerializeToString())
    asked.write_text(case.text)
    table, results = folder / "table.csv", folder / "results.txt"
    results.unlink(missing_ok=True)
    words = ("verify", network, "--vnnlib", asked, "--threads", 1, "--timeout", timeout)
    more = ("--timings", "--results", results, "-o", table, "--overwrite", "-q")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "nncli", *map(str, (*words, *more))],
        env=SETTINGS,
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode not in (0, 1, 4):
        return spent, {"verdict": "error", "stage": done.stderr.strip()}, None
    with table.open() as file:
        (row,) = csv.DictReader(file)
    found = re.findall(r"\(X_(\d+)\s+(\S+?)\)", results.read_text())
    point = np.array([float(value) for _, value in found]) if found else None
    return spent, row, point


def mistake(folder, case, row, point):
    """What is wrong with an answer, empty if nothing is."""
    verdict = row["verdict"]
    if verdict not in ("verified", "violated"):
        return ""
    if case.expected and verdict != case.expected:
        return f"known to be {case.expected}"
    session = onnxruntime.InferenceSession(str(folder / f"{case.name}.onnx"))
    (given,) = session.get_inputs()
    shape = [1 if not isinstance(one, int) else one for one in given.shape]

    def outputs(x):
        return session.run(None, {given.name: x.astype(np.float32).reshape(shape)})[0].ravel()

    if verdict == "violated":
        reached = case.margin(point, outputs(point))
        return "" if reached >= -1e-6 else f"the counterexample misses by {-reached:.2g}"
    generator = np.random.default_rng(1)
    for x in case.points(generator, min(SAMPLES, 2_000_000 // len(outputs(case.middle)) + 1)):
        if case.margin(x, outputs(x)) > 1e-4:
            return f"violated at a sampled point by {case.margin(x, outputs(x)):.2g}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", action="append", choices=FAMILIES)
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--keep")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as made:
        for family in given.family or FAMILIES:
            folder = Path(given.keep or made) / family
            folder.mkdir(parents=True, exist_ok=True)
            counts, times, told = dict.fromkeys((*VERDICTS, "error"), 0), [], []
            for case in FAMILIES[family]()[:: given.every]:
                begun = time.perf_counter()
                spent, row, point = decided(folder, case, given.timeout)
                counts[row["verdict"]] += 1
                times.append(spent)
                wrong = mistake(folder, case, row, point)
                if wrong:
                    told.append(f"{case.name}: {row['verdict']}, {wrong}")
                if given.verbose:
                    wall = time.perf_counter() - begun
                    print(
                        f"{case.name:28} {row['verdict']:9} {row['stage']:12} {spent:6.1f} s"
                        f" ({wall:.1f}) {case.expected or ''} {wrong}",
                        flush=True,
                    )
            times.sort()
            open_ones = counts["unknown"] + counts["timeout"] + counts["error"]
            lines.append(
                f"| {family} | {len(times)} | {counts['verified']} | {counts['violated']} "
                f"| {open_ones} | {len(told)} | {statistics.median(times):.1f} | {times[-1]:.1f} |"
            )
            for one in told:
                print(f"- wrong: {one}", flush=True)
    print("| family | cases | verified | violated | undecided | wrong | CPU s median | largest |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
