"""What `nncli capture` costs beside a bare forward loop, and how much memory it takes.

    python benchmarks/capture.py [--repeats 5] [--scale 1.0]

Prints the table of capture.md. Every measurement is a process of its own with one thread for the
network; model and data are loaded and 256 rows are run before the clock starts. Three tools on the
same network and rows:

    bare    the forward passes alone
    usual   hooks, a list of tensors a layer, `torch.cat`, `safetensors.torch.save_file`
    nncli   what `nncli capture` does between loading and the end

CPU seconds count all threads, the one that writes among them; wall seconds are what one waits. The
memory is the growth of the largest resident size after the warm-up.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASES = {
    "small cnn": ("cnn:1x8x8-c16-c32-p-64-10", (1, 8, 8), 40_000),
    "tiny transformer": ("transformer:v100x32-d64-h4-b4-10", (32,), 6_000),
    "wide mlp": ("mlp:64-2048-2048-10", (64,), 20_000),
}
WARM_UP = 256


def measure(tool, case, how, scale, folder):
    """In a child: run one tool once and print what it took."""
    import numpy as np
    import torch

    from nncli.architectures import build
    from nncli.checkpoints import Model
    from nncli.commands import capture
    from nncli.feeding import automatic_batch_size
    from nncli.formats.datasets import Dataset
    from nncli.forward import Inputs, batches, run, take
    from nncli.layer_choice import default_layers
    from nncli.reductions import reduce
    from nncli.tracing import trace

    torch.set_num_threads(1)
    spec, shape, rows = CASES[case]
    rng, rows = np.random.default_rng(0), int(rows * scale)
    tokens = len(shape) == 1 and spec.startswith("transformer")
    x = rng.integers(0, 100, (rows, *shape)) if tokens else rng.random((rows, *shape), np.float32)
    network = build(spec).eval()
    there = trace(network, take(Inputs(x), 0, 2))
    layers, size = default_layers(network, there), automatic_batch_size(there)
    target = str(Path(folder) / "a.safetensors")

    def bare(x):
        with torch.inference_mode():
            for one in batches(Inputs(x), size):
                run(network, one)

    def usual(x):
        from safetensors.torch import save_file

        kept = {one.name: [] for one in layers}

        def keep(layer):
            def hook(module, given, answer):
                kept[layer.name].append(reduce(answer, how, layer.layout).clone())

            return hook

        hooks = [
            network.get_submodule(one.module).register_forward_hook(keep(one)) for one in layers
        ]
        bare(x)
        for one in hooks:
            one.remove()
        save_file({name: torch.cat(parts) for name, parts in kept.items()}, target)

    def nncli(x):
        model = Model(network, "net", "state-dict", "sha256:0", spec)
        data = Dataset("x", "all", x, None, np.arange(len(x)), None, None, {}, None, "sha256:1")
        wanted = capture.Wanted((), "output", how, "float32", size)
        with capture.command.make_context("capture", ["net"]):
            capture._capture(model, data, wanted, target, overwrite=True)

    chosen = {"bare": bare, "usual": usual, "nncli": nncli}[tool]
    chosen(x[:WARM_UP])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    chosen(x)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    size = Path(target).stat().st_size / 1e6 if tool != "bare" else 0
    print(json.dumps({"wall": wall, "cpu": cpu, "memory": grown, "size": size}))


def child(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    line = [sys.executable, __file__, "--child", *map(str, arguments)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows")
    parser.add_argument("--child", nargs=5)
    options = parser.parse_args()
    if options.child:
        tool, case, how, scale, folder = options.child
        measure(tool, case, how, float(scale), folder)
        return
    print("| network | rows | `--reduce` | tool | CPU s | of bare | wall s | memory MB | file MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            for how in ("mean", "none"):
                compare(case, how, options, folder)


def compare(case, how, options, folder):
    found = {tool: [] for tool in ("bare", "usual", "nncli")}
    for _ in range(options.repeats):  # in turns, so that a busy minute hits all of them
        for tool, runs in found.items():
            runs.append(child(tool, case, how, options.scale, folder))
    best = {
        tool: {key: min(one[key] for one in runs) for key in runs[0]}
        for tool, runs in found.items()
    }
    rows = int(CASES[case][2] * options.scale)
    for tool, one in best.items():
        ratio = one["cpu"] / best["bare"]["cpu"]
        print(
            f"| {case} | {rows} | {how} | {tool} | {one['cpu']:.2f} | {ratio:.2f} | "
            f"{one['wall']:.2f} | {one['memory']:.0f} | {one['size']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
