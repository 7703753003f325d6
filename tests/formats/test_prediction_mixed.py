"""Rows of several members come back member by member, from memory or from disk."""

import numpy as np
import pytest

from nncli.formats import prediction_mixed
from nncli.formats.prediction_mixed import MixedRows
from nncli.formats.prediction_spool import Spool


def filled(spool, width=3, members=5, seed=0):
    """Rows as they came, by member, and the same in a store."""
    random = np.random.default_rng(seed)
    mixed, expected = MixedRows(spool), {}
    for rows in (7, 40, 1, 25):
        there = random.permutation(members)[: random.integers(1, members + 1)].tolist()
        which = np.concatenate([np.arange(len(there)), random.integers(0, len(there), rows)])
        place = random.integers(0, 1000, len(which))
        shape = (len(which), width) if width else (len(which),)
        answers = random.standard_normal(shape).astype(np.float32)
        mixed.add(answers, place, which, there)
        for code, member in enumerate(there):
            own = expected.setdefault(member, ([], []))
            own[0].extend(place[which == code])
            own[1].extend(answers[which == code])
    return mixed, expected


@pytest.mark.parametrize("width", [3, 0])
@pytest.mark.parametrize("memory", [0, 300, 1 << 20])
def test_members_have_their_rows_in_order_wherever_these_were(width, memory, monkeypatch):
    monkeypatch.setattr(prediction_mixed, "GROUP_BYTES", 200)
    with Spool(memory) as spool:
        mixed, expected = filled(spool, width)
        found = {member: rows for member, *rows in mixed.members()}
        assert spool.spilled == (memory < 1000)
        assert found.keys() == expected.keys()
        for member, (place, answers) in found.items():
            np.testing.assert_array_equal(place, expected[member][0])
            np.testing.assert_array_equal(answers, expected[member][1])
            assert answers.dtype == np.float32


def test_blocks_are_let_go_before_members_are_asked_for():
    with Spool(1 << 20) as spool:
        mixed, _ = filled(spool)
        left = spool._left
        rows = mixed.members()
        next(rows)
        assert spool._left > left
        assert spool._left == 1 << 20


def test_without_mixed_rows_there_are_none():
    with Spool() as spool:
        assert list(MixedRows(spool).members()) == []
