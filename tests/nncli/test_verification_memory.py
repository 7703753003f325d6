"""Searches and attacks keep to the memory they are given, seen from outside of a process."""

import subprocess
import sys

import pytest

NETWORK = """
import sys
import torch
from nncli.verification import falsifying
from nncli.verification.boxes import Boxes
from nncli.verification.clock import Clock
from nncli.verification.domains import Domain
from nncli.verification.input_splitting import split_inputs
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.properties import Region, Violation
from nncli.verification.queries import Query

torch.set_num_threads(1)
numbers, width = int(sys.argv[1]), int(sys.argv[2])
generator = torch.Generator().manual_seed(0)

def normal(*shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)

network = Network(
    60,
    (
        Sum((0,), (Dense(normal(width, 60)),), normal(width)),
        Activation(1, "relu", width),
        Sum((2,), (Dense(normal(9, width) / width),), normal(9)),
    ),
    (60,),
)
low = torch.zeros(60, dtype=torch.float64)
region = Region(low, low + 1, low, low + 1)
high = 0.1 + 0.9 * torch.rand(256, 60, generator=generator, dtype=torch.float64)
nodes = torch.zeros(256, dtype=torch.int64)
boxes = Boxes.of(Domain(torch.zeros_like(high), high), torch.arange(256) % 9, nodes)
violations = tuple(
    Violation(region, torch.eye(9, dtype=torch.float64)[[k]], None, torch.zeros(1).double(), "")
    for k in range(9)
)
query = Query(region, violations, tuple(range(9)))

def no(x):
    return False

def peak():  # not getrusage, which counts the process that this one was forked from
    with open("/proc/self/status") as lines:
        return next(1024 * int(one.split()[1]) for one in lines if one.startswith("VmHWM"))
"""

SPLIT = """
split_inputs(network, query, no, Clock(60.0), begin=boxes[torch.arange(2)], most=1, numbers=numbers)
before = peak()
split_inputs(network, query, no, Clock(60.0), begin=boxes, most=255, numbers=numbers)
print(peak() - before)
"""

ATTACK = """
falsifying.STEPS = 2

def attack(rounds):
    falsifying.falsify(network, query, no, Clock(60.0), rounds=rounds, numbers=numbers)

attack(0)
before = peak()
attack(2)
print(peak() - before)
"""


def grown(work: str, numbers: int, width: int) -> int:
    """Bytes by which a process grows in doing some work, after it did a little of it."""
    done = subprocess.run(
        [sys.executable, "-c", NETWORK + work, str(numbers), str(width)],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_halving_boxes_keeps_to_the_memory_that_it_is_given() -> None:
    """At once the 256 boxes take 250 MB, in batches of what there is room for a tenth."""
    assert grown(SPLIT, 5_000_000, 4000) < 1.5 * 5_000_000 * 8


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are counted in another unit")
def test_attacks_keep_to_the_memory_that_they_are_given() -> None:
    """At once the 180 points of a round take 80 MB and more."""
    assert grown(ATTACK, 2_000_000, 50_000) < 1.5 * 2_000_000 * 8
