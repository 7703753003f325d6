"""Networks over images: pools, residual connections, strides, gaps and groups, S-shaped functions.

    python benchmarks/verify_families_images.py [--family pools ...] [--images FILE.npz]
        [--limit 3] [--timeout 60] [--keep FOLDER]

Each family is a network trained for a moment against single gradient steps, exported to ONNX and
verified in a fresh process for each epsilon: near to where proofs end and attacks begin. Images are
those of digits, enlarged to 28 x 28, or `x` (n, 1, 28, 28) and `y` of a file; families of colours
see them at 32 x 32 in random colours. Prints the table of verify.md. `wrong` counts examples called
verified that 50 starts of 40 gradient steps, on the module itself, break; and counterexamples
that ONNX Runtime does not confirm.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.nn import functional as F

from nncli.formats.datasets import load

SETTINGS = {
    **os.environ,
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}
STARTS, STEPS = 50, 40


class Block(nn.Module):
    """Two convolutions, each with batch norm, and what goes around them."""

    def __init__(self, into, out, stride):
        super().__init__()
        self.first = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(out) for _ in range(2))
        self.around = nn.Conv2d(into, out, 1, stride) if (into, stride) != (out, 1) else None

    def forward(self, x):
        """What comes out."""
        y = self.norms[1](self.second(torch.relu(self.norms[0](self.first(x)))))
        return torch.relu(y + (x if self.around is None else self.around(x)))


def head(size, hidden, classes=10):
    """Two layers over all numbers."""
    return nn.Flatten(), nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, classes)


def deep(function):
    """Six layers of 200 with an S-shaped function."""
    layers = [nn.Flatten()]
    for into in (784, *[200] * 5):
        layers += [nn.Linear(into, 200), function()]
    return nn.Sequential(*layers, nn.Linear(200, 10))


def convolution(*sizes, after=nn.ReLU, **more):
    """A convolution and a function."""
    return nn.Conv2d(*sizes, **more), after()


FAMILIES = {  # channels of the images, the network, radius of its training, epsilons
    "convolutions": (
        1,
        lambda: nn.Sequential(
            *convolution(1, 16, 4, 2, 1), *convolution(16, 32, 4, 2, 1), *head(1568, 100)
        ),
        0.1,
        ("0.05", "0.1"),
    ),
    "maximum pools": (
        1,
        lambda: nn.Sequential(
            *convolution(1, 8, 5),
            nn.MaxPool2d(2),
            *convolution(8, 16, 5),
            nn.MaxPool2d(2),
            *head(256, 64),
        ),
        0.1,
        ("0.03", "0.06"),
    ),
    "average pools": (
        1,
        lambda: nn.Sequential(
            *convolution(1, 8, 3, padding=1),
            nn.AvgPool2d(2),
            *convolution(8, 16, 3, padding=1),
            nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
            *head(1024, 32),
        ),
        0.1,
        ("0.05", "0.1"),
    ),
    "gaps, groups, odd edges": (
        1,
        lambda: nn.Sequential(
            *convolution(1, 8, 3, 2, padding=2, dilation=2, padding_mode="replicate"),
            *convolution(8, 16, 3, 2, padding=1, groups=4, after=lambda: nn.LeakyReLU(0.1)),
            nn.ZeroPad2d((0, 1, 0, 1)),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *head(256, 32),
        ),
        0.1,
        ("0.03", "0.06"),
    ),
    "residual, batch norm": (
        1,
        lambda: nn.Sequential(
            *convolution(1, 8, 3, 2, 1),
            Block(8, 16, 2),
            Block(16, 16, 1),
            nn.AdaptiveAvgPool2d(1),
            *head(16, 32),
        ),
        0.1,
        ("0.02", "0.04"),
    ),
    "sigmoid 6 x 200": (1, lambda: deep(nn.Sigmoid), 0.02, ("0.005", "0.01")),
    "tanh 6 x 200": (1, lambda: deep(nn.Tanh), 0.02, ("0.01", "0.02")),
    "residual, colours": (
        3,
        lambda: nn.Sequential(
            *convolution(3, 8, 3, 2, 1), Block(8, 16, 2), Block(16, 16, 2), *head(256, 100)
        ),
        8 / 255,
        ("2/255", "4/255"),
    ),
    "wide, colours": (
        3,
        lambda: nn.Sequential(
            *convolution(3, 32, 3, 1, 1),
            *convolution(32, 32, 4, 2, 1),
            *convolution(32, 64, 4, 2, 1),
            *head(4096, 250),
        ),
        8 / 255,
        ("2/255",),
    ),
    "stacked pools, colours": (
        3,
        lambda: nn.Sequential(
            *convolution(3, 16, 3, 1, 1),
            *convolution(16, 16, 3, 1, 1),
            nn.MaxPool2d(2),
            *convolution(16, 32, 3, 1, 1),
            nn.MaxPool2d(2),
            *convolution(32, 32, 3, 1, 1),
            nn.MaxPool2d(2),
            *head(512, 64),
        ),
        8 / 255,
        ("1/255",),
    ),
}


def images(file):
    """All images at 28 x 28 and in colours at 32 x 32, and labels."""
    if file:
        with np.load(file) as held:
            x, y = torch.from_numpy(held["x"]).float(), torch.from_numpy(held["y"])
    else:
        held = load("digits", split="all")
        x, y = torch.from_numpy(held.x).float().reshape(-1, 1, 8, 8), torch.from_numpy(held.y)
        x = F.interpolate(x, (28, 28), mode="bilinear")
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(x), generator=generator)
    x, y = x[order], y[order].long()
    large = F.interpolate(x, (32, 32), mode="bilinear")
    front, back = (
        share * torch.rand(len(x), 3, 1, 1, generator=generator) + least
        for share, least in ((0.6, 0.4), (0.3, 0.0))
    )
    noise = 0.03 * torch.randn(len(x), 3, 32, 32, generator=generator)
    return {1: x, 3: (large * front + (1 - large) * back + noise).clamp(0, 1)}, y


def trained(make, x, y, radius, epochs):
    """A network trained against one step of the gradient from a random point."""
    torch.manual_seed(0)
    network = make()
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for epoch in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            at, label = x[batch], y[batch]
            if epoch:
                start = (at + radius * (2 * torch.rand_like(at) - 1)).requires_grad_(True)
                (slope,) = torch.autograd.grad(F.cross_entropy(network(start), label), start)
                moved = start.detach() + 1.25 * radius * slope.sign()
                at = torch.minimum(torch.maximum(moved, at - radius), at + radius).clamp(0, 1)
            loss = F.cross_entropy(network(at), label)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return network.eval()


def attacked(network, x, label, radius):
    """Whether gradient steps from many starts change the answer."""
    low, high = (x - radius).clamp(0, 1), (x + radius).clamp(0, 1)
    at = low + (high - low) * torch.rand(STARTS, *x.shape)
    for turn in range(STEPS):
        at = at.detach().requires_grad_(True)
        outputs = network(at)
        if bool((outputs.argmax(1) != label).any()):
            return True
        others = outputs.scatter(1, torch.full((len(at), 1), label), -torch.inf)
        (slope,) = torch.autograd.grad((outputs[:, label] - others.amax(1)).sum(), at)
        step = radius * 0.3 * (1 - turn / STEPS)
        at = torch.minimum(torch.maximum(at - step * slope.sign(), low), high)
    return False


def process(words):
    """CPU seconds, greatest memory in MB and what was said by a command."""
    with subprocess.Popen(
        [sys.executable, "-m", "nncli", *map(str, words)],
        env=SETTINGS,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        said = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime, used.ru_maxrss // 1024, child.returncode, said


def cases(name, network, epsilon, options):
    """One row of the table."""
    table, found = Path("table.csv"), Path("found.safetensors")
    found.unlink(missing_ok=True)
    words = ("verify", f"{name}.onnx", "--data", f"{name}.npz", "--epsilon", epsilon, *options)
    more = ("--threads", 1, "-q", "-o", table, "--overwrite", "--counterexamples", found)
    spent, memory, code, said = process((*words, *more))
    if code not in (0, 1, 4):
        return f"| {name} | {epsilon} | error: {said.strip()} |"
    rows = list(csv.DictReader(table.open()))
    with np.load(f"{name}.npz") as held:
        x, y = torch.from_numpy(held["x"]), held["y"]
    radius = float(Fraction(epsilon))
    wrong = sum(
        row["verdict"] == "verified" and attacked(network, x[k], int(y[k]), radius)
        for k, row in enumerate(rows)
    )
    if found.exists():
        held = load(str(found), split="all")
        session = onnxruntime.InferenceSession(f"{name}.onnx")
        (given,) = session.get_inputs()
        for point, label in zip(held.x, held.y, strict=True):
            shaped = point.astype(np.float32).reshape(given.shape)
            wrong += int(session.run(None, {given.name: shaped})[0].argmax() == label)
    counts = [
        sum(row["verdict"] in one for row in rows)
        for one in (("verified",), ("violated",), ("unknown", "timeout"))
    ]
    each = " | ".join(str(one) for one in counts)
    return f"| {name} | {epsilon} | {each} | {wrong} | {spent / len(rows):.1f} | {memory} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", action="append", choices=FAMILIES)
    parser.add_argument("--images")
    parser.add_argument("--limit", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--keep")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    held, y = images(given.images)
    folder = Path(given.keep or tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    print("| network | epsilon | verified | violated | undecided | wrong | CPU s each | MB |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in given.family or FAMILIES:
        channels, make, radius, epsilons = FAMILIES[name]
        x = held[channels]
        network = trained(make, x[100:4000], y[100:4000], radius, given.epochs)
        with torch.no_grad():
            right = network(x[:100]).argmax(1) == y[:100]
        np.savez(f"{name}.npz", x=x[:100][right].numpy(), y=y[:100][right].numpy())
        torch.onnx.export(network, (x[:1],), f"{name}.onnx", dynamo=False)
        for epsilon in epsilons:
            options = ("--limit", given.limit, "--timeout", given.timeout)
            print(cases(name, network, epsilon, options), flush=True)


if __name__ == "__main__":
    main()
