"""Searches over signs hold what they may hold, and find the same with less."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from verification_networks import chain

from nncli.verification.asking import property_of
from nncli.verification.branches import Branches, Setting, root
from nncli.verification.certifying.checking import check
from nncli.verification.certifying.parts import Part
from nncli.verification.clock import Clock
from nncli.verification.domains import domain_of
from nncli.verification.exact import Asked, ExactCase, Limits, Linear
from nncli.verification.network import Network
from nncli.verification.portfolio import decide
from nncli.verification.queries import queries
from nncli.verification.relu_splitting import searching
from nncli.verification.tightening import bounded_rows, tightened
from nncli.verification.waiting import SHARE, Waiting, numbers_of
from nncli.verification.work import Setting as How


def never_below(limits: list[float], count: int) -> Asked:
    box = Limits((Fraction(-1),) * count, (Fraction(1),) * count)
    conditions = [
        Linear((), ((o, Fraction(-1)),), Fraction(limit)) for o, limit in enumerate(limits)
    ]
    cases = [ExactCase(box, (one,)) for one in conditions]
    return property_of("case", cases, inputs=count, outputs=len(limits))


def lowest(network: Network, points: int = 20_000) -> list[float]:
    share = torch.rand(points, network.inputs, generator=torch.Generator().manual_seed(1)).double()
    return network(2 * torch.cat([share, share.round()]) - 1).amin(dim=0).tolist()


def nothing(x: torch.Tensor) -> bool:
    return False


def ground(outputs: int = 1) -> tuple[Network, Setting]:
    network = chain([4, 6, 6, outputs], 3)
    query = queries(never_below([0.0] * outputs, 4))[0]
    known = tightened(network, domain_of([query.region]))
    return network, searching(network, query, known, Clock())


def children(branches: Branches, depth: torch.Tensor) -> Branches:
    """Two of each; what they are called tells how deep they lie."""
    both = branches[torch.arange(len(branches)).repeat(2)]
    return replace(both, node=both.node + 1, violation=depth.repeat(2))


@pytest.mark.parametrize("branches", [1, 40, 1000])
def test_what_waits_fits_its_room_and_one_branch_a_level(branches: int) -> None:
    _, setting = ground()
    first = root(setting, torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64))
    room = branches * numbers_of(first) / SHARE
    waiting, levels, seen, most = Waiting(iter([first]), 64, int(room)), 9, 0, 0
    while waiting.more():
        most = max(most, len(waiting))
        taken = waiting.take()
        seen += len(taken)
        waiting.put(children(taken[taken.node < levels], taken.violation[taken.node < levels]))
    assert seen == 3 * (2 ** (levels + 1) - 1)  # each of the three trees, whole
    assert most <= max(branches, 3) + levels + 1


def test_a_wide_search_takes_many_at_once_while_there_is_room() -> None:
    _, setting = ground()
    first = root(setting, torch.zeros(64, dtype=torch.int64))
    waiting = Waiting(iter([first]), 64, 10**9)
    assert waiting.more()
    assert len(waiting.take()) == 64


def test_what_is_left_of_a_batch_does_not_hold_the_whole() -> None:
    _, setting = ground()
    waiting = Waiting(iter([root(setting, torch.zeros(64, dtype=torch.int64))]), 1, 10**9)
    assert waiting.more()
    for one in (waiting.take(), waiting.batches[0]):
        for low, _ in one.limits.values():
            assert low.untyped_storage().nbytes() == low.numel() * low.element_size()


@pytest.mark.parametrize("method", ["relu-split", "contradiction", "alpha-crown", "crown"])
def test_little_memory_gives_the_same_verdicts(method: str) -> None:
    network = chain([6, 8, 8, 3], 0)
    far, near = ([one - by for one in lowest(network)] for by in (1.5, 0.3))
    for limits in (far, near):
        verdicts = []
        for numbers in (100_000, 60_000_000):
            how = How(method, 60.0, numbers=numbers, record=True)
            question = never_below(limits, 6)
            answer = decide(network, question, nothing, how)
            verdicts.append((answer.verdict, answer.stage))
            assert answer.bound > -torch.inf
            if answer.verdict == "verified":
                parts = [Part(one.method, one.violations, one.tensors) for one in answer.proof]
                assert check(network, question, parts, numbers=numbers) is None
        assert verdicts[0] == verdicts[1]
        assert method != "relu-split" or verdicts[0][0] == "verified"


def test_rows_in_portions_have_the_bounds_of_all_at_once() -> None:
    network, setting = ground(outputs=7)
    rows, known = torch.arange(7), list(setting.known)
    whole = bounded_rows(network, setting.query, known, rows, 10**9)
    one_by_one = bounded_rows(network, setting.query, known, rows, 1)
    assert torch.allclose(whole, one_by_one, rtol=1e-12, atol=0)


NUMBERS = 1_500_000
SEARCH = """
import sys
import torch
sys.path.insert(0, sys.argv[2])
from test_verification_waiting import lowest, never_below, nothing
from verification_networks import chain
from nncli.verification.portfolio import decide
from nncli.verification.work import Setting

torch.set_num_threads(1)
network = chain([5, *[50] * 5, 3], 2)
question = never_below([one - 1e-9 for one in lowest(network, 300)], 5)
def peak():  # not getrusage, which counts the process that this one was forked from
    with open("/proc/self/status") as lines:
        return next(1024 * int(one.split()[1]) for one in lines if one.startswith("VmHWM"))
decide(network, question, nothing, Setting("relu-split", 1.0, numbers=100_000))
before = peak()
decide(network, question, nothing, Setting("relu-split", 5.0, numbers=int(sys.argv[1])))
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_a_long_search_over_signs_keeps_to_the_memory_that_it_is_given(
    request: pytest.FixtureRequest,
) -> None:
    """Without a limit it grows by some 10 MB a second."""
    words = [sys.executable, "-c", SEARCH, str(NUMBERS), str(request.path.parent)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 1.5 * 8 * NUMBERS
