"""How to train many small networks at once: one after another, in processes, or batched by vmap.

    python benchmarks/train.py [--repeats 3] [--steps 300] [--cores 2]

Prints the table of train.md: for two architectures and 2, 8 and 32 seeds the wall time and the CPU
seconds of each way, the best of several repeats, and whether a network that is trained in company
has the bytes of the same network trained alone. All ways have the same batches, the same
optimizer and the same steps; reading data, measuring and writing are left out.
"""

import argparse
import os
import resource
import time
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from nncli.architectures import build
from nncli.formats.datasets import load
from nncli.training import Arrays, Recipe, side_by_side, train
from nncli.training.loop import shuffled
from nncli.training.optimizers import Adam
from nncli.training.recipe import ORDER, substream

ARCHITECTURES = ("mlp:64-128-64-10", "cnn:1x8x8-c16-c32-p-64-10")
SEEDS = (2, 8, 32)


def one(examples, recipe, arch, seed):
    """Train one network; its parameters as one vector."""
    module = build(arch, seed=seed)
    for _ in train(module, examples, recipe, seed=seed, stops=[recipe.steps]):
        pass
    return torch.cat([value.detach().reshape(-1) for value in module.parameters()]).numpy()


def one_after_another(examples, recipe, arch, seeds, cores):
    return [one(examples, recipe, arch, seed) for seed in seeds]


def in_processes(examples, recipe, arch, seeds, cores):
    work = partial(one, examples, recipe, arch)
    found = dict(side_by_side(work, seeds, jobs=cores, threads=1))
    return [found[seed] for seed in seeds]


def by_vmap(examples, recipe, arch, seeds, cores, *, threads=1):
    """Train all networks as one, whose parameters have one dimension more."""
    torch.set_num_threads(threads)
    stacked, _ = stack_module_state([build(arch, seed=seed) for seed in seeds])
    base = build(arch).to("meta")
    values = torch.cat([value.detach().reshape(-1) for value in stacked.values()])
    optimizer = Adam(values, torch.zeros_like(values), recipe)
    parameters, start = {}, 0
    for name, value in stacked.items():
        place = slice(start, start + value.numel())
        parameters[name] = values[place].view_as(value).requires_grad_()
        parameters[name].grad = optimizer.gradient[place].view_as(value)
        start = place.stop

    def loss(weights, x, y):
        return functional.cross_entropy(functional_call(base, weights, (x,)), y)

    order = [torch.Generator().manual_seed(substream(seed, ORDER)) for seed in seeds]
    batches = [shuffled(len(examples), recipe.batch_size, generator) for generator in order]
    for rows in islice(zip(*batches, strict=True), recipe.steps):
        together = torch.stack(rows)
        optimizer.gradient.zero_()
        vmap(loss)(parameters, examples.x[together], examples.y[together]).sum().backward()
        optimizer.step()
    torch.set_num_threads(1)
    return [
        torch.cat([value[place].detach().reshape(-1) for value in parameters.values()]).numpy()
        for place in range(len(seeds))
    ]


WAYS = {
    "one after another": one_after_another,
    "processes": in_processes,
    "vmap, 1 thread": by_vmap,
    "vmap, all threads": partial(by_vmap, threads=os.cpu_count()),
}


def cpu_seconds():
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def measure(work, repeats):
    """The shortest wall time and the least CPU seconds of several repeats, and the last result."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), cpu_seconds()
        found = work()
        walls.append(time.perf_counter() - wall)
        cpus.append(cpu_seconds() - cpu)
    return min(walls), min(cpus), found


def agreement(found, alone):
    if all(np.array_equal(a, b) for a, b in zip(found, alone, strict=True)):
        return "same bytes"
    worst = max(np.abs(a - b).max() for a, b in zip(found, alone, strict=True))
    return f"differs by {worst:.1g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    data = load("digits", split="train")
    examples = Arrays(data.x, data.y).tensors()
    recipe = Recipe(chosen.steps, 64, "adam", 1e-3)
    by_vmap(examples, Recipe(2, 64, "adam", 1e-3), ARCHITECTURES[0], range(2), 1)  # warm up
    print(f"{chosen.steps} steps of Adam, batches of 64, {chosen.cores} cores, torch", end=" ")
    print(torch.__version__, end="\n\n")
    print("| architecture | seeds | way | wall s | CPU s | each seed as if alone |")
    print("|---|---|---|---|---|---|")
    for arch in ARCHITECTURES:
        for count in SEEDS:
            alone = None
            for name, way in WAYS.items():
                work = partial(way, examples, recipe, arch, range(count), chosen.cores)
                wall, cpu, found = measure(work, chosen.repeats)
                alone = alone or found
                told = agreement(found, alone)
                print(
                    f"| {arch} | {count} | {name} | {wall:.2f} | {cpu:.2f} | {told} |", flush=True
                )


if __name__ == "__main__":
    main()
