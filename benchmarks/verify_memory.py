"""How much memory `nncli verify` takes beyond what `--max-memory` is not about.

    python benchmarks/verify_memory.py [--timeout 40] [--limits 0.05 0.3 1]

Two random networks are asked about, so closely that no stage decides: one of 5 inputs and 300
neurons, of which a search over signs makes many branches, and a convolutional one of 32 x 32 x 3
inputs and 65,000 neurons, of which each bound is large. Each line is a process; from its peak that
of interval bounds alone is taken off.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

ARCHITECTURES = """
from torch import nn


class Deep(nn.Sequential):
    def __init__(self):
        sizes = [5, 50, 50, 50, 50, 50, 50]
        layers = [part for a, b in zip(sizes, sizes[1:]) for part in (nn.Linear(a, b), nn.ReLU())]
        super().__init__(*layers, nn.Linear(50, 5))


class Wide(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 4, 2, 1), nn.ReLU(),
            nn.Flatten(), nn.Linear(4096, 256), nn.ReLU(), nn.Linear(256, 10),
        )
"""
CASES = {
    "Deep": ((5,), 0.3, ("input-split", "relu-split")),
    "Wide": ((3, 32, 32), 0.007, ("crown", "alpha-crown", "contradiction", "relu-split", "auto")),
}


def made(folder):
    """The networks, of He's weights, and an example of each, of the class that it is given."""
    (folder / "networks.py").write_text(ARCHITECTURES)
    space = {}
    exec(ARCHITECTURES, space)
    for name, (shape, _, _) in CASES.items():
        torch.manual_seed(0)
        network = space[name]()
        for one in network:
            if hasattr(one, "weight"):
                nn.init.kaiming_normal_(one.weight)
        save_file(network.state_dict(), folder / f"{name}.safetensors")
        x = torch.rand(1, *shape)
        label = network(x).argmax(dim=1)
        np.savez(folder / f"{name}.npz", x=x.numpy(), y=label.numpy())


def process(words):
    """(GB at the peak, exit code) of a command."""
    run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(run.pid, 0)
    return used.ru_maxrss * 1024 / 1e9, os.waitstatus_to_exitcode(status)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timeout", type=float, default=40.0)
    parser.add_argument("--limits", type=float, nargs="+", default=[0.05, 0.3, 1.0])
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    made(folder)
    print("| network | stage | floor | " + " | ".join(f"{one:g} GB" for one in given.limits) + " |")
    print("|---|---|" + "---|" * (1 + len(given.limits)))
    for name, (_, epsilon, methods) in CASES.items():
        words = ["nncli", "verify", folder / f"{name}.safetensors", "--arch"]
        words += [f"{folder}/networks.py:{name}", "--data", folder / f"{name}.npz", "-q"]
        words += ["--epsilon", str(epsilon), "-o", folder / "t.parquet", "--overwrite"]
        floor, _ = process([*words, "--method", "ibp"])
        for method in methods:
            line = []
            for limit in given.limits:
                more = ["--method", method, "--timeout", given.timeout, "--max-memory", limit]
                peak, code = process([*words, *map(str, more)])
                line.append(f"{peak - floor:.2f}{'' if code == 4 else f' (exit {code})'}")
            print(f"| {name} | `{method}` | {floor:.2f} | " + " | ".join(line) + " |", flush=True)


if __name__ == "__main__":
    main()
