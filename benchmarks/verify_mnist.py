"""The case of the literature on semidefinite bounds: a convolutional network, MNIST, epsilon 0.3.

    python benchmarks/verify_mnist.py MNIST [--checkpoint FILE] [--limit 24] [--seconds 60]

MNIST is a dataset of images (1, 28, 28) from 0 to 1, as `nncli train` reads them; 5,000 are enough.
Without --checkpoint it trains the network of mnist_cnn.py against PGD first, at 0.1, at 0.2 and at
0.3, with smaller steps in the end (8 CPU minutes). Prints a line for each image and method, with
the CPU seconds, and re-proves what the portfolio proved.
"""

import argparse
import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402

from nncli.checkpoints import expand  # noqa: E402
from nncli.formats.datasets import load  # noqa: E402
from nncli.origins import survey  # noqa: E402
from nncli.verification.certifying.checking import check  # noqa: E402
from nncli.verification.neighbourhoods import robustness  # noqa: E402
from nncli.verification.portfolio import decide  # noqa: E402
from nncli.verification.stages import Setting  # noqa: E402
from nncli.verification.subjects import subject  # noqa: E402

ARCH = f"{Path(__file__).with_name('mnist_cnn.py')}:Network"
EPSILON = "0.3"
TRAINING = (
    ("0.1", "500", "0.001"),
    ("0.2", "500", "0.001"),
    ("0.3", "2600", "0.001"),
    ("0.3", "1000", "0.0002"),
)
NUMBERS = 250_000_000  # 2 GB, as the command takes
METHODS = ("crown", "alpha-crown", "auto")


def trained(data, folder):
    """A checkpoint that `nncli train` makes, epsilon by epsilon."""
    begun = ()
    for turn, (epsilon, steps, rate) in enumerate(TRAINING):
        place = Path(folder) / str(turn)
        command = [sys.executable, "-m", "nncli", "train", "--arch", ARCH, "--data", data, "-q"]
        command += ["--epsilon", epsilon, "--steps", steps, "--learning-rate", rate]
        subprocess.run([*command, *begun, "-o", str(place)], check=True)
        begun = ("--init", str(place / "seed-0.safetensors"))
    return begun[1]


def main():
    """Print what each method finds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--checkpoint")
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    examples = load(given.data, split="test", limit=given.limit)
    with tempfile.TemporaryDirectory() as folder:
        path = given.checkpoint or trained(given.data, folder)
        (origin,) = survey(expand((path,)), ARCH, "cpu")
        module = origin.load().module
    one = subject(origin.name, origin.digest, module, examples.x.shape[1:], drop_softmax=True)
    counts = {method: Counter() for method in METHODS}
    spent = Counter()
    for place, (image, label) in enumerate(zip(examples.x, examples.y.tolist(), strict=True)):
        asked = robustness(
            str(place),
            torch.from_numpy(image),
            label,
            EPSILON,
            outputs=one.network.outputs,
            limits=(0, 1),
        )
        for method in METHODS:
            begun = time.process_time()
            setting = Setting(method, given.seconds, numbers=NUMBERS, record=method == "auto")
            found = decide(one.network, asked, one.confirming(asked), setting)
            taken = time.process_time() - begun
            counts[method][found.verdict] += 1
            spent[method] += taken
            line = f"{place} {method} {found.verdict} {found.stage} bound {found.bound:.2f} "
            line += f"attack {found.attacked:.2f}, {taken:.1f} s"
            if found.proof:
                begun = time.process_time()
                reason = check(one.network, asked, found.proof, numbers=NUMBERS)
                line += f", check {reason or 'accepted'}, {time.process_time() - begun:.1f} s"
            print(line, flush=True)
    for method in METHODS:
        print(method, dict(counts[method]), f"{spent[method] / len(examples.x):.1f} s an image")


if __name__ == "__main__":
    main()
