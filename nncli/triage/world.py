"""From answers and readings to cases with their orders: what triage starts from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nncli.errors import UsageError
from nncli.triage.answers import Answers
from nncli.triage.costs import Prices, priced_answers, priced_readings
from nncli.triage.curves import Cases
from nncli.triage.effort import errors_at
from nncli.triage.error_models import cross_fitted
from nncli.triage.pools import error_rates, majority_errors
from nncli.triage.splits import CONFIDENCE, DIFFERENCE, HUMAN_ERROR, Order, World, orders_of

F64 = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class People:
    """What people say of N cases.

    Attributes:
        counts: (N, C) readings of each class, `None` if only errors are known.
        error: (N,) the share of readers who err; `None` with counts.
        label: (N,) the right class; `None` if only errors are known.
        readers: How many vote on a case.
    """

    counts: NDArray[np.int64] | None
    error: F64 | None
    label: Index | None
    readers: int = 1

    def single(self) -> F64:
        """(N,) how often one reader errs."""
        if self.counts is None or self.label is None:
            assert self.error is not None
            return self.error
        return error_rates(self.counts, self.label)

    def pools(self, most: int) -> F64 | None:
        """(N, most) how often a vote of 1 ... `most` readers errs; `None` without counts."""
        if self.counts is None or self.label is None:
            return None
        deepest = int(self.counts.sum(axis=1).max())
        return majority_errors(self.counts, self.label, max(1, min(most, deepest)))

    def errors(self) -> F64:
        """(N,) how often the vote errs; that of the whole pool where it is smaller.

        Raises:
            UsageError: A vote is asked for where only errors of single readers are known.
        """
        if self.readers == 1:
            return self.single()
        pools = self.pools(self.readers)
        if pools is None:
            raise UsageError(
                f"`--readers {self.readers}` needs readings or counts of them: a share of readers "
                "who err does not say how they vote"
            )
        return errors_at(pools, np.full(len(pools), self.readers))


@dataclass(frozen=True)
class Terms:
    """What is to be made small.

    Attributes:
        loss: Of the model: `zero-one` or `probability`.
        prices: Of mistakes and readings; `None` to count errors.
        kinds: (C, C) prices of kinds of mistakes, if they differ.
    """

    loss: str = "zero-one"
    prices: Prices | None = None
    kinds: F64 | None = None


def build_world(
    answers: Answers,
    people: People,
    features: F64 | None,
    terms: Terms,
    fold: Index,
    *,
    together: Index | None,
    seed: int,
    wanted: Sequence[str] = (),
) -> tuple[World, F64 | None]:
    """Find what everybody loses, expect it where it is not known, and put cases into orders.

    Args:
        answers: Of the model.
        people: What they say.
        features: (N, d) for error models, beside those of the answers.
        terms: What is to be made small.
        fold: (N,) from `divide_cases`.
        together: (N,) which cases are no independent ones.
        seed: Of the error models.
        wanted: Names of orders; all that there are if empty.

    Returns:
        The cases, and how often one reader is expected to err, if anything says that.

    Raises:
        UsageError: An order that is wanted is not to be had.
    """
    single = people.single()
    error = Cases(answers.losses(people.label, terms.loss), people.errors(), together)
    mistakes = _by_kind(answers, people, terms, error)
    goal = (terms.prices or Prices()).money(mistakes, people.readers)
    own = answers.features()
    known = [one for one in (features, own) if one is not None]
    if not known:
        orders = orders_of(answers.doubt, None, None, goal)
        return World(error, goal, fold, tuple(_chosen(orders, wanted))), None
    x = np.concatenate(known, axis=1)

    def expected(values: F64) -> tuple[F64, str | None]:
        top = max(float(values.max()), 1.0)
        told = cross_fitted(x, values / top, fold, together=together, seed=seed)
        return told.loss * top, told.note

    model, of_model = expected(mistakes.machine)
    humans, of_humans = expected(mistakes.human)
    reader = humans if people.readers == 1 and terms.kinds is None else expected(single)[0]
    told = (terms.prices or Prices()).money(Cases(model, humans), people.readers)
    notes = {HUMAN_ERROR: [("people", of_humans)]}
    notes[DIFFERENCE] = [("model", of_model), ("people", of_humans)]
    orders = [
        Order(
            one.name,
            one.score,
            "; ".join(f"{who}: {note}" for who, note in notes.get(one.name, []) if note)
            or one.note,
        )
        for one in orders_of(answers.doubt, told.machine, told.human, goal)
    ]
    return World(error, goal, fold, tuple(_chosen(orders, wanted))), reader


def _by_kind(answers: Answers, people: People, terms: Terms, error: Cases) -> Cases:
    """How bad mistakes are: all alike, or by their kind."""
    if terms.kinds is None:
        return error
    if answers.predicted is None or people.counts is None or people.label is None:
        raise UsageError(
            "`--costs` needs classes answered by the model and readings of people: hits and errors "
            "do not say which mistake was made"
        )
    if people.readers > 1:
        raise UsageError("`--costs` is for one reader a case; leave out `--readers`")
    machine = priced_answers(answers.predicted, people.label, terms.kinds)
    human = priced_readings(people.counts, people.label, terms.kinds)
    return Cases(machine, human, error.together)


def _chosen(orders: Sequence[Order], wanted: Sequence[str]) -> list[Order]:
    there = {one.name: one for one in orders}
    for name in wanted:
        if name not in there:
            why = {
                CONFIDENCE: "the predictions are classes or hits, without confidence",
            }.get(name, "there is nothing to fit error models on: `--features` brings some")
            raise UsageError(f"`--order {name}` is not to be had: {why}")
    return [one for one in orders if not wanted or one.name in wanted]
