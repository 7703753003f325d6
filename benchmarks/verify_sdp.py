"""What semidefinite bounds add to linear ones on a network trained against attacks.

    python benchmarks/verify_sdp.py [--checkpoint FILE] [--epsilon 0.1] [--limit 40] [--seconds 10]

Without --checkpoint it trains `mlp:64-50-50-10` on digits against PGD first (10 CPU seconds).
Prints the tables of verify.md: how much of the gap between alpha-CROWN and an attack the
semidefinite bounds close over the pairs of image and class that CROWN leaves open, and how many
images each method proves.
"""

import argparse
import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402

from nncli.checkpoints import expand  # noqa: E402
from nncli.formats.datasets import load  # noqa: E402
from nncli.origins import survey  # noqa: E402
from nncli.verification.backward import below  # noqa: E402
from nncli.verification.clock import Clock  # noqa: E402
from nncli.verification.domains import domain_of  # noqa: E402
from nncli.verification.falsifying import falsify  # noqa: E402
from nncli.verification.neighbourhoods import robustness  # noqa: E402
from nncli.verification.portfolio import decide  # noqa: E402
from nncli.verification.queries import queries  # noqa: E402
from nncli.verification.sdp.lagrangian import problem  # noqa: E402
from nncli.verification.sdp.search import Plan, climb  # noqa: E402
from nncli.verification.sdp.start import linear_start  # noqa: E402
from nncli.verification.slopes import ascend  # noqa: E402
from nncli.verification.stages import Setting  # noqa: E402
from nncli.verification.subjects import subject  # noqa: E402
from nncli.verification.tightening import Effort, relaxations, tightened  # noqa: E402

METHODS = ("crown", "alpha-crown", "sdp", "relu-split", "auto")


def trained(folder):
    """A checkpoint that `nncli train` makes."""
    command = [sys.executable, "-m", "nncli", "train", "--arch", "mlp:64-50-50-10", "--data"]
    command += ["digits", "--epsilon", "0.1", "--steps", "1500", "-q", "-o", folder]
    subprocess.run(command, check=True)
    return str(Path(folder) / "seed-0.safetensors")


def cases(network, x, y, epsilon):
    """Queries of the images that are classified correctly, with their places."""
    for place, (image, label) in enumerate(zip(x, y, strict=True)):
        if int(network(image.double().flatten()).argmax()) == label:
            asked = robustness(
                str(place), image, label, epsilon, outputs=network.outputs, limits=(0, 1)
            )
            yield asked, queries(asked)[0]


def gaps(network, query):
    """(margins by alpha-CROWN, by semidefinite bounds, by attack) of open pairs, CPU seconds."""
    domain = domain_of([query.region])
    known = tightened(network, domain)
    bound = below(network, query.rows(network), domain, known, relaxations(network, known)).bound
    left = torch.nonzero(query.margins(bound)[0] <= 0).flatten()
    if not len(left):
        return None
    begun = time.process_time()
    known = tightened(network, domain, Effort(steps=10))
    rows = query.rows(network, left)
    linear = ascend(network, rows, domain, known, steps=100)
    between = time.process_time()
    posed = problem(network, rows, domain, known)
    start = linear_start(posed, rows, domain, known, linear.choice)
    found = climb(posed, start, Plan())
    ended = time.process_time()
    attack = falsify(network, query, lambda point: False, Clock(10.0), rounds=3)
    margins = [query.margins(one, left)[0] for one in (linear.bound, found.bound[None])]
    return torch.stack([*margins, attack.nearest[left]]), between - begun, ended - between


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint")
    parser.add_argument("--epsilon", default="0.1")
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    examples = load("digits", split="test", limit=given.limit)
    x, y = torch.from_numpy(examples.x), examples.y.tolist()
    with tempfile.TemporaryDirectory() as folder:
        (origin,) = survey(expand((given.checkpoint or trained(folder),)), None, "cpu")
        one = subject(
            origin.name, origin.digest, origin.load().module, tuple(x.shape[1:]), drop_softmax=True
        )
    asked = list(cases(one.network, x, y, given.epsilon))
    found = [pair for pair in (gaps(one.network, query) for _, query in asked) if pair]
    print_gaps(found)
    print_proofs(one, [each for each, _ in asked], given.seconds)


def print_gaps(found):
    """The first table."""
    margins = torch.cat([one for one, _, _ in found], dim=1)
    print("| pairs | alpha-CROWN | SDP | PGD | gap closed, of the means | mean of the shares |")
    print("|---|---|---|---|---|---|")
    for name, kept in (("all open", margins[2] > -1e9), ("not broken by PGD", margins[2] > 0)):
        linear, bound, attack = margins[:, kept]
        means = [float(each.mean()) for each in (linear, bound, attack)]
        share = float(((bound - linear) / (attack - linear)).mean())
        of_means = (means[1] - means[0]) / (means[2] - means[0])
        print(
            f"| {name}, {int(kept.sum())} | {means[0]:.3f} | {means[1]:.3f} | {means[2]:.3f} "
            f"| {of_means:.1%} | {share:.1%} |"
        )
    linear, bound = (sum(one[place] for one in found) / len(found) for place in (1, 2))
    print(f"\n{len(found)} images with open pairs; CPU seconds an image: ", end="")
    print(f"alpha-CROWN with its intervals {linear:.2f}, SDP {bound:.2f}\n")


def print_proofs(one, asked, seconds):
    """The second table."""
    print("| method | proved | violated | undecided | CPU s an image |")
    print("|---|---|---|---|---|")
    for method in METHODS:
        begun = time.process_time()
        verdicts = [
            decide(one.network, each, one.confirming(each), Setting(method, seconds)).verdict
            for each in asked
        ]
        spent = (time.process_time() - begun) / len(asked)
        counts = [verdicts.count(name) for name in ("verified", "violated")]
        print(
            f"| {method} | {counts[0]} | {counts[1]} | {len(asked) - sum(counts)} | {spent:.2f} |"
        )


if __name__ == "__main__":
    main()
