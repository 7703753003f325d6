"""Linear bounds of digits networks beside those of auto_LiRPA, in one process.

    python benchmarks/verify_bounds.py CHECKPOINT... [--peer FOLDER] [--limit 20] [--epsilon 0.1]

FOLDER holds auto_LiRPA (`pip install --no-deps --target FOLDER auto-LiRPA appdirs ninja packaging
pyyaml`); without it only our bounds are printed. The release on PyPI, 0.3, is of 2022 and is given
here the three names that it looks for in newer releases of NumPy and PyTorch.
"""

import argparse
import copy
import sys
import time
import types
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nncli.checkpoints import expand
from nncli.formats.datasets import load
from nncli.origins import survey
from nncli.verification.backward import below
from nncli.verification.domains import domain_of
from nncli.verification.neighbourhoods import robustness
from nncli.verification.queries import queries
from nncli.verification.slopes import ascend
from nncli.verification.subjects import subject
from nncli.verification.tightening import Effort, relaxations, tightened

PEER_STEPS = 20  # its own choice


def ours(network, query, steps, inner):
    """Margins by CROWN and alpha-CROWN, and what each took."""
    domain, rows = domain_of([query.region]), query.rows(network)
    begun = time.process_time()
    known = tightened(network, domain)
    crown = query.margins(below(network, rows, domain, known, relaxations(network, known)).bound)
    between = time.process_time()
    known = tightened(network, domain, Effort(steps=inner))
    alpha = query.margins(ascend(network, rows, domain, known, steps=steps).bound)
    return crown[0], alpha[0], between - begun, time.process_time() - between


def peer_in(folder):
    """auto_LiRPA, with what it misses."""
    import torch.onnx.symbolic_helper as helper
    from torch.onnx._internal.torchscript_exporter._globals import GLOBALS

    sys.modules["numpy.lib.arraysetops"] = types.SimpleNamespace(isin=np.isin)
    helper._set_opset_version = lambda one: setattr(GLOBALS, "export_onnx_opset_version", one)
    torch._C.Node.__getitem__ = lambda node, name: getattr(node, node.kindOf(name))(name)
    sys.path.insert(0, folder)
    warnings.simplefilter("ignore")
    import auto_LiRPA

    return auto_LiRPA


def theirs(peer, bounded, region, label, outputs):
    """The same of the peer: all slopes are climbed together there, in float32."""
    others = [one for one in range(outputs) if one != label]
    factors = torch.zeros(1, len(others), outputs, dtype=torch.float64)
    factors[0, :, label] = 1
    factors[0, torch.arange(len(others)), others] = -1
    found = []
    for method, dtype in (("CROWN", torch.float64), ("CROWN-Optimized", torch.float32)):
        low, high = region.low[None].to(dtype), region.high[None].to(dtype)
        ball = peer.perturbations.PerturbationLpNorm(norm=float("inf"), x_L=low, x_U=high)
        x = peer.BoundedTensor((low + high) / 2, ball)
        begun = time.process_time()
        bound = bounded[dtype].compute_bounds(
            x=(x,), C=factors.to(dtype), method=method, bound_upper=False
        )[0]
        found.append((bound.detach()[0].double(), time.process_time() - begun))
    (crown, first), (alpha, second) = found
    return crown, alpha, first, second


def traced(peer, module, inputs):
    """An mlp as the peer takes it, in both precisions."""
    options = {"optimize_bound_args": {"iteration": PEER_STEPS}}
    layers = [one for one in module.modules() if isinstance(one, nn.Linear | nn.ReLU)]
    return {
        dtype: peer.BoundedModule(
            copy.deepcopy(nn.Sequential(*layers)).to(dtype),
            torch.zeros(1, inputs, dtype=dtype),
            bound_opts=options,
        )
        for dtype in (torch.float64, torch.float32)
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--peer")
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--epsilon", default="0.1")
    parser.add_argument("--steps", type=int, default=100, help="of the slopes for the margins")
    parser.add_argument("--inner-steps", type=int, default=10, help="of those for each layer")
    given = parser.parse_args()
    torch.set_num_threads(1)
    peer = peer_in(given.peer) if given.peer else None
    examples = load("digits", split="test", limit=given.limit)
    x = torch.from_numpy(examples.x)
    print("| network | whose | CROWN, mean margin | CPU ms | alpha-CROWN, mean margin | CPU ms |")
    print("|---|---|---|---|---|---|")
    worse = []
    for origin in survey(expand(tuple(given.checkpoints)), None, "cpu"):
        module = origin.load().module
        one = subject(origin.name, origin.digest, module, tuple(x.shape[1:]), drop_softmax=True)
        found = {"ours": [], "auto_LiRPA": []}
        if peer:
            bounded = traced(peer, module, one.network.inputs)
        for image, label in zip(x, examples.y.tolist(), strict=True):
            asked = robustness(
                "", image, label, given.epsilon, outputs=one.network.outputs, limits=(0, 1)
            )
            (query,) = queries(asked)
            found["ours"].append(ours(one.network, query, given.steps, given.inner_steps))
            if peer:
                found["auto_LiRPA"].append(
                    theirs(peer, bounded, query.region, label, one.network.outputs)
                )
        name = Path(origin.name).parent.name
        for who, cases in found.items():
            if cases:
                means = [torch.stack([case[at] for case in cases]).mean() for at in (0, 1)]
                spent = [1000 * sum(case[at] for case in cases) / len(cases) for at in (2, 3)]
                print(
                    f"| {name} | {who} | {means[0]:.4f} | {spent[0]:.0f} "
                    f"| {means[1]:.4f} | {spent[1]:.0f} |",
                    flush=True,
                )
        for at, method in enumerate(("CROWN", "alpha-CROWN")):
            gaps = [
                float((a[at] - b[at]).min())
                for a, b in zip(found["ours"], found["auto_LiRPA"], strict=False)
            ]
            if gaps:
                worse.append(f"{name}, {method}: ours less theirs is {min(gaps):.2g} at least")
    print()
    for line in worse:
        print(f"- {line}")


if __name__ == "__main__":
    main()
